"""Token floors against loops over every candidate token."""

import numpy as np
import pytest

from mints.analysis.masked_tokens import (
    HIDDEN,
    SMOOTHING,
    composition_losses,
    fit_floors,
    neighbours,
    unit_loss_rows,
)


@pytest.fixture(scope="module")
def stream():
    """A chain over six tokens in which each token mostly names the next."""
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.full(6, 0.3), size=6)
    tokens = [0]
    for _ in range(3000):
        tokens.append(int(rng.choice(6, p=table[tokens[-1]])))
    return np.array(tokens)


def counted(stream, size):
    """Unigram and pair counts by loops."""
    unigram = np.full(size, 0.5)
    pairs = np.zeros((size, size))
    for token in stream:
        unigram[token] += 1
    for left, right in zip(stream[:-1], stream[1:], strict=True):
        pairs[left, right] += 1
    return unigram / unigram.sum(), pairs


def test_unigram_losses_are_those_of_counted_tokens(stream):
    floors = fit_floors(stream, 8)
    unigram, _ = counted(stream, 8)
    assert floors.unigram == pytest.approx(unigram)
    assert floors.unigram_losses(np.array([0, 7])) == pytest.approx(-np.log(unigram[[0, 7]]))


@pytest.mark.parametrize(("left", "right"), [(2, 4), (HIDDEN, 4), (2, HIDDEN), (HIDDEN, HIDDEN), (7, 7)])
def test_bigram_losses_equal_a_loop_over_every_candidate(stream, left, right):
    floors = fit_floors(stream, 8)
    unigram, pairs = counted(stream, 8)
    smoothing = floors.smoothing

    def conditional(following, given):
        return (pairs[given, following] + smoothing * unigram[following]) / (pairs[given].sum() + smoothing)

    weights = []
    for token in range(8):
        before = unigram[token] if left == HIDDEN else conditional(token, left)
        after = 1.0 if right == HIDDEN else conditional(right, token)
        weights.append(before * after)
    expected = -np.log(np.array(weights) / sum(weights))
    losses = floors.bigram_losses(np.full(8, left), np.arange(8), np.full(8, right))
    assert losses == pytest.approx(expected)


def test_losses_are_the_same_however_many_are_asked_for_at_once(stream):
    floors = fit_floors(stream, 6)
    rng = np.random.default_rng(1)
    left, truth, right = rng.integers(0, 6, (3, 600))
    one_by_one = [floors.bigram_losses(left[i : i + 1], truth[i : i + 1], right[i : i + 1])[0] for i in range(600)]
    assert floors.bigram_losses(left, truth, right) == pytest.approx(one_by_one)


def test_two_neighbours_predict_better_than_one_and_one_better_than_none(stream):
    floors = fit_floors(stream[:2500], 6)
    left, truth, right = stream[2500:-2], stream[2501:-1], stream[2502:]
    hidden = np.full(len(truth), HIDDEN)
    both = floors.bigram_losses(left, truth, right).mean()
    one = floors.bigram_losses(left, truth, hidden).mean()
    none = floors.unigram_losses(truth).mean()
    assert both < one < none


def test_a_stream_without_order_is_smoothed_to_its_unigram():
    tokens = np.random.default_rng(0).integers(0, 200, 4000)
    floors = fit_floors(tokens, 200)
    assert floors.smoothing >= SMOOTHING[-3]


def test_neighbours_are_what_the_model_sees():
    tokens = np.array([[1, 10, 4, 12, 2], [1, 20, 21, 4, 2]])
    chosen = np.array([2, 3, 6, 8])
    left, right = neighbours(tokens, chosen, hidden_ids=[1, 2, 4])
    assert left.tolist() == [10, HIDDEN, HIDDEN, 21]
    assert right.tolist() == [12, HIDDEN, 21, HIDDEN]


def test_a_stream_too_short_to_split_is_an_error():
    with pytest.raises(ValueError, match="too short"):
        fit_floors(np.arange(10), 10)


def test_the_composition_of_the_visible_tokens_predicts_as_a_loop_says():
    hidden, unigram, smoothing = 0, np.array([0.0, 0.5, 0.3, 0.2]), 2.0
    tokens = np.array([[1, 0, 1, 2, 1], [3, 3, 0, 0, 2]])
    chosen, truth = np.array([1, 7, 8]), np.array([1, 3, 1])
    found = composition_losses(tokens, chosen, truth, [hidden], unigram, smoothing)
    expected = []
    for place, token in zip(chosen, truth, strict=True):
        seen = [int(t) for t in tokens[place // 5] if t != hidden]
        expected.append(-np.log((seen.count(token) + smoothing * unigram[token]) / (len(seen) + smoothing)))
    assert found == pytest.approx(expected)


def test_units_with_any_number_of_hidden_tokens_are_resampled_whole():
    rng = np.random.default_rng(0)
    units = np.array([0, 0, 0, 1, 3, 3])
    losses = {"model": rng.random(6), "unigram": rng.random(6) + 1}
    weights = rng.multinomial(4, np.full(4, 0.25), size=50)
    weights[:, 0] += 1
    rows = {row["predictor"]: row for row in unit_loss_rows(losses, units, weights, 0.9, reference="unigram")}
    gains = losses["unigram"] - losses["model"]
    resampled = [np.repeat(gains, row[units]).mean() for row in weights]
    assert rows["model"]["gain"] == pytest.approx(gains.mean())
    assert (rows["model"]["gain_low"], rows["model"]["gain_high"]) == pytest.approx(
        tuple(np.quantile(resampled, [0.05, 0.95]))
    )
    assert rows["model"]["loss"] == pytest.approx(losses["model"].mean())
    assert (rows["model"]["tokens"], rows["model"]["units"]) == (6, 3)
    assert rows["unigram"]["gain"] == rows["unigram"]["gain_low"] == 0
