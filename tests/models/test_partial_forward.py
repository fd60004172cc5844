"""Taking ESM-2 up at a layer gives what the whole model gives; a published way of doing it does not."""

import numpy as np
import pytest
import torch
from residue_models import LAYERS, residue_model
from torch.testing import assert_close

from mints.protein_config import ProteinConfig


@pytest.fixture(scope="module")
def model():
    return residue_model()


@pytest.fixture(scope="module")
def ids(model):
    encodings = model.tokenizer.encode_many(["MKTAYIAKQRQISFVKSHFS", "ACDEFGHIKLMNPQRSTVWY"])
    return torch.from_numpy(np.stack([encoding.ids for encoding in encodings]))


@torch.no_grad()
def expected_of(model, ids):
    return model.reference(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)


@torch.no_grad()
@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_a_run_from_every_layer_of_transformers_hidden_states_gives_transformers_logits(model, ids, layer):
    expected = expected_of(model, ids)
    residual = expected.hidden_states[layer]
    if layer == LAYERS:  # transformers gives the last one after the final norm
        sites = [f"blocks.{LAYERS - 1}.hook_resid_post"]
        residual = model.encoder.run(ids, sites=sites).cache[sites[0]]
    output = model.encoder.run_from(layer, residual, torch.ones_like(ids, dtype=torch.bool))
    assert_close(model.encoder.logits(output.residual), expected.logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_esm_s_layer_sixteen_is_what_the_sixteenth_layer_leaves(model, ids):
    """fair-esm's representations[L] and transformers' hidden_states[L] count from 1; 0 is the embedding."""
    expected = expected_of(model, ids)
    config = ProteinConfig(layers=[1, 2, 3])
    assert config.features.sites == [f"blocks.{layer}.hook_resid_post" for layer in (0, 1, 2)]
    cache = model.encoder.run(ids, sites=config.features.sites).cache
    for layer, site in zip((1, 2, 3), config.features.sites, strict=True):
        assert_close(cache[site], expected.hidden_states[layer], atol=1e-5, rtol=1e-5)
    assert ProteinConfig(layers=[16]).features.sites == ["blocks.15.hook_resid_post"]


@torch.no_grad()
def test_layers_that_are_given_batch_first_where_they_read_positions_first_lose_all_attention(model, ids):
    """The published forward gave (batch, position) to layers that read (position, batch): each residue was alone."""
    one, real = ids[:1], torch.ones(1, ids.shape[1], dtype=torch.bool)
    true = model.encoder(one)[0]

    def published(residual):
        alone = residual[0][:, None]  # every position a sequence of its own
        return model.encoder.logits(model.encoder.run_from(2, alone, real[0][:, None]).residual)[:, 0]

    site = "blocks.1.hook_resid_post"
    residual = model.encoder.run(one, sites=[site]).cache[site]
    assert (published(residual) - true).abs().max() > 0.1
    moved = residual.clone()
    moved[0, 5, :4] += 1.0

    def places_that_change(forward):
        return ((forward(moved) - forward(residual)).abs().amax(-1) > 1e-5).nonzero()[:, 0].tolist()

    assert places_that_change(published) == [5]
    ours = places_that_change(lambda x: model.encoder.logits(model.encoder.run_from(2, x, real).residual)[0])
    assert len(ours) > 15
