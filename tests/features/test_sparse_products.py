"""Encoding and decoding of active latents alone, against scatter and dense products."""

import pytest
import torch
from torch.testing import assert_close

from mints.features import topk_kinds
from mints.features.sparse_products import pattern_at, places_above, sparse_decode, sparse_encode
from mints.features.topk_kinds import AUXILIARY_WEIGHT, BatchTopK, MatryoshkaBatchTopK, TopK, largest_of_all

D_IN, D_SAE, TOKENS, K = 10, 24, 30, 4
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


def random_training(kind, seed=0, **settings):
    """Weights of every kind of size, with biases that leave some tokens fewer than k positive latents."""
    autoencoder = kind(D_IN, D_SAE, K, **settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in autoencoder.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
        autoencoder.b_enc.sub_(2.0)
    return autoencoder


def some_activations():
    return 2 * torch.randn(TOKENS, D_IN, generator=torch.Generator().manual_seed(1))


def dense_pre(autoencoder, x):
    return (x - autoencoder.b_dec) @ autoencoder.W_enc.T + autoencoder.b_enc


def dense_latents(autoencoder, x):
    """Latent by latent from the definitions: the k largest of a token, or the k · tokens largest of the batch."""
    positive = dense_pre(autoencoder, x).relu()
    flat = positive.flatten() if isinstance(autoencoder, BatchTopK) else positive
    count = K * len(x) if isinstance(autoencoder, BatchTopK) else K
    kept = flat.topk(count, dim=-1)
    return torch.zeros_like(flat).scatter(-1, kept.indices, kept.values).view_as(positive)


def dense_loss(autoencoder, x, dead=None):
    latents = dense_latents(autoencoder, x)
    widths = autoencoder.widths if isinstance(autoencoder, MatryoshkaBatchTopK) else (D_SAE,)
    loss = 0.0
    for width in widths:
        output = latents[:, :width] @ autoencoder.W_dec[:width] + autoencoder.b_dec
        loss = loss + (output - x).square().sum(1).mean()
    if dead is not None:
        error = (output - x).detach()
        positive = dense_pre(autoencoder, x).relu() * dead
        kept = positive.topk(min(D_IN // 2, int(dead.sum())), dim=1)
        explained = torch.zeros_like(positive).scatter(1, kept.indices, kept.values) @ autoencoder.W_dec
        share = (explained + error).square().sum() / (error - error.mean(0)).square().sum()
        loss = loss + AUXILIARY_WEIGHT * D_IN * share
    return loss


def gradients(autoencoder, loss):
    autoencoder.zero_grad()
    loss.backward()
    return {name: getattr(autoencoder, name).grad.clone() for name in NAMES}


@pytest.mark.parametrize("kind", [TopK, BatchTopK, MatryoshkaBatchTopK])
@pytest.mark.parametrize("dead_latents", [0, 3, 12])
@pytest.mark.parametrize("dense_up_to", [0, 8])
def test_loss_and_every_gradient_are_those_of_dense_products(kind, dead_latents, dense_up_to, monkeypatch):
    monkeypatch.setattr(topk_kinds, "DENSE_UP_TO", dense_up_to)
    autoencoder, x = random_training(kind), some_activations()
    dead = None
    if dead_latents:
        dead = torch.zeros(D_SAE, dtype=torch.bool)
        dead[:: D_SAE // dead_latents] = True
    loss, error, fired = autoencoder.outcome(x, dead)
    expected = dense_loss(autoencoder, x, dead)
    latents = dense_latents(autoencoder, x)
    assert_close(loss, expected)
    assert_close(error, (latents @ autoencoder.W_dec + autoencoder.b_dec - x).detach())
    assert torch.equal(fired, (latents > 0).sum(0))
    assert int((latents > 0).sum(1).min()) < K  # some token has fewer positive latents than it might
    sparse, dense = gradients(autoencoder, loss), gradients(autoencoder, dense_loss(autoencoder, x, dead))
    for name in NAMES:
        assert_close(sparse[name], dense[name], atol=1e-5, rtol=1e-5)
        assert sparse[name].abs().max() > 1e-3


@pytest.mark.parametrize("dense_up_to", [0, 8])
def test_the_auxiliary_loss_alone_reaches_encoder_and_decoder_of_the_dead_latents_only(dense_up_to, monkeypatch):
    monkeypatch.setattr(topk_kinds, "DENSE_UP_TO", dense_up_to)
    autoencoder, x = random_training(TopK), some_activations()
    dead = torch.zeros(D_SAE, dtype=torch.bool)
    dead[[2, 7, 11]] = True
    with torch.no_grad():
        centred = x - autoencoder.b_dec
        pre = dense_pre(autoencoder, x)
        error = autoencoder.outcome(x, None).error
    found = gradients(autoencoder, autoencoder.auxiliary_loss(pre, centred, error, dead))
    for name in ("W_enc", "b_enc", "W_dec"):
        size = found[name].view(D_SAE, -1).abs().sum(1)
        assert (size[dead] > 0).all()
        assert (size[~dead] == 0).all()


def test_with_no_dead_latent_there_is_no_auxiliary_loss():
    autoencoder, x = random_training(TopK), some_activations()
    none_dead = torch.zeros(D_SAE, dtype=torch.bool)
    assert autoencoder.outcome(x, none_dead).loss == autoencoder.outcome(x, None).loss


def test_sparse_products_of_an_empty_pattern_are_nothing():
    none = pattern_at(torch.zeros(0, dtype=torch.int64), 3, 5)
    weights, bias = torch.ones(5, 2, requires_grad=True), torch.zeros(5, requires_grad=True)
    values = sparse_encode(torch.zeros(3, 5), torch.ones(3, 2), weights, bias, torch.zeros(2), none)
    decoded = sparse_decode(values, weights, none)
    decoded.sum().backward()
    assert torch.equal(decoded, torch.zeros(3, 2))
    assert torch.equal(weights.grad, torch.zeros(5, 2))


@pytest.mark.parametrize("guess", [0.0, 0.7, 50.0])
def test_the_guess_changes_nothing_about_which_latents_are_the_largest_of_a_batch(guess):
    pre = torch.randn(40, 30, generator=torch.Generator().manual_seed(2))
    places = largest_of_all(pre, 100, guess)
    assert torch.equal(places, pre.flatten().topk(100).indices.sort().values)
    assert len(largest_of_all(pre, 10_000, guess)) == int((pre > 0).sum())


def test_places_above_a_bound_are_in_order():
    values = torch.tensor([[0.5, 2.0, 1.0], [3.0, 1.0, 4.0]])
    assert places_above(values, 1.0).tolist() == [1, 3, 5]
