"""A sparse autoencoder's definition, its rules, and its frame."""

import pytest
import torch
from torch.testing import assert_close

from mints.features.autoencoder import SparseAutoencoder
from mints.features.intervention import add_to_latents, change_latents, set_latents


def random_autoencoder(rule="relu", d_in=6, d_sae=20, **settings):
    autoencoder = SparseAutoencoder(d_in, d_sae, rule, **settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in autoencoder.parameters():
            parameter.normal_(generator=generator)
        autoencoder.scale.fill_(0.25)
        if rule == "threshold":
            autoencoder.threshold.uniform_(0.1, 1.5, generator=generator)
    return autoencoder.requires_grad_(False)


def some_activations(*shape):
    return 4 * torch.randn(*shape, 6, generator=torch.Generator().manual_seed(4)) + 1


def latents_by_hand(autoencoder, token, k=None):
    """One token, latent by latent, from the written definition without normalisation."""
    scaled = [float(value) * 0.25 for value in token]
    if autoencoder.subtracts_decoder_bias:
        scaled = [value - bias for value, bias in zip(scaled, autoencoder.b_dec.tolist(), strict=True)]
    pre = []
    for latent in range(autoencoder.d_sae):
        weights = autoencoder.W_enc[:, latent].tolist()
        pre.append(sum(x * w for x, w in zip(scaled, weights, strict=True)) + float(autoencoder.b_enc[latent]))
    largest = sorted(range(len(pre)), key=lambda latent: -pre[latent])[:k]
    kept = [latent in largest and pre[latent] > float(autoencoder.threshold[latent]) for latent in range(len(pre))]
    return [value if keep and value > 0 else 0.0 for value, keep in zip(pre, kept, strict=True)]


@pytest.mark.parametrize(("rule", "k"), [("relu", None), ("topk", 3), ("threshold", None)])
@pytest.mark.parametrize("subtracts", [True, False])
def test_latents_and_output_follow_the_written_definition(rule, k, subtracts):
    autoencoder = random_autoencoder(rule, k=k, subtracts_decoder_bias=subtracts)
    x = some_activations(5)
    latents, output = autoencoder(x)
    for token in range(5):
        expected = torch.tensor(latents_by_hand(autoencoder, x[token], k))
        assert_close(latents[token], expected, atol=1e-5, rtol=1e-5)
        assert_close(output[token], (expected @ autoencoder.W_dec + autoencoder.b_dec) / 0.25, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "unit_norm"])
def test_doubling_the_scale_of_the_input_and_halving_the_autoencoder_s_gives_the_same_latents(normalisation):
    autoencoder = random_autoencoder("topk", k=4, normalisation=normalisation)
    x = some_activations(5)
    latents = autoencoder.encode(x)
    if normalisation == "none":
        autoencoder.scale.div_(2)
    assert_close(autoencoder.encode(2 * x), latents, atol=1e-3, rtol=1e-3)


def test_layer_norm_is_undone_by_decoding():
    autoencoder = random_autoencoder("relu", normalisation="layer_norm")
    x = some_activations(5)
    frame = autoencoder.frame(x)
    assert_close(frame.centre[:, 0], x.mean(-1))
    assert_close(frame.size[:, 0], (x.std(-1) + 1e-5) / 0.25)
    with torch.no_grad():
        autoencoder.b_dec.copy_((x[2] - x[2].mean()) / frame.size[2])
    assert_close(autoencoder.decode(torch.zeros(20), autoencoder.frame(x[2])), x[2])


def test_active_latents_are_the_dense_ones_without_the_zeros():
    autoencoder = random_autoencoder("threshold")
    x = some_activations(7)
    offsets, latents, values = autoencoder.active(x)
    dense = torch.zeros(7, 20)
    for token in range(7):
        for entry in range(offsets[token], offsets[token + 1]):
            dense[token, latents[entry]] = values[entry]
    assert_close(dense, autoencoder.encode(x))
    assert len(values) == int((autoencoder.encode(x) > 0).sum()) > 0


def test_a_topk_autoencoder_without_k_is_refused():
    with pytest.raises(ValueError, match="needs k from 1 to 20, not None"):
        SparseAutoencoder(6, 20, "topk")


def test_changing_no_latent_changes_nothing_to_the_bit():
    x = some_activations(2, 7)
    for change in (lambda latents: latents, set_latents(torch.tensor([], dtype=torch.long), 0.0)):
        assert torch.equal(change_latents(random_autoencoder(), change)(x), x)


def test_a_latent_that_is_set_moves_the_activations_along_its_decoder_row_and_keeps_the_error():
    autoencoder = random_autoencoder()
    x = some_activations(2, 7)
    where = torch.zeros(2, 7, dtype=torch.bool)
    where[1, 3] = True
    before = autoencoder.encode(x)[1, 3, 11]
    changed = change_latents(autoencoder, set_latents(torch.tensor([11]), 5.0), where)(x)
    assert torch.equal(changed[~where], x[~where])
    assert_close(changed[1, 3] - x[1, 3], (5.0 - before) * autoencoder.W_dec[11] / 0.25, atol=1e-4, rtol=1e-4)
    error = x - autoencoder(x).output
    latents = autoencoder.encode(x)[1, 3].clone()
    latents[11] = 5.0
    decoded = autoencoder.decode(latents, autoencoder.frame(x[1, 3]))
    assert_close(changed[1, 3], decoded + error[1, 3], atol=1e-4, rtol=1e-4)


def test_adding_to_a_latent_does_not_bring_it_below_zero():
    autoencoder = random_autoencoder()
    x = some_activations(1, 3)
    ablated = change_latents(autoencoder, set_latents(torch.tensor([4]), 0.0))(x)
    lowered = change_latents(autoencoder, add_to_latents(torch.tensor([4]), -1e6))(x)
    assert_close(lowered, ablated)
    assert (ablated - x).abs().max() > 0.1
