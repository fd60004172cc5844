"""Key scores and attention received of every head, against loops over queries and keys."""

import numpy as np
import pytest
import torch
from architectures import LEARNED, POST, PRE, scattered

from mints.models.attention_reading import position_only, read_attention
from mints.models.batching import batches, pad
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")
LENGTHS = (12, 5, 2, 9)
SLOPES_OF_SIX = [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]
"""ALiBi's slopes of six heads: those of four, then every second one of eight (Press et al. 2022)."""


@pytest.fixture(params=[POST, PRE, LEARNED], ids=["alibi", "rotary", "learned"])
def encoder(request):
    return scattered(request.param)


def encodings(lengths=LENGTHS):
    rng = np.random.default_rng(11)
    return [Encoding(rng.integers(5, 30, n), np.zeros((n, 2), dtype=int), np.zeros(n, dtype=bool)) for n in lengths]


def whole(encoder, items):
    return pad(items, np.arange(len(items)), encoder.architecture.pad_id)


def content_score(encoder, scores, head, query, key):
    """A head's score without ALiBi's penalty."""
    penalty = SLOPES_OF_SIX[head] * abs(query - key) if encoder.architecture.position == "alibi" else 0
    return float(scores[head, query, key]) + penalty


def mean_over_other_queries(score, length, key):
    return sum(score(query, key) for query in range(length) if query != key) / (length - 1)


def slow_reading(encoder, scores, pattern, length):
    """(key scores, attention received) of one sequence and layer, token by token."""
    key_scores, received = np.zeros((2, length, encoder.architecture.n_heads))
    for head in range(encoder.architecture.n_heads):
        for key in range(length):
            key_scores[key, head] = mean_over_other_queries(
                lambda query, key: content_score(encoder, scores, head, query, key),  # noqa: B023
                length,
                key,
            )
            received[key, head] = sum(float(pattern[head, query, key]) for query in range(length)) / length
    return key_scores, received


def test_reading_equals_loops_over_queries_and_keys(encoder):
    items = encodings()
    reading = read_attention(encoder, whole(encoder, items), FP32)
    n_heads = encoder.architecture.n_heads
    assert reading.key_scores.shape == reading.received.shape == (4, 12, encoder.architecture.n_layers * n_heads)
    for row, item in enumerate(items):
        sites = ["blocks.*.attn.hook_attn_scores", "blocks.*.attn.hook_pattern"]
        with torch.inference_mode():
            cache = encoder.run(torch.from_numpy(item.ids)[None], sites=sites).cache
        for layer in range(encoder.architecture.n_layers):
            of_layer = slice(layer * n_heads, (layer + 1) * n_heads)
            scores, pattern = (cache[f"blocks.{layer}.attn.{site}"][0] for site in ("hook_attn_scores", "hook_pattern"))
            slow = slow_reading(encoder, scores, pattern, len(item.ids))
            for fast, expected in zip(reading, slow, strict=True):
                ours = fast[row, : len(item.ids), of_layer].numpy()
                np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=1e-4)
                assert expected.std() > 1e-3  # otherwise equality would say little


def test_a_sequence_is_read_alike_in_any_batch(encoder):
    items = encodings()
    together = read_attention(encoder, whole(encoder, items), FP32)
    seen = []
    for batch in batches(items, encoder.architecture.pad_id, tokens_per_batch=18):
        reading = read_attention(encoder, batch, FP32)
        for place, row in enumerate(batch.rows.tolist()):
            seen.append(row)
            for ours, theirs in zip(reading, together, strict=True):
                torch.testing.assert_close(ours[place, : LENGTHS[row]], theirs[row, : LENGTHS[row]])
    assert sorted(seen) == [0, 1, 2, 3]


def test_a_fused_encoder_gives_the_same_reading(encoder):
    batch = whole(encoder, encodings())
    explicit = read_attention(encoder, batch, FP32)
    encoder.fused_attention = True
    for ours, theirs in zip(read_attention(encoder, batch, FP32), explicit, strict=True):
        assert torch.equal(ours, theirs)


