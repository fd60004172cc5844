"""Token-level activations and latents, streamed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import POST, scattered
from torch.testing import assert_close

from mints.errors import UsageError
from mints.features.activations import latent_matrix, ordinary_tokens, site_activations
from mints.features.autoencoder import SparseAutoencoder
from mints.models.compute import resolve_compute
from mints.models.tokenizers import train_bpe

FP32 = resolve_compute("cpu", "fp32")
SEQUENCES = ["ACGTTGCATGCCATGAAC", "ACGNNNNTTGCA", "GGGTTTACAC", "TTGACCATGGCAACGTTGACCATGACT"]


@pytest.fixture(scope="module")
def tokenizer():
    rng = np.random.default_rng(0)
    return train_bpe(["".join(rng.choice(list("ACGT"), 400)) for _ in range(20)], 40)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return scattered(replace(POST, vocabulary_size=len(tokenizer.vocabulary), pad_id=tokenizer.pad_id))


@pytest.fixture(scope="module")
def encodings(tokenizer):
    return tokenizer.encode_many(SEQUENCES)


def test_special_tokens_and_tokens_with_an_n_are_left_out(encodings, tokenizer):
    tokens = ordinary_tokens(encodings, tokenizer)
    for sequence, start, end, token in zip(tokens.sequence, tokens.start, tokens.end, tokens.ids, strict=True):
        letters = SEQUENCES[sequence][start:end]
        assert letters == tokenizer.vocabulary[token]
        assert set(letters) <= set("ACGT")
        assert letters
    covered = sum(tokens.end - tokens.start)
    assert covered == sum(len(sequence) - sequence.count("N") for sequence in SEQUENCES)


@pytest.mark.parametrize("site", ["blocks.1.hook_resid_post", "blocks.0.mlp.hook_post", "blocks.1.attn.hook_z"])
@pytest.mark.parametrize("tokens_per_batch", [12, 1000])
def test_streamed_activations_are_those_of_each_sequence_alone(encoder, encodings, tokenizer, site, tokens_per_batch):
    tokens = ordinary_tokens(encodings, tokenizer)
    seen = []
    for which, activations in site_activations(encoder, encodings, tokens, site, FP32, tokens_per_batch):
        seen.extend(which)
        for token, activation in zip(which, activations, strict=True):
            ids = torch.from_numpy(encodings[tokens.sequence[token]].ids)[None]
            with torch.no_grad():
                alone = encoder.run(ids, sites=[site]).cache[site][0, tokens.place[token]]
            assert_close(activation, alone.flatten(), atol=1e-5, rtol=1e-5)
    assert sorted(seen) == list(range(len(tokens.ids)))


def test_rows_of_the_latent_matrix_are_the_tokens_in_their_order(encoder, encodings, tokenizer):
    site = "blocks.1.hook_resid_post"
    autoencoder = SparseAutoencoder(encoder.architecture.d_model, 40, "topk", k=3)
    torch.nn.init.normal_(autoencoder.W_enc, generator=torch.Generator().manual_seed(0))
    tokens = ordinary_tokens(encodings, tokenizer)
    with torch.no_grad():
        matrix = latent_matrix(encoder, autoencoder, encodings, tokens, site, FP32, tokens_per_batch=12)
        whole = latent_matrix(encoder, autoencoder, encodings, tokens, site, FP32, tokens_per_batch=1000)
        for token in range(len(tokens.ids)):
            ids = torch.from_numpy(encodings[tokens.sequence[token]].ids)[None]
            x = encoder.run(ids, sites=[site]).cache[site][0, tokens.place[token]]
            assert_close(torch.from_numpy(matrix[[token]].toarray()[0]), autoencoder.encode(x), atol=1e-5, rtol=1e-5)
    assert abs(matrix - whole).max() < 1e-5
    assert matrix.dtype == np.float32


def test_a_site_that_the_model_does_not_have_is_an_error(encoder, encodings, tokenizer):
    tokens = ordinary_tokens(encodings, tokenizer)
    with pytest.raises(UsageError, match="no site matches"):
        next(site_activations(encoder, encodings, tokens, "blocks.1.hook_nothing", FP32))
