"""Length buckets, padding and pooled residual vectors."""

import numpy as np
import pytest
import torch
from architectures import POST

from mints.errors import MintsError
from mints.models.activations import mean_residuals
from mints.models.batching import batches, length_buckets
from mints.models.compute import Compute
from mints.models.encoder import randomly_initialised
from mints.models.tokenizers import Encoding

CPU = Compute(torch.device("cpu"), "fp32")


def encodings(lengths, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for length in lengths:
        ids = rng.integers(5, 30, length + 2)
        special = np.zeros(length + 2, dtype=bool)
        special[[0, -1]] = True
        made.append(Encoding(ids, np.zeros((length + 2, 2), dtype=int), special))
    return made


def test_buckets_cover_every_sequence_once_within_the_token_budget_and_waste_little():
    lengths = np.random.default_rng(0).integers(40, 110, 3000)
    buckets = list(length_buckets(lengths, 8192))
    assert sorted(np.concatenate(buckets)) == list(range(3000))
    padded = sum(len(bucket) * lengths[bucket].max() for bucket in buckets)
    assert all(len(bucket) * lengths[bucket].max() <= 8192 for bucket in buckets)
    assert padded / lengths.sum() < 1.05


def test_a_sequence_longer_than_the_budget_gets_a_batch_of_its_own():
    assert [bucket.tolist() for bucket in length_buckets([10, 500, 20], 100)] == [[1], [2, 0]]


def test_pads_and_special_tokens_are_marked():
    (batch,) = batches(encodings([3, 5]), pad_id=3, tokens_per_batch=100)
    assert batch.rows.tolist() == [1, 0]
    assert batch.real.sum(1).tolist() == [7, 5]
    assert batch.content.sum(1).tolist() == [5, 3]
    assert not batch.content[:, 0].any()
    assert (batch.tokens[1, 5:] == 3).all()


def test_pooled_vectors_equal_a_loop_over_single_sequences():
    encoder = randomly_initialised(POST, seed=0)
    items = encodings([4, 9, 1, 7])
    pooled = mean_residuals(encoder, items, [0, 2], CPU, tokens_per_batch=24)
    for row, item in enumerate(items):
        cache = encoder.run(torch.from_numpy(item.ids)[None], sites=["blocks.*.hook_resid_post"]).cache
        for column, layer in enumerate([0, 2]):
            expected = cache[f"blocks.{layer}.hook_resid_post"][0, 1:-1].mean(0)
            assert pooled[row, column] == pytest.approx(expected.detach().numpy(), abs=2e-6)


def test_a_sequence_without_tokens_gives_zeros():
    encoder = randomly_initialised(POST, seed=0)
    pooled = mean_residuals(encoder, encodings([0, 3]), [1], CPU)
    assert not pooled[0].any()
    assert pooled[1].any()


def test_layers_above_the_highest_one_are_not_computed():
    encoder = randomly_initialised(POST, seed=0)
    encoder.blocks[1].register_forward_pre_hook(lambda *_: pytest.fail("layer 1 ran"))
    assert mean_residuals(encoder, encodings([4]), [0], CPU).shape == (1, 1, 24)


def test_out_of_memory_halves_the_batch_and_gives_the_same_vectors():
    encoder = randomly_initialised(POST, seed=0)
    items = encodings([100] * 8)
    expected = mean_residuals(encoder, items, [0], CPU, tokens_per_batch=2048)

    def refuse_large(_, arguments):
        if arguments[0].shape[0] > 2:
            raise torch.OutOfMemoryError("on purpose")

    encoder.blocks[0].register_forward_pre_hook(refuse_large)
    said: list[str] = []
    pooled = mean_residuals(encoder, items, [0], CPU, tokens_per_batch=2048, warn=said.append)
    assert pooled == pytest.approx(expected, abs=2e-6)
    assert said[0] == "out of memory with 2048 tokens at a time: going on with 1024"


def test_out_of_memory_at_the_smallest_batch_is_told_in_one_line():
    encoder = randomly_initialised(POST, seed=0)

    def refuse(*_):
        raise torch.OutOfMemoryError("on purpose")

    encoder.blocks[0].register_forward_pre_hook(refuse)
    with pytest.raises(MintsError, match="too little memory for 256 tokens at a time"):
        mean_residuals(encoder, encodings([100] * 4), [0], CPU, tokens_per_batch=256)
