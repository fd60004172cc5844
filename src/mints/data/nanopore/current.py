"""Current of a strand in the pore: k-mer levels held for random times, with noise, drift and the channel's gain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

from mints.data.nanopore.levels import KmerLevels, kmer_numbers
from mints.data.nanopore.normalisation import R10_NORMALISATION, Normalisation, normalise, scaling_of
from mints.data.nanopore.strands import GENOME_LIKE, StrandSettings, draw_strands, first_of_each_row
from mints.data.sequences import decode


class CurrentSettings(NamedTuple):
    """How a simulated pore and its channel behave."""

    sample_rate: int = 5000
    """Samples per second."""

    bases_per_second: float = 400.0
    """Speed of the strand; with the sample rate the mean dwell, 12.5 samples."""

    dwell_deviation: float = 4.0
    """Standard deviation of a base's dwell, in samples; dwells are gamma distributed."""

    least_dwell: int = 2
    """Shortest dwell, in samples."""

    noise: float = 1.0
    """Factor of the k-mer table's own deviations, the spread of the samples about their level."""

    drift: float = 1.5
    """Standard deviation in pA of the slow drift of the baseline."""

    drift_samples: int = 1000
    """Samples between the drift's independent values; between these it is linear."""

    gain: float = 0.02
    offset: float = 1.5
    """Standard deviations over reads of the channel's gain (about 1) and offset (in pA)."""

    @property
    def mean_dwell(self) -> float:
        """Samples per base."""
        return self.sample_rate / self.bases_per_second


R10_CURRENT = CurrentSettings()


class SimulatedRead(NamedTuple):
    """A read with its truth."""

    current: Float32[ndarray, "sample"]
    """pA."""

    sequence: str
    boundaries: Int[ndarray, "border"]
    """Sample at which each base's dwell begins, and last the number of samples: one more than there are bases."""


class TrainingChunks(NamedTuple):
    """A batch of chunks cut out of reads."""

    signal: Float32[ndarray, "read sample"]
    """Normalised."""

    targets: UInt8[ndarray, "read base"]
    """Bases of each chunk as Bonito numbers them: A1 C2 G3 T4, then zeros."""

    lengths: Int[ndarray, "read"]
    """Bases of each chunk."""


def draw_dwells(rng: np.random.Generator, shape: tuple[int, ...], settings: CurrentSettings) -> Int[ndarray, "..."]:
    """Whole samples that bases stay in the pore: gamma distributed with the settings' mean and deviation."""
    form = (settings.mean_dwell / settings.dwell_deviation) ** 2
    drawn = rng.standard_gamma(form, size=shape) * (settings.mean_dwell / form)
    return np.maximum(np.rint(drawn).astype(np.intp), settings.least_dwell)


