"""Step: residues of a behaviour and of matched decoys, and the probe of the last layer that tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.bootstrap import interval
from mints.analysis.metrics import auroc, scored
from mints.analysis.probes import Labelled, Probe, fit_probe
from mints.data.annotation import on_sequences, read_annotation
from mints.data.decoys import Stretch, matched_decoys
from mints.data.hydropathy import KYTE_DOOLITTLE, hydropathy, stretch_hydropathy
from mints.errors import MintsError
from mints.features.named_positions import at_positions
from mints.locations import here
from mints.models.activations import mean_residuals
from mints.models.tokenizers import Encoding, Tokenizer
from mints.pipeline.run import Run
from mints.protein_config import Behaviour
from mints.report.behaviours import behaviour_figure
from mints.studies.protein.fields import PROTEINS
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.resampling import resamples_of

LEAST_PAIRS = 4
"""Pairs of a stretch and its decoy without which a split is too small to ask anything."""

MOST_PAIRS = 400
"""Pairs of a split that are kept, drawn at random: more teach the probe little."""

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C (inverse penalty) among which validation chooses."""

FLANK = 5
"""Residues on either side whose composition a floor sees."""

PROBE = "probe"
"""Name of the model's own probe among what is compared."""

RESIDUES = sorted(KYTE_DOOLITTLE)


def run_behaviour_probes(run: Run) -> None:
    """Find every behaviour's residues and their decoys, and fit its probe on the training split."""
    model = open_model(run)
    proteins: pd.DataFrame = run.load(PROTEINS)
    annotation = read_places(run, proteins)
    tables = []
    for behaviour in run.config.behaviours:
        rows = behaviour_rows(run, proteins, annotation, behaviour)
        run.save(f"behaviours/{behaviour.name}.parquet", rows)
        probe, table = fit(run, model, rows, behaviour)
        run.save(
            f"behaviours/{behaviour.name}_probe.npz",
            {
                "layer": np.array(model.encoder.architecture.n_layers - 1),
                "weights": probe.model.weights.astype(np.float32),
                "bias": np.array(probe.model.bias),
            },
        )
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    run.save("tables/behaviour_probes.csv", result)
    run.figure("behaviour_probes", behaviour_figure(result, level=run.config.probe_ci_level))


def read_places(run: Run, proteins: pd.DataFrame) -> pd.DataFrame:
    """Annotated places of these proteins: accession, start, end (half-open), kind."""
    path = here(run.config.features.annotations[0].file)
    lengths = dict(zip(proteins["accession"], proteins["sequence"].str.len(), strict=True))
    return on_sequences(read_annotation(path), lengths, path).rename(columns={"chromosome": "accession"})


def behaviour_rows(run: Run, proteins: pd.DataFrame, annotation: pd.DataFrame, behaviour: Behaviour) -> pd.DataFrame:
    """One row per stretch: accession, sequence, cluster, split, label, pair, start, end, core_start, core_end,
    hydropathy.

    Label 1: residues of the behaviour, one stretch a protein; label 0: of its decoy in a protein of the same split.
    Raises MintsError where a split has too few pairs.
    """
    found = annotation[annotation["kind"] == behaviour.kind]
    barred = annotation.loc[annotation["kind"].isin([behaviour.kind, *behaviour.decoys_without]), "accession"]
    parts: list[pd.DataFrame] = []
    counts: dict[str, Any] = {}
    for split, of_split in proteins.groupby("split", sort=False):
        of_split = of_split.reset_index(drop=True)
        own = own_stretches(of_split, found, behaviour, run.rng(f"{behaviour.name} {split}"))
        hosts = of_split[~of_split["accession"].isin(set(barred))].reset_index(drop=True)
        at_start = behaviour.first is not None
        matches = matched_decoys(own, hosts["sequence"].tolist(), run.config.decoy_caliper, at_start=at_start)
        counts[str(split)] = {"annotated": len(own), "matched": len(matches)}
        if len(matches) < LEAST_PAIRS:
            raise MintsError(
                f"behaviour {behaviour.name}: {len(matches)} of {len(own)} {split} proteins with {behaviour.kind}"
                f" have a decoy within {run.config.decoy_caliper:g} of their hydropathy, at least {LEAST_PAIRS} are"
                " needed: raise decoy_caliper, give more proteins, or leave the behaviour out"
            )
        kept = np.sort(run.rng(f"{behaviour.name} {split} pairs").permutation(len(matches))[:MOST_PAIRS])
        matches = [matches[pair] for pair in kept]
        for label, table, stretches in (
            (1, of_split, [match.own for match in matches]),
            (0, hosts, [match.decoy for match in matches]),
        ):
            parts.append(_rows(table, stretches, label, str(split), behaviour.core))
    run.fact(f"proteins with {behaviour.kind} and with a matched decoy", counts)
    return pd.concat(parts, ignore_index=True)


def own_stretches(
    proteins: pd.DataFrame, places: pd.DataFrame, behaviour: Behaviour, rng: np.random.Generator
) -> list[Stretch]:
    """The behaviour's residues in each protein that has it: one feature at random, or the protein's first residues."""
    at = dict(iter(places.groupby("accession")))
    stretches = []
    for index, (accession, sequence) in enumerate(zip(proteins["accession"], proteins["sequence"], strict=True)):
        if accession not in at:
            continue
        chosen = at[accession].iloc[int(rng.integers(len(at[accession])))]
        start, end = int(chosen["start"]), int(chosen["end"])
        if behaviour.first is not None:
            start, end = 0, behaviour.first
        if end <= len(sequence):
            stretches.append(Stretch(index, start, end, float(hydropathy(sequence[start:end]).mean())))
    return stretches


