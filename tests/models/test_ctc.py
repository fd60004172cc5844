"""CTC scores and greedy decoding, against torch's loss and enumeration."""

from itertools import groupby, product

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from mints.models.basecaller import crf, ctc

LABELS = "NACGT"


def log_probabilities(steps, reads=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(steps, reads, 5, generator=generator, dtype=torch.float64) * 2).log_softmax(-1)


def spelled(path):
    """Sequence of a label path: repeats merged, then blanks removed."""
    return "".join(label for label, _ in groupby(path) if label != "N")


def test_scores_are_those_of_enumeration():
    values = log_probabilities(5, reads=1)
    by_sequence = {}
    for path in product(LABELS, repeat=5):
        score = sum(float(values[time, 0, LABELS.index(label)]) for time, label in enumerate(path))
        by_sequence.setdefault(spelled(path), []).append(score)
    sequences = list(by_sequence)
    ours = ctc.log_likelihood(values.expand(-1, len(sequences), -1), sequences)
    np.testing.assert_allclose(ours.numpy(), [np.logaddexp.reduce(by_sequence[s]) for s in sequences], atol=1e-10)
    assert float(ours.exp().sum()) == pytest.approx(1.0)


def test_scores_and_gradients_are_those_of_torch():
    sequences = ["ACGTTTGACA", "TT", "AAAAAA"]
    ours, theirs = (log_probabilities(25, reads=3).requires_grad_() for _ in range(2))
    score = ctc.log_likelihood(ours, sequences)
    score.sum().backward()
    targets = crf.as_targets(sequences)
    loss = ctc_loss(theirs, targets.bases + 1, torch.full((3,), 25), targets.lengths, reduction="none")
    torch.testing.assert_close(score, -loss)
    loss.sum().backward()
    # torch gives the gradient of log_softmax's input under the name of its output's: both are compared there.
    difference = (-ours.grad) - (-ours.grad).sum(-1, keepdim=True) * theirs.exp() - theirs.grad
    assert float(difference.detach().abs().max()) < 1e-10


def test_a_sequence_that_does_not_fit_has_no_probability():
    values = log_probabilities(3, reads=2)
    assert ctc.log_likelihood(values, ["AA", "ACGT"])[1] == -torch.inf
    assert ctc.log_likelihood(values[:2], ["AA", "A"])[0] == -torch.inf  # two A need a blank between them


def test_greedy_decoding_merges_repeats_and_keeps_the_time_of_each_base():
    path = "NAANACCTNNTG"
    values = torch.full((len(path), 1, 5), -5.0)
    for time, label in enumerate(path):
        values[time, 0, LABELS.index(label)] = -0.1
    (called,) = ctc.decode(values)
    assert called.sequence == "AACTTG"
    assert called.times.tolist() == [1, 4, 5, 7, 10, 11]
    assert called.score == pytest.approx(-0.1 * len(path))
