"""What is chosen on validation, reported on test, and held against chance."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from mints.analysis.bootstrap import cluster_weights
from mints.features.columns import DenseColumns, SparseColumns, principal_directions
from mints.features.concept_scores import (
    F1,
    Chosen,
    called_by,
    choose,
    count_windows,
    draw_shifts,
    f1_of,
    f1_of_calling_everything,
    score_pairs,
    shift_null,
)
from mints.features.concept_tables import (
    ABOVE_ALL,
    ABOVE_NULL,
    NOT_FOUND,
    NOT_IN_TEST,
    NOT_SCORED,
    Contender,
    baseline_table,
    is_supported,
    latent_table,
    null_table,
    summary_table,
    support_table,
    verdicts,
)
from mints.features.concepts import ConceptLabels
from mints.features.random_directions import random_directions

TOKENS, WINDOWS, LATENTS = 3000, 60, 40
WINDOW = np.repeat(np.arange(WINDOWS), TOKENS // WINDOWS)


def planted(seed):
    """Latents at random, except that latent 7 follows concept 0, with errors; none follows the rare concept 1."""
    rng = np.random.default_rng(seed)
    regions = np.zeros((TOKENS, 60), dtype=np.int32)
    for region in range(60):
        start = rng.integers(0, TOKENS - 10)
        regions[start : start + rng.integers(2, 9), region] = 1
    labels = ConceptLabels(["found", "rare"], csr_array(regions), np.where(np.arange(60) < 50, 0, 1))
    latents = rng.exponential(size=(TOKENS, LATENTS)) * (rng.random((TOKENS, LATENTS)) < 0.05)
    truth = labels.tokens.toarray()[:, 0]
    latents[:, 7] = np.where(truth, 2 + rng.random(TOKENS), 0) * (rng.random(TOKENS) < 0.9) + latents[:, 7] * 0.5
    return SparseColumns(csr_array(latents.astype(np.float32))), labels


@pytest.fixture(scope="module")
def validation():
    return planted(0)


@pytest.fixture(scope="module")
def test_half():
    return planted(1)


def weights(resamples=400):
    return cluster_weights(np.arange(WINDOWS), resamples, np.random.default_rng(3))


def test_the_latent_that_follows_a_concept_is_chosen_and_its_test_f1_is_counted_by_hand(validation, test_half):
    chosen = choose(validation[0], validation[1].tokens)
    assert chosen.column[0] == 7
    called = called_by(test_half[0], chosen)
    value = f1_of(count_windows(called, test_half[1], WINDOW, WINDOWS), weights()).value
    for concept in range(2):
        column = test_half[0].take(np.array([chosen.column[concept]]))[:, 0] >= chosen.threshold[concept]
        truth = test_half[1].tokens.toarray()[:, concept]
        assert value[concept] == pytest.approx(2 * (column & truth).sum() / (column.sum() + truth.sum()))
    assert value[0] > 0.85
    assert value[1] < 0.1


def test_garbage_in_place_of_the_test_labels_changes_no_choice(validation, test_half):
    garbage = ConceptLabels(
        test_half[1].names,
        csr_array(np.random.default_rng(9).integers(0, 2, test_half[1].regions.shape).astype(np.int32)),
        test_half[1].concept_of,
    )
    one, other = (score_pairs(*validation, test_half[0], labels) for labels in (test_half[1], garbage))
    np.testing.assert_array_equal(one.threshold, other.threshold)
    np.testing.assert_array_equal(one.validation.true_positives, other.validation.true_positives)
    assert (one.test.true_positives != other.test.true_positives).any()
    np.testing.assert_array_equal(one.test.called, other.test.called)


def test_the_interval_resamples_whole_windows(validation, test_half):
    called = called_by(test_half[0], choose(validation[0], validation[1].tokens))
    counts, drawn = count_windows(called, test_half[1], WINDOW, WINDOWS), weights(5)
    truth = test_half[1].tokens.toarray()
    resampled = f1_of(counts, drawn).resampled
    for resample in range(5):
        tokens = np.concatenate([np.flatnonzero(w == WINDOW) for w in np.repeat(np.arange(WINDOWS), drawn[resample])])
        both = (called & truth)[tokens].sum(0)
        expected = 2 * both / (called[tokens].sum(0) + truth[tokens].sum(0))
        np.testing.assert_allclose(resampled[resample], expected)


def test_a_resample_without_the_concept_has_no_f1():
    labels = ConceptLabels(["c"], csr_array(np.array([[1], [0]], dtype=np.int32)), np.array([0]))
    counts = count_windows(np.ones((2, 1), dtype=bool), labels, np.array([0, 1]), 2)
    value, resampled = f1_of(counts, np.array([[0, 2], [2, 0]]))
    assert value[0] == pytest.approx(2 / 3)
    assert np.isnan(resampled[0, 0])
    assert resampled[1, 0] == 1.0


def test_shuffled_labels_give_a_rare_concept_an_f1_near_its_base_rate(validation, test_half):
    shifts = draw_shifts(TOKENS, TOKENS, 40, np.random.default_rng(4))
    assert all(TOKENS / 20 < each < TOKENS * 19 / 20 for shift in shifts for each in shift)
    null = shift_null(validation[0], validation[1].tokens, test_half[0], test_half[1].tokens, shifts)
    base = test_half[1].positives / TOKENS
    assert base[1] < 0.03
    assert null[:, 1].mean() < 2 * base[1]
    found = f1_of(
        count_windows(
            called_by(test_half[0], choose(validation[0], validation[1].tokens)), test_half[1], WINDOW, WINDOWS
        ),
        weights(),
    ).value
    table = null_table(found, null)
    assert table["p"].to_numpy()[0] == 1 / 41
    assert found[0] > 3 * null[:, 0].max()
    # Were the latent chosen on the labels that it is judged by, chance alone would look like a find.
    leaked = []
    for shift in shifts[:10]:
        labels = csr_array(test_half[1].tokens[np.roll(np.arange(TOKENS), shift.test)])
        leaked.append(choose(test_half[0], labels).f1[1])
    assert np.mean(leaked) > 2 * null[:, 1].mean()


def test_the_null_repeats_the_whole_choice_on_the_shifted_labels(validation, test_half):
    (shift,) = draw_shifts(TOKENS, TOKENS, 1, np.random.default_rng(5))
    null = shift_null(validation[0], validation[1].tokens, test_half[0], test_half[1].tokens, [shift])
    moved = np.roll(validation[1].tokens.toarray(), shift.validation, axis=0)
    chosen = choose(validation[0], csr_array(moved))
    called = test_half[0].take(chosen.column) >= chosen.threshold
    truth = np.roll(test_half[1].tokens.toarray(), shift.test, axis=0)
    np.testing.assert_allclose(null[0], 2 * (called & truth).sum(0) / (called.sum(0) + truth.sum(0)))


def test_p_is_the_rank_among_the_shifts_and_a_concept_that_test_lacks_has_none():
    null = np.array([[0.1, 0.5, 0.0], [0.2, 0.1, 0.0], [0.3, 0.1, 0.0], [0.4, 0.1, 0.0]])
    table = null_table(np.array([0.35, 0.5, np.nan]), null)
    assert table["p"].tolist()[:2] == [2 / 5, 2 / 5]
    assert table["q"].tolist()[:2] == [2 / 5, 2 / 5]
    assert table[["p", "q"]].iloc[2].isna().all()
    assert table["null_p95"].iloc[0] == pytest.approx(0.385)


def contender(name, validation_f1, true_positives, called, positives):
    counts = (np.array(each)[:, None] for each in (true_positives, called, positives))
    chosen = Chosen(np.array([0]), np.array([1.0]), np.array([validation_f1]))
    from mints.features.concept_scores import WindowCounts

    return Contender(name, chosen, WindowCounts(*counts))


def scored(f1, q):
    return pd.DataFrame({"concept": ["c"], "f1": [f1], "q": [q]})


def test_a_verdict_needs_every_baseline_below_and_the_null_too():
    positives = np.full(30, 4)
    latents = contender("latents", 0.9, np.full(30, 4), np.full(30, 4), positives)
    weak = contender("weak", 0.8, np.full(30, 1), np.full(30, 4), positives)
    close = contender("close", 0.5, np.tile([4, 3], 15), np.full(30, 4), positives)
    better = contender("better", 0.4, np.full(30, 4), np.full(30, 4), positives)
    drawn = cluster_weights(np.arange(30), 300, np.random.default_rng(0))
    for baselines, q, expected in (
        ([weak, close], 0.01, ABOVE_ALL),
        ([weak, close], 0.06, NOT_FOUND),
        ([weak, close, better], 0.01, ABOVE_NULL),
    ):
        table = baseline_table(["c"], latents, baselines, drawn, 0.95)
        row = verdicts(scored(1.0, q), table).iloc[0]
        assert row["verdict"] == expected
        assert row["best_baseline"] == "weak"
        assert row["difference"] == pytest.approx(1 - 0.25)
    assert verdicts(scored(np.nan, np.nan), table).iloc[0]["verdict"] == NOT_IN_TEST


def test_the_summary_says_which_concepts_are_told_or_plainly_that_none_is():
    table = pd.DataFrame(
        {
            "site": ["a"] * 4 + ["b"] * 2,
            "concept": ["w", "x", "y", "z", "w", "x"],
            "scored": [True, True, True, False, True, True],
            "f1": [0.3, 0.7, np.nan, np.nan, 0.2, 0.1],
            "verdict": [ABOVE_ALL, ABOVE_ALL, NOT_IN_TEST, NOT_SCORED, ABOVE_NULL, NOT_FOUND],
        }
    )
    first, second = summary_table(table).to_dict("records")
    assert first["statement"] == "told better than by every baseline (F1): x (0.70), w (0.30)"
    counts = ("concepts", "scored", "judged", "above_the_null", "above_every_baseline")
    assert [first[count] for count in counts] == [4, 3, 2, 2, 2]
    assert second["statement"] == "no latent tells a concept better than every baseline does"
    assert [second[count] for count in counts[2:]] == [2, 1, 0]


def test_differences_are_paired_window_by_window():
    positives, hits = np.full(20, 3), np.random.default_rng(1).integers(0, 4, 20)
    latents = contender("latents", 0.9, hits, np.full(20, 3), positives)
    same = contender("same", 0.5, hits, np.full(20, 3), positives)
    row = baseline_table(
        ["c"], latents, [same], cluster_weights(np.arange(20), 100, np.random.default_rng(0)), 0.95
    ).iloc[0]
    assert (row["difference_low"], row["difference"], row["difference_high"]) == (0, 0, 0)
    assert row["f1_low"] < row["f1"] < row["f1_high"]


def test_the_table_s_region_figures_count_each_region_once(validation, test_half):
    pairs = score_pairs(*validation, *test_half)
    chosen = choose(validation[0], validation[1].tokens)
    called = called_by(test_half[0], chosen)
    counts = count_windows(called, test_half[1], WINDOW, WINDOWS)
    drawn = weights()
    table = latent_table(test_half[1], Contender("latents", chosen, counts), pairs, f1_of(counts, drawn), 0.95)
    member = test_half[1].regions.toarray().astype(bool)
    found = np.mean([(called[:, 0] & member[:, region]).any() for region in range(50)])
    precision = (called & test_half[1].tokens.toarray())[:, 0].sum() / called[:, 0].sum()
    assert table["region_recall"][0] == pytest.approx(found)
    assert table["region_f1"][0] == pytest.approx(2 * precision * found / (precision + found))
    assert table["f1"][0] == pytest.approx(pairs.test.f1[7, 0])
    assert table["f1_low"][0] < table["f1"][0] < table["f1_high"][0]


def test_support_counts_regions_and_tokens_with_and_without_the_concept():
    regions = np.zeros((60, 18), dtype=np.int32)
    for region in range(6):
        regions[8 * region : 8 * region + 8, region] = 1  # 48 tokens of `frequent`: 12 are without it
        regions[4 * region : 4 * region + 4, 6 + region] = 1  # 24 tokens of `enough`
    regions[:24, 12] = 1  # one region of many tokens
    regions[[3, 9, 12, 20, 30], [13, 14, 15, 16, 17]] = 1  # five regions of five tokens
    concept_of = np.repeat([0, 1, 2, 3], [6, 6, 1, 5])
    labels = ConceptLabels(["frequent", "enough", "one region", "few tokens"], csr_array(regions), concept_of)
    assert is_supported(labels).tolist() == [False, True, False, False]
    table = support_table(labels, labels)
    assert table["validation_tokens"].tolist() == [48, 24, 24, 5]
    assert table["validation_regions"].tolist() == [6, 6, 1, 5]
    assert f1_of_calling_everything(labels)[0] == pytest.approx(2 * 0.8 / 1.8)


def test_baselines_find_what_is_planted_along_a_direction():
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.1
    labels = ConceptLabels(["c"], csr_array(truth[:, None].astype(np.int32)), np.array([0]))
    direction = random_directions(5, 1, rng)[:, 0].astype(np.float32)
    assert np.linalg.norm(direction) == pytest.approx(1)
    activations = (rng.normal(size=(2000, 5)) * 0.1 - 3 * truth[:, None] * direction).astype(np.float32)
    components = DenseColumns(activations, principal_directions(activations))
    assert choose(components, labels.tokens).f1[0] > 0.99  # the component's sign is arbitrary, and both are tried
    assert abs(principal_directions(activations)[:, 0] @ direction) > 0.99
    one_sign = DenseColumns(activations, direction[:, None].copy(), both_signs=False)
    assert choose(one_sign, labels.tokens).f1[0] < 0.3
    assert isinstance(
        f1_of(count_windows(np.ones((2000, 1), bool), labels, np.zeros(2000, int), 1), np.ones((1, 1))), F1
    )
