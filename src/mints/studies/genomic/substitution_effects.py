"""Part of a step: every single-base substitution at motif sites and at like places elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.above import READOUTS, PairReadout
from mints.features.integrated_gradients import attribute_changed, gauss_legendre
from mints.features.latent_effects import TOKENS_PER_BATCH
from mints.features.substitution import (
    Substitutions,
    TokenChanges,
    masked_marginals,
    site_substitutions,
    token_changes,
    wild_type_marginals,
)
from mints.features.substitution_summary import site_against_control
from mints.features.universality import important, universality
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report.latents import substitution_map_figure
from mints.studies.genomic.questions import open_question
from mints.studies.genomic.traced_pairs import ASKED, TracedProbe

MEASURES = ("wild_type_marginal", "masked_marginal", "other_tokens", "probe", "probe_elsewhere")

NODES = 3
"""Points of the path for so many cases: enough to say which few latents lead."""

LEADING = 5
"""Latents of a case that count as important: few of them differ between two tokens at all."""

PERMUTATIONS = 200


class Effects(NamedTuple):
    """Of every kept substitution."""

    change: Float[ndarray, "kept readout"]
    """Read-outs of the mutant less those of the wild type."""

    at_changed: Float[ndarray, "asked kept latent"]
    """Integrated gradients of the latents at the changed token, from the mutant to the wild type."""


def trace_substitutions(run: Run, traced: TracedProbe, asked: Any, limit: int) -> None:
    """Score substitutions at so many sites, and ask whether the latents behind them know more than the token."""
    table: pd.DataFrame = run.load(f"tasks/{asked.task}.parquet")
    question = open_question(asked, table)
    found = run.load(f"motif_scoring/{asked.name}_sites.csv")
    if question.anchor is not None:
        found["strand"] = "+"  # known to stand there, whichever strand scores higher
    sites = chosen_sites(table, found, limit, run.rng("substitution sites"))
    sequences = sites["sequence"].tolist()
    asked_for = site_substitutions(sites, found, question.scorer, run.rng("control positions"))
    encodings = traced.tokenizer.encode_many(sequences)
    columns = Substitutions(
        asked_for["sequence"].to_numpy(), asked_for["position"].to_numpy(), asked_for["mutant"].tolist()
    )
    changes = token_changes(sequences, encodings, columns, traced.tokenizer)
    kept = asked_for.iloc[changes.kept].reset_index(drop=True)
    effects = run_mutants(run, traced, encodings, changes)
    scored = score(traced, encodings, changes, kept, effects)
    summary = site_against_control(
        scored,
        MEASURES,
        resamples=run.config.probe_bootstrap_samples,
        level=run.config.probe_ci_level,
        rng=run.rng("substitution resamples"),
    )
    run.save("features/substitution_effects.csv", scored.drop(columns="sequence"))
    run.save("tables/substitution_summary.csv", summary)
    run.save("tables/universality.csv", universality_table(run, traced, sequences, changes, kept, effects))
    run.figure("substitution_map", substitution_map_figure(scored, question=asked.name.replace("_", " ")))
    run.fact("substitutions", {"sites": len(sites), "tried": len(asked_for), "kept": len(kept)} | changes.refused)


def chosen_sites(table: pd.DataFrame, found: pd.DataFrame, limit: int, rng: np.random.Generator) -> pd.DataFrame:
    """The best site of each of at most `limit` test positives, drawn at random; one row per sequence."""
    wanted = found[(found["split"] == "test") & (found["label"] == 1)]
    best = wanted.sort_values(["name", "bits"], kind="stable").groupby("name").tail(1)
    positives = table[(table["split"] == "test") & (table["label"] == 1)]
    rows = best[["name", "start", "end", "strand"]].merge(positives[["name", "cluster", "sequence"]], on="name")
    order = rng.permutation(len(rows))[:limit]
    return rows.iloc[np.sort(order)].reset_index(drop=True)


def run_mutants(run: Run, traced: TracedProbe, encodings: list[Encoding], changes: TokenChanges) -> Effects:
    """All mutants of one sequence at a time: what changes, and which latents carry it."""
    above, device = traced.latents.above, traced.latents.above.compute.device
    change = np.zeros((len(changes.kept), len(READOUTS)))
    at_changed = np.zeros((len(ASKED), len(changes.kept), traced.latents.autoencoder.d_sae), dtype=np.float32)
    for row in run.track(np.unique(changes.sequence), description="substitutions", unit="sequences"):
        wild = torch.from_numpy(encodings[row].ids)[None].to(device)
        of_row = np.flatnonzero(changes.sequence == row)
        at_once = max(1, TOKENS_PER_BATCH[device.type] // wild.shape[1])
        original, content = above.record(wild), torch.from_numpy(~encodings[row].special)[None]
        for some in np.split(of_row, range(at_once, len(of_row), at_once)):
            ids = torch.from_numpy(np.stack([changes.encodings[index].ids for index in some])).to(device)
            readout = PairReadout(traced.probe, wild, ids, content)
            mutated, source = above.record(ids), original.x.expand(len(some), -1, -1)
            place = torch.from_numpy(changes.place[some]).to(device)
            nodes = gauss_legendre(NODES)
            at_changed[:, some] = attribute_changed(
                above, traced.latents.autoencoder, mutated, source, place, readout, nodes, ASKED
            )
            with torch.no_grad(), above.compute.autocast():
                sides = (above.readouts(x, run, readout) for x, run in ((mutated.x, mutated), (source, original)))
                after, before = (side.cpu().numpy() for side in sides)
            change[some] = after - before
    return Effects(change, at_changed)


def score(
    traced: TracedProbe, encodings: list[Encoding], changes: TokenChanges, kept: pd.DataFrame, effects: Effects
) -> pd.DataFrame:
    """The substitutions with both marginals and what they change elsewhere."""
    above, tokenizer = traced.latents.above, traced.tokenizer
    encoder, compute = above.encoder, above.compute
    by_readout = {name: effects.change[:, place] for place, name in enumerate(READOUTS) if name != "substitution"}
    return kept.assign(
        wild_type_token=[tokenizer.vocabulary[token] for token in changes.wild_type],
        mutant_token=[tokenizer.vocabulary[token] for token in changes.mutant],
        wild_type_marginal=wild_type_marginals(encoder, encodings, changes, compute),
        masked_marginal=masked_marginals(encoder, encodings, changes, tokenizer.mask_id, compute),
        **by_readout,
    )


def universality_table(
    run: Run, traced: TracedProbe, sequences: list[str], changes: TokenChanges, kept: pd.DataFrame, effects: Effects
) -> pd.DataFrame:
    """One row per read-out, kind of identity and latent that matters in several sequences."""
    _, sequence = np.unique(changes.sequence, return_inverse=True)
    rng = run.rng("universality")
    count = int(sequence.max(initial=-1)) + 1
    found_on = np.isin(np.arange(count), rng.permutation(count)[: count // 2])
    tables = []
    for place, readout in enumerate(ASKED):
        importance = important(effects.at_changed[place], LEADING)
        for kind, names in identities(sequences, kept, traced, changes).items():
            labels, identity = np.unique(names, return_inverse=True)
            result = universality(importance, sequence, identity, found_on, permutations=PERMUTATIONS, rng=rng)
            table = pd.DataFrame(result._asdict() | {"identity": labels[result.identity]})
            table.insert(0, "identity_kind", kind)
            table.insert(0, "readout", readout)
            table["q"] = benjamini_hochberg(table["p"].fillna(1.0).to_numpy())
            tables.append(table)
    table = pd.concat(tables, ignore_index=True).rename(columns={"latents": "latent"})
    table.insert(0, "site", traced.latents.above.site)
    return table


def identities(
    sequences: list[str], kept: pd.DataFrame, traced: TracedProbe, changes: TokenChanges
) -> dict[str, list[str]]:
    """What stands at every substitution in the wild type: base, three bases around it, token."""
    places = list(zip(kept["sequence"], kept["position"], strict=True))
    return {
        "base": kept["wild_type"].tolist(),
        "3-mer": [sequences[row][max(0, at - 1) : at + 2] for row, at in places],
        "token": [traced.tokenizer.vocabulary[token] for token in changes.wild_type],
    }
