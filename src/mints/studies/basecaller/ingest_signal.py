"""Reading, trimming and normalising the reads of a run."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32
from numpy import ndarray

from mints.data.nanopore.normalisation import Normalisation, normalise, scaling_of, trimmed_samples
from mints.data.nanopore.pairs import SPLITS
from mints.data.nanopore.reading import RawRead, pack, read_signals
from mints.errors import UsageError
from mints.locations import here
from mints.models.basecaller.settings import read_config
from mints.pipeline.run import Run
from mints.studies.basecaller.models import model_folder

TRIMMING = Normalisation(strategy="quantile")
"""Whatever the model's own strategy, as in Bonito."""

SHORTEST = 100
"""Samples that a read must have after trimming."""


class Ingested(NamedTuple):
    """One read, ready for the model."""

    signal: Float32[ndarray, "sample"]
    """Normalised."""

    row: dict[str, str | int | float]
    """Of the table of reads."""

    sequence: str


def run_ingest_signal(run: Run) -> None:
    """Write the reads' normalised signal and a table of what they are."""
    config = run.config
    if config.reads is None:
        raise UsageError("no reads: --reads names a POD5 file, a folder of them, or arrays (.npz)")
    settings = read_config(model_folder(config) / "config.toml")
    normalisation = Normalisation(**settings.normalisation_settings)
    if config.normalisation != "model":
        normalisation = Normalisation(strategy=config.normalisation)
    path = config.reads if isinstance(config.reads, Path) and config.reads.is_dir() else here(config.reads)
    found = islice(read_signals(path, sample_rate=config.sample_rate, only=config.read_ids), config.max_reads)
    reads: list[Ingested] = []
    short = 0
    for raw in run.track(found, description="reads", unit="reads"):
        split = SPLITS[len(reads) % len(SPLITS)]
        read = ingest_read(raw, normalisation, split, trim=config.trim, most=config.max_read_samples)
        if len(read.signal) < SHORTEST:
            short += 1
        else:
            reads.append(read)
    if not reads:
        raise UsageError(f"{path}: none of its {short} reads has {SHORTEST} samples")
    table = pd.DataFrame([read.row for read in reads])
    run.fact("reads_too_short", short)
    _warn_of_other_rates(run, table, settings.run_info.sample_rate)
    run.save("signal/reads.npz", _arrays(reads, table))
    run.save("tables/reads.csv", table)


def ingest_read(raw: RawRead, normalisation: Normalisation, split: str, *, trim: bool, most: int | None) -> Ingested:
    """A read without the open pore's signal at its beginning and without what is beyond `most` samples.

    Shift and scale are of all samples after the trimming. A read with a true sequence is not trimmed, and keeps its
    sequence only where it is whole.
    """
    trimmed = trimmed_samples(raw.current, scaling_of(raw.current, TRIMMING)) if trim and not raw.sequence else 0
    strand = raw.current[trimmed:]
    scaling = scaling_of(strand, normalisation)
    kept = strand[:most]
    row: dict[str, str | int | float] = {
        "read": raw.read,
        "split": split,
        "samples": len(raw.current),
        "seconds": len(raw.current) / raw.sample_rate,
        "sample_rate": raw.sample_rate,
        "trimmed_samples": trimmed,
        "kept_samples": len(kept),
        "mean_pa": float(kept.mean(dtype=np.float64)) if len(kept) else np.nan,
        "deviation_pa": float(kept.std(dtype=np.float64)) if len(kept) else np.nan,
        "shift": scaling.shift,
        "scale": scaling.scale,
    }
    whole = len(kept) == len(raw.current)
    return Ingested(normalise(kept, scaling), row, raw.sequence if whole else "")


def _warn_of_other_rates(run: Run, table: pd.DataFrame, rate: int) -> None:
    """A model knows how long a base takes at its own sample rate only."""
    other = table[table["sample_rate"] != rate]
    if len(other):
        rates = ", ".join(str(found) for found in sorted(set(other["sample_rate"])))
        run.warn(
            f"{len(other)} of {len(table)} reads have {rates} samples per second and the model was trained on {rate}: "
            "what it calls of them is out of its domain"
        )


def _arrays(reads: list[Ingested], table: pd.DataFrame) -> dict[str, ndarray]:
    arrays = pack({str(read.row["read"]): read.signal for read in reads})
    columns = {name: table[name].to_numpy() for name in ("shift", "scale", "sample_rate")}
    texts = {"splits": [str(read.row["split"]) for read in reads], "sequences": [read.sequence for read in reads]}
    return arrays | columns | {name: np.array(values) for name, values in texts.items()}
