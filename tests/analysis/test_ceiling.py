"""The ridge ceiling: what it finds, what it does not, and scikit-learn's ridge beside it."""

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from scipy.stats import t
from sklearn.linear_model import Ridge

from mints.analysis.ceiling import (
    PENALTIES,
    CrossProducts,
    attention_input,
    ceilings,
    cross_products,
    fold_of,
    measure_ceilings,
    reading_r,
    ridge,
)
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")


def products_of(x, y):
    """Cross-products of centred tokens of one layer."""
    return CrossProducts((x.T @ x)[None], (x.T @ y)[None], float(y @ y), x.mean(0)[None], len(y))


def planted(rng, tokens, direction, noise):
    """Folds of tokens whose score is a reading along a direction of correlated dimensions, and noise."""
    mixing = np.random.default_rng(0).normal(size=(len(direction), len(direction)))
    folds = []
    for _ in range(5):
        x = rng.normal(size=(tokens, len(direction))) @ mixing
        reading = x @ direction
        x, y = x - x.mean(0), reading / np.linalg.norm(mixing @ direction) + noise * rng.normal(size=tokens)
        folds.append((x, y - y.mean()))
    return folds


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_a_planted_linear_relation_is_found_at_its_true_strength(noise):
    rng = np.random.default_rng(1)
    folds = planted(rng, 3000, rng.normal(size=20), noise)
    (found,) = ceilings([products_of(*fold) for fold in folds], level=0.95)
    truth = 1 / np.sqrt(1 + noise**2)
    assert found.r == pytest.approx(truth, abs=0.02)
    assert found.low - 0.01 < truth < found.high + 0.01


def test_noise_has_a_ceiling_of_nothing_though_it_can_be_fitted():
    """40 dimensions fit 60 tokens of noise well; on other tokens the fit is worth nothing."""
    found, fitted = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        parts = [products_of(rng.normal(size=(60, 40)), rng.normal(size=60)) for _ in range(5)]
        found.append(ceilings(parts, level=0.95)[0])
        fitted.append(reading_r(ridge(parts[:1], 0, 1e-6), parts[0], 0))
    assert np.mean(fitted) > 0.7
    assert np.mean([each.r for each in found]) == pytest.approx(0, abs=0.04)


def test_three_folds_are_the_fewest():
    rng = np.random.default_rng(1)
    parts = [products_of(*fold) for fold in planted(rng, 50, rng.normal(size=4), 1.0)]
    assert len(ceilings(parts[:3], 0.95)) == 1
    with pytest.raises(ValueError, match="three folds"):
        ceilings(parts[:2], 0.95)


# From a model, against scikit-learn


def random_encodings(rng, count):
    items = []
    for length in rng.integers(4, 30, count):
        special = np.zeros(length, dtype=bool)
        special[[0, -1]] = True
        items.append(Encoding(rng.integers(5, 30, length), np.zeros((length, 2), dtype=int), special))
    return items


def slow_tokens(encoder, layer, items, bits, *, centred=True):
    """Input of the layer and scores of every sequence's tokens, centred within it, one sequence at a time."""
    rows, scores = [], []
    for item, of_item in zip(items, bits, strict=True):
        residual = encoder.run(torch.from_numpy(item.ids)[None], stop=layer).residual[0]
        if encoder.architecture.norm_placement == "pre":
            residual = encoder.block(layer).ln1(residual)
        known = np.isfinite(of_item)
        x, y = residual.detach().double().numpy()[~item.special][known], of_item[known].astype(float)
        if known.any():
            rows += [*(x - x.mean(0) * centred)]
            scores += [*(y - y.mean() * centred)]
    return np.array(rows), np.array(scores)


def plain_r(model, x, y):
    read = x @ model.coef_
    return read @ y / np.sqrt((read @ read) * (y @ y))


