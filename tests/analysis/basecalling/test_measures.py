from itertools import product

import numpy as np
import pytest
import torch
from basecaller_scene import ask_about, make_basecaller, scores_of, some_pairs

from mints.analysis.basecalling.lattice import make_lattice, make_window, side_by_side
from mints.analysis.basecalling.measures import (
    Alternatives,
    Question,
    Rivals,
    align,
    make_alternatives,
    read_scores,
    sequence_log_odds,
    steps_of_run,
    transition_log_odds,
)
from mints.analysis.basecalling.questions import CALLS, NO_ALTERNATIVE, TRUE_SEQUENCES, rivals_of
from mints.models.basecaller.crf import stay_index, transition_index

BASES = "ACGT"


def column(state, base):
    """Column of the stay in a state of one base, or of the move on to a base."""
    return (
        stay_index(BASES.index(state)) if base is None else transition_index(BASES.index(state), BASES.index(base), 1)
    )


def scores_along(path, start, height):
    """Scores that favour one path of single-base states by `height` at every time step."""
    scores, state = torch.zeros(len(path), 1, 20), start
    for time, base in enumerate(path):
        scores[time, 0, column(state, base)] = height
        state = state if base is None else base
    return scores


PATH = [None, "A", None, "A", None, "A", "G", None, "T", None]
SEQUENCE = "CAAAGT"


def test_the_log_odds_of_a_transition_are_its_score_against_the_four_other_ways_out_of_the_same_state():
    scores = torch.randn(10, 1, 20, generator=torch.Generator().manual_seed(0))
    alignment = align(scores_along(PATH, "C", 9.0), [SEQUENCE], 1)
    track = transition_log_odds(scores, alignment.correct, alignment.ways)[0]
    state = "C"
    for time, base in enumerate(PATH):
        right = float(scores[time, 0, column(state, base)])
        wrong = [float(scores[time, 0, column(state, other)]) for other in (None, *BASES) if other != base]
        assert float(track[time]) == pytest.approx(right - np.logaddexp.reduce(wrong))
        state = state if base is None else base


def test_the_run_lasts_from_the_step_that_reads_its_first_base_to_the_one_that_reads_the_next():
    alignment = align(scores_along(PATH, "C", 9.0), [SEQUENCE], 1)
    assert alignment.base[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5]
    steps = steps_of_run(alignment, np.array([1]), np.array([3]))
    assert np.flatnonzero(steps[0]).tolist() == [1, 2, 3, 4, 5, 6]


def spelled_by(start, ways):
    return start + "".join(base for base in ways if base)


def test_the_sequences_log_odds_sum_over_all_paths_that_read_past_the_run():
    scores = torch.randn(6, 1, 20, generator=torch.Generator().manual_seed(1)).double()
    alignment = align(scores_along(["A", None, "A", None, "G", "T"], "C", 9.0), ["CAAGT"], 1)
    rival = Rivals("CAAGT", "CAGT", 1, 3, 2)
    alternatives = make_alternatives([rival], alignment, np.array([0]), np.array([6]), 1)

    def total(beginnings):
        values = []
        for ways in product((None, *BASES), repeat=6):
            if spelled_by("C", ways) in beginnings:
                state, score = "C", 0.0
                for time, base in enumerate(ways):
                    score += float(scores[time, 0, column(state, base)])
                    state = state if base is None else base
                values.append(score)
        return np.logaddexp.reduce(values)

    expected = total({"CAAG", "CAAGT"}) - total({"CAG", "CAGT"})
    assert float(sequence_log_odds(scores, alternatives)) == pytest.approx(expected, abs=1e-9)


def test_raising_the_moves_of_the_clean_path_raises_both_measures():
    alignment = align(scores_along(PATH, "C", 9.0), [SEQUENCE], 1)
    steps = torch.from_numpy(steps_of_run(alignment, np.array([1]), np.array([3])))
    rival = Rivals(SEQUENCE, "CAAGT", 1, 4, 3)
    alternatives = make_alternatives([rival], alignment, np.array([0]), np.array([10]), 1)
    question = Question(alignment.correct, alignment.ways, steps, alternatives)
    weak, strong = (read_scores(scores_along(PATH, "C", height), question)[0, :2] for height in (1.0, 2.0))
    assert (strong > weak).all()
    assert float(weak[0]) == pytest.approx(1 - np.log(4))


def test_a_ctc_head_has_the_blank_and_the_bases_as_its_ways():
    scores = torch.zeros(5, 1, 5)
    for time, label in enumerate([1, 0, 1, 2, 0]):
        scores[time, 0, label] = 9.0
    alignment = align(scores, ["AAC"], None)
    assert alignment.correct[0].tolist() == [1, 0, 1, 2, 0]
    assert alignment.base[0, 1:].tolist() == [0, 0, 1, 2, 2]
    track = transition_log_odds(scores, alignment.correct, alignment.ways)[0]
    torch.testing.assert_close(track, torch.full((5,), 9.0 - np.log(4), dtype=torch.float64))


def test_rivals_are_the_true_sequences_or_what_differs_between_the_calls():
    more = some_pairs(1, corruption="repeat_more", group="homopolymer")[0]
    rival = rivals_of(more, "", "")
    assert rival.corrupted[rival.first : rival.corrupted_end] == more.base * (more.run_length + 1)
    assert rival.clean[rival.clean_end :] == rival.corrupted[rival.corrupted_end :]
    noisy = some_pairs(1, corruption="noise")[0]
    rival = rivals_of(noisy, "ACCGTTA", "ACGGTTA")
    assert (rival.clean[rival.first : rival.clean_end], rival.corrupted[rival.first : rival.corrupted_end]) == (
        "C",
        "G",
    )
    rival = rivals_of(noisy, "ACCCG", "ACCG")
    assert (rival.first, rival.clean_end, rival.corrupted_end) == (3, 4, 3)
    assert rivals_of(noisy, "ACCCG", "ACCCG").clean == rivals_of(noisy, "ACCCG", "ACCCG").corrupted


def test_pairs_without_alternative_have_log_odds_of_zero_and_are_named():
    basecaller, pairs = make_basecaller(), some_pairs(24)
    asked = ask_about(basecaller, pairs)
    assert set(asked.alternative) == {TRUE_SEQUENCES, CALLS, NO_ALTERNATIVE}
    for side in ("clean", "corrupted"):
        odds = sequence_log_odds(scores_of(basecaller, [getattr(p, side) for p in pairs]), asked.question.alternatives)
        without = np.array(asked.alternative) == NO_ALTERNATIVE
        assert (odds.numpy()[without] == 0).all()
        assert (odds.numpy()[~without] != 0).all()


def test_alternatives_over_several_windows_equal_each_alone():
    scores = torch.randn(12, 2, 20, generator=torch.Generator().manual_seed(3))
    sequences, start, end = (["CAAG", "GTTTC"], ["CAAAG", "GTTC"]), np.array([0, 3]), np.array([9, 12])

    def odds(rows):
        clean, corrupted = (make_lattice([side[row] for row in rows], 1) for side in sequences)
        window = make_window(start[rows], end[rows])
        return sequence_log_odds(scores[:, rows], Alternatives(side_by_side(clean, corrupted), window))

    together = odds([0, 1])
    assert together.tolist() == pytest.approx([float(odds([0])), float(odds([1]))], abs=1e-9)
