"""Identity of a called read, against a table of edit distances."""

import numpy as np
import pytest

from mints.analysis.read_identity import ReadAlignment, align_read


def test_columns_are_counted_by_kind():
    assert align_read("ACGTACGT", "ACGTACGT") == ReadAlignment(8, 0, 0, 0)
    assert align_read("ACGTACGT", "ACGTCGT") == ReadAlignment(7, 0, 0, 1)
    assert align_read("ACGTACGT", "ACGTAACGT") == ReadAlignment(8, 0, 1, 0)
    assert align_read("AAAACAAAA", "AAAAGAAAA").identity == pytest.approx(8 / 9)


def test_an_empty_call_has_no_identity():
    assert align_read("ACG", "") == ReadAlignment(0, 0, 0, 3)
    assert align_read("", "").identity == 0.0


def best_score(truth, called):
    """Needleman and Wunsch's table: a match counts 1, anything else −1."""
    table = -np.arange(len(called) + 1)
    for row, base in enumerate(truth, start=1):
        new = [-row]
        for column, other in enumerate(called, start=1):
            diagonal = table[column - 1] + (1 if base == other else -1)
            new.append(max(diagonal, table[column] - 1, new[-1] - 1))
        table = np.array(new)
    return table[-1]


def test_the_alignment_is_a_best_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, called = ("".join(rng.choice(list("ACGT"), size=n)) for n in rng.integers(5, 20, size=2))
        found = align_read(truth, called)
        assert found.matches - found.mismatches - found.insertions - found.deletions == best_score(truth, called)
        assert found.matches + found.mismatches + found.deletions == len(truth)
        assert found.matches + found.mismatches + found.insertions == len(called)
