from itertools import product

import numpy as np
import pandas as pd
import pytest

from mints.analysis.basecalling.sweep import Patched, Swept
from mints.analysis.basecalling.tables import (
    EXACT,
    Judges,
    comparison_table,
    component_table,
    equal_strata,
    pair_columns,
    strata_table,
    summary_table,
)
from mints.analysis.basecalling.tracks import BEFORE, TO_RESTORE, track_table
from mints.analysis.bootstrap import Resamples, cluster_weights

LAYERS, HEADS, TIME = 2, 2, 120
PAIRS = pd.DataFrame(
    list(product(("homopolymer", "other"), "ACGT", (3, 4), ("noise", "repeat_more"))),
    columns=["group", "base", "run_length", "corruption"],
)
N = len(PAIRS)


def patched(rng, base, share):
    """Figures that move the given share of a way, different in every component."""
    scale = np.linspace(0, 1, LAYERS * (3 + HEADS)).reshape(LAYERS, 3 + HEADS)
    way = rng.normal(2, 0.5, size=(N, 1, 1, 2))
    figures = base[:, None, None] + share * way * scale[None, :, :, None]
    return Patched(figures + rng.normal(0, 0.05, size=figures.shape), rng.random((N, LAYERS, 3 + HEADS)))


@pytest.fixture(scope="module")
def swept():
    rng = np.random.default_rng(5)
    clean = rng.normal(5, 1, size=(N, 2))
    corrupted = clean - rng.normal(2, 0.5, size=(N, 2))
    nothing = np.zeros(N)
    tracks = rng.normal(size=(N, LAYERS, 3, TIME))
    return Swept(
        clean=clean,
        corrupted=corrupted,
        clean_track=rng.normal(size=(N, TIME)),
        corrupted_track=rng.normal(size=(N, TIME)),
        tracks=tracks,
        denoised=patched(rng, corrupted, 1),
        noised=patched(rng, clean, -1),
        denoised_chunk=patched(rng, corrupted, 1),
        noised_chunk=patched(rng, clean, -1),
        other_clean=patched(rng, corrupted, 0.5),
        other_corrupted=patched(rng, corrupted, 0),
        other_site=patched(rng, corrupted, 0),
        unrelated=patched(rng, corrupted, -0.5),
        no_op=nothing,
        everything=nothing,
        last_layer=nothing,
    )


@pytest.fixture(scope="module")
def judges():
    weights = cluster_weights(np.arange(N), 300, np.random.default_rng(0))
    return Judges(*[Resamples(weights, 0.95)] * 3)


def one(table, **wanted):
    rows = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture(scope="module")
def components(swept, judges):
    return component_table(swept, PAIRS, judges, 0.5)


def test_restoration_and_degradation_are_ratios_of_sums_over_the_groups_pairs(swept, components):
    rows = (PAIRS["group"] == "other").to_numpy()
    effect = swept.clean - swept.corrupted
    gained = swept.denoised.measures[rows, 1, 3 + 1, 1] - swept.corrupted[rows, 1]
    at = {"measure": "sequence", "group": "other", "patch": "run", "granularity": "head", "layer": 1, "head": 1}
    row = one(components, direction="denoising", **at)
    assert row["pm"] == pytest.approx(gained.sum() / effect[rows, 1].sum())
    assert row["pm_seed"] == pytest.approx((gained / effect[rows, 1]).mean())
    assert row["maximum_seed"] == pytest.approx(swept.denoised.maximum[rows, 1, 4].mean())
    lost = swept.clean[rows, 1] - swept.noised.measures[rows, 1, 4, 1]
    assert one(components, direction="noising", **at)["pm"] == pytest.approx(lost.sum() / effect[rows, 1].sum())


def test_nulls_stand_beside_denoising_at_the_run_and_decide_what_restores(swept, components):
    effect = (swept.clean - swept.corrupted)[:, 0].sum()
    at = {"measure": "transition", "group": "all", "patch": "run", "direction": "denoising", "granularity": "mlp"}
    row = one(components, layer=1, **at)
    for null in ("other_clean", "other_corrupted", "other_site", "unrelated"):
        gained = getattr(swept, null).measures[:, 1, 2, 0] - swept.corrupted[:, 0]
        assert row[null] == pytest.approx(gained.sum() / effect)
    assert row["restores"]
    assert row["passes"]
    assert not one(components, layer=0, **(at | {"granularity": "layer"}))["restores"]
    elsewhere = components[(components["patch"] == "chunk") | (components["direction"] == "noising")]
    assert not elsewhere["restores"].any()
    assert elsewhere["other_site"].isna().all()


def test_only_the_last_layers_output_is_flagged_and_heads_are_patched_at_the_run_alone(components):
    flagged = components[components["flag"] == EXACT]
    assert set(zip(flagged["granularity"], flagged["layer"], strict=True)) == {("layer", LAYERS - 1)}
    assert set(components.loc[components["granularity"] == "head", "patch"]) == {"run"}
    assert set(components.loc[components["granularity"] != "head", "head"]) == {-1}


