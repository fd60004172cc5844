"""Fixed directions as probes: thresholds from validation alone, figures equal to scikit-learn's, windows resampled."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from mints.analysis.bootstrap import cluster_weights
from mints.features.direction_probe import (
    Contestant,
    Judge,
    f1_threshold,
    judge,
    probe_rows,
)


def some_tokens(rng, count=600, effect=1.0, ties=False):
    labels = rng.random(count) < 0.2
    scores = rng.normal(size=count) + effect * labels
    return (scores.round(1) if ties else scores), labels


def a_judge(labels, rng, windows=30, resamples=200):
    window = np.sort(rng.integers(0, windows, len(labels)))
    window[:windows] = np.arange(windows)
    window = np.sort(window)
    return Judge(labels, window, cluster_weights(np.arange(windows), resamples, rng), 0.95)


@pytest.mark.parametrize("ties", [False, True])
def test_the_threshold_is_the_best_of_all_that_there_are(ties):
    scores, labels = some_tokens(np.random.default_rng(1), ties=ties)
    chosen = f1_threshold(scores, labels)
    by_hand = {threshold: f1_score(labels, scores >= threshold) for threshold in np.unique(scores)}
    assert by_hand[chosen] == max(by_hand.values())
    with pytest.raises(ValueError, match="no token is positive"):
        f1_threshold(scores, np.zeros(600, dtype=bool))


@pytest.mark.parametrize("ties", [False, True])
def test_figures_of_the_test_set_are_scikit_learn_s_at_the_threshold_of_validation(ties):
    rng = np.random.default_rng(2)
    (validation, known), (test, truth) = some_tokens(rng, ties=ties), some_tokens(rng, ties=ties)
    found = judge(Contestant("w", 3, validation, test), known, a_judge(truth, rng))
    called = test >= f1_threshold(validation, known)
    assert found.value == pytest.approx(
        {
            "f1": f1_score(truth, called),
            "precision": precision_score(truth, called),
            "recall": recall_score(truth, called),
            "auroc": roc_auc_score(truth, test),
            "ap": average_precision_score(truth, test),
        }
    )


def test_resampled_figures_are_those_of_the_windows_repeated():
    rng = np.random.default_rng(3)
    (validation, known), (test, truth) = some_tokens(rng), some_tokens(rng, count=2000)
    judged_by = a_judge(truth, rng, resamples=20)
    found = judge(Contestant("w", -1, validation, test), known, judged_by)
    for resample in range(20):
        rows = np.repeat(np.arange(2000), judged_by.weights[resample][judged_by.window])
        called = test[rows] >= found.threshold
        assert found.resampled["f1"][resample] == pytest.approx(f1_score(truth[rows], called))
        # In bins of about four scores these two are close, not equal.
        assert found.resampled["auroc"][resample] == pytest.approx(roc_auc_score(truth[rows], test[rows]), abs=2e-3)
        assert found.resampled["ap"][resample] == pytest.approx(
            average_precision_score(truth[rows], test[rows]), abs=0.02
        )


def test_the_bias_of_a_fixed_probe_never_sees_the_test_set():
    rng = np.random.default_rng(5)
    (validation, known), (test, truth) = some_tokens(rng), some_tokens(rng)
    contestant = Contestant("w", -1, validation, test)
    honest = judge(contestant, known, a_judge(truth, rng))
    for other in (~truth, np.zeros(600, dtype=bool), rng.permutation(truth)):
        assert judge(contestant, known, a_judge(other, rng)).threshold == honest.threshold
    shifted = judge(contestant._replace(test=test + 7.0), known, a_judge(truth, rng))
    assert shifted.threshold == honest.threshold
    assert shifted.value["auroc"] == honest.value["auroc"]
    assert shifted.value["f1"] != honest.value["f1"]  # a probe that is off by its bias is judged so


def test_differences_to_the_first_contestant_are_paired():
    rng = np.random.default_rng(6)
    (validation, known), (test, truth) = some_tokens(rng), some_tokens(rng)
    same, worse = (
        Contestant("same", -1, validation, test),
        Contestant("worse", -1, rng.normal(size=600), rng.normal(size=600)),
    )
    first, twin, third = probe_rows([same, same, worse], known, a_judge(truth, rng))
    assert [first["f1_beyond"], twin["f1_beyond_low"], twin["auroc_beyond_high"]] == [0, 0, 0]
    assert third["auroc_beyond_high"] < 0
    assert third["auroc"] - first["auroc"] == pytest.approx(third["auroc_beyond"])
    assert first["f1_low"] < first["f1"] < first["f1_high"]