def _rows(proteins: pd.DataFrame, stretches: list[Stretch], label: int, split: str, core: int | None) -> pd.DataFrame:
    """Rows of stretches of these proteins; pairs have the place in the list."""
    chosen = proteins.iloc[[stretch.protein for stretch in stretches]]
    rows = chosen[["accession", "sequence", "cluster"]].reset_index(drop=True)
    bounds = [
        (s.start, s.end, *core_of(sequence, s, core)) for s, sequence in zip(stretches, rows["sequence"], strict=True)
    ]
    rows[["start", "end", "core_start", "core_end"]] = np.array(bounds, dtype=np.int64).reshape(-1, 4)
    rows["hydropathy"] = [stretch.hydropathy for stretch in stretches]
    return rows.assign(split=split, label=label, pair=np.arange(len(rows)))


def core_of(sequence: str, stretch: Stretch, length: int | None) -> tuple[int, int]:
    """The stretch's own most hydrophobic residues, so many of them; all where it is no longer, or none is given."""
    if length is None or stretch.end - stretch.start <= length:
        return stretch.start, stretch.end
    start = stretch.start + int(stretch_hydropathy(sequence[stretch.start : stretch.end], length).argmax())
    return start, start + length


def named_encodings(tokenizer: Tokenizer, rows: pd.DataFrame) -> list[Encoding]:
    """Whole proteins, of which a circuit sees the rows' positions."""
    encodings = tokenizer.encode_many(rows["sequence"].tolist())
    bounds = zip(encodings, rows["start"], rows["end"], strict=True)
    return [at_positions(encoding, int(start), int(end)) for encoding, start, end in bounds]


class Features(NamedTuple):
    """What a scorer knows of every row."""

    values: Float[ndarray, "row feature"]
    is_fitted: bool
    """Whether weights are fitted; otherwise the only feature is the score."""


def fit(run: Run, model: OpenModel, rows: pd.DataFrame, behaviour: Behaviour) -> tuple[Probe, pd.DataFrame]:
    """The probe of the last layer, and how it and what needs no model tell the test rows' labels.

    Columns of the table: behaviour, scorer, n_train, n_validation, n_test, validation_auroc, auroc, low, high, floor
    (the best scorer without a model, by validation), difference to it and its interval.
    """
    last = model.encoder.architecture.n_layers - 1
    encodings = named_encodings(model.tokenizer, rows)
    pooled = mean_residuals(model.encoder, encodings, [last], model.compute, run.config.tokens_per_batch)[:, 0]
    scorers = {PROBE: Features(pooled, is_fitted=True), **floors(rows)}
    labels, split = rows["label"].to_numpy(), rows["split"].to_numpy()
    test = split == "test"
    resamples = resamples_of(run, rows["cluster"].to_numpy()[test])
    everything = np.concatenate([np.ones((1, int(test.sum()))), resamples.weights])
    probes: dict[str, Probe] = {}
    validation, areas = {}, {}
    for name, (values, is_fitted) in scorers.items():
        logits = values[:, 0]
        if is_fitted:
            train, chosen_on = (Labelled(values[split == s], labels[split == s]) for s in ("train", "validation"))
            probes[name] = fit_probe(train, chosen_on, PENALTIES)
            logits = probes[name].model.logits(values)
        held = split == "validation"
        validation[name] = float(auroc(scored(labels[held], logits[held]), np.ones((1, int(held.sum()))))[0])
        areas[name] = auroc(scored(labels[test], logits[test]), everything)
    table = _probe_table(behaviour.name, validation, areas, resamples.level)
    for place, part in enumerate(("train", "validation", "test")):
        table.insert(2 + place, f"n_{part}", int((split == part).sum()))
    return probes[PROBE], table


def _probe_table(
    behaviour: str, validation: Mapping[str, float], areas: Mapping[str, Float[ndarray, "1+resample"]], level: float
) -> pd.DataFrame:
    floor = max((name for name in validation if name != PROBE), key=lambda name: validation[name])
    rows: list[dict[str, Any]] = []
    for name, area in areas.items():
        low, high = interval(area[1:, None], level)
        less = area - areas[floor]
        difference_low, difference_high = interval(less[1:, None], level)
        rows.append(
            {
                "behaviour": behaviour, "scorer": name, "validation_auroc": validation[name], "auroc": area[0],
                "low": low[0], "high": high[0], "floor": floor, "difference": less[0],
                "difference_low": difference_low[0], "difference_high": difference_high[0],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def floors(rows: pd.DataFrame) -> dict[str, Features]:
    """Scorers that need no model: hydropathy, on which the decoys are matched, and composition, flanks too."""
    inside = [sequence[s:e] for sequence, s, e in zip(rows["sequence"], rows["start"], rows["end"], strict=True)]
    around = [
        sequence[max(0, s - FLANK) : s] + sequence[e : e + FLANK]
        for sequence, s, e in zip(rows["sequence"], rows["start"], rows["end"], strict=True)
    ]
    composition, flanks = (composition_of(parts) for parts in (inside, around))
    return {
        "hydropathy": Features(rows[["hydropathy"]].to_numpy(), is_fitted=False),
        "composition": Features(composition, is_fitted=True),
        "composition_and_flanks": Features(np.concatenate([composition, flanks], axis=1), is_fitted=True),
    }


def composition_of(stretches: list[str]) -> Float[ndarray, "stretch residue"]:
    """Share of each of the twenty residues; zeros for an empty stretch."""
    shares = [[stretch.count(residue) / max(1, len(stretch)) for residue in RESIDUES] for stretch in stretches]
    return np.array(shares, dtype=float).reshape(len(stretches), len(RESIDUES))
