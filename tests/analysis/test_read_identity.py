"""Identity of a called read, against a table of edit distances."""

import numpy as np
import pytest

from mints.analysis.read_identity import CalledRun, ReadAlignment, align_read, called_runs


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


def test_every_run_of_the_truth_has_the_length_that_was_called_of_it():
    assert called_runs("CAAAAGT", "CAAAGT") == [
        CalledRun("C", 1, 1),
        CalledRun("A", 4, 3),
        CalledRun("G", 1, 1),
        CalledRun("T", 1, 1),
    ]
    longer = {run.base: run.called for run in called_runs("CTTTG", "CTTTTTG")}
    assert longer == {"C": 1, "T": 5, "G": 1}


def test_a_run_that_is_called_as_another_base_or_not_at_all_has_length_zero():
    assert [run.called for run in called_runs("ACCA", "AGGA")] == [1, 0, 1]
    assert called_runs("AAC", "") == [CalledRun("A", 2, 0), CalledRun("C", 1, 0)]
    assert called_runs("", "AC") == []
