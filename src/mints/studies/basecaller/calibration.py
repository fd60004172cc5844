"""Step: what the head sweep could have seen, from heads of known strength planted into the model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.basecalling.planting import FitSide, LayerFit, layer_fit, make_counter, plant
from mints.analysis.basecalling.sweep import Chunks, open_recording
from mints.analysis.basecalling.tables import NULLS, Judges
from mints.analysis.basecalling.trial import CRITERIA, judge_head, patch_one_head
from mints.analysis.calibration import detection_table, false_positive_table, sensitivities
from mints.analysis.patching import heads_of
from mints.analysis.restoration import linked
from mints.data.nanopore.levels import read_levels
from mints.data.nanopore.pair_tables import pair_table
from mints.data.nanopore.pairs import SPLITS
from mints.data.nanopore.simulated_pairs import Recipe, simulate_pairs
from mints.locations import here
from mints.pipeline.run import Run
from mints.report.calibration import detection_figure
from mints.studies.basecaller.activation_patching import ask_pairs, chunks_of, draw_partners
from mints.studies.basecaller.models import OpenBasecaller, open_basecaller
from mints.studies.shared.resampling import resamples_of

POWER = 0.95
MORE = {"repeat_more": -1.0, "repeat_fewer": 1.0}
"""Bases that the clean side has more than the corrupted one."""


class Bench(NamedTuple):
    """What all trials share."""

    run: Run
    opened: OpenBasecaller
    chunks: Chunks
    """Pairs that are patched."""

    fits: Sequence[LayerFit]
    """Of every layer, from the pairs that a planted head's reading is fitted on."""

    more: Float[ndarray, "pair"]
    """Bases that their clean side has more than their corrupted one."""

    judges: Judges


def run_basecaller_calibration(run: Run) -> None:
    """Plant heads that carry the repeat count, and look for them; and look where there is none."""
    bench = open_bench(run)
    rng = run.rng("heads")
    everyone = heads_of(bench.opened.basecaller.encoder)
    chosen = [everyone[i] for i in np.sort(rng.permutation(len(everyone))[: run.config.calibration_heads])]
    trials = [(strength, place) for strength in run.config.calibration_strengths for place in chosen]
    tracked = run.track(trials, description="planted heads", unit="heads")
    planted = pd.DataFrame([trial(bench, place, strength) | {"strength": strength} for strength, place in tracked])
    nulls = pd.concat([permuted_readings(bench, everyone), swept_nulls(run)], ignore_index=True)
    level = run.config.probe_ci_level
    carried = planted[planted["strength"] > 0]
    silent = planted[planted["strength"] == 0].assign(null="silent head (strength 0)", replicate=0)
    errors = false_positive_table(pd.concat([silent, nulls], ignore_index=True), level, CRITERIA)
    detection = detection_table(carried, level, CRITERIA)
    run.save("calibration/planted_heads.csv", planted)
    run.save("calibration/null_heads.csv", nulls)
    run.save("tables/basecaller_calibration.csv", detection)
    run.save("tables/basecaller_calibration_nulls.csv", errors)
    statements = pd.DataFrame(sensitivities(detection, POWER))
    run.save("tables/basecaller_sensitivity.csv", statements)
    run.figure("basecaller_calibration", detection_figure(detection, errors, power=POWER, level=level))


def open_bench(run: Run) -> Bench:
    """Homopolymer pairs with a repeat more or fewer, made for this: one half is fitted on, the other patched."""
    opened = open_basecaller(run)
    levels = read_levels(here(run.config.levels))
    recipe = Recipe(levels, run.config.pair_samples, opened.normalisation)
    drawn = simulate_pairs(run.rng("pairs"), run.config.calibration_pairs, recipe).pairs
    pairs = [pair for pair in drawn if pair.corruption in MORE]
    table = pair_table(pairs)
    partners = draw_partners(table, run.rng("partners"))
    of_runs, split = table["group"] == "homopolymer", table["split"]
    fitted, patched = (np.flatnonzero(of_runs & (split == name)) for name in SPLITS)
    margin = run.config.patch_margin

    def chunks(rows: Int[ndarray, "pair"]) -> Chunks:
        asked = ask_pairs(opened, [pairs[row] for row in rows])
        return chunks_of(opened, pairs, rows.tolist(), partners, asked, margin)

    more = table.loc[fitted, "corruption"].map(MORE).to_numpy()
    side, layers = _fit_side(opened, chunks(fitted)), range(opened.basecaller.encoder.architecture.n_layers)
    fits = [layer_fit(opened.basecaller, side, layer, opened.compute) for layer in layers]
    reads = table["read"].to_numpy(dtype=str)
    units = (linked(reads, partner)[patched] for partner in partners)
    judges = Judges(resamples_of(run, reads[patched]), *(resamples_of(run, unit) for unit in units))
    run.fact("pairs fitted on and patched", [len(fitted), len(patched)])
    return Bench(run, opened, chunks(patched), fits, more, judges)


def _fit_side(opened: OpenBasecaller, chunks: Chunks) -> FitSide:
    clean, corrupted = (
        open_recording(opened.basecaller, side, chunks.question, opened.compute)
        for side in (chunks.clean, chunks.corrupted)
    )
    return FitSide(clean, corrupted, torch.from_numpy(chunks.run))


def trial(
    bench: Bench, place: tuple[int, int], strength: float, told: Float[ndarray, "pair"] | None = None
) -> dict[str, Any]:
    """Row of one planted head. told: what its reading is fitted to, in place of the truth."""
    opened, (layer, head) = bench.opened, place
    counter = make_counter(bench.fits[layer], bench.more, head, told)
    planted = plant(opened.basecaller, counter, strength)
    changes = patch_one_head(planted, bench.chunks, layer, head, opened.compute)
    row = judge_head(changes, bench.judges, len(heads_of(opened.basecaller.encoder)))
    return {"layer": layer, "head": head} | row


def permuted_readings(bench: Bench, everyone: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Heads planted at the largest strength whose reading was fitted to pairs with permuted signs."""
    run, strength = bench.run, max(bench.run.config.calibration_strengths)
    rows = []
    replicates = range(run.config.calibration_permutations)
    for replicate in run.track(replicates, description="permuted readings", unit="heads"):
        rng = run.rng(f"permuted {replicate}")
        place = everyone[int(rng.integers(len(everyone)))]
        row = trial(bench, place, strength, rng.permutation(bench.more))
        rows.append(row | {"null": "reading of permuted pairs", "replicate": replicate})
    return pd.DataFrame(rows)


def swept_nulls(run: Run) -> pd.DataFrame:
    """The model's own heads whose activations come from where there is nothing to restore.

    Each null is judged as the heads themselves are: against the other two.
    """
    table = run.load("patching/components.csv")
    judged = (table["patch"] == "run") & (table["direction"] == "denoising") & (table["measure"] == "sequence")
    heads = table[judged & (table["granularity"] == "head") & (table["group"] == "all")]
    columns = {name: [f"{null}_{name}" for null in NULLS] for name in ("above_zero", "restores")}
    rows: list[pd.DataFrame] = []
    for number, null in enumerate(NULLS):
        named = heads[["layer", "head"]].assign(null=f"{null.replace('_', ' ')}, own heads", replicate=0)
        rows.append(named.assign(**{name: heads[of_null[number]].eq(True) for name, of_null in columns.items()}))
    return pd.concat(rows, ignore_index=True)
