"""Step: what every component of the basecaller restores of a clean signal's call, and takes away from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.basecalling import tables
from mints.analysis.basecalling.partners import pair_of_an_unrelated_read, pair_of_the_same_group
from mints.analysis.basecalling.questions import NO_ALTERNATIVE, Asked, ask
from mints.analysis.basecalling.sweep import MEASURES, Chunks, Swept, positions_of, sweep_chunks
from mints.analysis.basecalling.tables import Judges
from mints.analysis.basecalling.tracks import track_table
from mints.analysis.head_sums import from_arrays, map_leaves, to_arrays
from mints.analysis.restoration import linked
from mints.data.nanopore.pair_tables import pairs_of
from mints.data.nanopore.pairs import SPLITS, SignalPair
from mints.pipeline.run import Run
from mints.report import basecaller_patching as figures
from mints.report.head_maps import head_maps_figure
from mints.studies.basecaller.models import OpenBasecaller, decode, open_basecaller
from mints.studies.shared.resampling import resamples_of

SHARD = 32
"""Pairs that are patched together."""


class Partners(NamedTuple):
    """Which pair lends each pair its activations."""

    same_group: Int[ndarray, "pair"]
    unrelated: Int[ndarray, "pair"]


def run_basecaller_patching(run: Run) -> None:
    """Patch every component of every pair, both ways, and hold it against its nulls."""
    opened = open_basecaller(run)
    table = run.load("tables/signal_pairs.csv")
    pairs = pairs_of(table, run.load("pairs/pairs.npz"))
    partners = draw_partners(table, run.rng("partners"))
    swept, alternatives, run_start = sweep_all(run, opened, pairs, partners)
    check(run, swept)
    report(run, opened, table, partners, swept, alternatives, run_start)


def draw_partners(table: pd.DataFrame, rng: np.random.Generator) -> Partners:
    """Partners of every pair of the table, of its own corruption: what they say of that is no difference."""
    same_group, unrelated = (np.arange(len(table)) for _ in Partners._fields)
    for _, part in table.groupby("corruption", sort=True):
        groups, reads = (part[column].to_numpy(dtype=str) for column in ("group", "read"))
        lengths, rows = part["run_length"].to_numpy(), part.index.to_numpy()
        same_group[rows] = rows[pair_of_the_same_group(groups, lengths, rng)]
        unrelated[rows] = rows[pair_of_an_unrelated_read(groups, reads, lengths, rng)]
    return Partners(same_group, unrelated)


def ask_pairs(opened: OpenBasecaller, pairs: Sequence[SignalPair]) -> Asked:
    """What is asked of these pairs, from the model's own scores of both sides."""
    basecaller = opened.basecaller
    clean, corrupted = (_scores(opened, np.stack(side)) for side in sides_of(pairs))
    called = zip(decode(basecaller, clean), decode(basecaller, corrupted), strict=True)
    calls = [(one.sequence, other.sequence) for one, other in called]
    return ask(pairs, clean, calls, basecaller.state_length, basecaller.samples_per_score)


def sides_of(pairs: Sequence[SignalPair]) -> tuple[list[ndarray], list[ndarray]]:
    """Clean and corrupted signals."""
    return [pair.clean for pair in pairs], [pair.corrupted for pair in pairs]


def _scores(opened: OpenBasecaller, signals: ndarray) -> Tensor:
    with opened.compute.inference():
        scores: Tensor = opened.basecaller(torch.from_numpy(signals).to(opened.compute.device)).float()
        return scores


