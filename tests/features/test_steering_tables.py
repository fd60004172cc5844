"""Dose–response tables: effects, intervals over sites, nulls and their p."""

import numpy as np
import pandas as pd
import pytest

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.features.steering import MEASURES, Arm, Steering
from mints.features.steering_tables import (
    JUDGED,
    area_weights,
    curves,
    dose_table,
    mean_over_sites,
    planned_arms,
    slope_weights,
    summary_rows,
    summary_table,
    with_q,
)

DOSES = [0.0, 0.5, 1.0, 4.0]
DRAWS, MATCHED, SITES = 19, 9, 40


def simulated(effect, rng, noise=0.1):
    """Changes of every arm: `effect` × dose for the latent itself, noise × dose for the nulls and far away."""
    arms = planned_arms(DOSES, DRAWS, MATCHED)
    change = np.zeros((len(arms), SITES, len(MEASURES)))
    for row, arm in enumerate(arms):
        strength = effect if arm.direction == 0 and arm.position == "hidden" else 0.0
        change[row] = arm.dose * (strength + noise * rng.normal(size=(SITES, len(MEASURES))) + 0.02 * rng.normal())
    change[:, :5, MEASURES.index("substitution_log_odds")] = np.nan  # five targets have no substitute
    return Steering(rng.normal(size=(SITES, len(MEASURES))), change), arms


def a_judge(rng):
    return Resamples(cluster_weights(np.arange(SITES), 300, rng), 0.95)


def pick(table, **columns):
    for name, value in columns.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_every_arm_is_planned_once_and_nulls_stand_at_the_hidden_token_alone():
    arms = planned_arms(DOSES, DRAWS, MATCHED)
    assert len(set(arms)) == len(arms) == 3 * 2 * 4 + 28 * 3
    assert {(arm.position, arm.kind) for arm in arms if arm.direction > 0} == {("hidden", "add")}
    assert Arm(28, "hidden", "add", 4.0) in arms
    assert Arm(0, "far", "clamp", 0.0) in arms


def test_dose_rows_are_means_over_sites_with_the_band_of_the_nulls_means():
    rng = np.random.default_rng(0)
    steering, arms = simulated(0.5, rng)
    table = dose_table(steering, arms, DOSES, DRAWS, a_judge(rng))
    assert len(table) == 3 * 2 * 4 * len(MEASURES)
    row = pick(table, position="hidden", kind="add", dose=4.0, measure="target_log_odds")
    own = steering.change[arms.index(Arm(0, "hidden", "add", 4.0)), :, 0]
    assert row["effect"] == pytest.approx(own.mean())
    assert row["low"] < own.mean() < row["high"]
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * own.std() / np.sqrt(SITES), rel=0.3)
    for name, directions in (("directions", range(1, 20)), ("latents", range(20, 29))):
        means = [steering.change[arms.index(Arm(d, "hidden", "add", 4.0)), :, 0].mean() for d in directions]
        assert row[[f"{name}_low", f"{name}_mean", f"{name}_high"]].tolist() == pytest.approx(
            [np.quantile(means, 0.025), np.mean(means), np.quantile(means, 0.975)]
        )
    still = pick(table, position="hidden", kind="add", dose=0.0, measure="target_log_odds")
    assert still[["effect", "low", "high", "directions_low", "directions_high"]].tolist() == [0] * 5
    away = pick(table, position="far", kind="add", dose=4.0, measure="target_log_odds")
    assert np.isnan(away["directions_low"])
    missing = pick(table, position="hidden", kind="add", dose=4.0, measure="substitution_log_odds")
    assert missing["sites"] == 35
    arm = arms.index(Arm(0, "hidden", "add", 4.0))
    assert missing["effect"] == pytest.approx(np.nanmean(steering.change[arm, :, MEASURES.index(missing["measure"])]))


def test_area_and_slope_of_a_straight_line_are_its_own():
    line = 3.0 + 2.0 * np.array(DOSES)
    assert area_weights(DOSES) @ line == pytest.approx(3 + 2 * 2)  # height in the middle of the doses
    assert slope_weights(DOSES) @ line == pytest.approx(2)
    bent = np.array([0.0, 1.0, 2.0, -50.0])
    assert slope_weights(DOSES) @ bent == pytest.approx(2)  # doses beyond the natural ones take no part
    assert area_weights(DOSES) @ bent == pytest.approx(np.trapezoid(bent, DOSES) / 4)
    assert np.isnan(slope_weights([0.0, 2.0])).all()


