"""Windows of the genome on which the feature steps train, choose and report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.data.genome import Genome
from mints.data.shared_words import near_copies, near_copy_clusters
from mints.errors import UsageError
from mints.features.columns import word_identity
from mints.locations import here
from mints.pipeline.run import Run
from mints.studies.shared.material import Material, Split

HELD_OUT = 0.1
"""Share of each training chromosome that a held-out split takes where the genome has no chromosome for it."""

DRAWN_BY = "feature_windows"
"""Random numbers of the windows are drawn under this name, so that every step sees the same ones."""


def genomic_material(run: Run) -> Material:
    """The genome's windows, as the feature steps see them; the step reads `FEATURE_WINDOW_FIELDS`."""
    return Material(
        training=lambda: training_corpus(run),
        windows=lambda split, count: genome_windows(run, split, count),
        lengths=lambda: Genome.open(here(run.config.genome), track=run.track).lengths,
        near_copies=near_copies,
        clusters=near_copy_clusters,
        sequence_columns=lambda tokens, sequences: {"word_identity": word_identity(tokens, sequences)},
    )


class Window(NamedTuple):
    """One window: half-open bases of a chromosome."""

    chromosome: str
    start: int
    end: int
    sequence: str


class Stretch(NamedTuple):
    """Part of a chromosome that belongs to one split."""

    chromosome: str
    start: int
    end: int


def genome_windows(run: Run, split: Split, count: int) -> pd.DataFrame:
    """At most `count` windows of `features.window` bases, without overlap, in the order of the genome.

    Columns chromosome, start, end, sequence. A window has at least one known base. The windows of a smaller count are
    among those of a larger one, and are the same in every step. The step reads `FEATURE_WINDOW_FIELDS`. Raises
    UsageError where the split has no window.
    """
    genome = Genome.open(here(run.config.genome))
    stretches = split_stretches(genome.lengths, run.config.validation_chromosomes, run.config.test_chromosomes)[split]
    tiles = Tiles(genome, stretches, run.config.features.window)
    order = run.rng(f"{split} windows", DRAWN_BY).permutation(len(tiles))
    known = (window for window in map(tiles.at, order) if window.sequence.strip("N"))
    drawn = list(islice(known, count))
    if not drawn:
        raise UsageError(f"the genome has no window of {run.config.features.window} bases for {split}")
    place = {name: index for index, name in enumerate(genome.lengths)}
    ordered = sorted(drawn, key=lambda window: (place[window.chromosome], window.start))
    return pd.DataFrame(ordered, columns=list(Window._fields))


def split_stretches(lengths: dict[str, int], validation: list[str], test: list[str]) -> dict[Split, list[Stretch]]:
    """Where each split lies: chromosomes named for validation and test, and all others for training.

    A held-out split without a chromosome of its own takes a tenth of every training chromosome from its end, test
    after validation: so is a genome of one chromosome divided.
    """
    named = {"validation": [n for n in lengths if n in validation], "test": [n for n in lengths if n in test]}
    remaining = {name: size for name, size in lengths.items() if name not in (*validation, *test)}
    parts: dict[Split, list[Stretch]] = {}
    for split in ("test", "validation"):
        parts[split] = [Stretch(name, 0, lengths[name]) for name in named[split]]
        if not parts[split]:
            taken = {name: round(HELD_OUT * lengths[name]) for name in remaining}
            parts[split] = [Stretch(name, size - taken[name], size) for name, size in remaining.items()]
            remaining = {name: size - taken[name] for name, size in remaining.items()}
    parts["train"] = [Stretch(name, 0, size) for name, size in remaining.items()]
    return parts


def training_corpus(run: Run) -> Tiles:
    """Windows that autoencoders learn from: of `features.corpus`, or of the genome's training chromosomes.

    The step reads `FEATURE_WINDOW_FIELDS` and features.corpus.
    """
    config = run.config
    if config.features.corpus is not None:
        corpus = Genome.open(here(config.features.corpus))
        whole = [Stretch(name, 0, length) for name, length in corpus.lengths.items()]
        return Tiles(corpus, whole, config.features.window)
    genome = Genome.open(here(config.genome))
    stretches = split_stretches(genome.lengths, config.validation_chromosomes, config.test_chromosomes)
    return Tiles(genome, stretches["train"], config.features.window)


class Tiles(Sequence[str]):
    """Sequences of all windows of some stretches, side by side, read as they are asked for.

    A stretch that is shorter than a window is one itself; what remains at the end of a longer one is left out.
    """

    def __init__(self, genome: Genome, stretches: Sequence[Stretch], window: int) -> None:
        self.genome, self.stretches, self.window = genome, stretches, window
        counts = [max(1, (stretch.end - stretch.start) // window) for stretch in stretches]
        self._first: Int[ndarray, "stretch"] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self._first[-1])

    def at(self, tile: int) -> Window:
        """One window with its place."""
        index = int(np.searchsorted(self._first, tile, side="right")) - 1
        chromosome, begin, stop = self.stretches[index]
        start = begin + int(tile - self._first[index]) * self.window
        end = min(start + self.window, stop)
        return Window(chromosome, start, end, self.genome.fetch(chromosome, start, end))

    def __getitem__(self, tile: Any) -> Any:
        return self.at(tile).sequence
