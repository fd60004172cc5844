"""Step: what raising a latent does to the prediction of a hidden motif token."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.data.motif_scores import token_support
from mints.features.activations import latent_matrix, ordinary_tokens
from mints.features.autoencoder import SparseAutoencoder
from mints.features.exact_thresholds import rank_metrics, rank_sparse
from mints.features.steering import Steering, steer
from mints.features.steering_latents import (
    LatentUse,
    choose_latents,
    dose_gradient,
    latent_use,
    matched_latents,
    steered_latent,
)
from mints.features.steering_sites import SteeringSites, steering_sites
from mints.features.steering_tables import dose_table, planned_arms, summary_table, with_q
from mints.pipeline.run import Run
from mints.report.steering import steering_figure
from mints.studies.genomic.questions import feature_question
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.resampling import resamples_of

CHOSEN = 2
"""Latents that are chosen by each rule."""

DRAWS = 20
"""Draws of each null."""

SEQUENCES = 400
"""Most sequences of the question on which latents' use is measured, and on which they are chosen."""

READS, WRITES = "reads the motif", "writes the target"
"""Rules: the highest AUROC of the activation for motif tokens, the steepest gradient of the target's log-odds."""

FEWEST = 5
"""Fewest sites for which a dose–response means anything."""


class Question(NamedTuple):
    """The question whose sites are steered at."""

    name: str
    table: pd.DataFrame
    sites: pd.DataFrame
    """Columns name, start, end, strand, bits, and row: of `table`."""

    core: int
    """Offset of the most informative base, on the motif's own strand."""


def run_steering(run: Run) -> None:
    """Choose latents on validation, steer them at test sites, and hold every dose against its nulls."""
    model = open_model(run)
    question = open_sites(run)
    if model.encoder.head is None:
        run.warn("the checkpoint has no masked-language head: steering was not measured")
        save(run, question, [], [], [])
        return
    validation, test = (hidden_sites(run, model, question, split) for split in ("validation", "test"))
    chosen: list[pd.DataFrame] = []
    doses: list[pd.DataFrame] = []
    summaries: list[pd.DataFrame] = []
    if min(len(validation.given), len(test.given)) < FEWEST:
        run.warn(
            f"question {question.name} has {len(validation.given)} validation and {len(test.given)} test sites to steer"
            f" at, too few (at least {FEWEST}): steering was not measured"
        )
    else:
        for site in run.config.features.sites:
            latents, dose_rows, summary = steer_site(run, model, question, site, validation, test)
            for table, parts in ((latents, chosen), (dose_rows, doses), (summary, summaries)):
                table.insert(0, "site", site)
                parts.append(table)
    save(run, question, chosen, doses, summaries)


def save(
    run: Run, question: Question, chosen: list[pd.DataFrame], doses: list[pd.DataFrame], summaries: list[pd.DataFrame]
) -> None:
    """The three tables and their figure, empty where nothing was measured."""
    tables = [pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for parts in (chosen, doses, summaries)]
    summary = with_q(tables[2]) if summaries else tables[2]
    run.save("tables/steering_latents.csv", tables[0])
    run.save("tables/steering.csv", tables[1])
    run.save("tables/steering_summary.csv", summary)
    shown = question.name.replace("_", " ")
    run.figure("steering", steering_figure(tables[1], question=shown, level=run.config.probe_ci_level))


def open_sites(run: Run) -> Question:
    """The best site of every positive sequence of the question that the feature steps ask."""
    asked = feature_question(run.config)
    name = asked.name
    table = run.load(f"tasks/{asked.task}.parquet")
    found = run.load(f"motif_scoring/{name}_sites.csv")
    place = pd.Series(np.arange(len(table)), index=table["name"])
    place = place[~place.index.duplicated()]
    found = found[found["label"] == 1].assign(row=lambda rows: place.reindex(rows["name"]).to_numpy())
    best = found.sort_values("bits", ascending=False, kind="stable").drop_duplicates("row").sort_values("row")
    motif = run.load(f"motif_scoring/{name}_motif.json")
    return Question(name, table, best.reset_index(drop=True), informative_base(np.array(motif["counts"], dtype=float)))


def informative_base(counts: ndarray) -> int:
    """Column of a matrix of base counts whose entropy is lowest; the first of several."""
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    return int(np.argmax((shares * np.log2(shares)).sum(axis=1)))


def hidden_sites(run: Run, model: OpenModel, question: Question, split: str) -> SteeringSites:
    """Sites of a split, at most `features.steering_sites`, drawn at random; `given` are rows of the task's table."""
    rng = run.rng(f"{split} sites")
    of_split = question.sites[question.sites["split"] == split]
    drawn = of_split.iloc[np.sort(rng.permutation(len(of_split))[: run.config.features.steering_sites])]
    motif = drawn[["start", "end"]].to_numpy(dtype=int)
    width = motif[:, 1] - motif[:, 0]
    core = motif[:, 0] + np.where(drawn["strand"] == "-", width - 1 - question.core, question.core)
    rows = drawn["row"].to_numpy(dtype=int)
    encodings = model.tokenizer.encode_many(question.table["sequence"].iloc[rows].tolist())
    sites = steering_sites(encodings, motif, core, model.tokenizer, rng)
    run.fact(f"{split}_sites", {"drawn": len(drawn), "with room to steer": len(sites.given)})
    return sites._replace(given=rows[sites.given])


