"""GC, k-mers and shuffles, against loops and against all paths written out."""

from collections import Counter
from itertools import pairwise, permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from mints.data.composition import dinucleotide_shuffle, gc_content, kmer_counts

with_n = st.text(alphabet="ACGTN", max_size=40)


def pairs(sequence: str) -> Counter[str]:
    return Counter(a + b for a, b in pairwise(sequence))


def test_gc_leaves_unknown_bases_out():
    assert gc_content(["GGCA", "GNNA", "NN", "", "ATAT"]).tolist() == [0.75, 0.5, 0.0, 0.0, 0.0]


@given(st.lists(with_n, min_size=1, max_size=5), st.sampled_from([[1], [2, 3], [1, 4]]))
def test_kmer_counts_are_those_of_a_loop(sequences, orders):
    columns = [("".join(kmer)) for k in orders for kmer in product("ACGT", repeat=k)]
    expected = [
        [sum(sequence.startswith(kmer, place) for place in range(len(sequence))) for kmer in columns]
        for sequence in sequences
    ]
    counts = kmer_counts(sequences, orders)
    assert counts.dtype == np.float32
    assert counts.toarray().tolist() == expected


def test_no_kmer_spans_two_sequences():
    assert kmer_counts(["AC", "GT"], [2]).sum() == 2


@given(with_n, st.integers(0, 2**32))
def test_a_shuffle_keeps_dinucleotides_ends_and_the_places_of_n(sequence, seed):
    shuffled = dinucleotide_shuffle(sequence, np.random.default_rng(seed))
    assert pairs(shuffled) == pairs(sequence)
    assert (shuffled[:1], shuffled[-1:]) == (sequence[:1], sequence[-1:])
    assert [letter == "N" for letter in shuffled] == [letter == "N" for letter in sequence]


def test_each_piece_between_unknown_bases_is_shuffled_on_its_own():
    sequence = "ACGATACAGATNNTTGTCTATGT"
    shuffled = dinucleotide_shuffle(sequence, np.random.default_rng(1))
    assert shuffled != sequence
    for before, after in zip(sequence.split("NN"), shuffled.split("NN"), strict=True):
        assert pairs(after) == pairs(before)


@pytest.mark.parametrize("sequence", ["ACAGATACG", "AACCGATTACA", "ACGTACGTTGCA"])
def test_all_sequences_with_the_same_dinucleotides_are_equally_likely(sequence):
    inner = set(permutations(sequence[1:-1]))
    possible = {sequence[0] + "".join(middle) + sequence[-1] for middle in inner}
    possible = {candidate for candidate in possible if pairs(candidate) == pairs(sequence)}
    rng = np.random.default_rng(3)
    seen = Counter(dinucleotide_shuffle(sequence, rng) for _ in range(150 * len(possible)))
    assert len(possible) > 2
    assert set(seen) == possible
    assert chisquare(list(seen.values())).pvalue > 1e-3


def test_a_shuffle_is_the_same_for_the_same_generator():
    sequence = "ACGTTGCATGCA" * 5
    assert dinucleotide_shuffle(sequence, np.random.default_rng(5)) == dinucleotide_shuffle(
        sequence, np.random.default_rng(5)
    )
