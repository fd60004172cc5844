"""What a decoder row does to the prediction of tokens: against a head written out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from torch.nn import functional

from mints.features.logit_effects import HeadAt, largest_random_change, logit_effect, reaches_the_head

ALL = range(30)


@pytest.fixture(scope="module", params=[POST, PRE], ids=["post", "pre"])
def encoder(request):
    return scattered(replace(request.param, masked_language_head=True))


@pytest.fixture(scope="module")
def stream():
    return torch.randn((6, 24), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def change(encoder, stream):
    return HeadAt(encoder, stream).changes(torch.linspace(-1, 1, 24)[None])[0]


def by_hand(encoder, x):
    """Final norm, if there is one, dense, GELU, norm, output matrix, softmax; one position at a time."""
    rows = []
    for one in x:
        if encoder.architecture.norm_placement == "pre":
            one = functional.layer_norm(one, (24,), encoder.ln_final.weight, encoder.ln_final.bias, 1e-5)
        hidden = functional.gelu(encoder.head.dense.weight @ one + encoder.head.dense.bias)
        norm = encoder.head.norm
        hidden = functional.layer_norm(hidden, (24,), norm.weight, norm.bias, norm.eps)
        matrix = getattr(encoder.head, "decoder", encoder.embed.weight)
        logits = matrix @ hidden + encoder.head.bias
        rows.append(logits - logits.exp().sum().log())
    return torch.stack(rows).detach().double().numpy()


def test_changes_are_those_of_the_head_written_out_for_every_direction(encoder, stream):
    directions = torch.stack([torch.linspace(-1, 1, 24), torch.linspace(2, 0, 24)])
    expected = [by_hand(encoder, stream + each) - by_hand(encoder, stream) for each in directions]
    assert HeadAt(encoder, stream).changes(directions) == pytest.approx(np.stack(expected), abs=1e-5)


def test_the_most_promoted_and_most_suppressed_of_the_tokens_are_listed(change):
    found = logit_effect(change, range(5, 20), np.ones((3, 6), dtype=int), 0.95, 3)
    mean = change.mean(axis=0)
    order = sorted(range(5, 20), key=lambda token: mean[token])
    assert [each.token for each in found.promoted] == order[::-1][:3]
    assert [each.token for each in found.suppressed] == order[:3]
    for each in (*found.promoted, *found.suppressed):
        assert (each.low, each.change, each.high) == pytest.approx((mean[each.token],) * 3)


def test_intervals_are_those_of_the_resampled_positions(change):
    weights = np.array([[6, 0, 0, 0, 0, 0], [0, 6, 0, 0, 0, 0]])
    first = logit_effect(change, ALL, weights, 1.0, 1).promoted[0]
    assert (first.low, first.high) == pytest.approx((change[:2, first.token].min(), change[:2, first.token].max()))


def test_no_direction_changes_nothing(encoder, stream):
    still = HeadAt(encoder, stream).changes(torch.zeros((3, 24)))
    assert still == pytest.approx(0.0, abs=1e-5)
    assert largest_random_change(still, ALL) == pytest.approx(0.0, abs=1e-5)
    assert np.isnan(largest_random_change(still[:0], ALL))


def test_the_reach_of_random_directions_is_the_median_of_their_largest_mean_changes():
    changes = np.zeros((3, 2, 4))
    changes[0, :, 1] = [1.0, 3.0]  # mean 2
    changes[1, :, 2] = [-5.0, -7.0]  # mean −6
    changes[2, :, 0] = [9.0, 9.0]  # mean 9, of a token that is not listed
    assert largest_random_change(changes, [1, 2, 3]) == 2.0
    assert largest_random_change(changes, range(4)) == 6.0


def test_only_sites_of_the_residual_stream_reach_the_head():
    assert reaches_the_head("blocks.3.hook_resid_post")
    assert reaches_the_head("blocks.0.hook_mlp_out")
    assert not reaches_the_head("blocks.0.mlp.hook_post")
    assert not reaches_the_head("blocks.0.attn.hook_z")
