"""Restoration figures and tables against slow loops over pairs and resamples."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.analysis.multiplicity import benjamini_hochberg
from mints.analysis.patching_sweep import Denoising, Sweep, empty_sweep
from mints.analysis.patching_tables import INPUT_FLAG, component_rows, denoising_rows, head_rows, window_rows
from mints.analysis.restoration import LEAST_EFFECT, linked, other_pair, restoration

PAIRS, LAYERS, HEADS = 12, 2, 3
CLUSTERS = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7])
LEVEL = 0.9
WINDOWS = [(-10, 0), (0, 10)]


@pytest.fixture(scope="module")
def weights():
    return cluster_weights(CLUSTERS, 200, np.random.default_rng(1))


# The figures


def test_the_ratio_of_sums_the_mean_of_ratios_and_the_median_are_told_apart(weights):
    change, effect = np.array([[1.0], [1.0], [6.0]]), np.array([1.0, 4.0, 5.0])
    cells = restoration(change, effect, np.ones((5, 3), dtype=int), LEVEL)
    assert cells.pm == pytest.approx(0.8)
    assert cells.pm_seed == pytest.approx((1 + 0.25 + 1.2) / 3)
    assert cells.pm_median == pytest.approx(1.0)
    assert cells.effect == pytest.approx(10 / 3)
    assert (cells.n_pairs, cells.n_failed) == (3, 0)


def test_failed_denominators_are_counted_and_stay_in_the_ratio_of_sums():
    """They spoil a mean of ratios, where they are left out, but not a ratio of sums, where they stay."""
    tiny = LEAST_EFFECT / 2
    change = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [0.25, 0.25]])
    effect = np.array([2.0, 4.0, tiny, -tiny])
    cells = restoration(change, effect, np.ones((5, 4), dtype=int), LEVEL)
    np.testing.assert_allclose(cells.pm, [4.75 / 6, 1.75 / 6])
    np.testing.assert_allclose(cells.pm_seed, [(0.5 + 0.75) / 2, (1 - 0.25) / 2])
    np.testing.assert_allclose(cells.pm_median, [0.625, 0.375])
    assert (cells.n_pairs, cells.n_failed) == (4, 2)
    assert cells.effect == pytest.approx(1.5)


@pytest.mark.parametrize(("effect", "failed"), [(LEAST_EFFECT, 0), (-LEAST_EFFECT, 0), (0.99 * LEAST_EFFECT, 1)])
def test_a_denominator_fails_below_the_least_effect_whatever_its_sign(effect, failed):
    cells = restoration(np.array([[1.0]]), np.array([effect]), np.ones((5, 1), dtype=int), LEVEL)
    assert cells.n_failed == failed
    assert np.isnan(cells.pm_seed[0]) == np.isnan(cells.pm_median[0]) == bool(failed)


def test_intervals_and_p_values_equal_a_slow_bootstrap_that_repeats_pairs(weights):
    rng = np.random.default_rng(2)
    change, effect = rng.normal(0.4, 1, (PAIRS, 5)), rng.normal(2, 0.5, PAIRS)
    cells = restoration(change, effect, weights, LEVEL)
    ratios, effects = [], []
    for drawn in weights:
        pairs = [pair for pair in range(PAIRS) for _ in range(drawn[pair])]
        ratios.append(sum(change[pair] for pair in pairs) / sum(effect[pair] for pair in pairs))
        effects.append(np.mean([effect[pair] for pair in pairs]))
    low, high = np.quantile(ratios, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(cells.pm_low, low, rtol=1e-12)
    np.testing.assert_allclose(cells.pm_high, high, rtol=1e-12)
    np.testing.assert_allclose([cells.effect_low, cells.effect_high], np.quantile(effects, [0.05, 0.95]), rtol=1e-12)
    score = np.abs(change.sum(0) / effect.sum()) / np.std(ratios, axis=0, ddof=1)
    np.testing.assert_allclose(cells.p, 2 * (1 - norm.cdf(score)), rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_no_pairs_at_all_leave_every_figure_undefined():
    cells = restoration(np.zeros((0, 3)), np.zeros(0), np.zeros((50, 0), dtype=int), LEVEL)
    for values in (cells.pm, cells.pm_low, cells.pm_high, cells.pm_seed, cells.pm_median):
        assert np.isnan(values).all()
        assert values.shape == (3,)
    assert (cells.p == 1).all()
    assert (cells.n_pairs, cells.n_failed) == (0, 0)
    assert np.isnan(cells.effect)


# The partner of a null


@given(st.lists(st.integers(3, 12), min_size=2, max_size=40), st.integers(0, 100))
def test_every_pair_gives_to_one_other_pair_and_never_to_itself(tokens, seed):
    partner = other_pair(np.array(tokens), np.random.default_rng(seed))
    assert sorted(partner) == [*range(len(tokens))]
    assert (partner != np.arange(len(tokens))).all()


@given(st.lists(st.integers(3, 12), min_size=2, max_size=40), st.integers(0, 100))
def test_pairs_give_to_each_other_but_for_one_circle_of_three(tokens, seed):
    partner = other_pair(np.array(tokens), np.random.default_rng(seed))
    in_circle = np.flatnonzero(partner[partner] != np.arange(len(tokens)))
    assert len(in_circle) == 3 * (len(tokens) % 2)
    np.testing.assert_array_equal(partner[partner[partner]][in_circle], in_circle)


@given(st.lists(st.integers(3, 12), min_size=2, max_size=40), st.integers(0, 100))
def test_all_pairs_but_one_of_each_length_have_a_partner_of_that_length(tokens, seed):
    """Of an odd number of pairs, two more may be in the circle of three."""
    tokens = np.array(tokens)
    unlike = tokens[tokens[other_pair(tokens, np.random.default_rng(seed))] != tokens]
    assert len(unlike) <= len({*unlike}) + 2 * (len(tokens) % 2)


@given(st.lists(st.integers(0, 8), min_size=2, max_size=30), st.integers(0, 100))
def test_what_hangs_together_by_cluster_or_partner_is_one_unit(clusters, seed):
    partner = other_pair(np.full(len(clusters), 9), np.random.default_rng(seed))
    groups = [{i} for i in range(len(clusters))]
    for i, j in [*enumerate(partner), *((i, clusters.index(cluster)) for i, cluster in enumerate(clusters))]:
        mine, theirs = (next(group for group in groups if k in group) for k in (i, j))
        if mine is not theirs:
            groups.remove(theirs)
            mine |= theirs
    units = linked(np.array(clusters), partner)
    assert {frozenset(group) for group in groups} == {frozenset(np.flatnonzero(units == unit)) for unit in {*units}}


def test_differences_between_sequences_cancel_in_the_null_of_partners():
    """A null that only tells sequences apart has an interval at 0, however wide apart they are."""
    rng = np.random.default_rng(3)
    level = rng.normal(0, 5, 41)
    partner = other_pair(np.full(41, 9), rng)
    effect = rng.normal(2, 0.2, 41)
    units = cluster_weights(linked(np.arange(41), partner), 200, rng)
    null = restoration((level[partner] - level)[:, None], effect, units, LEVEL)
    np.testing.assert_allclose([null.pm[0], null.pm_low[0], null.pm_high[0]], 0, atol=1e-12)
    apart = restoration((level[partner] - level)[:, None], effect, cluster_weights(np.arange(41), 200, rng), LEVEL)
    assert apart.pm_high[0] - apart.pm_low[0] > 1


def test_the_partner_is_drawn_at_random_within_a_length():
    drawn = [tuple(other_pair(np.full(12, 9), np.random.default_rng(seed))) for seed in range(20)]
    assert len({*drawn}) > 15
    np.testing.assert_array_equal(drawn[3], other_pair(np.full(12, 9), np.random.default_rng(3)))


# The tables


@pytest.fixture(scope="module")
def case(weights):
    """Random read-outs; half of the pairs have no control edit."""
    rng = np.random.default_rng(5)

    def noise(*shape):
        return rng.normal(0, 0.3, (PAIRS, *shape))

    clean, corrupted, control = 3 + noise(), 1 + noise(), 2.5 + noise()
    restored = np.array([[0, 0.6, 1.2], [2.1, 2.4, 3]])  # of an effect of 2
    heads = [corrupted[:, None, None] + restored + noise(LAYERS, HEADS) for _ in range(3)]
    denoising = Denoising(clean, corrupted, control, *heads, control[:, None, None] + noise(LAYERS, HEADS))
    nothing = np.zeros(PAIRS)
    sweep = Sweep(
        denoising,
        clean[:, None, None] - rng.uniform(0, 2, (LAYERS, HEADS)) + noise(LAYERS, HEADS),
        corrupted[:, None, None] + 1 + noise(LAYERS, 3),
        clean[:, None, None] - 1 + noise(LAYERS, 3),
        corrupted[:, None, None] + 0.5 + noise(LAYERS, len(WINDOWS)),
        1 + noise(LAYERS, HEADS),
        nothing, nothing, nothing,
    )  # fmt: skip
    return SimpleNamespace(sweep=sweep, with_control=np.arange(PAIRS) % 2 == 0, judge=Resamples(weights, LEVEL))


def slow_pm(above, below):
    return sum(above) / sum(below)


def test_the_head_table_has_one_row_per_direction_and_head_with_its_own_ratio(case):
    table = head_rows(case.sweep, case.with_control, case.judge, threshold=0.5)
    denoising = case.sweep.denoising
    effect = denoising.clean - denoising.corrupted
    keys = [*table[["direction", "layer", "head"]].itertuples(index=False, name=None)]
    assert keys == [(way, *place) for way in ("denoising", "noising") for place in np.ndindex(LAYERS, HEADS)]
    for _, row in table.iterrows():
        at = (slice(None), row["layer"], row["head"])
        restored, noised = denoising.heads[at] - denoising.corrupted, denoising.clean - case.sweep.noised_heads[at]
        assert row["pm"] == pytest.approx(slow_pm(restored if row["direction"] == "denoising" else noised, effect))
        if row["direction"] == "denoising":
            estimate = case.sweep.estimated_heads[at]
            assert row["attribution"] == pytest.approx(slow_pm(estimate, effect))
        else:
            assert np.isnan(row["attribution"])
            assert np.isnan(row["other_pair"])
    assert (table["n_pairs"] == PAIRS).all()
    np.testing.assert_allclose(table["effect"], effect.mean())


def test_a_head_passes_by_its_lower_bound_and_overshoots_by_it_too(case):
    lows = head_rows(case.sweep, case.with_control, case.judge, threshold=0.5)["pm_low"]
    threshold = sorted(lows)[len(lows) // 2]
    table = head_rows(case.sweep, case.with_control, case.judge, threshold)
    assert table["passes"].tolist() == [low >= threshold for low in lows]
    assert table["passes"].sum() == len(lows) - len(lows) // 2
    assert ((table["pm"] >= threshold) & ~table["passes"]).any()
    denoised = table[table["direction"] == "denoising"]
    assert denoised["overshoot"].tolist() == [low > 1 for low in denoised["pm_low"]]
    assert denoised["overshoot"].any()
    assert ((denoised["pm"] > 1) & ~denoised["overshoot"]).any()


def test_q_values_are_over_the_heads_of_one_direction(case):
    table = head_rows(case.sweep, case.with_control, case.judge, threshold=0.5)
    for _, part in table.groupby("direction"):
        np.testing.assert_allclose(part["q"], benjamini_hochberg(part["p"].to_numpy()))


def test_nulls_stand_beside_every_head_with_paired_intervals_of_the_difference(case):
    table = denoising_rows(case.sweep.denoising, case.with_control, case.judge)
    denoising = case.sweep.denoising
    effect = denoising.clean - denoising.corrupted
    for place, (layer, head) in enumerate(np.ndindex(LAYERS, HEADS)):
        changes = {
            "other_pair": denoising.partner_heads[:, layer, head] - denoising.corrupted,
            "other_corrupted": denoising.motifless_heads[:, layer, head] - denoising.corrupted,
            "control": np.where(case.with_control, denoising.control_heads[:, layer, head] - denoising.control, 0),
        }
        restored = denoising.heads[:, layer, head] - denoising.corrupted
        for null, change in changes.items():
            shares = [(drawn @ restored - drawn @ change) / (drawn @ effect) for drawn in case.judge.weights]
            expected = [slow_pm(change, effect), *np.quantile(shares, [0.05, 0.95])]
            found = table.loc[place, [null, f"beyond_{null}_low", f"beyond_{null}_high"]].astype(float)
            np.testing.assert_allclose(found, expected, err_msg=null)


def test_component_rows_flag_the_input_that_proves_nothing(case):
    table = component_rows(case.sweep, case.judge)
    denoising = case.sweep.denoising
    assert len(table) == 2 * LAYERS * 3
    flagged = table[table["flag"] != ""]
    assert (flagged["flag"] == INPUT_FLAG).all()
    assert [*flagged[["direction", "granularity", "layer"]].itertuples(index=False, name=None)] == [
        ("denoising", "residual", 0),
        ("noising", "residual", 0),
    ]
    effect = denoising.clean - denoising.corrupted
    names = ("residual", "attention", "mlp")
    for _, row in table.iterrows():
        at = (slice(None), row["layer"], names.index(row["granularity"]))
        change = {
            "denoising": case.sweep.denoised_components[at] - denoising.corrupted,
            "noising": denoising.clean - case.sweep.noised_components[at],
        }[row["direction"]]
        assert row["pm"] == pytest.approx(slow_pm(change, effect))


def test_window_rows_name_the_interval_that_was_patched(case):
    table = window_rows(case.sweep, WINDOWS, case.judge)
    denoising = case.sweep.denoising
    assert [*table[["layer", "start", "end"]].itertuples(index=False, name=None)] == [
        (layer, *window) for layer in range(LAYERS) for window in WINDOWS
    ]
    for place, (layer, window) in enumerate(np.ndindex(LAYERS, len(WINDOWS))):
        change = case.sweep.windows[:, layer, window] - denoising.corrupted
        assert table.loc[place, "pm"] == pytest.approx(slow_pm(change, denoising.clean - denoising.corrupted))


@pytest.mark.filterwarnings("error")
def test_tables_of_no_pairs_are_whole_and_undefined():
    empty, judge = empty_sweep(LAYERS, HEADS, len(WINDOWS)), Resamples(np.zeros((50, 0), dtype=int), LEVEL)
    heads = head_rows(empty, np.zeros(0, dtype=bool), judge, threshold=0.5)
    for table, rows in (
        (heads, 2 * LAYERS * HEADS),
        (component_rows(empty, judge), 2 * LAYERS * 3),
        (window_rows(empty, WINDOWS, judge), LAYERS * len(WINDOWS)),
    ):
        assert len(table) == rows
        assert table["pm"].isna().all()
        assert (table["n_pairs"] == 0).all()
    assert not heads["passes"].any()
