"""Exact counts at every threshold, against scikit-learn's definitions and a loop over everything."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from mints.features.columns import DenseColumns, SparseColumns
from mints.features.concept_scores import choose
from mints.features.concepts import ConceptLabels
from mints.features.exact_thresholds import (
    best_thresholds,
    counts_at,
    rank_dense,
    rank_metrics,
    rank_sparse,
    regions_found,
)

TOKENS, COLUMNS = 200, 9
DEAD, ABSENT = 4, 3


def some_values(seed=0):
    """Sparse, positive, with ties, a dead column, and one that is active everywhere."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.exponential(size=(TOKENS, COLUMNS)), 1) * (rng.random((TOKENS, COLUMNS)) < 0.25)
    values[:, DEAD] = 0
    values[:, 7] = np.round(rng.random(TOKENS) + 0.1, 1)
    return values


def some_labels(seed=1):
    """Three concepts and one that does not occur; regions overlap, and have several parts."""
    rng = np.random.default_rng(seed)
    regions = (rng.random((TOKENS, 30)) < 0.03).astype(np.int32)
    concept_of = rng.integers(0, 3, 30)
    return ConceptLabels(["common", "rarer", "rare", "absent"], csr_array(regions), concept_of)


@pytest.fixture(scope="module")
def values():
    return some_values()


@pytest.fixture(scope="module")
def labels():
    return some_labels()


def pairs(labels):
    return [(column, concept) for column in range(COLUMNS) for concept in range(len(labels.names))]


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_the_best_threshold_of_every_pair_is_that_of_scikit_learn_over_all_values_that_occur(values, labels, kind):
    carried = labels.tokens.toarray()
    ranked = rank_sparse(csr_array(values)) if kind == "sparse" else rank_dense(values)
    threshold, counts = best_thresholds(ranked, labels.tokens)
    for column, concept in pairs(labels):
        seen = np.unique(values[:, column])
        limits = seen[seen > 0] if kind == "sparse" else seen
        truth = carried[:, concept]
        if not truth.any() or not (values[truth, column][:, None] >= limits).any():
            assert threshold[column, concept] == np.inf
            assert counts.called[column, concept] == 0
            continue
        brute = {limit: f1_score(truth, values[:, column] >= limit) for limit in limits}
        best = max(brute.values())
        assert counts.f1[column, concept] == pytest.approx(best, abs=1e-12)
        assert threshold[column, concept] == max(limit for limit in brute if brute[limit] > best - 1e-12)
        called = values[:, column] >= threshold[column, concept]
        assert counts.precision[column, concept] == pytest.approx(precision_score(truth, called))
        assert counts.recall[column, concept] == pytest.approx(recall_score(truth, called))


