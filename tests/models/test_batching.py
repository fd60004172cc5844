"""Length buckets, padding and pooled residual vectors."""

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from patching_pairs import WINDOWS, make_pairs

from mints.analysis.ceiling import cross_products
from mints.analysis.patching import ProbeLogit
from mints.analysis.patching_sweep import sweep_pairs
from mints.errors import MintsError
from mints.models.activations import mean_residuals
from mints.models.batching import batches, length_buckets
from mints.models.compute import Compute
from mints.models.encoder import randomly_initialised
from mints.models.tokenizers import Encoding
from mints.models.work import Work

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
    compute = Compute(torch.device("cpu"), "fp32", Work(warn=said.append))
    pooled = mean_residuals(encoder, items, [0], compute, tokens_per_batch=2048)
    assert pooled == pytest.approx(expected, abs=2e-6)
    assert said == [
        "out of memory with 2048 tokens at a time: going on with 1024",
        "out of memory with 1024 tokens at a time: going on with 512",
        "out of memory with 512 tokens at a time: going on with 256",
    ]
    assert compute.work.facts()["tokens_per_batch_after_out_of_memory"] == 256


def test_out_of_memory_at_the_smallest_batch_is_told_in_one_line():
    encoder = randomly_initialised(POST, seed=0)

    def refuse(*_):
        raise torch.OutOfMemoryError("on purpose")

    encoder.blocks[0].register_forward_pre_hook(refuse)
    with pytest.raises(MintsError, match="too little memory for 256 tokens at a time"):
        mean_residuals(encoder, encodings([100] * 4), [0], CPU, tokens_per_batch=256)


@pytest.fixture
def crowded(monkeypatch):
    """A model on a device whose memory holds two sequences at a time, however short they are."""
    monkeypatch.setattr("mints.models.compute.SMALLEST_BATCH", 1)
    encoder = scattered(POST)

    def refuse_large(_, arguments):
        if arguments[0].shape[0] > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    encoder.blocks[0].register_forward_pre_hook(refuse_large)
    return encoder


def test_patching_goes_on_in_smaller_batches_with_the_same_figures(crowded):
    pairs = make_pairs(np.random.default_rng(3))
    readout = ProbeLogit(1, torch.randn(24, generator=torch.Generator().manual_seed(1)), 0.0)
    expected = sweep_pairs(scattered(POST), pairs, readout, CPU, WINDOWS, tokens_per_batch=2048)
    compute = Compute(torch.device("cpu"), "fp32")
    found = sweep_pairs(crowded, pairs, readout, compute, WINDOWS, tokens_per_batch=2048)
    assert compute.work.smallest_batch == 16
    for one, other in zip(
        (expected.denoising.heads, expected.windows), (found.denoising.heads, found.windows), strict=True
    ):
        assert other == pytest.approx(one, abs=1e-5)


def test_cross_products_count_no_batch_twice_when_memory_ran_out(crowded):
    items = encodings([9, 8, 7, 5, 5])
    bits = [np.arange(n, dtype=np.float32) ** 2 for n in (9, 8, 7, 5, 5)]
    expected = cross_products(scattered(POST), items, bits, CPU, 2048)
    found = cross_products(crowded, items, bits, Compute(torch.device("cpu"), "fp32"), 2048)
    assert found.n == expected.n
    for one, other in zip(expected[:4], found[:4], strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


def test_another_failure_is_not_taken_for_a_lack_of_memory():
    encoder = randomly_initialised(POST, seed=0)

    def fail(*_):
        raise RuntimeError("shapes do not fit")

    encoder.blocks[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        mean_residuals(encoder, encodings([5]), [0], CPU)


@pytest.mark.parametrize("architecture", [POST, PRE])
def test_means_of_half_precise_activations_are_float32_and_near_the_exact_ones(architecture):
    encoder = scattered(architecture)
    items = encodings([9, 40, 17])
    exact = mean_residuals(encoder, items, [0, 2], CPU)
    rounded = mean_residuals(encoder, items, [0, 2], Compute(torch.device("cpu"), "bf16"))
    assert rounded.dtype == np.float32
    assert rounded == pytest.approx(exact, abs=0.05 * float(np.abs(exact).max()))
    low_bits = rounded.view(np.uint32) & 0xFFFF  # which a mean that was itself rounded to bfloat16 would not have
    assert low_bits.any()
