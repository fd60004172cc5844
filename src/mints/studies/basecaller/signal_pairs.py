"""Pairs of the reads without a truth, by the model's call; else pairs of simulated signal with two true sequences.

The two are never in one table: what is measured of them does not compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int
from numpy import ndarray

from mints.data.nanopore.called_pairs import CalledRead, called_pairs
from mints.data.nanopore.current import R10_CURRENT
from mints.data.nanopore.levels import read_levels
from mints.data.nanopore.pair_tables import pair_arrays, pair_table
from mints.data.nanopore.pairs import RUN_LENGTHS, Caller, Ladder, SignalPair
from mints.data.nanopore.reading import unpack
from mints.data.nanopore.simulated_pairs import Recipe, simulate_pairs
from mints.errors import MintsError, UsageError
from mints.locations import here
from mints.pipeline.run import Run
from mints.report import signal_pairs as figures
from mints.studies.basecaller.models import OpenBasecaller, call_read, call_signals, open_basecaller

STRATA = 4 * len(RUN_LENGTHS)
"""Bases and run lengths over which the pairs of a group and corruption are spread."""


def run_signal_pairs(run: Run) -> None:
    """Write the pairs, their table, how many places were refused, and a figure of one pair of each kind."""
    config = run.config
    opened = open_basecaller(run)
    if config.pairs % STRATA:
        raise UsageError(f"--pairs {config.pairs} is no multiple of {STRATA}, the bases times the run lengths")
    if config.pair_samples % opened.basecaller.stride:
        raise UsageError(
            f"--pair-samples {config.pair_samples} is no multiple of {opened.basecaller.stride}, the model's stride"
        )
    reads = run.load("signal/reads.npz")
    real = _reads_without_truth(reads, run)
    if real:
        pairs, refused = _called(run, opened, real)
    elif config.levels is not None:
        pairs, refused = _simulated(run, opened)
    else:
        raise UsageError("all reads have their true sequence: --levels names the k-mer table for simulated pairs")
    if not pairs:
        reasons = ", ".join(f"{count} {reason}" for reason, count in refused.items() if count)
        raise MintsError(f"no pair of signals came of {len(real)} reads: {reasons or 'no run was called in them'}")
    table = pair_table(pairs)
    arrays = pair_arrays(pairs)
    run.save("pairs/pairs.npz", arrays)
    run.save("tables/signal_pairs.csv", table)
    run.save("tables/signal_pair_counts.csv", _counts(table, refused))
    run.figure("signal_pairs", figures.signal_pairs_figure(table, arrays, _sample_rates(table, reads)))


def _simulated(run: Run, opened: OpenBasecaller) -> tuple[list[SignalPair], Counter[str]]:
    recipe = Recipe(read_levels(here(run.config.levels)), run.config.pair_samples, opened.normalisation)
    per_stratum = run.config.pairs // STRATA
    found = simulate_pairs(run.rng("simulated pairs"), per_stratum, recipe, ladder=_ladder(run), caller=_caller(opened))
    return found.pairs, found.refused


def _called(run: Run, opened: OpenBasecaller, reads: list[CalledRead]) -> tuple[list[SignalPair], Counter[str]]:
    config = run.config
    step = opened.basecaller.samples_per_score
    called = []
    for read in run.track(reads, description="calling", unit="reads"):
        call = call_read(opened, read.signal, size=config.chunk_samples, overlap=config.chunk_overlap)
        called.append(read._replace(sequence=call.sequence, places=np.maximum(call.times, 0) * step))
    found = called_pairs(
        run.rng("called pairs"),
        called,
        _caller(opened),
        samples=config.pair_samples,
        most=config.pairs,
        ladder=_ladder(run),
    )
    return found.pairs, found.refused


def _reads_without_truth(arrays: Mapping[str, ndarray], run: Run) -> list[CalledRead]:
    """Reads whose sequence only a model can tell, not called yet."""
    signals = unpack(arrays, run.path("signal/reads.npz"))
    columns = zip(arrays["shift"], arrays["scale"], arrays["splits"], arrays["sequences"], strict=True)
    reads = []
    for (name, signal), (shift, scale, split, sequence) in zip(signals.items(), columns, strict=True):
        if not sequence:
            reads.append(CalledRead(name, signal, float(shift), float(scale), str(split), "", np.zeros(0, dtype=int)))
    return reads


def _sample_rates(table: pd.DataFrame, reads: Mapping[str, ndarray]) -> Int[ndarray, "pair"]:
    """Of each pair's read; of a simulated pair that of the simulated pore."""
    rates = dict(zip(reads["read_ids"].tolist(), reads["sample_rate"].tolist(), strict=True))
    return np.array([rates.get(read, R10_CURRENT.sample_rate) for read in table["read"]])


def _ladder(run: Run) -> Ladder:
    return Ladder(tuple(sorted(run.config.noise_strengths)), tuple(sorted(run.config.dampening_strengths)))


def _caller(opened: OpenBasecaller) -> Caller:
    def call(signals: Float32[ndarray, "signal sample"]) -> list[str]:
        return [called.sequence for called in call_signals(opened, signals)]

    return call


def _counts(table: pd.DataFrame, refused: Mapping[str, int]) -> pd.DataFrame:
    """Pairs of each group and corruption, with how many calls changed, and places refused by reason."""
    changed = table.assign(changed=table["clean_call"] != table["corrupted_call"])
    grouped = changed.groupby(["group", "corruption"], sort=False)
    kinds = grouped.agg(count=("pair", "size"), call_changed=("changed", "sum")).reset_index()
    kinds.insert(0, "what", kinds.pop("group") + ", " + kinds.pop("corruption"))
    others = pd.DataFrame({"what": list(refused), "count": list(refused.values())})
    return pd.concat([kinds, others], ignore_index=True).astype({"call_changed": "Int64"})
