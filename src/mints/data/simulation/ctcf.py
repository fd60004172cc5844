"""A CTCF experiment on the simulated genome: peaks with faults as real ones have, and the signal that they stand on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int
from numpy import ndarray

from mints.config import Simulation
from mints.data.simulation.genome import PEAKS, SIGNAL, SimulatedGenome, random_stream

PEAK_WIDTH = (150, 401)
SUMMIT_JITTER = 15
"""Bases between a summit and its site's centre, at most."""

FALSE_SHARE = 0.05
"""Peaks without a site."""

FALSE_DISTANCE = 500
"""Bases between a false summit and the nearest site, at least."""

WEAK_BELOW = 14.0
MISSED_SHARE = 0.10
"""Sites weaker than `WEAK_BELOW` bits go without a peak this often."""

HALF_OCCUPIED, OCCUPANCY_SLOPE = 13.0, 3.0
"""Bits at which a site is bound half of the time, and bits per unit of its log-odds of being bound."""

FULL_SIGNAL = 60.0
"""Fold over background at a site that is always bound."""

SIGNAL_NOISE = 0.3
"""Deviation of the natural logarithm of a peak's signal."""

FALSE_STRENGTH = (6.0, 11.0)
"""Bits that a false peak looks like."""

BIN = 10
"""Bases per value of the signal track."""

BUMP_DEVIATION = 50.0
BUMP_REACH = 200
"""Shape of the signal around a summit, in bases."""


def simulate_ctcf_peaks(genome: SimulatedGenome, simulation: Simulation) -> pd.DataFrame:
    """Peaks in the columns of a narrowPeak file, sorted along the genome.

    chromosome, start, end, name, score (0 to 1000), strand ("."), signal (grows with the site's strength), p and q
    (-log10), summit (bases from start).
    """
    tables = []
    for number, (chromosome, codes) in enumerate(genome.chromosomes.items()):
        rng = random_stream(simulation, PEAKS, number)
        annotation = genome.annotation
        sites = annotation[(annotation["chromosome"] == chromosome) & (annotation["kind"] == "ctcf")]
        table = _chromosome_peaks(sites, len(codes), rng)
        table.insert(0, "chromosome", chromosome)
        tables.append(table)
    peaks = pd.concat(tables, ignore_index=True)
    peaks.insert(3, "name", [f"peak_{number}" for number in range(1, len(peaks) + 1)])
    peaks.insert(4, "score", np.clip(peaks["signal"] / FULL_SIGNAL * 1000, 0, 1000).astype(int))
    peaks.insert(5, "strand", ".")
    return peaks


def _chromosome_peaks(sites: pd.DataFrame, length: int, rng: np.random.Generator) -> pd.DataFrame:
    centres = ((sites["start"] + sites["end"]) // 2).to_numpy()
    strength = sites["strength"].to_numpy()
    called = (strength >= WEAK_BELOW) | (rng.random(len(strength)) >= MISSED_SHARE)
    jitter = rng.integers(-SUMMIT_JITTER, SUMMIT_JITTER + 1, called.sum())
    false = _false_summits(centres, length, round(called.sum() * FALSE_SHARE / (1 - FALSE_SHARE)), rng)
    summits = np.concatenate([centres[called] + jitter, false])
    looks_like = np.concatenate([strength[called], rng.uniform(*FALSE_STRENGTH, len(false))])
    occupancy = 1 / (1 + np.exp((HALF_OCCUPIED - looks_like) / OCCUPANCY_SLOPE))
    signal = (1 + FULL_SIGNAL * occupancy * rng.lognormal(0, SIGNAL_NOISE, len(summits))).round(3)

    width = rng.integers(*PEAK_WIDTH, len(summits))
    start = np.maximum(summits - (width * rng.uniform(0.4, 0.6, len(summits))).astype(int), 0)
    end = np.minimum(start + width, length)
    table = pd.DataFrame({"start": start, "end": end, "signal": signal})
    table["p"], table["q"] = (signal * 2).round(3), (signal * 1.8).round(3)
    table["summit"] = summits - start
    return table.sort_values(["start", "end"], ignore_index=True)


def _false_summits(
    centres: Int[ndarray, "site"], length: int, count: int, rng: np.random.Generator
) -> Int[ndarray, "peak"]:
    """Random places far from every site."""
    free = np.ones(length, dtype=bool)
    for centre in centres:
        free[max(0, centre - FALSE_DISTANCE) : centre + FALSE_DISTANCE + 1] = False
    places = np.flatnonzero(free)
    return rng.choice(places, size=min(count, len(places)), replace=False)


def ctcf_signal(
    genome: SimulatedGenome, peaks: pd.DataFrame, simulation: Simulation
) -> dict[str, Float32[ndarray, "bin"]]:
    """Fold over background in bins of `BIN` bases: noise around 1, and at each summit a bump as high as its peak."""
    offsets = np.arange(-BUMP_REACH // BIN, BUMP_REACH // BIN + 1)
    signals = {}
    for number, (chromosome, codes) in enumerate(genome.chromosomes.items()):
        bins = len(codes) // BIN
        signal = random_stream(simulation, SIGNAL, number).exponential(1.0, bins)
        own = peaks[peaks["chromosome"] == chromosome]
        summits = (own["start"] + own["summit"]).to_numpy()
        at = summits[:, None] // BIN + offsets
        distance = at * BIN + BIN / 2 - summits[:, None]
        bump = own["signal"].to_numpy()[:, None] * np.exp(-0.5 * (distance / BUMP_DEVIATION) ** 2)
        inside = (at >= 0) & (at < bins)
        np.add.at(signal, at[inside], bump[inside])
        signals[chromosome] = signal.round(1).astype(np.float32)
    return signals