def test_attention_received_sums_to_one_over_the_real_tokens(encoder):
    batch = whole(encoder, encodings())
    received = read_attention(encoder, batch, FP32).received
    torch.testing.assert_close((received * batch.real[..., None]).sum(1), torch.ones(4, received.shape[2]))


def test_a_lone_token_has_key_score_zero_and_receives_all(encoder):
    reading = read_attention(encoder, whole(encoder, encodings((1,))), FP32)
    torch.testing.assert_close(reading.key_scores, torch.zeros_like(reading.key_scores), atol=1e-6, rtol=0)
    assert torch.equal(reading.received, torch.ones_like(reading.received))


def test_statistics_are_float32_though_the_pass_is_bf16(encoder):
    """Only the pass rounds: from its own queries, keys and patterns the figures follow to float32."""
    compute = resolve_compute("cpu", "bf16")
    (item,) = items = encodings((40,) if encoder.architecture.max_positions is None else (16,))
    n = len(item.ids)
    reading = read_attention(encoder, whole(encoder, items), compute)
    turned = "rot_" if encoder.architecture.position == "rotary" else ""
    sites = [f"blocks.*.attn.hook_{name}" for name in (f"{turned}q", f"{turned}k", "pattern")]
    with compute.inference():
        cache = encoder.run(torch.from_numpy(item.ids)[None], sites=sites).cache
    scores, received = [], []
    for layer in range(encoder.architecture.n_layers):
        q, k, pattern = (cache[site.replace("*", str(layer))][0].double().numpy() for site in sites)
        every = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(encoder.architecture.d_head)
        scores += [(head.sum(0) - head.diagonal()) / (n - 1) for head in every]
        received += [head.mean(0) for head in pattern]
    np.testing.assert_allclose(reading.key_scores[0].T.numpy(), scores, atol=3e-6, rtol=1e-5)
    np.testing.assert_allclose(reading.received[0].T.numpy(), received, rtol=1e-5)


EMPTY = {"alibi": "blocks.*.attn.hook_q", "rotary": "blocks.*.ln1.hook_out", "learned": "blocks.*.attn.hook_q"}
"""Where the content is taken out of a run."""


@pytest.mark.parametrize("length", [1, 2, 11])
def test_position_alone_equals_a_run_whose_content_was_taken_out(encoder, length):
    """Queries of zero leave ALiBi's penalty; a residual that the norm made its own bias leaves the rotation."""

    def without_content(layer):
        bias = encoder.block(layer).ln1.bias.detach()
        return (lambda x: bias.expand_as(x)) if encoder.architecture.position == "rotary" else torch.zeros_like

    architecture = encoder.architecture
    pattern_of_site = EMPTY[architecture.position]
    interventions = {
        pattern_of_site.replace("*", str(layer)): without_content(layer) for layer in range(architecture.n_layers)
    }
    (item,) = encodings((length,))
    sites = ["blocks.*.attn.hook_attn_scores", "blocks.*.attn.hook_pattern"]
    with torch.inference_mode():
        cache = encoder.run(torch.from_numpy(item.ids)[None], sites=sites, interventions=interventions).cache
    alone = position_only(encoder, length)
    for index in range(architecture.n_layers * architecture.n_heads):
        layer, head = divmod(index, architecture.n_heads)
        scores, pattern = (cache[site.replace("*", str(layer))][0, head].numpy() for site in sites)
        for key in range(length):
            others = [scores[query, key] for query in range(length) if query != key]
            assert alone.key_scores[key, index] == pytest.approx(np.mean(others) if others else 0, abs=2e-5)
            assert alone.received[key, index] == pytest.approx(np.mean(pattern[:, key]), abs=2e-6)


def test_position_alone_of_alibi_is_the_mean_penalty_by_hand():
    alone = position_only(scattered(POST), 3)
    assert alone.key_scores[:, 0].tolist() == pytest.approx([-0.25 * 1.5, -0.25, -0.25 * 1.5])
    near, far = np.exp(-0.25), np.exp(-0.5)
    to_the_first = 1 / (1 + near + far), near / (1 + 2 * near), far / (1 + near + far)
    assert float(alone.received[0, 0]) == pytest.approx(np.mean(to_the_first))
