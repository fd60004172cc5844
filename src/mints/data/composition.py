"""Composition of sequences: GC content, k-mer counts, and shuffles that keep dinucleotides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse

from mints.data.sequences import encode

N = 4


def gc_content(sequences: Sequence[str]) -> Float[ndarray, "sequence"]:
    """Share of G and C among the bases that are known; 0 for a sequence of N alone."""
    gc = np.array([sequence.count("G") + sequence.count("C") for sequence in sequences], dtype=float)
    known = np.array([len(sequence) - sequence.count("N") for sequence in sequences], dtype=float)
    share: Float[ndarray, "sequence"] = gc / np.maximum(known, 1)
    return share


def kmer_counts(sequences: Sequence[str], orders: Sequence[int]) -> sparse.csr_matrix:
    """Counts of all k-mers of every order, float32; one block of 4^k columns per order, k-mers in the order of ACGT.

    Windows that hold an N are skipped, and no window spans two sequences.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    codes = encode("N".join(sequences))
    owner = np.repeat(np.arange(len(sequences)), lengths + 1)[: len(codes)]
    blocks = [_counts_of_order(codes, owner, len(sequences), k) for k in orders]
    return sparse.csr_matrix(sparse.hstack(blocks, format="csr", dtype=np.float32))


def _counts_of_order(
    codes: Int[ndarray, "letter"], owner: Int[ndarray, "letter"], rows: int, k: int
) -> sparse.csr_matrix:
    windows = max(0, len(codes) - k + 1)
    value = np.zeros(windows, dtype=np.int64)
    whole = np.ones(windows, dtype=bool)
    for offset in range(k):
        letter = codes[offset : offset + windows]
        value = 4 * value + letter
        whole &= letter != N
    columns = 4**k
    cells, counts = np.unique(owner[:windows][whole] * columns + value[whole], return_counts=True)
    row, column = np.divmod(cells, columns)
    return sparse.csr_matrix((counts.astype(np.float32), (row, column)), shape=(rows, columns))


def dinucleotide_shuffle(sequence: str, rng: np.random.Generator) -> str:
    """A random sequence with the same dinucleotide counts and the same first and last letters.

    A uniform Eulerian path through the graph of dinucleotides (Altschul & Erickson 1985): the last exit of every letter
    is drawn as a random spanning tree towards the last letter (Wilson 1996), the other exits in random order. Stretches
    of N stay where they are; the pieces between them are shuffled each on its own.
    """
    pieces = _split_at_n(sequence)
    return "".join(piece if piece[:1] in ("", "N") else _shuffle_piece(piece, rng) for piece in pieces)


def _split_at_n(sequence: str) -> list[str]:
    """Alternating pieces without N and stretches of N."""
    pieces: list[str] = []
    for letter_run in sequence.replace("N", " N ").split():
        if pieces and letter_run == "N" and pieces[-1].startswith("N"):
            pieces[-1] += "N"
        else:
            pieces.append(letter_run)
    return pieces


def _shuffle_piece(piece: str, rng: np.random.Generator) -> str:
    if len(piece) < 4:
        return piece  # no other path has these dinucleotides and ends
    codes = encode(piece)
    exits = [codes[1:][codes[:-1] == letter] for letter in range(4)]
    last = _last_exits(exits, int(codes[-1]), rng)
    queues: list[list[int]] = []
    for letter, targets in enumerate(exits):
        order = targets.tolist()
        if last[letter] >= 0:
            order.remove(last[letter])
        order = rng.permutation(np.array(order, dtype=np.int64)).tolist()
        if last[letter] >= 0:
            order.append(last[letter])
        queues.append(order[::-1])
    here = int(codes[0])
    path = [here]
    for _ in range(len(codes) - 1):
        here = queues[here].pop()
        path.append(here)
    return "".join("ACGT"[letter] for letter in path)


def _last_exits(exits: Sequence[Int[ndarray, "exit"]], root: int, rng: np.random.Generator) -> list[int]:
    """Next letter on the way to `root` for every letter that occurs: a spanning tree, uniform over edges."""
    following = [-1] * 4
    in_tree = [letter == root or not len(exits[letter]) for letter in range(4)]
    for start in range(4):
        here = start
        while not in_tree[here]:
            following[here] = int(exits[here][rng.integers(len(exits[here]))])
            here = following[here]
        here = start
        while not in_tree[here]:
            in_tree[here] = True
            here = following[here]
    return following
