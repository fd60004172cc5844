"""Candidate substitutions of a sequence, many at once: rows of upper-case ASCII letters."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, product
from math import comb

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray
from numpy.random import Generator

BASES = "ACGT"

OTHERS = np.zeros((256, 3), dtype=np.uint8)
"""The other three bases of each base, as ASCII letters."""

for _base in BASES:
    OTHERS[ord(_base)] = [ord(other) for other in BASES if other != _base]

IS_GC = np.isin(np.arange(256), [ord("C"), ord("G")]).astype(np.int64)


def to_letters(sequence: str) -> UInt8[ndarray, "place"]:
    """ASCII letters of a sequence."""
    return np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)


def to_text(letters: UInt8[ndarray, "place"]) -> str:
    """The sequence of its letters."""
    return letters.tobytes().decode("ascii")


def to_texts(rows: UInt8[ndarray, "row place"]) -> list[str]:
    """The sequence of every row."""
    texts: list[str] = np.ascontiguousarray(rows).view(f"S{rows.shape[1]}").ravel().astype(str).tolist()
    return texts


def gc_count(letters: UInt8[ndarray, "*rows place"]) -> Int[ndarray, "*rows"]:
    """Number of G and C in every row."""
    counts: Int[ndarray, "*rows"] = IS_GC[letters].sum(axis=-1)
    return counts


def with_letters(
    letters: UInt8[ndarray, "place"], places: Int[ndarray, "row edit"], new: UInt8[ndarray, "*rows edit"]
) -> UInt8[ndarray, "row place"]:
    """A copy of the sequence for each row of places, with the new letters there."""
    rows = np.repeat(letters[None], len(places), axis=0)
    np.put_along_axis(rows, places, np.broadcast_to(new, places.shape), axis=1)
    return rows


def count_edits(places: int, size: int) -> int:
    """How many edits change exactly `size` of so many places."""
    return comb(places, size) * int(3**size)


def combined_edits(
    letters: UInt8[ndarray, "place"], places: Int[ndarray, "choice"], size: int, rng: Generator, gc_offset: int = 0
) -> UInt8[ndarray, "row place"]:
    """All edits of exactly `size` of the places, by growing |change of G+C + gc_offset|, then at random.

    Places with an N are not edited.
    """
    places = places[letters[places] != ord("N")]
    chosen, which = _combinations(len(places), size)
    return _sorted_edits(letters, places[chosen], which, rng, gc_offset)


def random_edits(
    letters: UInt8[ndarray, "place"],
    places: Int[ndarray, "choice"],
    size: int,
    count: int,
    rng: Generator,
    gc_offset: int = 0,
) -> UInt8[ndarray, "row place"]:
    """`count` random edits of exactly `size` of the places, in the order of `combined_edits`; some may be equal."""
    places = places[letters[places] != ord("N")]
    chosen = rng.permuted(np.repeat(places[None], count, axis=0), axis=1)[:, :size]
    return _sorted_edits(letters, chosen, rng.integers(3, size=chosen.shape), rng, gc_offset)


def _sorted_edits(
    letters: UInt8[ndarray, "place"],
    edited: Int[ndarray, "row edit"],
    which: Int[ndarray, "row edit"],
    rng: Generator,
    gc_offset: int,
) -> UInt8[ndarray, "row place"]:
    new = OTHERS[letters[edited], which]
    change = np.abs(gc_count(new) - gc_count(letters[edited]) + gc_offset)
    order = rng.permutation(len(edited))
    order = order[np.argsort(change[order], kind="stable")]
    return with_letters(letters, edited[order], new[order])


@lru_cache(maxsize=64)
def _combinations(places: int, size: int) -> tuple[Int[ndarray, "row edit"], Int[ndarray, "row edit"]]:
    """Every choice of `size` places, with every choice among three letters at each of them."""
    chosen = np.array(list(combinations(range(places), size)), dtype=np.int64).reshape(-1, size)
    which = np.array(list(product(range(3), repeat=size)), dtype=np.int64)
    return np.repeat(chosen, len(which), axis=0), np.tile(which, (len(chosen), 1))
