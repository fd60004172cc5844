"""Candidate substitutions: all of them, once, in the order in which they are to be tried."""

import numpy as np

from mints.data.edits import combined_edits, random_edits, to_letters, to_text


def test_all_edits_of_a_size_are_made_once_with_the_least_change_of_gc_first():
    letters = to_letters("ACGTA")
    rows = combined_edits(letters, np.array([0, 2, 4]), 2, np.random.default_rng(0))
    texts = [to_text(row) for row in rows]
    assert len(texts) == len(set(texts)) == 3 * 9
    changes = [abs(text.count("G") + text.count("C") - 2) for text in texts]
    assert changes == sorted(changes)
    assert all(sum(a != b for a, b in zip(text, "ACGTA", strict=True)) == 2 for text in texts)
    offset = [
        to_text(row) for row in combined_edits(letters, np.array([0, 4]), 2, np.random.default_rng(0), gc_offset=-2)
    ]
    changes = [abs(text.count("G") + text.count("C") - 4) for text in offset]
    assert changes == sorted(changes)
    assert changes[0] == 0
    drawn = random_edits(letters, np.array([0, 1, 2]), 3, 50, np.random.default_rng(0))
    assert all((row != letters).tolist() == [True, True, True, False, False] for row in drawn)


def test_unknown_letters_are_never_edited():
    rows = combined_edits(to_letters("ANA"), np.array([0, 1, 2]), 1, np.random.default_rng(0))
    assert {to_text(row)[1] for row in rows} == {"N"}
