import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from mints.analysis.probes import (
    Labelled,
    LayerVectors,
    area,
    fit_layers,
    fit_probe,
    probe_metrics,
    reliability,
    wilson,
)

PENALTIES = [1.0, 1e-4, 1e-2]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def labelled(rng, rows, signal=1.0, columns=8):
    """Noise with the class in the first column."""
    labels = rng.integers(0, 2, size=rows)
    features = rng.normal(size=(rows, columns))
    features[:, 0] += signal * labels
    return Labelled(features, labels)


def vectors(rng, signal=1.0):
    return LayerVectors(*(labelled(rng, rows, signal) for rows in (150, 100, 120)))


def test_the_penalty_is_the_one_that_a_loop_over_scikit_learn_chooses_on_validation(rng):
    train, validation = labelled(rng, 60, columns=40), labelled(rng, 200, columns=40)
    probe = fit_probe(train, validation, PENALTIES)
    scaler = StandardScaler().fit(train.features)
    areas = {}
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, tol=1e-9, max_iter=10_000)
        model.fit(scaler.transform(train.features), train.labels)
        scores = model.decision_function(scaler.transform(validation.features))
        areas[penalty] = roc_auc_score(validation.labels, scores)
    assert probe.penalty == max(areas, key=areas.__getitem__)
    assert probe.validation_auroc == pytest.approx(max(areas.values()), abs=1e-3)


def test_equals_on_validation_go_to_the_stronger_penalty(rng):
    one_column = Labelled(np.arange(20.0)[:, None], np.arange(20) % 3 // 2)
    # One feature orders the rows the same way whatever the penalty.
    assert fit_probe(one_column, one_column, [1.0, 0.01, 0.1]).penalty == 0.01


def test_nothing_is_chosen_on_test_rows(rng):
    layers = {layer: vectors(rng, signal) for layer, signal in enumerate((0.2, 1.5, 0.7))}
    poisoned = {
        layer: part._replace(test=Labelled(part.test.features * -9, 1 - part.test.labels))
        for layer, part in layers.items()
    }
    clean, other = (fit_layers(parts, PENALTIES, None) for parts in (layers, poisoned))
    assert clean.chosen == other.chosen == 1
    for layer in layers:
        assert clean.probes[layer].penalty == other.probes[layer].penalty
        assert (clean.probes[layer].model.weights == other.probes[layer].model.weights).all()


def test_a_layer_fixed_beforehand_is_chosen_even_if_another_is_better(rng):
    layers = {0: vectors(rng, 0.1), 4: vectors(rng, 3.0)}
    assert fit_layers(layers, PENALTIES, None).chosen == 4
    assert fit_layers(layers, PENALTIES, 0).chosen == 0


def test_the_table_reports_test_figures_of_every_layer_and_marks_one(rng):
    layers = {0: vectors(rng, 0.5), 3: vectors(rng, 2.0)}
    fitted = fit_layers(layers, PENALTIES, None)
    rows = probe_metrics(fitted, layers, np.arange(120), resamples=50, level=0.9, rng=rng)
    assert [(row["layer"], row["chosen"], row["n_test"]) for row in rows] == [(0, False, 120), (3, True, 120)]
    for row in rows:
        test, probe = layers[row["layer"]].test, fitted.probes[row["layer"]]
        assert row["auroc"] == pytest.approx(roc_auc_score(test.labels, probe.model.logits(test.features)))
        assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_all_layers_are_judged_on_the_same_resamples(rng):
    part = vectors(rng)
    layers = {0: part, 1: part}
    first, second = probe_metrics(
        fit_layers(layers, PENALTIES, None), layers, np.arange(120), resamples=40, level=0.9, rng=rng
    )
    assert {**first, "layer": None, "chosen": None} == {**second, "layer": None, "chosen": None}


def test_area_is_scikit_learn_s_auroc(rng):
    labels, scores = rng.integers(0, 2, 50), rng.integers(0, 5, 50).astype(float)
    assert area(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_a_calibration_curve_counts_every_row_once_in_the_bin_of_its_probability(rng):
    logits = rng.normal(size=500) * 3
    labels = rng.integers(0, 2, size=500)
    rows = reliability(labels, logits, 0.95)
    probability = 1 / (1 + np.exp(-logits))
    assert sum(row["n"] for row in rows) == 500
    for row in rows:
        inside = (probability >= row["bin_low"]) & (probability < row["bin_high"])
        assert row["n"] == inside.sum()
        assert row["observed"] == pytest.approx(labels[inside].mean())
        assert row["bin_low"] <= row["mean_predicted"] <= row["bin_high"]


def test_a_certain_prediction_falls_into_the_last_bin():
    (row,) = reliability(np.array([1, 1]), np.array([800.0, 900.0]), 0.95)
    assert (row["bin_high"], row["n"], row["observed"]) == (1, 2, 1)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 7), (40, 40)])
def test_wilson_s_interval_equals_scipy_s(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes / trials, trials, 1.959963984540054) == pytest.approx((expected.low, expected.high))
