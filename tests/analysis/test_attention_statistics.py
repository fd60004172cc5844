"""Alignment and enrichment from streamed sums, against statistics that are computed from all tokens at once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import LEARNED, POST, scattered
from scipy.stats import norm

from mints.analysis.attention_enrichment import enrichment_table
from mints.analysis.attention_statistics import PassSums, sum_attention
from mints.analysis.bootstrap import cluster_weights
from mints.analysis.ceiling import Ceiling
from mints.analysis.head_sums import (
    HeadSums,
    PermutedSums,
    add,
    enrichment,
    from_arrays,
    map_leaves,
    pooled_r,
    resample,
    to_arrays,
    within_r,
)
from mints.analysis.qk_alignment import alignment_table, permuted_r
from mints.analysis.token_roles import TokenRoles, part_of
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")
LENGTHS = (14, 6, 9, 4, 11, 9, 7)
"""Tokens of each sequence, two special ones included."""

CLUSTERS = np.array([0, 1, 1, 2, 3, 4, 4])
HEADS, MOTIFS = POST.n_layers * POST.n_heads, 4
SLOPES = np.array([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])
close = {"rtol": 1e-5, "atol": 1e-6}


def random_roles(rng):
    """Roles with no order in them; one sequence and some tokens have no score, and some no support."""
    sequence = np.repeat(np.arange(len(LENGTHS)), np.array(LENGTHS) - 2)
    position = np.concatenate([np.arange(1, n - 1) for n in LENGTHS])
    bits = rng.normal(0, 5, (len(sequence), MOTIFS)).astype(np.float32)
    bits[(rng.random(len(sequence)) < 0.1) | (sequence == 3)] = -np.inf
    role = rng.integers(0, 4, bits.shape)  # half of the tokens have none
    inner, positive = rng.random(len(sequence)) < 0.7, np.array([1, 0, 1, 1, 0, 1, 0], dtype=bool)
    return TokenRoles(sequence, position, bits, role == 0, role == 1, inner, positive)


def random_encodings(rng):
    items = []
    for n in LENGTHS:
        special = np.zeros(n, dtype=bool)
        special[[0, -1]] = True
        items.append(Encoding(rng.integers(5, 30, n), np.zeros((n, 2), dtype=int), special))
    return items


def slow_figures(encoder, ids):
    """(key scores, received, the same of position alone), token × head, of one sequence by plain matrices."""
    sites = ["blocks.*.attn.hook_attn_scores", "blocks.*.attn.hook_pattern"]
    with torch.inference_mode():
        cache = encoder.run(torch.from_numpy(ids)[None], sites=sites).cache
    scores, pattern = (
        np.concatenate([cache[site.replace("*", str(layer))][0].double().numpy() for layer in range(POST.n_layers)])
        for site in sites
    )
    place = np.arange(len(ids))
    penalty = -np.tile(SLOPES, POST.n_layers)[:, None, None] * np.abs(place[:, None] - place)
    others = ~np.eye(len(ids), dtype=bool)
    alone = np.exp(penalty) / np.exp(penalty).sum(2, keepdims=True)
    key_scores, position = (
        np.array([[head[others[:, key], key].mean() for head in every] for key in place])
        for every in (scores - penalty, penalty)
    )
    return key_scores, pattern.mean(1).T, position, alone.mean(1).T


def slow_tokens(encoder, items, roles):
    """A dictionary per content token that has a score: all that any statistic asks for."""
    figures = [slow_figures(encoder, item.ids) for item in items]
    tokens = []
    for token, (sequence, position) in enumerate(zip(roles.sequence, roles.position, strict=True)):
        if np.isfinite(roles.bits[token, 0]):
            x, received, x_alone, received_alone = (figure[position] for figure in figures[sequence])
            own = {name: getattr(roles, name)[token] for name in ("bits", "support", "background", "inner")}
            tokens.append(
                {"sequence": sequence, "positive": roles.positive[sequence], "x": x, "received": received}
                | {"x_alone": x_alone, "received_alone": received_alone}
                | own
            )
    return tokens


def slow_within_r(tokens, x="x", motif=0):
    """Pearson correlation of every head after each sequence's mean was taken from its tokens."""
    apart_x, apart_y = [], []
    for sequence in sorted({token["sequence"] for token in tokens}):
        mine = [token for token in tokens if token["sequence"] == sequence]
        apart_x += [token[x] - np.mean([other[x] for other in mine], axis=0) for token in mine]
        mean = np.mean([float(other["bits"][motif]) for other in mine])
        apart_y += [float(token["bits"][motif]) - mean for token in mine]
    return np.array([np.corrcoef(column, apart_y)[0, 1] for column in np.array(apart_x).T])


