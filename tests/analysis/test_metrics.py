"""Every figure of every resample against scikit-learn on rows that are really repeated."""

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from mints.analysis import metrics
from mints.analysis.bootstrap import cluster_weights
from mints.analysis.metrics import METRICS, auroc, evaluate, resampled_auroc, resampled_metrics, scored, sigmoid


def slope(labels, logits):
    return LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], labels).coef_[0, 0]


TWINS = {
    "auroc": reference.roc_auc_score,
    "auprc": reference.average_precision_score,
    "accuracy": lambda labels, logits: reference.accuracy_score(labels, logits > 0),
    "mcc": lambda labels, logits: reference.matthews_corrcoef(labels, logits > 0),
    "brier": lambda labels, logits: reference.brier_score_loss(labels, sigmoid(logits)),
    "calibration_slope": slope,
}


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def noisy_scores(rng, rows, decimals):
    """Labels, and logits rounded so that some (or many) tie."""
    labels = rng.integers(0, 2, size=rows)
    return labels, np.round(1.5 * labels - 0.75 + rng.normal(size=rows), decimals)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("decimals", [0, 1, 8], ids=["many ties", "some ties", "no ties"])
def test_every_resampled_figure_equals_the_usual_one_on_repeated_rows(rng, name, decimals):
    labels, logits = noisy_scores(rng, 150, decimals)
    weights = cluster_weights(rng.integers(0, 40, size=150), 20, rng)
    fast = resampled_metrics(scored(labels, logits), weights)[name]
    slow = [TWINS[name](np.repeat(labels, w), np.repeat(logits, w)) for w in weights]
    assert fast == pytest.approx(slow, abs=2e-4 if name == "calibration_slope" else 1e-12)


def test_figures_do_not_depend_on_how_resamples_are_cut_into_blocks(rng, monkeypatch):
    labels, logits = noisy_scores(rng, 60, 1)
    weights = cluster_weights(np.arange(60), 30, rng)
    whole = resampled_metrics(scored(labels, logits), weights)
    monkeypatch.setattr(metrics, "BLOCK", 7)
    cut = resampled_metrics(scored(labels, logits), weights)
    for name in METRICS:
        assert cut[name] == pytest.approx(whole[name], abs=1e-12, nan_ok=True)


def test_auroc_counts_ties_half():
    labels, scores = np.array([1, 0, 1, 0]), np.array([2.0, 2.0, 3.0, 1.0])
    assert auroc(scored(labels, scores), np.ones((1, 4)))[0] == 3.5 / 4


def test_a_resample_without_one_class_is_undefined_and_not_zero():
    labels, scores = np.array([1, 1, 0]), np.array([0.3, 2.0, -1.0])
    fast = resampled_metrics(scored(labels, scores), np.array([[2, 1, 0], [0, 0, 3]], dtype=np.int16))
    assert np.isnan(fast["auroc"]).all()
    assert np.isnan(fast["calibration_slope"]).all()
    assert np.isnan(fast["auprc"][1])
    assert fast["accuracy"].tolist() == [1, 1]


@pytest.mark.parametrize("distance", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_calibration_slope_of_separated_classes_is_undefined(rng, distance, sign):
    labels = np.repeat([0, 1], 50)
    logits = sign * (np.sort(rng.normal(size=100)) + distance * labels)
    weights = cluster_weights(np.arange(100), 30, rng)
    assert np.isnan(resampled_metrics(scored(labels, logits), weights)["calibration_slope"]).all()


@pytest.mark.parametrize("rows", [80, 300])
def test_the_calibration_slope_is_right_in_every_resample_whose_classes_clearly_overlap(rng, rows):
    labels = rng.integers(0, 2, size=rows)
    logits = 2 * labels - 1 + rng.normal(size=rows)
    weights = cluster_weights(np.arange(rows), 60, rng)
    fast = resampled_metrics(scored(labels, logits), weights)["calibration_slope"]
    defined = 0
    for value, weight in zip(fast, weights, strict=True):
        drawn_labels, drawn = np.repeat(labels, weight), np.repeat(logits, weight)
        if reference.roc_auc_score(drawn_labels, drawn) < 0.985:
            assert value == pytest.approx(slope(drawn_labels, drawn), rel=1e-4)
            defined += 1
    assert defined > 20


def test_logits_twice_too_large_have_half_the_calibration_slope(rng):
    logits = 2 * rng.normal(size=20_000)
    labels = (rng.random(20_000) < sigmoid(logits)).astype(int)
    one = np.ones((1, 20_000), dtype=np.int16)
    true, doubled = (resampled_metrics(scored(labels, z), one)["calibration_slope"][0] for z in (logits, 2 * logits))
    assert true == pytest.approx(1, abs=0.05)
    assert doubled == pytest.approx(true / 2, rel=1e-6)


def test_scores_of_a_constant_have_chance_figures_and_no_crash():
    labels = np.array([0, 1, 1, 0])
    row = evaluate(labels, np.zeros(4), np.ones((3, 4), dtype=np.int16), 0.95)
    assert row["auroc"] == 0.5
    assert row["auprc"] == 0.5
    assert row["mcc"] == 0


def test_evaluate_gives_the_figure_of_the_data_and_quantiles_of_the_resamples(rng):
    labels, logits = noisy_scores(rng, 80, 2)
    weights = cluster_weights(np.arange(80), 200, rng)
    row = evaluate(labels, logits, weights, 0.8)
    drawn = [reference.roc_auc_score(np.repeat(labels, w), np.repeat(logits, w)) for w in weights]
    assert row["auroc"] == pytest.approx(reference.roc_auc_score(labels, logits))
    assert [row["auroc_low"], row["auroc_high"]] == pytest.approx(np.quantile(drawn, [0.1, 0.9]))
    assert set(row) == {name + end for name in METRICS for end in ("", "_low", "_high")}


def test_resampled_auroc_is_the_same_figure_as_in_the_full_table(rng):
    labels, logits = noisy_scores(rng, 70, 1)
    weights = cluster_weights(np.arange(70), 40, rng)
    test = scored(labels, logits)
    assert resampled_auroc(test, weights).tolist() == resampled_metrics(test, weights)["auroc"].tolist()


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        assert sigmoid(np.array([-2000.0, 0.0, 2000.0])).tolist() == [0, 0.5, 1]
