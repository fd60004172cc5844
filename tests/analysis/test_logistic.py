"""Fits against scikit-learn run to convergence on explicitly standardised features."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from mints.analysis import logistic
from mints.analysis.logistic import fit_path


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def correlated(rng, rows, columns):
    """Features with a steep spectrum and large means, and noisy labels of unequal frequency."""
    mixing = rng.normal(size=(columns, columns)) * (np.arange(1, columns + 1) ** -0.8)[:, None]
    latent = rng.normal(size=(rows, columns))
    X = latent @ mixing + 5 * rng.normal(size=columns)
    labels = (latent @ rng.normal(size=columns) / np.sqrt(columns) + rng.normal(size=rows) > 0.4).astype(int)
    return X, labels


def twin(X, labels, penalty):
    """scikit-learn's own answer as a function of raw features."""
    scaler = StandardScaler().fit(X)
    model = LogisticRegression(C=penalty, tol=1e-9, max_iter=20_000).fit(scaler.transform(X), labels)
    return lambda rows: model.decision_function(scaler.transform(rows))


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(("rows", "columns"), [(400, 30), (120, 200)], ids=["narrow", "wide"])
def test_dense_fits_equal_scikit_learn(rng, penalty, rows, columns):
    X, labels = correlated(rng, rows, columns)
    expected = twin(X, labels, penalty)(X)
    assert fit_path(X, labels, [penalty])[0].logits(X) == pytest.approx(expected, abs=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_sparse_fits_equal_scikit_learn_without_making_the_counts_dense(rng, penalty, monkeypatch):
    X = rng.poisson(0.3, size=(300, 120)).astype(float)
    labels = (X[:, 0] - X[:, 1] + rng.normal(size=300) > 0).astype(int)
    expected = twin(X, labels, penalty)(X)
    counts = sparse.csr_matrix(X, dtype=np.float32)
    monkeypatch.setattr(sparse.csr_matrix, "toarray", lambda *_: pytest.fail("made dense"))
    assert fit_path(counts, labels, [penalty])[0].logits(counts) == pytest.approx(
        expected, abs=2e-4 * np.abs(expected).max()
    )


def test_a_path_gives_each_penalty_what_it_gets_alone_in_the_order_asked(rng):
    X, labels = correlated(rng, 300, 20)
    together = fit_path(X, labels, [1.0, 1e-3, 0.1])
    for penalty, model in zip([1.0, 1e-3, 0.1], together, strict=True):
        alone = fit_path(X, labels, [penalty])[0]
        assert model.logits(X) == pytest.approx(alone.logits(X), abs=1e-3)


def test_single_precision_products_agree_with_scikit_learn_too(rng, monkeypatch):
    monkeypatch.setattr(logistic, "LARGE", 1000)
    X, labels = correlated(rng, 600, 40)
    expected = twin(X, labels, 1.0)(X)
    logits = fit_path(X.astype(np.float32), labels, [1.0])[0].logits(X)
    assert logits == pytest.approx(expected, abs=2e-3)
    assert roc_auc_score(labels, logits) == pytest.approx(roc_auc_score(labels, expected), abs=2e-5)


def test_units_of_a_feature_do_not_matter(rng):
    X, labels = correlated(rng, 200, 10)
    rescaled = X * np.logspace(-6, 6, 10) + np.arange(10)
    plain, scaled = (fit_path(features, labels, [0.1])[0].logits(features) for features in (X, rescaled))
    assert scaled == pytest.approx(plain, abs=1e-3)


def test_a_feature_that_never_varies_has_no_weight_and_does_no_harm(rng):
    X, labels = correlated(rng, 200, 6)
    padded = np.column_stack([X, np.full(200, 3.3), np.zeros(200)])
    model = fit_path(padded, labels, [1.0])[0]
    assert model.weights[6:] == pytest.approx([0, 0], abs=1e-9)
    assert model.logits(padded) == pytest.approx(fit_path(X, labels, [1.0])[0].logits(X), abs=1e-3)


def test_inputs_are_left_as_they_were(rng):
    X, labels = correlated(rng, 50, 5)
    before = X.copy(), labels.copy()
    fit_path(X, labels, [1.0])
    assert (before[0] == X).all()
    assert (before[1] == labels).all()


def test_one_class_alone_is_refused(rng):
    with pytest.raises(ValueError, match="both classes"):
        fit_path(rng.normal(size=(10, 2)), np.ones(10, dtype=int), [1.0])
