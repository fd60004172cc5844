"""From tokens to sequences."""

import numpy as np
import torch
from architectures import POST, scattered
from scipy.sparse import csr_array

from mints.features.activations import Tokens
from mints.features.pooling import largest_projections, sequence_maxima, sequence_means
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding


def encoding(ids):
    special = np.zeros(len(ids), dtype=bool)
    special[[0, -1]] = True
    return Encoding(np.array(ids), np.zeros((len(ids), 2), dtype=int), special)


ENCODINGS = [encoding([1, 7, 8, 9, 2]), encoding([1, 2]), encoding([1, 12, 6, 2])]
TOKENS = Tokens(
    sequence=np.array([0, 0, 2]), place=np.array([1, 3, 2]), start=np.zeros(3), end=np.zeros(3), ids=np.zeros(3)
)


def test_means_of_several_sites_are_taken_over_the_asked_tokens_alone():
    encoder, sites = scattered(POST), ["blocks.0.hook_resid_post", "blocks.2.mlp.hook_post"]
    means = sequence_means(encoder, ENCODINGS, TOKENS, sites, resolve_compute("cpu", "fp32"), tokens_per_batch=6)
    for site in sites:
        with torch.no_grad():
            first, third = (encoder.run(torch.tensor([ENCODINGS[row].ids.tolist()]), sites=[site]) for row in (0, 2))
        expected = (first.cache[site][0, 1] + first.cache[site][0, 3]) / 2
        assert np.allclose(means[site][0], expected, atol=1e-5)
        assert np.allclose(means[site][2], third.cache[site][0, 2], atol=1e-5)
        assert (means[site][1] == 0).all()


def test_largest_projections_are_those_of_each_token_in_turn():
    encoder, site = scattered(POST), "blocks.1.hook_resid_post"
    directions = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    compute = resolve_compute("cpu", "fp32")
    found = largest_projections(encoder, ENCODINGS, TOKENS, site, directions, compute, tokens_per_batch=6)
    with torch.no_grad():
        first, third = (encoder.run(torch.tensor([ENCODINGS[row].ids.tolist()]), sites=[site]) for row in (0, 2))
    projected = first.cache[site][0, [1, 3]].numpy() @ directions
    assert np.allclose(found[0], projected.max(axis=0), atol=1e-4)
    assert np.allclose(found[2], third.cache[site][0, 2].numpy() @ directions, atol=1e-4)
    assert (found[1] == 0).all()


def test_maxima_are_over_each_sequence_s_tokens_and_zero_where_a_latent_is_silent():
    latents = csr_array(np.array([[0, 2.0, 0, 1], [3, 1.0, 0, 0], [0, 0, 0, 0.5]], dtype=np.float32))
    found = sequence_maxima(latents, TOKENS, 3)
    assert found.tolist() == [[3, 2, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0.5]]