def chunks_of(
    opened: OpenBasecaller,
    pairs: Sequence[SignalPair],
    rows: Sequence[int],
    partners: Partners,
    asked: Asked,
    margin: int,
) -> Chunks:
    """The signals of some of the pairs with those of their partners, and where they are patched."""
    chosen = [pairs[row] for row in rows]
    clean, corrupted = (np.stack(side) for side in sides_of(chosen))
    start, end = (np.array([getattr(pair, side) for pair in chosen]) for side in ("start", "end"))
    stride = opened.basecaller.stride
    here, elsewhere = positions_of(start, end, stride, -(-clean.shape[1] // stride), margin)
    other_clean, other_corrupted = (
        np.stack(side) for side in sides_of([pairs[place] for place in partners.same_group[list(rows)]])
    )
    unrelated = np.stack([pairs[place].corrupted for place in partners.unrelated[list(rows)]])
    return Chunks(clean, corrupted, other_clean, other_corrupted, unrelated, asked.question, here, elsewhere)


def sweep_all(
    run: Run, opened: OpenBasecaller, pairs: Sequence[SignalPair], partners: Partners
) -> tuple[Swept, list[str], Int[ndarray, "pair"]]:
    """Every patch of every pair, where each pair's alternative sequence comes from, and its run's first time step."""

    def sweep_shard(start: int) -> dict[str, ndarray]:
        rows = range(start, min(start + SHARD, len(pairs)))
        asked = ask_pairs(opened, [pairs[row] for row in rows])
        chunks = chunks_of(opened, pairs, rows, partners, asked, run.config.patch_margin)
        swept = sweep_chunks(opened.basecaller, chunks, opened.compute)
        return to_arrays(swept) | {"alternative": np.array(asked.alternative), "run_start": asked.run_start}

    shards = list(run.map(sweep_shard, range(0, len(pairs), SHARD), label="pairs"))
    swept = map_leaves(lambda *leaves: np.concatenate(leaves), *(from_arrays(Swept, shard) for shard in shards))
    alternatives = np.concatenate([shard["alternative"] for shard in shards]).tolist()
    return swept, alternatives, np.concatenate([shard["run_start"] for shard in shards])


def check(run: Run, swept: Swept) -> None:
    """Record what must be exactly 0, measured on every pair of the run."""
    checks = {
        "largest change when a run is patched with itself": float(swept.no_op.max()),
        "largest distance from the clean run when everything is patched": float(swept.everything.max()),
        "largest distance from the other run when the last layer is patched": float(swept.last_layer.max()),
    }
    run.fact("sanity", checks)
    for name, value in checks.items():
        if value != 0:
            run.warn(f"{name} is {value:g}, not exactly 0: the patches of this run are not to be trusted")


def report(
    run: Run,
    opened: OpenBasecaller,
    table: pd.DataFrame,
    partners: Partners,
    swept: Swept,
    alternatives: list[str],
    run_start: Int[ndarray, "pair"],
) -> None:
    """Tables and figures."""
    missing = alternatives.count(NO_ALTERNATIVE)
    run.fact("pairs without an alternative sequence", missing)
    reads = table["read"].to_numpy(dtype=str)
    judges = Judges(
        resamples_of(run, reads),
        *(resamples_of(run, linked(reads, partner)) for partner in (partners.same_group, partners.unrelated)),
    )
    threshold = run.config.registered_restoration
    components = tables.component_table(swept, table, judges, threshold)
    by_split = [_of_split(swept, table, judges, threshold, split) for split in SPLITS]
    strata = tables.strata_table(swept, table, judges.own)
    groups = tables.comparison_table(swept, table, judges.own)
    samples, stride = opened.basecaller.samples_per_score, opened.basecaller.stride
    tracks = track_table(swept, run_start, table, judges.own, samples, stride // samples)
    about_pairs = table.drop(columns=["clean_sequence", "corrupted_sequence", "clean_call", "corrupted_call"])
    run.save("patching/pairs.csv", about_pairs.assign(**tables.pair_columns(swept, alternatives)))
    run.save("patching/components.csv", components)
    run.save("patching/tracks.csv", tracks)
    run.save("tables/basecaller_strata.csv", strata)
    run.save("tables/basecaller_groups.csv", groups)
    summary = tables.summary_table(*by_split)
    run.save("tables/basecaller_summary.csv", summary)
    draw(run, components, strata, groups, tracks, summary)


def _of_split(swept: Swept, table: pd.DataFrame, judges: Judges, threshold: float, split: str) -> pd.DataFrame:
    """The component table of one split's pairs alone."""
    rows = table["split"].to_numpy() == split
    some = map_leaves(lambda leaf: leaf[rows], swept)
    return tables.component_table(
        some, table[rows].reset_index(drop=True), Judges(*(tables.part(judge, rows) for judge in judges)), threshold
    )


def draw(
    run: Run,
    components: pd.DataFrame,
    strata: pd.DataFrame,
    groups: pd.DataFrame,
    tracks: pd.DataFrame,
    summary: pd.DataFrame,
) -> None:
    """The figures. Of strata the layers are shown that validation pairs of both groups choose."""
    level = run.config.probe_ci_level
    for measure in MEASURES:
        of_measure = components[components["measure"] == measure]
        run.figure(f"basecaller_layers_{measure}", figures.layers_figure(of_measure, measure=measure, level=level))
        heads = of_measure[(of_measure["granularity"] == "head") & (of_measure["patch"] == "run")]
        heads = heads.assign(percent=100 * heads["pm"]).drop(columns="passes")
        panels = {
            f"{group}, {direction}": part
            for (group, direction), part in heads[heads["group"] != "all"].groupby(["group", "direction"])
        }
        title = f"Patching heads at the run, {figures.MEASURE_NAMES[measure]}: share restored or taken away"
        maps = head_maps_figure(panels, "percent", title=title, label="PM (%)", centre=0)
        run.figure(f"basecaller_heads_{measure}", maps)
        part = strata[strata["measure"] == measure]
        chosen = summary[(summary["measure"] == measure) & (summary["group"] == "all")]
        layers = dict(zip(chosen["granularity"], chosen["layer"], strict=True))
        run.figure(f"basecaller_strata_{measure}", figures.strata_figure(part, layers, measure=measure, level=level))
    run.figure("basecaller_groups", figures.groups_figure(groups, level=level))
    run.figure("basecaller_tracks", figures.tracks_figure(tracks, level=level))