def draw_channel(
    rng: np.random.Generator, reads: int, samples: int, settings: CurrentSettings
) -> tuple[Float32[ndarray, "read 1"], Float32[ndarray, "read sample"]]:
    """Gain of each read, and offset plus drift at each of its samples in pA."""
    gain = 1 + settings.gain * rng.standard_normal((reads, 1), dtype=np.float32)
    offset = settings.offset * rng.standard_normal((reads, 1), dtype=np.float32)
    knots = settings.drift * rng.standard_normal((reads, samples // settings.drift_samples + 2), dtype=np.float32)
    place, within = np.divmod(np.arange(samples), settings.drift_samples)
    share = (within / settings.drift_samples).astype(np.float32)
    return gain, offset + knots[:, place] * (1 - share) + knots[:, place + 1] * share


def simulate_reads(
    rng: np.random.Generator,
    count: int,
    *,
    levels: KmerLevels,
    bases: int,
    current: CurrentSettings = R10_CURRENT,
    strands: StrandSettings = GENOME_LIKE,
) -> list[SimulatedRead]:
    """Whole reads of `bases` bases each. What lies in the pore beyond a read's ends is drawn and not reported."""
    reads = []
    for codes in draw_strands(rng, count, bases + levels.k - 1, strands):
        boundaries = np.concatenate([[0], np.cumsum(draw_dwells(rng, (bases,), current))])
        signal = strand_current(rng, codes, boundaries, levels=levels, settings=current)
        reads.append(SimulatedRead(signal, decode(codes[levels.before : levels.before + bases]), boundaries))
    return reads


def strand_current(
    rng: np.random.Generator,
    codes: UInt8[ndarray, "flanked_base"],
    boundaries: Int[ndarray, "border"],
    *,
    levels: KmerLevels,
    settings: CurrentSettings,
) -> Float32[ndarray, "sample"]:
    """Current in pA of one strand whose dwells are given.

    codes: the bases with `levels.before` more in front of them and `levels.after` behind.
    """
    samples = int(boundaries[-1])
    numbers = np.repeat(kmer_numbers(codes, levels.k), np.diff(boundaries))
    noise = settings.noise * rng.standard_normal(samples, dtype=np.float32)
    gain, baseline = draw_channel(rng, 1, samples, settings)
    current: Float32[ndarray, "sample"] = (
        gain[0] * (levels.mean[numbers] + levels.deviation[numbers] * noise) + baseline[0]
    )
    return current.astype(np.float32)


def training_chunks(
    rng: np.random.Generator,
    *,
    batch: int,
    samples: int,
    levels: KmerLevels,
    normalisation: Normalisation = R10_NORMALISATION,
    current: CurrentSettings = R10_CURRENT,
    strands: StrandSettings = GENOME_LIKE,
) -> Iterator[TrainingChunks]:
    """Endless batches of chunks of `samples` samples that begin and end anywhere within a base's dwell.

    A base belongs to a chunk that holds the middle of its dwell. Each chunk is normalised by itself.
    """
    mean, deviation = levels.mean.astype(np.float32), levels.deviation.astype(np.float32)
    bases = round(samples / current.mean_dwell * 1.15) + 20
    while True:
        codes = draw_strands(rng, batch, bases + levels.k - 1, strands)
        dwells = draw_dwells(rng, (batch, bases), current)
        skipped = (rng.random(batch) * dwells[:, 0]).astype(np.intp)
        totals = dwells.sum(axis=1)
        if (totals - skipped).min() < samples:  # the slack of 15% and 20 bases was not enough for one of the reads
            continue
        every = np.repeat(kmer_numbers(codes, levels.k).ravel(), dwells.ravel())
        numbers = first_of_each_row(every, totals, samples, skipped)
        noise = current.noise * rng.standard_normal((batch, samples), dtype=np.float32)
        gain, baseline = draw_channel(rng, batch, samples, current)
        raw = gain * (mean[numbers] + deviation[numbers] * noise) + baseline
        signal = np.stack([normalise(row, scaling_of(row, normalisation)) for row in raw])
        yield TrainingChunks(signal, *targets_of(codes[:, levels.before :], dwells, skipped, samples))


def targets_of(
    codes: UInt8[ndarray, "read base"],
    dwells: Int[ndarray, "read base"],
    skipped: Int[ndarray, "read"],
    samples: int,
) -> tuple[UInt8[ndarray, "read target"], Int[ndarray, "read"]]:
    """Bases whose dwell's middle lies in [0, samples), and their number.

    skipped: samples of each read's first dwell that lie before the chunk.
    """
    middles = np.cumsum(dwells, axis=1) - dwells / 2 - skipped[:, None]
    first = (middles < 0).sum(axis=1)
    lengths = (middles < samples).sum(axis=1) - first
    places = first[:, None] + np.arange(lengths.max())
    inside = np.arange(lengths.max()) < lengths[:, None]
    taken = np.take_along_axis(codes, np.minimum(places, codes.shape[1] - 1), axis=1)
    return np.where(inside, taken + 1, 0).astype(np.uint8), lengths