def test_a_latent_that_acts_beats_its_nulls_and_one_that_does_not_does_not():
    rng = np.random.default_rng(1)
    p = {}
    for name, effect in (("acts", 0.5), ("lowers", -0.5)):
        steering, arms = simulated(effect, rng)
        table = summary_table(steering, arms, DOSES, DRAWS, a_judge(rng))
        p[name] = pick(table, position="hidden", kind="add", measure="target_log_odds")
    assert p["acts"]["p_area_directions"] == p["acts"]["p_slope_directions"] == 1 / 20
    assert p["acts"]["p_area_latents"] == 1 / 10
    assert p["acts"]["area_low"] > 0.8
    assert p["acts"]["slope"] == pytest.approx(0.5, abs=0.15)
    assert p["lowers"]["p_area_directions"] == 1.0
    judge = Resamples(np.ones((2, SITES), dtype=int), 0.95)
    idle = []
    for _ in range(60):
        steering, arms = simulated(0.0, rng)
        table = summary_rows(curves(steering, arms, DOSES, DRAWS, "hidden", "add"), DOSES, judge)
        idle.append(table.set_index("measure").loc["target_log_odds", "p_area_directions"])
    assert np.mean(idle) == pytest.approx(0.52, abs=0.12)  # of 20 ranks, each as likely
    assert np.mean(np.array(idle) <= 0.05) < 0.15


def test_without_two_natural_doses_there_is_neither_a_slope_nor_its_p():
    rng = np.random.default_rng(3)
    steering, arms = simulated(0.5, rng)
    doses = [0.0, 4.0]
    table = with_q(summary_table(steering, arms, doses, DRAWS, a_judge(rng)))
    row = pick(table, position="hidden", kind="add", measure="target_log_odds")
    assert np.isnan(row[["slope", "slope_low", "p_slope_directions", "q_slope_latents"]].to_list()).all()
    assert row["p_area_directions"] == 1 / 20


def test_what_the_hidden_token_has_beyond_other_positions_is_paired():
    rng = np.random.default_rng(2)
    steering, arms = simulated(0.5, rng)
    shared = rng.normal(size=SITES)[None, :, None] * np.array([arm.dose for arm in arms])[:, None, None]
    table = summary_table(steering._replace(change=steering.change + 5 * shared), arms, DOSES, DRAWS, a_judge(rng))
    far = pick(table, position="far", kind="add", measure="target_log_odds")
    hidden = pick(table, position="hidden", kind="add", measure="target_log_odds")
    assert far["beyond"] == pytest.approx(hidden["area"] - far["area"])
    assert far["beyond_high"] - far["beyond_low"] < 0.2 * (far["area_high"] - far["area_low"])
    assert far["beyond_low"] > 0.8
    assert np.isnan(hidden["beyond"])


def test_q_values_are_over_all_tests_of_one_measure_and_null():
    table = pd.DataFrame(
        {
            "measure": [JUDGED[0]] * 4 + [JUDGED[1]] * 2 + ["kl"],
            "p_area_latents": [0.01, 0.02, 0.5, np.nan, 0.04, 0.5, np.nan],
        }
    )
    found = with_q(table)
    assert found["q_area_latents"].tolist()[:3] == pytest.approx([0.03, 0.03, 0.5])
    assert found["q_area_latents"].tolist()[4:6] == pytest.approx([0.08, 0.5])
    assert np.isnan(found["q_area_latents"].iloc[[3, 6]]).all()
    assert list(found)[-1] == "q_area_latents"


def test_undefined_sites_take_no_part_in_a_mean():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    weights = np.array([[1, 5, 1], [2, 0, 0], [0, 1, 0]])
    means = mean_over_sites(values, weights)
    assert means[0, :2].tolist() == [2.0, 1.0]
    assert np.isnan(means[0, 2])
    assert np.isnan(means[1]).all()
