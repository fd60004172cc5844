"""The CRF over k-mer states, against enumeration of every path."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from mints.models.basecaller import crf


def scores(steps, state_length, reads=2, spread=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, reads, 5 * 4**state_length, generator=generator, dtype=torch.float64) * spread


def paths(values, state_length):
    """Every path of one read as (sequence, times of its moves, score), by the definition of states as strings."""
    states = ["".join(bases) for bases in product("ACGT", repeat=state_length)]
    for first in states:
        for steps in product(["stay", *"ACGT"], repeat=len(values)):
            state, sequence, times, score = first, first, [], 0.0
            for time, step in enumerate(steps):
                if step == "stay":
                    score += float(values[time, 5 * states.index(state)])
                    continue
                dropped, state = state[0], (state + step)[1:]
                score += float(values[time, 5 * states.index(state) + 1 + "ACGT".index(dropped)])
                sequence, times = sequence + step, [*times, time]
            yield sequence, times, score


def enumerated(values, state_length):
    """Log-sum-exp over all paths, by sequence; and the best path."""
    by_sequence, best = {}, ("", [], -np.inf)
    for sequence, times, score in paths(values, state_length):
        by_sequence.setdefault(sequence, []).append(score)
        best = (sequence, times, score) if score > best[2] else best
    return {sequence: np.logaddexp.reduce(values) for sequence, values in by_sequence.items()}, best


@pytest.mark.parametrize(("state_length", "steps"), [(1, 4), (2, 3)])
def test_partition_sequences_and_best_path_are_those_of_enumeration(state_length, steps):
    values = scores(steps, state_length)
    partition, called = crf.log_partition(values, state_length), crf.decode(values, state_length)
    for read in range(2):
        expected, best = enumerated(values[:, read], state_length)
        assert float(partition[read]) == pytest.approx(np.logaddexp.reduce(list(expected.values())), abs=1e-10)
        assert (called[read].sequence, called[read].score) == (best[0], pytest.approx(best[2]))
        assert called[read].times.tolist() == [-1] * state_length + best[1]
        chosen = list(expected)[:: max(1, len(expected) // 40)]
        repeated = values[:, read : read + 1].expand(-1, len(chosen), -1).contiguous()
        together = crf.sequence_log_score(repeated, chosen, state_length)  # of different lengths
        np.testing.assert_allclose(together.numpy(), [expected[sequence] for sequence in chosen], atol=1e-10)


def test_likelihoods_of_all_sequences_add_up_to_one():
    values = scores(4, 1, reads=1)
    every = ["".join(bases) for length in range(1, 6) for bases in product("ACGT", repeat=length)]
    repeated = values.expand(-1, len(every), -1).contiguous()
    assert float(crf.log_likelihood(repeated, every, 1).exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_gradients_are_those_of_finite_differences():
    for state_length in (1, 2):
        values = scores(3, state_length, reads=2).requires_grad_()
        assert gradcheck(lambda v, n=state_length: crf.log_partition(v, n), values)
        sequences = ["ACGTT"[:4], "GG"]
        assert gradcheck(lambda v, n=state_length, s=sequences: crf.sequence_log_score(v, s, n), values)


def test_gradients_are_those_of_taped_recursions_over_many_steps():
    values, sequences = scores(20, 3), ["ACGTTTGACAGATTACA", "TTTTTTGCA"]
    ours = values.clone().requires_grad_()
    crf.log_likelihood(ours, sequences, 3).sum().backward()
    taped = values.clone().requires_grad_()
    (taped_sequences(taped, sequences) - taped_partition(taped)).backward()
    torch.testing.assert_close(ours.grad, taped.grad, atol=1e-10, rtol=0)


def taped_partition(values):
    """The recursion with one term per transition, by the definition of states as numbers, on autograd's tape."""
    alpha = torch.zeros(values.shape[1], 64, dtype=values.dtype)
    for step in values:
        ways = [
            [alpha[:, s] + step[:, 5 * s], *(alpha[:, b * 16 + s // 4] + step[:, 5 * s + 1 + b] for b in range(4))]
            for s in range(64)
        ]
        alpha = torch.stack([torch.stack(way).logsumexp(0) for way in ways], dim=1)
    return alpha.logsumexp(1).sum()


def taped_sequences(values, sequences):
    total = 0.0
    for read, sequence in enumerate(sequences):
        states = [crf.state_number(sequence[i : i + 3]) for i in range(len(sequence) - 2)]
        alpha = [torch.zeros((), dtype=values.dtype)]
        for step in values[:, read]:
            ways = [[] for _ in states]
            for place, value in enumerate(alpha):
                ways[place].append(value + step[crf.stay_index(states[place])])
                if place + 1 < len(states):
                    base = "ACGT".index(sequence[place + 3])
                    ways[place + 1].append(value + step[crf.transition_index(states[place], base, 3)])
            alpha = [torch.stack(way).logsumexp(0) for way in ways if way]
        total = total + alpha[-1]
    return total


def test_the_move_into_a_state_stands_where_bonito_puts_it():
    # From ACG by T to CGT: CGT is 1·16 + 2·4 + 3 = 27, and A, number 0, drops out.
    assert crf.state_number("CGT") == 27
    assert crf.transition_index(crf.state_number("ACG"), 3, 3) == 5 * 27 + 1 + 0
    assert crf.transition_index(crf.state_number("TCG"), 3, 3) == 5 * 27 + 1 + 3
    assert crf.stay_index(27) == 135


def test_posteriors_are_the_shares_of_the_paths_through_a_transition():
    values = scores(3, 1, reads=1)
    with torch.inference_mode():
        posterior = crf.transition_posteriors(values, 1)[:, 0]
    expected, total = torch.zeros_like(posterior), 0.0
    for sequence, times, score in paths(values[:, 0], 1):
        state, weight, added = sequence[0], np.exp(score), iter(sequence[1:])
        total += weight
        for time in range(3):
            dropped, state = state, next(added) if time in times else state
            index = 5 * "ACGT".index(state) + (1 + "ACGT".index(dropped) if time in times else 0)
            expected[time, index] += weight
    torch.testing.assert_close(posterior, expected / total)
    torch.testing.assert_close(posterior.sum(1), torch.ones(3, dtype=torch.float64))


def test_alignment_is_the_best_of_the_paths_that_stand_for_the_sequence():
    values = scores(4, 2, reads=3)
    sequences = ["ACGT", "TT", "GGGGGG"]
    times = crf.align(values, sequences, 2)
    for read, sequence in enumerate(sequences):
        candidates = [path for path in paths(values[:, read], 2) if path[0] == sequence]
        assert times[read].tolist() == [-1, -1, *max(candidates, key=lambda path: path[2])[1]]


def test_the_alignment_of_the_called_sequence_is_the_call():
    values = scores(50, 3, reads=4)
    called = crf.decode(values, 3)
    for call, times in zip(called, crf.align(values, [call.sequence for call in called], 3), strict=True):
        assert times.tolist() == call.times.tolist()


def test_float32_stays_close_over_a_long_read():
    values = scores(1500, 2, spread=5.0)
    exact = crf.log_partition(values, 2)
    torch.testing.assert_close(crf.log_partition(values.float(), 2).double(), exact, rtol=1e-6, atol=0)


def test_what_cannot_be_scored_is_refused():
    values = scores(3, 2)
    with pytest.raises(ValueError, match="1 bases is shorter than a state of 2"):
        crf.sequence_log_score(values, ["ACG", "A"], 2)
    with pytest.raises(ValueError, match="6 bases do not fit into 3 time steps"):
        crf.sequence_log_score(values, ["ACG", "AAAAAA"], 2)
    with pytest.raises(ValueError, match="letters other than ACGT"):
        crf.sequence_log_score(values, ["ACG", "ANG"], 2)
    with pytest.raises(ValueError, match="states of 3 bases need 320 transitions"):
        crf.log_partition(values, 3)