def steer_site(
    run: Run, model: OpenModel, question: Question, site: str, validation: SteeringSites, test: SteeringSites
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Chosen latents, dose–response and summary of one dictionary."""
    autoencoder = open_autoencoder(run, site).to(model.compute.device).requires_grad_(False)
    use = measure_use(run, model, autoencoder, question, site)
    chosen = latents_to_steer(run, model, autoencoder, question, site, validation, use)
    doses = sorted(set(run.config.features.steering_doses))
    clusters = question.table["cluster"].to_numpy()[test.given]
    judge = resamples_of(run, clusters)
    steered = chosen["latent"].to_numpy(dtype=int)

    def of_latent(latent: int) -> dict[str, ndarray]:
        rng = run.rng(f"{site} {latent}")
        matched = matched_latents(use.frequency, latent, DRAWS, steered, rng)
        directions = steered_latent(autoencoder, latent, float(use.scale[latent]), DRAWS, matched, rng)
        arms = planned_arms(doses, DRAWS, len(matched))
        budget = run.config.tokens_per_batch
        found = steer(model.encoder, model.tokenizer, autoencoder, site, test, directions, arms, model.compute, budget)
        return {"matched": matched, **found._asdict()}

    dose_tables: list[pd.DataFrame] = []
    summaries: list[pd.DataFrame] = []
    still = 0.0
    steerings = run.map(of_latent, steered.tolist(), label=site)
    for latent, rule, arrays in zip(steered.tolist(), chosen["chosen_by"], steerings, strict=True):
        arms = planned_arms(doses, DRAWS, len(arrays["matched"]))
        found = Steering(arrays["base"], arrays["change"])
        no_op = [at for at, arm in enumerate(arms) if arm.kind == "add" and arm.dose == 0]
        still = max(still, float(np.nanmax(np.abs(found.change[no_op]), initial=0.0)))
        for table, parts in (
            (dose_table(found, arms, doses, DRAWS, judge), dose_tables),
            (summary_table(found, arms, doses, DRAWS, judge), summaries),
        ):
            table.insert(0, "latent", latent)
            table.insert(1, "chosen_by", str(rule))
            parts.append(table)
    run.fact(f"{site}_largest_change_by_a_dose_of_0", still)
    return chosen, pd.concat(dose_tables, ignore_index=True), pd.concat(summaries, ignore_index=True)


def measure_use(run: Run, model: OpenModel, autoencoder: SparseAutoencoder, question: Question, site: str) -> LatentUse:
    """Scale and firing frequency of every latent on training sequences of the question's task."""
    rows = some_rows(run, question, "train")
    encodings = model.tokenizer.encode_many(question.table["sequence"].iloc[rows].tolist())
    tokens = ordinary_tokens(encodings, model.tokenizer)
    budget = run.config.tokens_per_batch
    return latent_use(latent_matrix(model.encoder, autoencoder, encodings, tokens, site, model.compute, budget))


def latents_to_steer(
    run: Run,
    model: OpenModel,
    autoencoder: SparseAutoencoder,
    question: Question,
    site: str,
    validation: SteeringSites,
    use: LatentUse,
) -> pd.DataFrame:
    """The best latents by each rule on validation; none twice. Columns latent, chosen_by, auroc, gradient, …"""
    budget = run.config.tokens_per_batch
    rows = some_rows(run, question, "validation")
    encodings = model.tokenizer.encode_many(question.table["sequence"].iloc[rows].tolist())
    tokens = ordinary_tokens(encodings, model.tokenizer)
    spans = np.stack([tokens.start, tokens.end], axis=1)
    places = question.sites.set_index("row")[["start", "end"]]
    positive = np.zeros(len(spans), dtype=bool)
    for sequence, row in enumerate(rows):
        if row in places.index:
            of_sequence = tokens.sequence == sequence
            positive[of_sequence] = token_support(places.loc[[row]].to_numpy(dtype=int), spans[of_sequence])
    latents = latent_matrix(model.encoder, autoencoder, encodings, tokens, site, model.compute, budget)
    auroc = rank_metrics(rank_sparse(latents), csr_array(positive[:, None])).auroc[:, 0]
    gradient = dose_gradient(model.encoder, autoencoder, site, validation, use.scale, model.compute, budget)
    table = pd.DataFrame(choose_latents({READS: auroc, WRITES: gradient}, use, CHOSEN), columns=["latent", "chosen_by"])
    index = table["latent"].to_numpy(dtype=int)
    return table.assign(
        auroc=auroc[index], gradient=gradient[index], scale=use.scale[index], frequency=use.frequency[index]
    )


def some_rows(run: Run, question: Question, split: str) -> Int[ndarray, "row"]:
    """Rows of a split of the question's task, at most `SEQUENCES`, drawn at random."""
    rows = np.flatnonzero((question.table["split"] == split).to_numpy())
    return np.sort(run.rng(f"{split} sequences").permutation(rows)[:SEQUENCES])
