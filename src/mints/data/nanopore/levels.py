"""The current that each k-mer gives: tables as Oxford Nanopore publishes them, and a simulated one of the same kind."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from mints.data.sequences import encode
from mints.errors import MintsError

PORE_MEAN, PORE_SPREAD = 93.7, 23.5
"""Mean and standard deviation of the simulated levels in pA: those by which Bonito's models of R10.4.1 standardise."""

TYPICAL_DEVIATION = 3.0
"""Standard deviation in pA of the samples about a simulated level, and about a level whose table gives none."""

CENTRE_WEIGHT, NEIGHBOUR_WEIGHT, FAR_WEIGHT = 1.0, 0.55, 0.25
"""How much the base in the pore's narrowest place, its neighbours and the bases beyond them add to a level."""

INTERACTION = 0.35
"""Size of what a k-mer's level has beyond the sum of its bases, in units of the centre's weight."""


class KmerLevels(NamedTuple):
    """Current by k-mer. A k-mer's number is its letters in base 4 (A0 C1 G2 T3), the first letter most significant."""

    mean: Float[ndarray, "kmer"]
    """pA."""

    deviation: Float[ndarray, "kmer"]
    """Standard deviation of the samples about the mean, in pA."""

    @property
    def k(self) -> int:
        """Length of the k-mers."""
        return (len(self.mean).bit_length() - 1) // 2

    @property
    def before(self) -> int:
        """Letters of a k-mer before its central one: that base's dwell is when the k-mer is in the pore."""
        return self.k // 2

    @property
    def after(self) -> int:
        """Letters of a k-mer after its central one."""
        return self.k - 1 - self.before


def kmer_numbers(codes: UInt8[ndarray, "*read base"], k: int) -> Int[ndarray, "*read kmer"]:
    """Number of the k-mer that begins at each base; the last k − 1 bases begin none."""
    bases = codes.shape[-1] - k + 1
    numbers = np.zeros((*codes.shape[:-1], bases), dtype=np.intp)
    for offset in range(k):
        numbers = numbers * 4 + codes[..., offset : offset + bases]
    return numbers


def kmer_letters(k: int) -> list[str]:
    """All k-mers in the order of their numbers."""
    return ["".join(letters) for letters in product("ACGT", repeat=k)]


def simulate_levels(rng: np.random.Generator, k: int = 5) -> KmerLevels:
    """A table like that of R10.4.1: additive contributions of the bases, most of the centre, and interactions.

    The contributions of the four bases at one place are spread evenly and then moved a little, so that no two bases are
    alike there; interactions are independent of one another. Levels are scaled to the mean and spread of the pore.
    """
    letters = np.array(list(product(range(4), repeat=k)))
    distance = np.abs(np.arange(k) - k // 2)
    weights = np.array([CENTRE_WEIGHT, NEIGHBOUR_WEIGHT])[np.minimum(distance, 1)]
    weights[distance > 1] = FAR_WEIGHT
    total = INTERACTION * rng.standard_normal(len(letters))
    for place, weight in enumerate(weights):
        even = rng.permutation(np.linspace(-1.3, 1.3, 4))
        total += weight * (even + rng.uniform(-0.15, 0.15, size=4))[letters[:, place]]
    mean = PORE_MEAN + PORE_SPREAD * (total - total.mean()) / total.std()
    deviation = TYPICAL_DEVIATION * rng.uniform(0.8, 1.2, size=len(letters))
    return KmerLevels(mean, deviation)


def write_levels(levels: KmerLevels, path: Path) -> None:
    """Write a table of tab-separated columns kmer, level_mean and level_stdv."""
    rows = zip(kmer_letters(levels.k), levels.mean, levels.deviation, strict=True)
    lines = [
        "kmer\tlevel_mean\tlevel_stdv",
        *(f"{kmer}\t{mean:.4f}\t{deviation:.4f}" for kmer, mean, deviation in rows),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_levels(path: Path) -> KmerLevels:
    """Levels of a table of tab-separated k-mer, mean and, where it has them, standard deviation.

    Lines of `#` are skipped, and so is a header whose first column is `kmer`; further columns are not read. Raises
    MintsError for a file that is missing, a line that is no level, a k-mer that is named twice, and k-mers that are
    missing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise MintsError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MintsError(f"{path} cannot be read as a table of k-mer levels: {error}") from None
    found: dict[str, tuple[float, float]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#") or line.lower().startswith("kmer"):
            continue
        kmer, level = _level(line, f"{path} line {number}")
        if kmer in found:
            raise MintsError(f"{path} line {number}: {kmer} was given before")
        if found and len(kmer) != len(next(iter(found))):
            raise MintsError(f"{path} line {number}: {kmer} has another length than {next(iter(found))}")
        found[kmer] = level
    if not found:
        raise MintsError(f"{path} has no k-mer: expected lines of a k-mer, a tab and its level in pA")
    return _complete(found, path)


def _level(line: str, where: str) -> tuple[str, tuple[float, float]]:
    kmer, *values = line.rstrip("\r").split("\t")
    kmer = kmer.strip().upper()
    if not kmer or set(kmer) - set("ACGT") or not values:
        raise MintsError(f"{where}: expected a k-mer of ACGT, a tab and its level in pA, found {line[:60]!r}")
    try:
        mean, deviation = float(values[0]), float(values[1]) if len(values) > 1 else TYPICAL_DEVIATION
    except ValueError:
        raise MintsError(f"{where}: {values[:2]} are no numbers") from None
    if not np.isfinite(mean) or not np.isfinite(deviation) or deviation < 0:
        raise MintsError(f"{where}: a level of {mean} ± {deviation} pA cannot be")
    return kmer, (mean, deviation)


def _complete(found: dict[str, tuple[float, float]], path: Path) -> KmerLevels:
    k = len(next(iter(found)))
    if len(found) != 4**k:
        have = found.keys()
        absent = next(kmer for kmer in kmer_letters(k) if kmer not in have)
        raise MintsError(f"{path} has {len(found)} of the {4**k} k-mers of length {k}: {absent} is missing")
    levels = np.empty((4**k, 2))
    for kmer, level in found.items():
        levels[kmer_numbers(encode(kmer), k)] = level
    return KmerLevels(levels[:, 0].copy(), levels[:, 1].copy())
