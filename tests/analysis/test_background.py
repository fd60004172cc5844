"""Matched background tokens: what matching promises, and a greedy loop beside it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mints.analysis.background import END_CALIPER, GC_CALIPER, NEIGHBOURS, balance, match_background
from mints.analysis.token_table import TokenTable


def table(length, gc, to_end):
    """Tokens of which matching sees these covariates alone."""
    count = len(length)
    columns = np.asarray(length), np.asarray(to_end, dtype=float), np.asarray(gc, dtype=float)
    return TokenTable(np.zeros(count, dtype=int), np.arange(count), np.zeros(count, dtype=int), *columns)


def random_tokens(count, rng, lengths=(4, 6), gc=0.5, to_end=60):
    return table(rng.choice(lengths, count), rng.uniform(0, gc, count), rng.uniform(0, to_end, count))


def within_calipers(tokens, one, other):
    near = abs(tokens.gc[one] - tokens.gc[other]) <= GC_CALIPER + 1e-6
    return near and abs(tokens.to_end[one] - tokens.to_end[other]) <= END_CALIPER + 1e-6


def distance(tokens, one, other):
    """The larger of both differences, in calipers."""
    gc, to_end = (abs(column[one] - column[other]) for column in (tokens.gc, tokens.to_end))
    return max(gc / GC_CALIPER, to_end / END_CALIPER)


def greedy(tokens, support, usable, rng):
    """Pairs that one gets by asking every support token in turn for the nearest token that is left."""
    taken, pairs = set(), []
    for length in sorted(set(tokens.length[support & usable].tolist())):
        alike = [token for token in range(len(support)) if usable[token] and tokens.length[token] == length]
        for wanted in rng.permutation([token for token in alike if support[token]]):
            left = [token for token in alike if not support[token] and token not in taken]
            left = [token for token in left if within_calipers(tokens, wanted, token)]
            if left:
                nearest = min(left, key=lambda token: distance(tokens, wanted, token))  # noqa: B023
                taken.add(nearest)
                pairs.append((int(wanted), nearest))
    return pairs


def pairs_of(matched):
    return [*zip(matched.support.tolist(), matched.background.tolist(), strict=True)]


@pytest.mark.parametrize("seed", range(20))
def test_a_pool_that_is_seen_whole_is_matched_as_by_a_greedy_loop(seed):
    rng = np.random.default_rng(seed)
    tokens = random_tokens(40, rng)
    usable = rng.random(40) < 0.9
    support = rng.random(40) < 0.6
    pools = [(usable & ~support & (tokens.length == length)).sum() for length in (4, 6)]
    assert max(pools) <= NEIGHBOURS
    matched = match_background(tokens, support, usable, np.random.default_rng(seed))
    assert pairs_of(matched) == greedy(tokens, support, usable, np.random.default_rng(seed))
    assert 0 < len(matched.support) < (support & usable).sum()


def test_the_nearest_token_of_the_same_length_is_taken():
    tokens = table([6, 6, 6, 5, 6, 6], [0.5, 0.52, 0.55, 0.5, 0.5, 0.61], [40, 43, 40, 40, 51, 40])
    support = np.array([True, *[False] * 5])
    everything = np.ones(6, dtype=bool)
    rng = np.random.default_rng(0)
    assert pairs_of(match_background(tokens, support, everything, rng)) == [(0, 1)]
    assert pairs_of(match_background(tokens, support, everything & (np.arange(6) != 1), rng)) == [(0, 2)]
    out_of_reach = np.isin(np.arange(6), [0, 3, 4, 5])  # another length, 11 bases further in, 11 points more GC
    assert pairs_of(match_background(tokens, support, out_of_reach, rng)) == []


def test_differences_as_large_as_the_calipers_still_match():
    tokens = table([6, 6], [0.48, 0.58], [40.5, 50.5])
    matched = match_background(tokens, np.array([True, False]), np.ones(2, dtype=bool), np.random.default_rng(0))
    assert pairs_of(matched) == [(0, 1)]


def test_when_all_neighbours_are_taken_those_behind_them_are_asked():
    """100 support tokens in one place, 100 others in a row, of which each sees the nearest few in a round."""
    tokens = table([6] * 200, [0.5] * 200, [40.0] * 100 + [40 + i / 11 for i in range(100)])
    support = np.arange(200) < 100
    matched = match_background(tokens, support, np.ones(200, dtype=bool), np.random.default_rng(0))
    assert sorted(matched.support) == [*range(100)]
    assert sorted(matched.background) == [*range(100, 200)]


def test_the_same_generator_gives_the_same_pairs_and_another_gives_others():
    rng = np.random.default_rng(1)
    tokens, support = random_tokens(300, rng), rng.random(300) < 0.5
    usable = np.ones(300, dtype=bool)
    first, again, other = (
        pairs_of(match_background(tokens, support, usable, np.random.default_rng(s))) for s in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_nothing_to_match_gives_no_pairs_and_undefined_means():
    tokens = random_tokens(10, np.random.default_rng(0))
    everything, none = np.ones(10, dtype=bool), np.zeros(10, dtype=bool)
    for support, usable in ((none, everything), (everything, everything), (everything, none)):
        matched = match_background(tokens, support, usable, np.random.default_rng(0))
        assert matched.support.dtype == matched.background.dtype == np.int64
        assert len(matched.support) == len(matched.background) == 0
        assert all(np.isnan([row.support_mean, row.background_mean]).all() for row in balance(tokens, matched))
        assert all(np.isnan(row.standardised_difference) for row in balance(tokens, matched))


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 250),
    supporting=st.floats(0, 1),
    usable=st.floats(0.2, 1),
    coarse=st.booleans(),
)
@settings(max_examples=150)
def test_pairs_keep_every_promise(seed, count, supporting, usable, coarse):
    rng = np.random.default_rng(seed)
    tokens = random_tokens(count, rng, gc=1, to_end=100)
    if coarse:  # ties, and differences on the calipers themselves
        tokens = tokens._replace(gc=np.round(tokens.gc, 1), to_end=np.round(tokens.to_end, -1))
    support, may = rng.random(count) < supporting, rng.random(count) < usable
    matched = match_background(tokens, support, may, rng)
    pairs = pairs_of(matched)
    assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
    for one, other in pairs:
        assert support[one]
        assert not support[other]
        assert may[one]
        assert may[other]
        assert tokens.length[one] == tokens.length[other]
        assert within_calipers(tokens, one, other)
    # Nobody who is left out could still be matched.
    for one in np.flatnonzero(support & may & ~np.isin(np.arange(count), matched.support)):
        free = may & ~support & (tokens.length == tokens.length[one])
        free[matched.background] = False
        for other in np.flatnonzero(free):
            assert distance(tokens, one, other) > 1


def test_balance_is_the_difference_of_means_over_the_pooled_deviation():
    rng = np.random.default_rng(4)
    tokens, support = random_tokens(300, rng), rng.random(300) < 0.3
    matched = match_background(tokens, support, np.ones(300, dtype=bool), rng)
    rows = {row.covariate: row for row in balance(tokens, matched)}
    assert [*rows] == ["length", "gc", "to_end"]
    for covariate in ("gc", "to_end"):
        inside, outside = (
            [float(getattr(tokens, covariate)[token]) for token in side]
            for side in (matched.support, matched.background)
        )
        deviation = np.sqrt((np.std(inside) ** 2 + np.std(outside) ** 2) / 2)
        row = rows[covariate]
        assert (row.support_mean, row.background_mean) == pytest.approx((np.mean(inside), np.mean(outside)))
        assert row.standardised_difference == pytest.approx((np.mean(inside) - np.mean(outside)) / deviation)
    assert rows["length"].standardised_difference == 0


def test_matching_balances_sets_that_differ_before_it():
    """Support tokens lie further in and are richer in GC; matched ones no longer are."""
    rng = np.random.default_rng(9)
    support = np.arange(3000) < 300
    gc = rng.normal(np.where(support, 0.52, 0.45), 0.08)
    to_end = np.abs(rng.normal(np.where(support, 52, 40), 15))
    tokens = table(rng.integers(4, 8, 3000), gc, to_end)
    matched = match_background(tokens, support, np.ones(3000, dtype=bool), rng)
    before = (gc[support].mean() - gc[~support].mean()) / gc.std()
    assert before > 0.7
    assert len(matched.support) > 280
    assert all(abs(row.standardised_difference) < 0.1 for row in balance(tokens, matched))
