"""Units that follow a motif over sequences."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from mints.analysis.bootstrap import cluster_weights
from mints.features.motif_alignment import (
    Draws,
    MotifScores,
    Units,
    best_units,
    both_signs,
    correlations,
    cosine,
    margin,
    permutations_within,
    principal_components,
)
from mints.features.random_directions import random_directions


def made_scene(sequences=200, units=30, follower=7, label_only=11, strength=0.8, seed=0):
    """Scores that depend on the label, one unit that follows the score itself and one that follows the label alone."""
    rng = np.random.default_rng(seed)
    splits = []
    for _ in range(2):
        labels = np.arange(sequences) % 2
        bits = 6 * labels + rng.normal(size=sequences)
        values = rng.normal(size=(sequences, units))
        values[:, follower] = strength * (bits - bits.mean()) + 0.3 * rng.normal(size=sequences)
        values[:, label_only] = 2 * labels + 0.1 * rng.normal(size=sequences)
        splits.append((labels, bits, values))
    (_, chosen_on, validation), (labels, reported_on, test) = splits
    draws = Draws(cluster_weights(np.arange(sequences), 300, rng), permutations_within(labels, 199, rng))
    return Units(validation, test), MotifScores(chosen_on, reported_on, labels), draws


def test_correlations_of_weighted_sequences_equal_pearson_s_over_repeated_ones():
    rng = np.random.default_rng(1)
    scores, units = rng.normal(size=40), rng.normal(size=(40, 3))
    weights = rng.integers(0, 4, size=(5, 40))
    found = correlations(np.broadcast_to(scores, (5, 40)), units, weights.astype(float))
    for draw, of_draw in enumerate(weights):
        rows = np.repeat(np.arange(40), of_draw)
        for unit in range(3):
            assert found[draw, unit] == pytest.approx(pearsonr(scores[rows], units[rows, unit]).statistic, abs=1e-12)


def test_a_unit_that_never_varies_has_no_correlation_and_no_cosine():
    scores = np.arange(10.0)
    assert correlations(scores[None], np.zeros((10, 1)), np.ones((1, 10)))[0, 0] == 0
    assert cosine(scores, np.zeros((10, 1)))[0] == 0


def test_the_cosine_takes_activations_as_they_are():
    scores, units = np.array([1.0, 2.0, 6.0]), np.array([[1.0], [1.0], [2.0]])
    expected = (-2 * 1 - 1 * 1 + 3 * 2) / (np.sqrt(6) * np.sqrt(14))
    assert cosine(scores, units)[0] == pytest.approx(expected)


def test_permutations_exchange_sequences_of_one_label_alone():
    labels = np.array([0, 1, 1, 0, 1, 0, 0])
    orders = permutations_within(labels, 50, np.random.default_rng(0))
    assert (labels[orders] == labels).all()
    assert (np.sort(orders, axis=1) == np.arange(7)).all()
    assert len(np.unique(orders, axis=0)) > 20


def test_what_follows_the_motif_is_told_from_what_follows_the_label():
    units, scores, draws = made_scene()
    table = best_units(units, scores, draws, count=2, level=0.95).set_index("unit")
    assert set(table.index) == {7, 11}
    assert table.loc[11, "r"] > 0.9
    assert table.loc[7, "q_within_label"] < 0.2
    assert table.loc[7, "p_within_label"] == pytest.approx(1 / 200)
    assert table.loc[11, "p_within_label"] > 0.02
    assert table.loc[7, "r_within_positives"] > 0.7
    assert abs(table.loc[11, "r_within_positives"]) < 0.3
    assert table.loc[7, "low"] < table.loc[7, "r"] < table.loc[7, "high"]


def test_units_are_chosen_on_validation_whatever_test_says():
    units, scores, draws = made_scene()
    garbage = units._replace(test=np.random.default_rng(5).normal(size=units.test.shape))
    scrambled = scores._replace(test=scores.test[::-1])
    as_is = best_units(units, scores, draws, count=5, level=0.95)
    other = best_units(garbage, scrambled, draws, count=5, level=0.95)
    assert as_is["unit"].tolist() == other["unit"].tolist()
    assert as_is["r"].tolist() != other["r"].tolist()


def test_the_best_of_many_units_of_noise_is_no_discovery():
    rng = np.random.default_rng(3)
    noise = Units(rng.normal(size=(150, 400)), rng.normal(size=(150, 400)))
    labels = np.arange(150) % 2
    scores = MotifScores(rng.normal(size=150), rng.normal(size=150), labels)
    draws = Draws(cluster_weights(np.arange(150), 100, rng), permutations_within(labels, 199, rng))
    table = best_units(noise, scores, draws, count=10, level=0.95)
    assert table["validation_r"].min() > 0.15
    assert abs(table["r"].mean()) < 0.1
    assert table["q_within_label"].min() > 0.05


def test_a_lead_is_the_difference_of_correlations_on_the_same_resamples():
    units, scores, draws = made_scene()
    follower, noise = units.test[:, 7], units.test[:, 3]
    table = margin(follower, {"noise": noise, "itself": follower}, scores.test, draws.weights, 0.95)
    expected = pearsonr(follower, scores.test).statistic - pearsonr(noise, scores.test).statistic
    assert table["difference"][0] == pytest.approx(expected)
    assert table["low"][0] > 0.5
    assert table.loc[1, ["difference", "low", "high"]].abs().max() < 1e-12


def test_directions_count_with_both_signs():
    values = np.random.default_rng(0).normal(size=(5, 3))
    assert (both_signs(values)[:, 3:] == -values).all()


def test_principal_components_and_random_directions_are_unit_vectors():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 4)) * [5, 1, 0.1, 0.1] + 3
    components = principal_components(values, 2)
    assert abs(components[0, 0]) > 0.99
    assert abs(components[1, 1]) > 0.99
    assert np.linalg.norm(random_directions(6, 10, rng), axis=0) == pytest.approx(np.ones(10))