def slow_ceiling(folds, level):
    """Cross-fitting with scikit-learn: penalty chosen on the next fold, direction fitted on all but the judged one."""

    def fitted(parts, penalty):
        x, y = (np.concatenate(side) for side in zip(*parts, strict=True))
        return Ridge(alpha=penalty * (x**2).sum() / x.shape[1], fit_intercept=False).fit(x, y)

    judged = []
    for k, fold in enumerate(folds):
        chooser = folds[(k + 1) % 5]
        rest = [folds[(k + step) % 5] for step in (2, 3, 4)]
        chosen = {penalty: plain_r(fitted(rest, penalty), *chooser) for penalty in PENALTIES}
        penalty = max(chosen, key=chosen.get)
        judged.append(plain_r(fitted([chooser, *rest], penalty), *fold))
    low, high = t.interval(level, 4, loc=np.mean(np.arctanh(judged)), scale=np.std(np.arctanh(judged), ddof=1) / 5**0.5)
    return np.tanh([np.mean(np.arctanh(judged)), low, high])


@pytest.fixture(params=[POST, PRE], ids=["post", "pre"])
def case(request):
    """A model, sequences in folds, and scores that its second layer's input partly explains."""
    rng = np.random.default_rng(2)
    encoder, items = scattered(request.param), random_encodings(rng, 60)
    direction, bits = rng.normal(size=24), []
    for item in items:
        residual = encoder.run(torch.from_numpy(item.ids)[None], stop=1).residual[0].detach().numpy()
        scores = residual[~item.special] @ direction + rng.normal(0, 6, (~item.special).sum())
        scores[rng.random(len(scores)) < 0.1] = -np.inf
        bits.append(scores.astype(np.float32))
    bits[7][:] = -np.inf
    return encoder, items, bits, np.arange(60) % 5


def test_ceilings_equal_a_cross_fit_with_scikit_learn(case):
    encoder, items, bits, folds = case
    found = measure_ceilings(encoder, items, bits, folds, FP32, tokens_per_batch=70, level=0.9)
    for layer in range(encoder.architecture.n_layers):
        parts = [
            slow_tokens(
                encoder, layer, *([side[row] for row in range(60) if folds[row] == fold] for side in (items, bits))
            )
            for fold in range(5)
        ]
        slow = slow_ceiling(parts, 0.9)
        np.testing.assert_allclose(found[layer], slow, atol=2e-4)
        assert 0.05 < found[layer].r < 0.95


def test_cross_products_equal_those_of_all_tokens_at_once(case):
    encoder, items, bits, _ = case
    products = cross_products(encoder, items, bits, FP32, tokens_per_batch=70)
    for layer in range(encoder.architecture.n_layers):
        x, y = slow_tokens(encoder, layer, items, bits)
        np.testing.assert_allclose(products.xx[layer], x.T @ x, rtol=1e-4, atol=2e-3)
        np.testing.assert_allclose(products.xy[layer], x.T @ y, rtol=1e-4, atol=2e-2)
        assert products.yy == pytest.approx(y @ y)
        assert products.n == len(y)
        raw, _ = slow_tokens(encoder, layer, items, bits, centred=False)
        np.testing.assert_allclose(products.mean[layer], raw.mean(0), atol=1e-5)


def test_queries_and_keys_are_linear_in_the_attention_input(case):
    encoder, items, _, _ = case
    attention, site = encoder.block(1).attn, attention_input(encoder, 1)
    cache = encoder.run(torch.from_numpy(items[0].ids)[None], sites=[site, "blocks.1.attn.hook_k"]).cache
    weight, bias = attention.qkv.weight[24:48], attention.qkv.bias[24:48]
    torch.testing.assert_close(cache["blocks.1.attn.hook_k"].flatten(2), cache[site] @ weight.T + bias)


# Folds


def test_folds_keep_clusters_whole_and_are_as_equal_as_that_allows():
    rng = np.random.default_rng(3)
    clusters = rng.integers(0, 23, 200) * 7
    folds = fold_of(clusters, 5, rng)
    assert all(len(set(folds[clusters == cluster].tolist())) == 1 for cluster in set(clusters.tolist()))
    held = [len(set(clusters[folds == fold].tolist())) for fold in range(5)]
    assert sorted(held) == [4, 4, 5, 5, 5]


def test_folds_follow_from_the_generator():
    clusters = np.arange(50)
    first, again, other = (fold_of(clusters, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
