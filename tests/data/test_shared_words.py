"""Near copies by the words that sequences share."""

import numpy as np
import pytest

from mints.data.sequences import reverse_complement
from mints.data.shared_words import DNA_WORDS, near_copies, near_copy_clusters, shared, words


def random_sequence(rng, length=300):
    return "".join(rng.choice(list("ACGT"), length))


WORD = DNA_WORDS.length


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def words_by_hand(sequence):
    found = (sequence[start : start + WORD] for start in range(len(sequence) - WORD + 1))
    return {min(word, reverse_complement(word)) for word in found if "N" not in word}


def test_words_are_those_of_a_loop_on_either_strand_and_without_n(rng):
    sequence = random_sequence(rng, 120)[:60] + "N" + random_sequence(rng, 70)
    as_letters = set()
    for word in words(sequence).tolist():
        as_letters.add("".join("ACGT"[(word >> (2 * place)) & 3] for place in range(WORD - 1, -1, -1)))
    assert as_letters == words_by_hand(sequence)
    np.testing.assert_array_equal(words(sequence), words(reverse_complement(sequence)))
    assert len(words("ACGT")) == 0
    assert len(words("N" * 100)) == 0


def test_the_shared_part_is_counted_of_the_sequence_with_fewer_words(rng):
    long, other = random_sequence(rng), random_sequence(rng)
    part = long[50:150] + random_sequence(rng, 20)
    found = shared([long, other], [part, long, "N" * 50])
    expected = [
        [
            len(words_by_hand(a) & words_by_hand(b)) / max(1, min(len(words_by_hand(a)), len(words_by_hand(b))))
            for b in (part, long, "N" * 50)
        ]
        for a in (long, other)
    ]
    np.testing.assert_allclose(found, expected)
    assert found[0, 1] == 1


def test_copies_mutated_copies_and_the_other_strand_are_near_and_unrelated_windows_are_not(rng):
    known = [random_sequence(rng) for _ in range(5)]
    once = known[2][:150] + ("A" if known[2][150] != "A" else "C") + known[2][151:]
    every_20 = "".join("A" if i % 20 == 0 and base != "A" else base for i, base in enumerate(known[3]))
    # Two halves of known windows: no single one of them shares more than half of the words.
    halves = known[0][150:] + known[1][:150]
    candidates = [known[0], reverse_complement(known[1]), once, every_20, halves, random_sequence(rng), "N" * 300]
    assert near_copies(known, candidates).tolist() == [True, True, True, False, True, False, False]
    assert near_copies([], candidates).tolist() == [False] * 7
    assert near_copies(known, ["A" * 300, "T" * 300]).tolist() == [False, False]
    assert near_copies(["A" * 300], ["A" * 300, "T" * 300]).tolist() == [True, True]


def test_copies_of_copies_are_one_cluster(rng):
    first = random_sequence(rng, 400)
    sequences = [first[:300], first[60:360], first[100:400], random_sequence(rng), reverse_complement(first[:300])]
    assert shared(sequences, sequences)[0, 2] < 0.7
    clusters = near_copy_clusters(sequences)
    assert len({clusters[place] for place in (0, 1, 2, 4)}) == 1
    assert clusters[3] != clusters[0]
