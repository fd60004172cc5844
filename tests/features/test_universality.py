"""Latents that matter across sequences: found, explained by the wild type's identity or not, on held-out sequences."""

import numpy as np
import pytest

from mints.features.universality import important, share_of_cases, universality


def test_important_latents_are_the_largest_and_never_those_without_attribution():
    attributions = np.array([[0.0, -5.0, 1.0, 2.0], [0.0, 0.0, 0.0, -1.0]])
    assert important(attributions, 2).tolist() == [[False, True, False, True], [False, False, False, True]]
    assert important(attributions, 9).sum() == 4


def test_shares_of_cases_by_hand():
    importance = np.array([[1, 0], [1, 0], [0, 0], [0, 1]], dtype=bool)
    shares = share_of_cases(importance, np.array([0, 0, 0, 1]))
    assert shares.tolist() == [[2 / 3, 0], [0, 1]]


@pytest.fixture(scope="module")
def study():
    """Latent 0 fires at identity 3, latent 1 at random as often, latent 2 in one sequence alone."""
    rng = np.random.default_rng(0)
    sequence = np.repeat(np.arange(40), 10)
    identity = rng.integers(0, 5, len(sequence))
    importance = np.zeros((len(sequence), 3), dtype=bool)
    importance[:, 0] = (identity == 3) ^ (rng.uniform(size=len(sequence)) < 0.03)
    importance[:, 1] = rng.permutation(importance[:, 0])
    importance[:10, 2] = True
    return importance, sequence, identity, np.arange(40) % 2 == 0


def asked(importance, sequence, identity, found_on):
    return universality(importance, sequence, identity, found_on, permutations=200, rng=np.random.default_rng(1))


def test_a_detector_of_one_identity_is_told_from_a_latent_that_is_as_common(study):
    importance, sequence, identity, found_on = study
    result = asked(*study)
    assert result.latents.tolist() == [0, 1]
    assert result.identity[0] == 3
    held_out = ~found_on[sequence]
    said, true = identity[held_out] == 3, importance[held_out, 0]
    precision, recall = (said & true).sum() / said.sum(), (said & true).sum() / true.sum()
    assert result.f1[0] == pytest.approx(2 * precision * recall / (precision + recall))
    assert result.f1[0] > 0.85
    assert result.p[0] == pytest.approx(1 / 201)
    assert result.f1[1] < 0.4
    assert result.p[1] > 0.05
    assert (np.abs(result.f1_expected - 0.2) < 0.07).all()


def test_how_widespread_a_latent_is_has_an_expectation(study):
    result = asked(*study)
    assert result.sequences.min() > 0.7
    assert np.abs(result.sequences - result.sequences_expected).max() < 0.1
    importance, sequence, identity, found_on = study
    clustered = importance.copy()
    clustered[:, 1] = (sequence < 22) & (np.arange(400) % 10 < 4)
    result = asked(clustered, sequence, identity, found_on)
    assert result.sequences[1] == 0.55
    assert result.sequences_expected[1] > 0.85  # so common a latent would be nearly everywhere
    assert result.kept.tolist() == [(share_of_cases(clustered, sequence)[:, latent] >= 0.5).sum() for latent in (0, 1)]


def test_the_identity_is_chosen_without_the_sequences_that_judge_it(study):
    importance, sequence, identity, found_on = study
    judged = ~found_on[sequence]
    other = importance.copy()
    other[judged, 0] = identity[judged] == 1  # the judging half says something else
    before, after = asked(*study), asked(other, sequence, identity, found_on)
    assert before.identity[0] == after.identity[0] == 3
    assert before.f1_found[0] == after.f1_found[0]
    assert after.f1[0] == 0


def test_no_widespread_latent_gives_an_empty_answer(study):
    _, sequence, identity, found_on = study
    result = asked(np.zeros((400, 3), dtype=bool), sequence, identity, found_on)
    assert all(len(part) == 0 for part in result)
    nothing = np.zeros(0, dtype=np.int64)
    result = asked(np.zeros((0, 3), dtype=bool), nothing, nothing, found_on[:0])
    assert all(len(part) == 0 for part in result)