def test_sparse_and_dense_counts_are_the_same_where_silence_is_never_the_best_call(values, labels):
    sparse, dense = rank_sparse(csr_array(values)), rank_dense(values)
    limits = np.abs(np.random.default_rng(2).normal(size=(COLUMNS, 4))) + 0.05
    one, other = (counts_at(ranked, labels.tokens, limits) for ranked in (sparse, dense))
    np.testing.assert_array_equal(one.true_positives, other.true_positives)
    np.testing.assert_array_equal(one.called, other.called)
    for a, b in zip(rank_metrics(sparse, labels.tokens), rank_metrics(dense, labels.tokens), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_auroc_and_average_precision_are_scikit_learn_s_with_silent_tokens_tied(values, labels):
    carried = labels.tokens.toarray()
    auroc, average = rank_metrics(rank_sparse(csr_array(values)), labels.tokens)
    for column, concept in pairs(labels):
        truth, score = carried[:, concept], values[:, column]
        if not truth.any():
            assert np.isnan(auroc[column, concept])
            assert np.isnan(average[column, concept])
            continue
        assert auroc[column, concept] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert average[column, concept] == pytest.approx(average_precision_score(truth, score), abs=1e-12)
    assert auroc[DEAD, 0] == 0.5


def test_a_concept_on_silent_tokens_alone_ranks_below_what_is_active():
    values = np.array([[1.0, 0], [2.0, 0], [0, 0], [0, 0], [0, 0]])
    carried = csr_array(np.array([[0], [0], [1], [0], [1]], dtype=bool))
    auroc, average = rank_metrics(rank_sparse(csr_array(values)), carried)
    assert auroc[:, 0].tolist() == [pytest.approx(roc_auc_score([0, 0, 1, 0, 1], values[:, 0])), 0.5]
    assert average[:, 0].tolist() == [pytest.approx(2 / 5)] * 2


def test_a_token_at_the_threshold_is_called_and_one_just_below_is_not():
    values = np.array([[1.0], [0.5], [np.nextafter(0.5, 0)], [0.0]])
    labels = ConceptLabels(["c"], csr_array(np.array([[1], [1], [0], [0]], dtype=np.int32)), np.array([0]))
    threshold, counts = best_thresholds(rank_sparse(csr_array(values)), labels.tokens)
    assert threshold[0, 0] == 0.5
    assert (counts.true_positives[0, 0], counts.called[0, 0]) == (2, 2)
    for limit, hits, called in ((0.5, 2, 2), (np.nextafter(0.5, 1), 1, 1), (np.nextafter(0.5, 0), 2, 3)):
        counts = counts_at(rank_sparse(csr_array(values)), labels.tokens, np.array([[limit]]))
        assert (counts.true_positives[0, 0], counts.called[0, 0]) == (hits, called)


def test_counts_at_the_best_thresholds_are_those_that_were_found_with_them(values, labels):
    ranked = rank_sparse(csr_array(values))
    threshold, counts = best_thresholds(ranked, labels.tokens)
    for one, other in zip(counts_at(ranked, labels.tokens, threshold), counts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dead_column_calls_nothing_and_a_concept_without_tokens_has_no_f1(values, labels):
    threshold, counts = best_thresholds(rank_sparse(csr_array(values)), labels.tokens)
    assert (threshold[DEAD] == np.inf).all()
    assert (counts.f1[DEAD, :ABSENT] == 0).all()
    assert np.isnan(counts.f1[:, ABSENT]).all()
    later = counts_at(rank_sparse(csr_array(values + 1)), labels.tokens, threshold)
    assert (later.called[DEAD] == 0).all()


def test_a_region_of_several_parts_counts_once_and_only_where_a_token_of_it_is_called(values, labels):
    ranked = rank_sparse(csr_array(values))
    threshold, _ = best_thresholds(ranked, labels.tokens)
    found = regions_found(ranked, labels, threshold)
    member = labels.regions.toarray().astype(bool)
    for column, concept in pairs(labels):
        called = values[:, column] >= threshold[column, concept]
        mine = [region for region in range(30) if labels.concept_of[region] == concept]
        assert found[column, concept] == sum((called & member[:, region]).any() for region in mine)
    np.testing.assert_array_equal(
        labels.region_counts,
        [sum(member[:, r].any() for r in range(30) if labels.concept_of[r] == c) for c in range(4)],
    )


def by_hand(truth, called):
    return 2 * (truth & called).sum() / (truth.sum() + called.sum())


def test_dense_columns_in_blocks_and_of_either_sign_are_those_taken_one_by_one(labels, monkeypatch):
    rng = np.random.default_rng(5)
    activations, directions = rng.normal(size=(TOKENS, 6)), rng.normal(size=(6, 5))
    monkeypatch.setattr("mints.features.columns.BLOCK", 3 * TOKENS)
    for columns, plain in (
        (DenseColumns(activations), np.hstack([activations, -activations])),
        (DenseColumns(activations, directions, both_signs=False), activations @ directions),
    ):
        np.testing.assert_allclose(columns.take(np.arange(columns.width)), plain)
        chosen = choose(columns, labels.tokens)
        carried = labels.tokens.toarray()
        for concept in range(ABSENT):
            truth = carried[:, concept]
            brute = [max(by_hand(truth, column >= limit) for limit in np.unique(column)) for column in plain.T]
            assert chosen.f1[concept] == pytest.approx(max(brute))
            assert chosen.column[concept] == int(np.argmax(brute))


def test_of_equal_columns_the_first_is_chosen(values, labels):
    twice = np.hstack([values, values])
    assert (choose(SparseColumns(csr_array(twice)), labels.tokens).column < COLUMNS).all()
