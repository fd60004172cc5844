"""Autoencoders written in SAELens's format and read back."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mints.errors import MintsError
from mints.features.autoencoder import SparseAutoencoder
from mints.features.saelens import from_saelens, to_saelens


def random_autoencoder(rule="threshold", **settings):
    autoencoder = SparseAutoencoder(6, 20, rule, **settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in autoencoder.parameters():
            parameter.normal_(generator=generator)
        autoencoder.scale.fill_(0.3)
        if rule == "threshold":
            autoencoder.threshold.uniform_(0.1, 1.5, generator=generator)
    return autoencoder.requires_grad_(False)


X = 4 * torch.randn(50, 6, generator=torch.Generator().manual_seed(4)) + 1


@pytest.mark.parametrize(("rule", "k"), [("relu", None), ("topk", 3), ("threshold", None)])
@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "unit_norm"])
def test_writing_and_reading_leaves_latents_outputs_and_l0_as_they_were(rule, k, subtracts, normalisation):
    before = random_autoencoder(rule, k=k, subtracts_decoder_bias=subtracts, normalisation=normalisation)
    configuration, tensors = to_saelens(before, {"hook_name": "blocks.1.hook_resid_post"})
    after = from_saelens(configuration, tensors)
    assert after.scale == 1
    assert_close(after.encode(X), before.encode(X), atol=1e-5, rtol=1e-5)
    assert_close(after(X).output, before(X).output, atol=1e-4, rtol=1e-5)
    assert (after.encode(X) > 0).sum() == (before.encode(X) > 0).sum() > 0
    assert configuration["metadata"]["activation_scale"] == pytest.approx(0.3)


def test_decoder_norms_that_saelens_multiplies_by_are_folded():
    configuration, tensors = to_saelens(random_autoencoder("topk", k=3), {})
    folded = from_saelens(configuration | {"rescale_acts_by_decoder_norm": True}, tensors)
    plain = from_saelens(configuration, tensors)
    norms = plain.W_dec.norm(dim=1)
    kept = (plain.pre_activations(X) * norms).topk(3, dim=1)
    expected = torch.zeros(50, 20).scatter(1, kept.indices, kept.values.relu())
    assert_close(folded.encode(X), expected, atol=1e-5, rtol=1e-5)
    assert_close(folded(X).output, (expected / norms) @ plain.W_dec + plain.b_dec, atol=1e-4, rtol=1e-5)
    assert_close(folded.W_dec.norm(dim=1), torch.ones(20))


def test_a_site_with_heads_is_written_as_one():
    assert to_saelens(random_autoencoder(), {"hook_name": "blocks.1.attn.hook_z"})[0]["reshape_activations"] == "hook_z"
    assert to_saelens(random_autoencoder(), {"hook_name": "blocks.1.hook_mlp_out"})[0]["reshape_activations"] == "none"


def test_what_cannot_be_read_is_named():
    configuration, tensors = to_saelens(random_autoencoder(), {})
    with pytest.raises(MintsError, match="architecture 'gated' cannot be read: there are standard, topk, jumprelu"):
        from_saelens(configuration | {"architecture": "gated"}, tensors)
    with pytest.raises(MintsError, match="normalisation 'covariance_whitening' cannot be read"):
        from_saelens(configuration | {"normalize_activations": "covariance_whitening"}, tensors)
    with pytest.raises(MintsError, match="missing: threshold, unexpected: log_threshold"):
        from_saelens(configuration, {("log_threshold" if n == "threshold" else n): t for n, t in tensors.items()})
    with pytest.raises(MintsError, match=r"b_dec of the SAELens weights has shape \(5,\), not \(6,\)"):
        from_saelens(configuration, tensors | {"b_dec": np.zeros(5)})
    with pytest.raises(MintsError, match="has no 'k'"):
        from_saelens(configuration | {"architecture": "topk"}, tensors)
