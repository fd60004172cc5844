"""Single tokens behind the statistics of the heads, against the sums that the statistics are made from."""

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered

from mints.analysis.attention_statistics import sum_attention
from mints.analysis.head_examples import centred, read_patterns, read_tokens, received_counts, sample_table
from mints.analysis.head_sums import enrichment, map_leaves, within_r
from mints.analysis.token_roles import TokenRoles
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")
LENGTHS = (9, 14, 5, 11)
"""Tokens of each sequence, two special ones included: the order of the batches is not that of the sequences."""


def encodings_and_roles(seed=3):
    rng = np.random.default_rng(seed)
    items = []
    for n in LENGTHS:
        special = np.zeros(n, dtype=bool)
        special[[0, -1]] = True
        items.append(Encoding(rng.integers(5, 30, n), np.zeros((n, 2), dtype=int), special))
    sequence = np.repeat(np.arange(len(LENGTHS)), np.array(LENGTHS) - 2)
    position = np.concatenate([np.arange(1, n - 1) for n in LENGTHS])
    bits = rng.normal(0, 4, (len(sequence), 1)).astype(np.float32)
    bits[rng.random(len(sequence)) < 0.15] = -np.inf
    role = rng.integers(0, 3, bits.shape)
    return items, TokenRoles(sequence, position, bits, role == 0, role == 1, role[:, 0] > 0, np.ones(4, dtype=bool))


@pytest.mark.parametrize("architecture", [POST, PRE], ids=["alibi", "rotary"])
def test_the_tokens_have_the_r_and_the_ratio_that_the_streamed_sums_give(architecture):
    encoder = scattered(architecture)
    items, roles = encodings_and_roles()
    sums = map_leaves(lambda leaf: leaf.sum(0, keepdims=True), sum_attention(encoder, items, roles, FP32, 24).rows)
    table = sample_table(read_tokens(encoder, items, FP32, 24), roles, architecture.n_heads)
    assert table["r"].to_numpy() == pytest.approx(within_r(sums.all_tokens)[0], abs=1e-5)
    assert table["rho"].to_numpy() == pytest.approx(enrichment(sums.received)[0], rel=1e-5)
    assert table["tokens"].unique() == sums.all_tokens.n[0]
    assert table[["layer", "head"]].to_numpy()[architecture.n_heads].tolist() == [1, 0]


def test_the_slope_is_that_of_a_regression_of_centred_key_scores_on_centred_motif_scores():
    encoder = scattered(POST)
    items, roles = encodings_and_roles()
    readings = read_tokens(encoder, items, FP32, 24)
    known = np.isfinite(roles.bits[:, 0])
    x, y = [], []
    for sequence in range(len(LENGTHS)):
        mine = known & (roles.sequence == sequence)
        x += list(readings.key_scores[mine, 4] - readings.key_scores[mine, 4].mean())
        y += list(roles.bits[mine, 0] - roles.bits[mine, 0].mean())
    assert sample_table(readings, roles, 6)["slope"][4] == pytest.approx(np.polyfit(y, x, 1)[0], rel=1e-4)


def test_patterns_are_those_of_the_content_tokens_and_their_columns_average_to_what_is_received():
    encoder = scattered(PRE)
    items, _ = encodings_and_roles()
    patterns = read_patterns(encoder, items[1], [(2, 1), (0, 3)], FP32)
    with torch.inference_mode():
        run = encoder.run(torch.from_numpy(items[1].ids)[None], sites=["blocks.*.attn.hook_pattern"])
    whole = run.cache["blocks.2.attn.hook_pattern"][0, 1].numpy()
    assert patterns.shape == (2, 12, 12)
    assert patterns[0] == pytest.approx(whole[1:-1, 1:-1], abs=1e-6)
    received = read_tokens(encoder, items[1:2], FP32, 99).received
    assert received[:, 2 * 4 + 1] == pytest.approx(whole.mean(0)[1:-1], abs=1e-6)


def test_every_support_and_background_token_is_counted_once_in_the_bin_that_holds_it():
    encoder = scattered(POST)
    items, roles = encodings_and_roles()
    readings = read_tokens(encoder, items, FP32, 24)
    counts = received_counts(readings, roles, 6, bins=5)
    known = np.isfinite(roles.bits[:, 0])
    for name, mask in (("support", roles.support[:, 0] & known), ("background", roles.background[:, 0] & known)):
        assert counts.groupby(["layer", "head"])[name].sum().unique() == [mask.sum()]
        of_head = counts[(counts["layer"] == 1) & (counts["head"] == 2)]
        values = readings.received[mask, 8]
        third = of_head.iloc[2]
        assert third[name] == ((values >= third["low"]) & (values < third["high"])).sum()


def test_where_no_token_supports_the_motif_there_is_nothing_to_count():
    encoder = scattered(POST)
    items, roles = encodings_and_roles()
    none = roles._replace(support=np.zeros_like(roles.support), background=np.zeros_like(roles.background))
    readings = read_tokens(encoder, items, FP32, 24)
    assert received_counts(readings, none, 6, bins=5).empty
    assert sample_table(readings, none, 6)["rho"].isna().all()


def test_centring_takes_each_sequence_s_own_mean():
    values = np.array([[1.0], [3.0], [10.0], [5.0]])
    assert centred(values, np.array([4, 4, 9, 4])).ravel().tolist() == [-2, 0, 0, 2]
