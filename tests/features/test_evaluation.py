"""What an autoencoder is worth: reconstruction, activity, loss recovered, and twins between dictionaries."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from torch.nn import functional
from torch.testing import assert_close

from mints.features.activations import ordinary_tokens
from mints.features.autoencoder import SparseAutoencoder
from mints.features.evaluation import (
    MEAN,
    ORIGINAL,
    ZERO,
    hidden_losses,
    hide,
    loss_recovered,
    mean_ablation,
    reconstruction,
    splice,
    zero_ablation,
)
from mints.features.twins import twins
from mints.models.compute import resolve_compute
from mints.models.tokenizers import train_bpe

FP32 = resolve_compute("cpu", "fp32")
RNG = np.random.default_rng(0)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), length)) for length in (30, 44, 12, 38, 25)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["".join(RNG.choice(list("ACGT"), 400)) for _ in range(20)], 40)


@pytest.fixture(scope="module", params=[POST, PRE], ids=["post", "pre"])
def encoder(tokenizer, request):
    return scattered(replace(request.param, vocabulary_size=len(tokenizer.vocabulary), pad_id=tokenizer.pad_id))


@pytest.fixture(scope="module")
def encodings(tokenizer):
    return tokenizer.encode_many(SEQUENCES)


def identity(d_in, spare=0):
    """Passes positive and negative parts of every dimension on; spare latents are never active."""
    autoencoder = SparseAutoencoder(d_in, 2 * d_in + spare, "relu")
    both = torch.cat([torch.eye(d_in), -torch.eye(d_in)])
    with torch.no_grad():
        autoencoder.W_enc[:, : 2 * d_in] = both.T
        autoencoder.W_dec[: 2 * d_in] = both
    return autoencoder.requires_grad_(False)


def test_an_identity_explains_everything_with_as_many_active_latents_as_dimensions():
    batches = torch.randn(3, 50, 6, generator=torch.Generator().manual_seed(0)) + 2
    found = reconstruction(identity(6, spare=4), batches)
    assert found.tokens == 150
    assert found.variance_explained == 1
    assert found.l0 == 6
    assert found.dead >= 4 / 16
    assert_close(torch.from_numpy(found.frequency[:6]), (batches > 0).double().mean((0, 1)))
    assert found.dense == (found.frequency > 0.1).mean()


def test_variance_explained_is_that_of_all_tokens_at_once_whatever_the_batches():
    x = 3 + torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 3, 4, 5])
    autoencoder = identity(5)
    with torch.no_grad():
        autoencoder.W_dec.neg_()
    exact = x.double()
    expected = 1 - float((2 * exact).square().sum() / (exact - exact.mean(0)).square().sum())
    for parts in ([x], x.split(7), x.split(59)):
        assert reconstruction(autoencoder, parts).variance_explained == pytest.approx(expected, rel=1e-9)
    assert expected < 0  # it is not clipped
    with pytest.raises(ValueError, match="no token"):
        reconstruction(autoencoder, [])


def test_a_share_of_every_sequence_s_ordinary_tokens_is_hidden(encodings, tokenizer):
    hidden = hide(encodings, tokenizer, 0.2, np.random.default_rng(0))
    tokens = ordinary_tokens(encodings, tokenizer)
    places = set(zip(tokens.sequence, tokens.place, strict=True))
    chosen = list(zip(hidden.sequence, hidden.place, strict=True))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= places
    counts = np.bincount(tokens.sequence)
    assert np.bincount(hidden.sequence).tolist() == [max(1, round(0.2 * count)) for count in counts]
    again = hide(encodings, tokenizer, 0.2, np.random.default_rng(0))
    other = hide(encodings, tokenizer, 0.2, np.random.default_rng(1))
    assert np.array_equal(again.place, hidden.place)
    assert not np.array_equal(other.place, hidden.place)


def losses_by_hand(encoder, encodings, tokenizer, hidden, site, substitute):
    """One sequence at a time through a plain run."""
    losses = []
    for row, encoding in enumerate(encodings):
        places = hidden.place[hidden.sequence == row]
        ids = torch.from_numpy(encoding.ids.copy())
        ids[places] = tokenizer.mask_id
        content = torch.from_numpy(~encoding.special)

        def change(x, content=content):
            changed = x.clone()
            for place in content.nonzero()[:, 0]:
                changed[0, place] = substitute(x[0, place].flatten()[None]).view_as(x[0, place])
            return changed

        with torch.no_grad():
            logits = encoder.logits(encoder.run(ids[None], interventions={site: change}).residual)[0, places]
        truth = torch.from_numpy(encoding.ids[places])
        losses.append(functional.cross_entropy(logits, truth, reduction="none"))
    return torch.cat(losses).numpy()


@pytest.mark.parametrize(
    "site", ["hook_embed", "blocks.0.attn.hook_z", "blocks.1.mlp.hook_post", "blocks.2.hook_resid_post"]
)
def test_losses_of_hidden_tokens_are_those_of_each_sequence_alone(encoder, encodings, tokenizer, site):
    with torch.no_grad():
        width = encoder.run(torch.from_numpy(encodings[0].ids)[None], sites=[site]).cache[site].flatten(2).shape[2]
    halved = identity(width)
    with torch.no_grad():
        halved.W_dec.mul_(0.5)
    substitutes = {
        ZERO: zero_ablation(),
        MEAN: mean_ablation(torch.linspace(-1, 1, width)),
        "same": splice(identity(width)),
        "half": splice(halved),
    }
    hidden = hide(encodings, tokenizer, 0.2, np.random.default_rng(0))
    found = hidden_losses(encoder, encodings, tokenizer, hidden, site, substitutes, FP32, tokens_per_batch=60)
    assert list(found) == [ORIGINAL, ZERO, MEAN, "same", "half"]
    for name, losses in found.items():
        substitute = substitutes.get(name, lambda x: x)
        expected = losses_by_hand(encoder, encodings, tokenizer, hidden, site, substitute)
        np.testing.assert_allclose(losses, expected, atol=1e-4)
    np.testing.assert_allclose(found["same"], found[ORIGINAL], atol=1e-4)
    assert all(abs(found[one] - found[other]).max() > 1e-3 for one, other in pairwise([ORIGINAL, ZERO, MEAN]))


def test_loss_recovered_is_a_share_of_summed_losses_and_may_leave_0_to_1():
    losses = {
        ORIGINAL: np.array([1.0, 2.0, 1.0]),
        ZERO: np.array([3.0, 4.0, 5.0]),
        "good": np.array([1.5, 2.0, 2.5]),
        "worse": np.array([9.0, 9.0, 9.0]),
        "better": np.array([0.5, 1.0, 0.5]),
    }
    sequence = np.array([0, 0, 1])
    weights = np.array([[1, 1], [2, 0], [0, 2]])
    found = {name: loss_recovered(losses, name, ZERO, sequence, weights, 0.95) for name in ("good", "worse", "better")}
    assert found["good"].value == pytest.approx(6.0 / 8.0)
    of_each = [3.5 / 4.0, 2.5 / 4.0]
    assert min(of_each) <= found["good"].low < found["good"].value < found["good"].high <= max(of_each)
    assert found["worse"].value == pytest.approx(-15.0 / 8.0)
    assert found["better"].value == pytest.approx(10.0 / 8.0)
    nothing_lost = {ORIGINAL: losses[ORIGINAL], ZERO: losses[ORIGINAL], "good": losses["good"]}
    assert np.isnan(loss_recovered(nothing_lost, ORIGINAL, ZERO, sequence, weights, 0.95).value)


def test_twins_are_each_other_s_nearest_rows_above_the_bound():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(60, 4, generator=generator), torch.randn(50, 4, generator=generator)
    second[7] = 3 * first[11] + 0.01
    second[8] = first[11]
    first[5] = 0
    cosines = functional.cosine_similarity(first[:, None], second[None], dim=2)
    expected = {
        (row, int(cosines[row].argmax()))
        for row in range(60)
        if int(cosines[:, cosines[row].argmax()].argmax()) == row and cosines[row].max() > 0.7
    }
    found = twins(first, second)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert (11, 8) in expected
    assert len(expected) < 50
    assert 5 not in found.first
    assert_close(found.cosine, cosines[found.first, found.second])


def test_a_dictionary_in_another_order_has_a_twin_for_every_latent():
    rows = torch.randn(1500, 30, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(1500, generator=torch.Generator().manual_seed(1))
    found = twins(rows, rows[order])
    assert torch.equal(order[found.second], found.first)
    assert len(found.first) == 1500
