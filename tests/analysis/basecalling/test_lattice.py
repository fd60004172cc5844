from itertools import groupby, product

import numpy as np
import pytest
import torch

from mints.analysis.basecalling.lattice import best_path, make_lattice, make_window, path_score
from mints.models.basecaller import crf, ctc

BASES = "ACGT"
STATES = ["".join(letters) for letters in product(BASES, repeat=2)]


def scores_of(time, columns, seed=0):
    return torch.randn(time, 1, columns, generator=torch.Generator().manual_seed(seed))


def every_crf_path(scores, start):
    """(spelled sequence, states, score) of all ways to go on from a state, by the definition of the layout."""
    for ways in product(range(5), repeat=len(scores)):
        state, spelled, total, states = start, start, 0.0, [start]
        for time, way in enumerate(ways):
            if way == 0:
                total += float(scores[time, 0, 5 * STATES.index(state)])
            else:
                reached = state[1:] + BASES[way - 1]
                total += float(scores[time, 0, 5 * STATES.index(reached) + 1 + BASES.index(state[0])])
                state, spelled = reached, spelled + BASES[way - 1]
            states.append(state)
        yield spelled, states, total


def every_ctc_path(scores):
    for symbols in product(range(5), repeat=len(scores)):
        total = sum(float(scores[time, 0, symbol]) for time, symbol in enumerate(symbols))
        yield "".join(BASES[symbol - 1] for symbol, _ in groupby(symbols) if symbol), symbols, total


def log_sum(values):
    return float(np.logaddexp.reduce(list(values)))


@pytest.mark.parametrize("sequence", ["ACGT", "AAAA", "CAAAT", "GG"])
def test_the_forward_score_of_a_crf_is_the_sum_over_all_paths_that_spell_the_sequence(sequence):
    scores = scores_of(5, 80)
    lattice = make_lattice([sequence], 2)
    expected = log_sum(total for spelled, _, total in every_crf_path(scores, sequence[:2]) if spelled == sequence)
    assert float(path_score(scores, lattice, make_window(np.array([0]), np.array([5])))) == pytest.approx(expected)


@pytest.mark.parametrize("sequence", ["AC", "AA", "CAA", "T"])
def test_the_forward_score_of_a_ctc_head_is_the_sum_over_all_paths_that_collapse_to_the_sequence(sequence):
    scores = scores_of(5, 5)
    lattice = make_lattice([sequence], None)
    expected = log_sum(total for spelled, _, total in every_ctc_path(scores) if spelled == sequence)
    assert float(path_score(scores, lattice, make_window(np.array([0]), np.array([5])))) == pytest.approx(expected)


def test_with_free_ends_every_beginning_that_reaches_the_base_counts():
    scores = scores_of(4, 80)
    lattice = make_lattice(["ACCGT"], 2, end_from=[3])
    wanted = {"ACCG", "ACCGT"}
    expected = log_sum(total for spelled, _, total in every_crf_path(scores, "AC") if spelled in wanted)
    assert float(path_score(scores, lattice, make_window(np.array([0]), np.array([4])))) == pytest.approx(expected)


def test_rows_of_a_batch_with_other_lengths_and_windows_score_as_they_do_alone():
    scores = torch.cat([scores_of(9, 80, seed) for seed in range(3)], dim=1)
    sequences, start, end = ["ACGTA", "AAA", "GTTTTTC"], np.array([2, 0, 1]), np.array([7, 4, 9])
    together = path_score(scores, make_lattice(sequences, 2), make_window(start, end))
    for row, sequence in enumerate(sequences):
        cut = scores[start[row] : end[row], [row]]
        alone = path_score(cut, make_lattice([sequence], 2), make_window(np.array([0]), np.array([len(cut)])))
        assert float(together[row]) == pytest.approx(float(alone), abs=1e-9)


def test_the_best_path_is_the_best_of_all_that_spell_the_sequence():
    scores = scores_of(5, 80, seed=4)
    spelling = [path for path in every_crf_path(scores, "CA") if path[0] == "CAAT"]
    _, states, _ = max(spelling, key=lambda path: path[2])
    nodes = best_path(scores, make_lattice(["CAAT"], 2), make_window(np.array([0]), np.array([5])))[0]
    assert [["CA", "AA", "AT"][node] for node in nodes] == states


def test_the_best_ctc_path_is_the_best_of_all_that_collapse_to_the_sequence():
    scores = scores_of(5, 5, seed=2)
    collapsing = [path for path in every_ctc_path(scores) if path[0] == "GTT"]
    _, symbols, _ = max(collapsing, key=lambda path: path[2])
    lattice = make_lattice(["GTT"], None)
    nodes = best_path(scores, lattice, make_window(np.array([0]), np.array([5])))[0, 1:]
    assert lattice.stay[0, nodes].tolist() == list(symbols)


def test_a_path_may_start_late_where_that_is_allowed():
    scores = scores_of(3, 80, seed=1)
    lattice = make_lattice(["ACGTA"], 2, starts=lambda base: base <= 2)
    ways = [("AC", "ACGTA"), ("CG", "CGTA")]
    expected = log_sum(
        total for start, target in ways for spelled, _, total in every_crf_path(scores, start) if spelled == target
    )
    assert float(path_score(scores, lattice, make_window(np.array([0]), np.array([3])))) == pytest.approx(expected)


def test_ways_to_go_on_from_a_node_are_its_stay_and_the_four_columns_that_leave_its_state():
    lattice = make_lattice(["GAC"], 2)
    expected = [5 * STATES.index("GA"), *(5 * STATES.index("A" + base) + 1 + BASES.index("G") for base in BASES)]
    assert lattice.onward[0, 0].tolist() == expected
    assert lattice.step[0, 1] == expected[2]


def test_over_all_time_steps_the_score_is_that_of_the_models_own_recursions():
    scores, sequence = scores_of(30, 80).double(), "ACCCCCGTTAGGACA"
    window = make_window(np.array([0]), np.array([30]))
    own = path_score(scores, make_lattice([sequence], 2), window)
    torch.testing.assert_close(own, crf.sequence_log_score(scores, [sequence], 2))
    labels = scores_of(30, 5).double().log_softmax(2)
    own = path_score(labels, make_lattice([sequence], None), window)
    torch.testing.assert_close(own, ctc.log_likelihood(labels, [sequence]))


def test_the_best_path_moves_when_the_models_own_alignment_does():
    scores, sequence = scores_of(30, 80, seed=3).double(), "ACCCCCGTTAGGACA"
    nodes = best_path(scores, make_lattice([sequence], 2), make_window(np.array([0]), np.array([30])))[0]
    moves = torch.nonzero(nodes.diff())[:, 0]
    assert moves.tolist() == crf.align(scores, [sequence], 2)[0][2:].tolist()


def test_letters_that_are_no_bases_and_sequences_below_a_state_are_refused():
    with pytest.raises(ValueError, match="letters other than ACGT"):
        make_lattice(["ANA"], 2)
    with pytest.raises(ValueError, match="shorter than a state of 2"):
        make_lattice(["A"], 2)