def slow_partial_r(tokens):
    """Correlation of what is left of both after a regression on the position score, all centred within sequence."""
    columns = {"x": [], "x_alone": [], "y": []}
    for sequence in sorted({token["sequence"] for token in tokens}):
        mine = [token for token in tokens if token["sequence"] == sequence]
        for name in ("x", "x_alone"):
            columns[name] += [token[name] - np.mean([other[name] for other in mine], axis=0) for token in mine]
        bits = [float(token["bits"][0]) for token in mine]
        columns["y"] += list(bits - np.mean(bits))
    x, alone, y = (np.array(columns[name]) for name in ("x", "x_alone", "y"))
    left = []
    for head in range(x.shape[1]):
        z = alone[:, head]
        rest_x, rest_y = x[:, head] - z * (x[:, head] @ z) / (z @ z), y - z * (y @ z) / (z @ z)
        left.append(rest_x @ rest_y / np.sqrt((rest_x @ rest_x) * (rest_y @ rest_y)))
    return np.array(left)


def slow_pooled_r(tokens):
    y = [float(token["bits"][0]) for token in tokens]
    return np.array([np.corrcoef(column, y)[0, 1] for column in np.array([token["x"] for token in tokens]).T])


def slow_enrichment(tokens, received="received", motif=0):
    support, background = (
        np.mean([token[received] for token in tokens if token[side][motif]], axis=0)
        for side in ("support", "background")
    )
    return support / background


def slow_statistics(tokens):
    """Every figure by the name that `fast_statistics` gives it."""
    positive = [token for token in tokens if token["positive"]]
    inner = [token for token in tokens if token["inner"]]
    balanced = [token for token in tokens if token["support"][0] or token["background"][0]]
    return {
        "r": slow_within_r(tokens),
        "r_positive": slow_within_r(positive),
        "r_inner": slow_within_r(inner),
        "r_position": slow_within_r(tokens, "x_alone"),
        "pooled": slow_pooled_r(tokens),
        "pooled_positive": slow_pooled_r(positive),
        "pooled_inner": slow_pooled_r(inner),
        "balanced": slow_pooled_r(balanced),
        "rho": slow_enrichment(tokens),
        "rho_position": slow_enrichment(tokens, "received_alone"),
    }


def fast_statistics(sums):
    return {
        "r": within_r(sums.all_tokens),
        "r_positive": within_r(sums.positive_windows),
        "r_inner": within_r(sums.inner_tokens),
        "r_position": within_r(sums.position),
        "pooled": pooled_r(sums.all_tokens),
        "pooled_positive": pooled_r(sums.positive_windows),
        "pooled_inner": pooled_r(sums.inner_tokens),
        "balanced": pooled_r(sums.balanced),
        "rho": enrichment(sums.received),
        "rho_position": enrichment(sums.received_by_position),
    }


def nothing_resampled(rows):
    return resample(rows, np.zeros((0, len(rows.all_tokens.n)), dtype=int))


@pytest.fixture(scope="module")
def case():
    """A small input, its tokens one by one, and our sums of one pass."""
    rng = np.random.default_rng(3)
    encoder, items, roles = scattered(POST), random_encodings(rng), random_roles(rng)
    sums = sum_attention(encoder, items, roles, FP32, tokens_per_batch=24)
    tokens = slow_tokens(encoder, items, roles)
    return SimpleNamespace(encoder=encoder, items=items, roles=roles, sums=sums, tokens=tokens)


