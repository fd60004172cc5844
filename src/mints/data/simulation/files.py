"""Writes the simulation in the formats of the real sources: FASTA, BED, narrowPeak, bigWig, labelled FASTA."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import pyBigWig
from jaxtyping import Float32
from numpy import ndarray

from mints.config import Simulation
from mints.data.simulation.contamination import simulate_audit
from mints.data.simulation.ctcf import BIN, ctcf_signal, simulate_ctcf_peaks
from mints.data.simulation.genome import SimulatedGenome, simulate_genome
from mints.data.simulation.tasks import TaskSplits, simulate_tasks
from mints.data.simulation.windows import LETTERS
from mints.data.tracking import Track, untracked

LINE = 60
"""Bases per line of the genome's FASTA."""

LOWER_CASE = 32
"""Distance from an upper-case letter to its lower-case twin."""


class SimulationSummary(TypedDict):
    """What was written, counted."""

    chromosomes: int
    bases: int
    gc: float
    genes: int
    features: dict[str, int]
    """Annotated features by kind."""

    ctcf_peaks: int
    tasks: dict[str, dict[str, int]]
    """Rows by task and split."""


def write_simulation(simulation: Simulation, folder: Path, *, track: Track = untracked) -> SimulationSummary:
    """Simulate and write everything below `folder`; the same bytes for the same configuration.

    genome.fa (60 bases a line, repeats in lower case), truth.bed (BED6, strength in bits, detail), ctcf.narrowPeak.gz,
    ctcf.bigWig, tasks/TASK.SPLIT.fna, audit_queries.fa, audit_corpus.fa and audit_truth.csv. Raises UsageError for
    fewer than four chromosomes.
    """
    genome = simulate_genome(simulation, track=track)
    tasks = simulate_tasks(genome, simulation)
    peaks = simulate_ctcf_peaks(genome, simulation)
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    write_genome(genome, folder / "genome.fa")
    write_truth(genome.annotation, folder / "truth.bed")
    write_narrow_peak(peaks, folder / "ctcf.narrowPeak.gz")
    write_bigwig(genome, ctcf_signal(genome, peaks, simulation), folder / "ctcf.bigWig")
    for task, splits in tasks.items():
        for split, table in splits._asdict().items():
            write_task(table, folder / "tasks" / f"{task}.{split}.fna")
    audit = simulate_audit(simulation)
    write_sequences(audit.queries, folder / "audit_queries.fa")
    write_sequences(audit.corpus, folder / "audit_corpus.fa")
    audit.truth.to_csv(folder / "audit_truth.csv", index=False, float_format="%.4f", lineterminator="\n")
    return _summary(genome, peaks, tasks)


def _summary(genome: SimulatedGenome, peaks: pd.DataFrame, tasks: dict[str, TaskSplits]) -> SimulationSummary:
    counts = np.sum([np.bincount(codes, minlength=4) for codes in genome.chromosomes.values()], axis=0)
    kinds = genome.annotation["kind"].value_counts().sort_index()
    return {
        "chromosomes": len(genome.chromosomes),
        "bases": int(counts.sum()),
        "gc": float((counts[1] + counts[2]) / counts.sum()),
        "genes": int(kinds["tss"]),
        "features": {str(kind): int(count) for kind, count in kinds.items()},
        "ctcf_peaks": len(peaks),
        "tasks": {
            task: {split: len(table) for split, table in splits._asdict().items()} for task, splits in tasks.items()
        },
    }


def write_genome(genome: SimulatedGenome, path: Path) -> None:
    """FASTA with interspersed and tandem repeats in lower case, as genome browsers give it."""
    masked = genome.annotation[genome.annotation["kind"].isin(["repeat", "microsatellite"])]
    with path.open("wb") as file:
        for chromosome, codes in genome.chromosomes.items():
            text = LETTERS[codes]
            for start, end in masked.loc[masked["chromosome"] == chromosome, ["start", "end"]].itertuples(index=False):
                text[start:end] += LOWER_CASE
            file.write(f">{chromosome}\n".encode())
            whole = len(text) // LINE * LINE
            lines = np.full((whole // LINE, LINE + 1), ord("\n"), dtype=np.uint8)
            lines[:, :LINE] = text[:whole].reshape(-1, LINE)
            file.write(lines.tobytes())
            if whole < len(text):
                file.write(text[whole:].tobytes() + b"\n")


def write_truth(annotation: pd.DataFrame, path: Path) -> None:
    """BED6 (name = kind, score 0) and two more columns: strength in bits and detail, `.` where there is none."""
    table = annotation.assign(score=0, detail=annotation["detail"].replace("", "."))
    columns = ["chromosome", "start", "end", "kind", "score", "strand", "strength", "detail"]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("#" + "\t".join(columns) + "\n")
        table[columns].to_csv(
            file, sep="\t", header=False, index=False, na_rep=".", float_format="%.4f", lineterminator="\n"
        )


def write_narrow_peak(peaks: pd.DataFrame, path: Path) -> None:
    """The ten narrowPeak columns, gzip without a time stamp."""
    text = peaks.to_csv(sep="\t", header=False, index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def write_bigwig(genome: SimulatedGenome, signals: dict[str, Float32[ndarray, "bin"]], path: Path) -> None:
    """Signal in fixed bins of `BIN` bases."""
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([(chromosome, len(codes)) for chromosome, codes in genome.chromosomes.items()])
        for chromosome, signal in signals.items():
            file.addEntries(chromosome, 0, values=signal, span=BIN, step=BIN)


def write_task(table: pd.DataFrame, path: Path) -> None:
    """FASTA with headers such as `>chr20:257674-257974|1`."""
    write_sequences(table, path)


def write_sequences(table: pd.DataFrame, path: Path) -> None:
    """FASTA of the columns name and sequence, a sequence on one line."""
    records = (f">{name}\n{sequence}\n" for name, sequence in zip(table["name"], table["sequence"], strict=True))
    path.write_text("".join(records), encoding="utf-8", newline="")