def test_the_least_visible_share_is_2_8_standard_errors(components):
    row = components.iloc[3]
    error = (row["pm_high"] - row["pm_low"]) / 2 / 1.959964
    assert row["least_visible"] == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)


def test_strata_are_the_same_figures_of_their_pairs_alone(swept, judges):
    strata = strata_table(swept, PAIRS, judges.own)
    rows = ((PAIRS["group"] == "homopolymer") & (PAIRS["run_length"] == 4)).to_numpy()
    gained = swept.denoised.measures[rows, 0, 1, 0] - swept.corrupted[rows, 0]
    effect = (swept.clean - swept.corrupted)[rows, 0]
    at = {"measure": "transition", "stratifier": "run_length", "stratum": "4", "group": "homopolymer"}
    row = one(strata, granularity="attention", layer=0, **at)
    assert row["pm"] == pytest.approx(gained.sum() / effect.sum())
    assert row["n_pairs"] == rows.sum()


def test_groups_are_compared_over_strata_of_equal_weight_that_both_have(swept, judges):
    pairs = PAIRS.copy()
    pairs.loc[[0, 1], ["base", "run_length", "corruption"]] = ["A", 3, "noise"]  # twice, and one stratum lost
    weights = equal_strata(pairs)
    assert weights[:2].tolist() == [0.5, 0.5]
    lone = (pairs["base"] == "A") & (pairs["run_length"] == 3) & (pairs["corruption"] == "repeat_more")
    assert (weights[lone] == 0).all()
    table = comparison_table(swept, pairs, judges.own)
    expected = {}
    for group in ("homopolymer", "other"):
        chosen = (pairs["group"] == group).to_numpy() & (weights > 0)
        above = below = 0.0
        for _, part in pairs[chosen].groupby(["base", "run_length", "corruption"]):
            rows = part.index.to_numpy()
            above += (swept.denoised.measures[rows, 1, 2, 1] - swept.corrupted[rows, 1]).mean()
            below += (swept.clean - swept.corrupted)[rows, 1].mean()
        expected[group] = above / below
    at = {"measure": "sequence", "patch": "run", "direction": "denoising", "granularity": "mlp", "layer": 1}
    row = one(table, **at)
    assert row["difference"] == pytest.approx(expected["homopolymer"] - expected["other"])
    assert row["low"] < row["difference"] < row["high"]
    assert row["strata"] == len(PAIRS) // 2 - 1


def test_the_summary_reports_on_test_what_validation_chose(components):
    validation = components.copy()
    best = (validation["granularity"] == "head") & (validation["layer"] == 0) & (validation["head"] == 0)
    validation.loc[best, "pm"] = 9.0
    summary = summary_table(validation, components)
    row = one(summary, measure="sequence", group="all", granularity="head")
    own = one(components, measure="sequence", group="all", granularity="head", layer=0, head=0, patch="run",
              direction="denoising")  # fmt: skip
    assert (row["layer"], row["head"], row["pm_validation"], row["pm"]) == (0, 0, 9.0, own["pm"])
    layer = one(summary, measure="sequence", group="all", granularity="layer")
    assert layer["layer"] == 0  # the last one is exact by construction and no candidate


def test_tracks_are_counted_from_each_pairs_run(swept, judges):
    start = np.arange(N) % 5 + 30
    table = track_table(swept, start, PAIRS, judges.own, 3, 1)
    rows = np.flatnonzero(PAIRS["group"] == "homopolymer")
    step = 7
    gain = np.mean([swept.tracks[r, 1, 2, start[r] + step] - swept.corrupted_track[r, start[r] + step] for r in rows])
    row = one(table, group="homopolymer", component="mlp", layer=1, step=step)
    assert row["gain"] == pytest.approx(gain)
    assert row["sample"] == 21
    clean = np.mean([swept.clean_track[r, start[r] - 2] - swept.corrupted_track[r, start[r] - 2] for r in rows])
    assert one(table, group="homopolymer", component=TO_RESTORE, step=-2)["gain"] == pytest.approx(clean)
    together = track_table(swept, start, PAIRS, judges.own, 3, 2)
    pair = table[(table["group"] == "other") & (table["component"] == "layer") & (table["layer"] == 0)]
    halves = together[(together["group"] == "other") & (together["component"] == "layer") & (together["layer"] == 0)]
    assert halves["gain"].iloc[BEFORE // 2] == pytest.approx(pair["gain"].iloc[BEFORE : BEFORE + 2].mean())


def test_pairs_keep_what_they_read(swept):
    columns = pair_columns(swept, ["calls"] * N)
    assert (columns["sequence_clean"] == swept.clean[:, 1]).all()
    assert (columns["transition_corrupted"] == swept.corrupted[:, 0]).all()