def test_every_statistic_equals_the_one_over_all_tokens_at_once(case):
    fast, slow = fast_statistics(nothing_resampled(case.sums.rows)), slow_statistics(case.tokens)
    for name, expected in slow.items():
        np.testing.assert_allclose(fast[name][0], expected, **close, err_msg=name)
        assert len(fast[name]) == 1
    assert case.sums.rows.all_tokens.n.sum() == len(case.tokens)
    assert case.sums.rows.balanced.n.sum() == sum(t["support"][0] + t["background"][0] for t in case.tokens)


def test_permuted_motifs_give_what_each_would_give_as_the_motif_in_question(case):
    alignment = permuted_r(nothing_resampled(case.sums.rows), case.sums.permuted)
    enriched = enrichment(case.sums.permuted.received)
    assert alignment.shape == enriched.shape == (MOTIFS - 1, HEADS)
    for motif in range(1, MOTIFS):
        np.testing.assert_allclose(alignment[motif - 1], slow_within_r(case.tokens, motif=motif), **close)
        np.testing.assert_allclose(enriched[motif - 1], slow_enrichment(case.tokens, motif=motif), **close)


def streamed(case, weights, shards, prepare=lambda part: part):
    """Resampled sums and permuted totals, shard by shard as a study adds them up, by way of named arrays."""
    total = None
    for start, stop in shards:
        part = sum_attention(case.encoder, case.items[start:stop], part_of(case.roles, start, stop), FP32, 24)
        arrays = to_arrays(resample(part.rows, weights[:, start:stop])) | to_arrays(part.permuted, "permuted")
        sums = from_arrays(HeadSums, arrays), from_arrays(PermutedSums, arrays, "permuted")
        total = sums if total is None else (add(total[0], sums[0]), add(total[1], sums[1]))
    return total


def test_streamed_resamples_equal_statistics_of_the_drawn_tokens(case):
    """Tokens are repeated as often as their sequence was drawn, and every statistic is computed from scratch."""
    weights = cluster_weights(CLUSTERS, 25, np.random.default_rng(8))
    sums, _ = streamed(case, weights, [(0, 3), (3, 4), (4, 7)])
    fast = fast_statistics(sums)
    checked = 0
    for row, drawn in enumerate([np.ones(len(LENGTHS), dtype=int), *weights]):
        tokens = [token for token in case.tokens for _ in range(drawn[token["sequence"]])]
        if not any(token["positive"] for token in tokens):
            assert np.isnan(fast["r_positive"][row]).all()
            continue
        checked += 1
        for name, expected in slow_statistics(tokens).items():
            np.testing.assert_allclose(fast[name][row], expected, rtol=1e-4, atol=2e-6, err_msg=name)
    assert checked > 20


def assert_same_sums(ours, theirs, **tolerance):
    map_leaves(lambda a, b: np.testing.assert_allclose(a, b, **tolerance) or a, ours, theirs)


