"""The stream of activations that autoencoders are trained on."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from architectures import POST, scattered
from torch.testing import assert_close

from mints.errors import MintsError
from mints.features.activations import ordinary_tokens
from mints.features.stream import ActivationStream
from mints.models.compute import resolve_compute
from mints.models.tokenizers import train_bpe

FP32 = resolve_compute("cpu", "fp32")
SITES = ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"]
RNG = np.random.default_rng(0)
CORPUS = ["".join(RNG.choice(list("ACGT"), 40)) for _ in range(200)]
CORPUS[7] = "N" * 40
CORPUS[9] = CORPUS[9][:10] + "NNNN" + CORPUS[9][14:]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(CORPUS[:50], 40)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return scattered(replace(POST, vocabulary_size=len(tokenizer.vocabulary), pad_id=tokenizer.pad_id))


@pytest.fixture
def stream(encoder, tokenizer):
    def make(corpus=CORPUS, seed=0, buffer=500, sites=SITES):
        return ActivationStream(encoder, tokenizer, corpus, sites, FP32, seed=seed, buffer=buffer)

    return make


def taken(stream, size, count, *start):
    return list(islice(stream.batches(size, *start), count))


def rounded(rows):
    return [tuple(np.round(row, 3) + 0.0) for row in rows.numpy()]


def test_one_pass_gives_every_ordinary_token_once_at_every_site_and_nothing_else(stream, encoder, tokenizer):
    encodings = tokenizer.encode_many(CORPUS)
    tokens = ordinary_tokens(encodings, tokenizer)
    expected = {site: [] for site in SITES}
    for row, encoding in enumerate(encodings):
        with torch.no_grad():
            cache = encoder.run(torch.from_numpy(encoding.ids)[None], sites=SITES).cache
        for site in SITES:
            expected[site].append(cache[site][0, tokens.place[tokens.sequence == row]])
    count = len(tokens.ids)
    batches = taken(stream(), 10, count // 10)
    for site in SITES:
        whole = torch.cat(expected[site])
        # The tokens that the last, incomplete batch would hold come with the beginning of the next pass.
        seen = torch.cat([batch[site] for batch, _ in batches])
        assert not Counter(rounded(seen)) - Counter(rounded(whole))
        assert len(whole) - len(seen) == count % 10


def test_sites_of_a_batch_belong_to_the_same_tokens(stream):
    for batch, _ in taken(stream(), 16, 5):
        alone = {site: dict(zip(rounded(batch[site]), range(16), strict=True)) for site in SITES}
        assert all(len(rows) == 16 for rows in alone.values())
    both = taken(stream(), 16, 3)
    for site in SITES:
        for (one, _), (other, _) in zip(both, taken(stream(sites=[site]), 16, 3), strict=True):
            assert_close(one[site], other[site])


def test_batches_are_full_across_buffers_and_passes_and_differ_from_pass_to_pass(stream, tokenizer):
    count = len(ordinary_tokens(tokenizer.encode_many(CORPUS[:20]), tokenizer).ids)
    batches = taken(stream(CORPUS[:20], buffer=60), count // 2, 4)
    assert [len(batch[SITES[0]]) for batch, _ in batches] == [count // 2] * 4
    first, second = batches[0][0][SITES[0]], batches[2][0][SITES[0]]
    assert rounded(first) != rounded(second)
    assert batches[-1][1].corpus_pass >= 1


@pytest.mark.parametrize("taken_before", [1, 13, 60])
def test_going_on_from_a_position_gives_the_same_batches_to_the_bit(stream, taken_before):
    whole = taken(stream(), 48, taken_before + 4)
    rest = taken(stream(), 48, 4, whole[taken_before - 1][1])
    for (one, place), (other, same_place) in zip(whole[taken_before:], rest, strict=True):
        assert place == same_place
        for site in SITES:
            assert torch.equal(one[site], other[site])


def test_a_seed_decides_the_order(stream):
    first, again, other = (taken(stream(seed=seed), 30, 1)[0][0][SITES[0]] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_is_held_does_not_grow_with_the_corpus(stream):
    sizes = []
    for corpus in (CORPUS, CORPUS * 20):
        made = stream(corpus)
        sizes.append(len(made.chunk(taken(made, 10, 1)[0][1]._replace(token=0)).order))
    assert max(sizes) < 500 + 64 * 40
    assert abs(sizes[0] - sizes[1]) < 300


def test_the_corpus_is_read_as_it_is_needed(stream):
    class Counted(list):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    corpus = Counted(CORPUS * 20)
    taken(stream(corpus), 10, 3)
    assert 0 < corpus.reads <= 128


def test_a_corpus_without_a_known_letter_is_an_error(stream):
    with pytest.raises(MintsError, match="no token that stands for known letters"):
        taken(stream(["NNNNN"] * 3), 4, 1)
