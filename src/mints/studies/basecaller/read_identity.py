"""Step: what the basecaller calls of whole reads, held against their true sequences where there are any."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pandas as pd

from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.read_identity import align_read, called_runs
from mints.data.nanopore.reading import unpack
from mints.pipeline.run import Run
from mints.report import read_identity as figures
from mints.studies.basecaller.models import OpenBasecaller, call_read, open_basecaller
from mints.studies.shared.resampling import resamples_of

COLUMNS = ("matches", "mismatches", "insertions", "deletions")
"""Columns of an alignment; their sum is its length."""

LONG_RUN = 3
"""Bases from which on a run counts as a homopolymer."""


def run_read_identity(run: Run) -> None:
    """Call every read from overlapping chunks; align it to its truth, or say that there is none."""
    opened = open_basecaller(run)
    arrays = run.load("signal/reads.npz")
    signals = unpack(arrays, run.path("signal/reads.npz"))
    reads, runs = [], []
    known = zip(signals.items(), arrays["splits"], arrays["sequences"], arrays["sample_rate"], strict=True)
    for (name, signal), split, truth, rate in run.track(known, len(signals), description="calling", unit="reads"):
        sizes = {"size": run.config.chunk_samples, "overlap": run.config.chunk_overlap}
        called = call_read(opened, signal, **sizes).sequence
        row = {"read": name, "split": str(split), "samples": len(signal), "sample_rate": int(rate)}
        reads.append(row | read_row(str(truth), called) | {"domain": domain_of(opened, str(truth), int(rate))})
        runs += run_rows(name, str(truth), called)
    table, lengths = pd.DataFrame(reads), count_runs(pd.DataFrame(runs))
    summary = summarise(table, lengths, resamples_of(run, table["read"].to_numpy(dtype=str)))
    for domain in summary.loc[~summary["has_truth"], "domain"]:
        run.warn(f"{domain}: no identity can be given, and what is called is no measure of the model")
    run.save("tables/read_identity.csv", table)
    run.save("tables/homopolymer_lengths.csv", lengths)
    run.save("tables/read_identity_summary.csv", summary)
    run.figure("homopolymer_lengths", figures.run_lengths_figure(lengths))


def read_row(truth: str, called: str) -> dict[str, int | float | bool]:
    """Alignment of one read; undefined without a truth."""
    row: dict[str, int | float | bool] = {"has_truth": bool(truth), "called_bases": len(called)}
    if not truth:
        return row | dict.fromkeys(("true_bases", *COLUMNS, "identity"), np.nan)
    alignment = align_read(truth, called)
    return row | {"true_bases": len(truth), **alignment._asdict(), "identity": alignment.identity}


def domain_of(opened: OpenBasecaller, truth: str, rate: int) -> str:
    """Whether the model can be judged by this read."""
    known = "reads with a true sequence" if truth else "reads without a true sequence"
    own = opened.sample_rate
    return known if rate == own else f"{known}, and {rate} samples per second where the model has {own}"


def run_rows(read: str, truth: str, called: str) -> list[dict[str, str | int | float]]:
    """Runs of the truth with their called lengths; of a read without truth the runs of the call alone."""
    if not truth:
        runs = [(base, len(list(run))) for base, run in groupby(called)]
        return [{"base": base, "length": np.nan, "called": length} for base, length in runs]
    return [found._asdict() for found in called_runs(truth, called)]


def count_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """How often a run of a base and a true length was called with each length."""
    if runs.empty:
        return pd.DataFrame(columns=["base", "length", "called", "count", "error"])
    counts = runs.groupby(["base", "length", "called"], dropna=False).size().reset_index(name="count")
    return counts.assign(error=counts["called"] - counts["length"])


def summarise(table: pd.DataFrame, lengths: pd.DataFrame, judge: Resamples) -> pd.DataFrame:
    """One row per domain: identity with its interval over reads, error rates, homopolymers called at full length."""
    rows = []
    long = lengths[lengths["length"] >= LONG_RUN]
    right = long.loc[long["error"] == 0, "count"].sum() / long["count"].sum() if len(long) else np.nan
    for (domain, has_truth), part in table.groupby(["domain", "has_truth"], sort=False):
        counts = part[list(COLUMNS)].to_numpy(dtype=float)
        weights = np.concatenate([np.ones((1, len(part))), judge.weights[:, table.index.isin(part.index)]])
        totals = weights @ counts
        with np.errstate(divide="ignore", invalid="ignore"):
            identity = totals[:, 0] / totals.sum(1)
        low, high = interval(identity[1:], judge.level)
        row = {"domain": domain, "has_truth": has_truth, "reads": len(part), "called_bases": part["called_bases"].sum()}
        row |= {"identity": identity[0], "low": float(low), "high": float(high)}
        row |= {f"{name}_rate": totals[0, i] / totals[0].sum() for i, name in enumerate(COLUMNS) if i}
        rows.append(row | {"homopolymers_right": right if has_truth else np.nan})
    return pd.DataFrame(rows)