def test_shards_and_their_order_do_not_matter(case):
    weights = cluster_weights(CLUSTERS, 10, np.random.default_rng(8))
    whole = streamed(case, weights, [(0, 7)])
    for shards in ([(0, 2), (2, 7)], [(5, 7), (0, 5)], [(i, i + 1) for i in range(7)]):
        for ours, theirs in zip(streamed(case, weights, shards), whole, strict=True):
            assert_same_sums(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("tokens_per_batch", [1, 15, 40, 1000])
def test_rows_are_in_the_order_of_the_sequences_whatever_the_batches(case, tokens_per_batch):
    again = sum_attention(case.encoder, case.items, case.roles, FP32, tokens_per_batch)
    assert_same_sums(again, case.sums, rtol=1e-5, atol=1e-4)
    assert case.sums.rows.all_tokens.n[:, 0].tolist() == [
        sum(token["sequence"] == row for token in case.tokens) for row in range(len(LENGTHS))
    ]


def test_sums_survive_a_file_bit_for_bit(case, tmp_path):
    arrays = to_arrays(case.sums)
    assert {"rows.all_tokens.within_xy", "rows.received_by_position.support", "permuted.received.background"} <= {
        *arrays
    }
    np.savez(tmp_path / "sums.npz", **arrays)
    with np.load(tmp_path / "sums.npz") as stored:
        back = from_arrays(PassSums, stored)
    assert type(back.rows.all_tokens) is type(case.sums.rows.all_tokens)
    map_leaves(lambda a, b: np.testing.assert_array_equal(a, b) or a, back, case.sums)


# Tables


def tables(case, resamples=200):
    weights = cluster_weights(CLUSTERS, resamples, np.random.default_rng(2))
    sums = resample(case.sums.rows, weights)
    ceilings = [Ceiling(0.2 + layer / 10, 0.1, 0.9) for layer in range(POST.n_layers)]
    alignment = alignment_table(sums, case.sums.permuted, ceilings, POST.n_heads, level=0.9)
    return sums, alignment, enrichment_table(sums, case.sums.permuted, POST.n_heads, level=0.9)


def test_the_alignment_table_holds_every_token_set_with_its_own_correlation(case):
    _, table, _ = tables(case)
    slow = slow_statistics(case.tokens)
    sets = dict(list(table.groupby("token_set")))
    for name, r, seed in (
        ("all_tokens", "r", "pooled"),
        ("positive_windows", "r_positive", "pooled_positive"),
        ("inner_tokens", "r_inner", "pooled_inner"),
        ("balanced", "balanced", "balanced"),
    ):
        assert [*zip(sets[name]["layer"], sets[name]["head"], strict=True)] == list(np.ndindex(3, 6))
        np.testing.assert_allclose(sets[name]["r"], slow[r], **close)
        np.testing.assert_allclose(sets[name]["r_seed"], slow[seed], **close)
    first = sets["all_tokens"]
    np.testing.assert_allclose(first["r_position"], slow["r_position"], **close)
    np.testing.assert_allclose(first["r_beyond_position"], slow_partial_r(case.tokens), **close)
    np.testing.assert_allclose(first["ceiling"], np.repeat([0.2, 0.3, 0.4], 6))
    np.testing.assert_allclose(first["r_over_ceiling"], slow["r"] / np.repeat([0.2, 0.3, 0.4], 6), **close)
    assert sets["balanced"][["r_position", "null_r", "p_permuted", "ceiling", "r_over_ceiling"]].isna().all(axis=None)
    assert (first["n_tokens"] == len(case.tokens)).all()


def test_intervals_and_p_values_follow_from_the_resamples(case):
    sums, alignment, enriched = tables(case)
    r, rho, alone = within_r(sums.all_tokens), enrichment(sums.received), enrichment(sums.received_by_position)
    first = alignment[alignment["token_set"] == "all_tokens"]
    for head in range(HEADS):
        for table, values, low, high in (
            (first, r, "r_low", "r_high"),
            (enriched, rho, "rho_low", "rho_high"),
            (enriched, rho / alone, "beyond_position_low", "beyond_position_high"),
        ):
            expected = np.quantile(values[1:, head], [0.05, 0.95])
            np.testing.assert_allclose(table.iloc[head][[low, high]].astype(float), expected)
        for table, values in ((first, np.arctanh(r[:, head])), (enriched, np.log(rho[:, head]))):
            score = abs(values[0]) / np.std(values[1:], ddof=1)
            assert table.iloc[head]["p"] == pytest.approx(2 * (1 - norm.cdf(score)), abs=1e-9)


def test_a_null_is_the_largest_permuted_motif_and_p_its_rank(case):
    _, alignment, enriched = tables(case)
    first = alignment[alignment["token_set"] == "all_tokens"]
    null_r = np.abs([slow_within_r(case.tokens, motif=motif) for motif in range(1, MOTIFS)])
    null_rho = np.array([slow_enrichment(case.tokens, motif=motif) for motif in range(1, MOTIFS)])
    own = slow_statistics(case.tokens)
    for table, column, value, null in ((first, "r", abs(own["r"]), null_r), (enriched, "rho", own["rho"], null_rho)):
        np.testing.assert_allclose(table[f"null_{column}"], null.max(axis=0), **close)
        reached = [sum(each >= value[head] for each in null[:, head]) for head in range(HEADS)]
        np.testing.assert_allclose(table["p_permuted"], (1 + np.array(reached)) / MOTIFS)
        assert 0 < sum(reached) < HEADS * (MOTIFS - 1)


def test_the_enrichment_table_has_the_ratio_of_means_and_what_position_gives(case):
    _, _, table = tables(case)
    slow = slow_statistics(case.tokens)
    np.testing.assert_allclose(table["rho"], slow["rho"], **close)
    np.testing.assert_allclose(table["rho_position"], slow["rho_position"], **close)
    np.testing.assert_allclose(table["beyond_position"], slow["rho"] / slow["rho_position"], **close)
    for column, side in (("n_support", "support"), ("n_background", "background")):
        assert (table[column] == sum(token[side][0] for token in case.tokens)).all()


# Figures that are not defined


def silenced(architecture, bias):
    """A model whose first layer's queries and keys are the same for every token."""
    encoder = scattered(architecture)
    with torch.no_grad():
        qkv = encoder.block(0).attn.qkv
        qkv.weight[: 2 * architecture.d_model] = 0
        qkv.bias[: 2 * architecture.d_model] *= bias
    return encoder


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("bias", [0, 1], ids=["zero", "constant"])
def test_constant_key_scores_align_with_nothing(case, bias):
    """What rounding leaves of a constant must not be correlated with anything."""
    encoder = silenced(POST, bias)
    sums, permuted = sum_attention(encoder, case.items, case.roles, FP32, 24)
    weights = cluster_weights(CLUSTERS, 50, np.random.default_rng(2))
    table = alignment_table(resample(sums, weights), permuted, [Ceiling(0.5, 0.4, 0.6)] * 3, 6, level=0.95)
    silent = table[table["layer"] == 0]
    assert len(silent) == 24
    assert silent["r"].isna().all()
    assert (silent["p"] == 1).all()
    assert (silent["p_holm"] == 1).all()
    assert (silent[silent["token_set"] == "all_tokens"]["p_permuted"] == 1).all()
    assert silent["null_r"].isna().all()
    assert table[table["layer"] > 0]["r"].notna().all()


def test_a_motif_score_that_is_constant_within_sequences_aligns_with_nothing(case):
    flat = np.float32(0.1) * (1 + case.roles.sequence)
    bits = np.where(np.isfinite(case.roles.bits), flat[:, None], -np.inf)
    sums = sum_attention(case.encoder, case.items, case.roles._replace(bits=bits), FP32, 24)
    total = nothing_resampled(sums.rows)
    assert np.isnan(within_r(total.all_tokens)).all()
    assert np.isnan(permuted_r(total, sums.permuted)).all()
    assert np.isfinite(pooled_r(total.all_tokens)).all()


def test_learned_positions_score_nothing_and_attend_evenly(case):
    sums = nothing_resampled(sum_attention(scattered(LEARNED), case.items, case.roles, FP32, 24).rows)
    assert np.isnan(within_r(sums.position)).all()
    tokens = [(1 / LENGTHS[token["sequence"]], token) for token in case.tokens]
    support, background = (
        np.mean([share for share, token in tokens if token[side][0]]) for side in ("support", "background")
    )
    np.testing.assert_allclose(enrichment(sums.received_by_position)[0], support / background, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_without_support_tokens_enrichment_is_undefined_and_not_significant(case):
    none = np.zeros_like(case.roles.support)
    sums, permuted = sum_attention(case.encoder, case.items, case.roles._replace(support=none), FP32, 24)
    weights = cluster_weights(CLUSTERS, 20, np.random.default_rng(2))
    table = enrichment_table(resample(sums, weights), permuted, 6, level=0.95)
    assert table[["rho", "rho_low", "rho_high", "null_rho"]].isna().all(axis=None)
    assert (table[["p", "p_holm", "p_permuted"]] == 1).all(axis=None)
    assert (table["n_support"] == 0).all()
