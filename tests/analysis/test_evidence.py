"""Evidence verdicts, and what the calibration may say of them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from mints.analysis.calibration import CRITERIA, detection_table, false_positive_table, meets, sensitivities
from mints.analysis.evidence import (
    Thresholds,
    aligned,
    aligned_relative,
    enriched,
    evidence_table,
    restored,
    verdict,
)

THRESHOLDS = Thresholds(r=0.5, p=0.05, rho=2.0, pm=0.5)

ALIGNED = {"r": 0.5, "p_holm": 0.049, "r_beyond_position_low": 0.001, "p_permuted": 0.05, "r_over_ceiling": 0.5}
ENRICHED = {"rho": 2.0, "p_holm": 0.049, "rho_low": 1.001, "beyond_position_low": 1.001, "p_permuted": 0.05}
RESTORED = {"pm_low": 0.5, "effect_low": 0.001, "beyond_other_corrupted_low": 0.001, "beyond_control_low": 0.001}
"""Rows that just meet every condition; in what follows one of them at a time just fails."""

JUST_FAILING = [
    *((aligned, ALIGNED, column, value) for column, value in {
        "r": 0.499, "p_holm": 0.05, "r_beyond_position_low": 0.0, "p_permuted": 0.051}.items()),
    *((aligned_relative, ALIGNED, column, value) for column, value in {
        "r_over_ceiling": 0.499, "r": -0.5, "p_holm": 0.05, "r_beyond_position_low": 0.0, "p_permuted": 0.051}.items()),
    *((enriched, ENRICHED, column, value) for column, value in {
        "rho": 1.999, "p_holm": 0.05, "rho_low": 1.0, "beyond_position_low": 1.0, "p_permuted": 0.051}.items()),
    *((restored, RESTORED, column, value) for column, value in {
        "pm_low": 0.4995, "effect_low": 0.0, "beyond_other_corrupted_low": 0.0, "beyond_control_low": 0.0}.items()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("criterion", "row"),
    [(aligned, ALIGNED), (aligned_relative, ALIGNED), (enriched, ENRICHED), (restored, RESTORED)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_row_that_just_meets_every_condition_passes(criterion, row):
    assert criterion(pd.DataFrame([row]), THRESHOLDS).tolist() == [True]


@pytest.mark.parametrize(
    ("criterion", "row", "column", "value"), JUST_FAILING, ids=lambda value: getattr(value, "__name__", None)
)
def test_each_condition_alone_can_fail_a_criterion(criterion, row, column, value):
    table = pd.DataFrame([row | {column: value}, row])
    assert criterion(table, THRESHOLDS).tolist() == [False, True]


ABSENT_NULLS = {"p_permuted"}
"""NaN says that this null was not asked for; what was measured must never be NaN."""


@pytest.mark.parametrize(
    ("criterion", "row", "column"),
    [(criterion, row, column) for criterion, row, column, _ in JUST_FAILING if column not in ABSENT_NULLS],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_undefined_figure_never_passes(criterion, row, column):
    assert criterion(pd.DataFrame([row | {column: np.nan}]), THRESHOLDS).tolist() == [False]


@pytest.mark.parametrize(("criterion", "row"), [(aligned, ALIGNED), (enriched, ENRICHED)])
def test_a_null_that_was_not_asked_for_does_not_block(criterion, row):
    absent = dict.fromkeys(ABSENT_NULLS & row.keys(), np.nan)
    assert criterion(pd.DataFrame([row | absent]), THRESHOLDS).tolist() == [True]


def test_a_restoration_is_blocked_by_motifless_activations_and_not_by_another_carriers():
    """What a detector says is interchangeable between carriers of the motif: `other_pair` is no null."""
    row = RESTORED | {"beyond_other_pair_low": -0.3}
    assert restored(pd.DataFrame([row]), THRESHOLDS).tolist() == [True]
    for null in ("other_corrupted", "control"):
        assert restored(pd.DataFrame([row | {f"beyond_{null}_low": -0.3}]), THRESHOLDS).tolist() == [False]


@pytest.mark.parametrize(
    ("met", "words"),
    [
        ((True, True, True), "motif detector"),
        ((True, True, False), "aligned + enriched"),
        ((True, False, True), "aligned + restored"),
        ((False, True, True), "enriched + restored"),
        ((True, False, False), "aligned"),
        ((False, True, False), "enriched"),
        ((False, False, True), "restored"),
        ((False, False, False), "none"),
    ],
)
def test_only_three_criteria_together_make_a_detector(met, words):
    assert verdict(*met) == words


def tables():
    """Three tables of four heads: all criteria, one missing each; every table in an order of its own."""
    place = [{"layer": layer, "head": head} for layer in range(2) for head in range(2)]
    extra = {"r_low": 0.4, "r_high": 0.6, "q": 0.01, "ceiling": 0.9, "r_position": 0.0}
    alignment = [place[i] | ALIGNED | extra | ({"r": 0.3, "r_over_ceiling": 0.6} if i == 1 else {}) for i in range(4)]
    extra = {"rho_high": 3.0, "q": 0.02, "rho_position": 1.0}
    enrichment = [place[i] | ENRICHED | extra | ({"rho_low": 0.9} if i == 2 else {}) for i in range(4)]
    extra = {"pm": 0.8, "pm_high": 1.0, "q": 0.03, "effect": 1.0, "overshoot": False}
    extra |= {"other_pair": 0.7, "other_corrupted": 0.1, "control": 0.0}
    patching = [place[i] | RESTORED | extra | ({"pm_low": np.nan} if i == 3 else {}) for i in range(4)]
    return (
        pd.DataFrame(alignment),
        pd.DataFrame(enrichment).iloc[[2, 0, 3, 1]],
        pd.DataFrame(patching).iloc[[3, 2, 1, 0]],
    )


def test_the_evidence_table_joins_by_head_whatever_the_order_of_its_parts():
    table = evidence_table(*tables(), THRESHOLDS)
    assert [*table[["layer", "head"]].itertuples(index=False, name=None)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert table["verdict"].tolist() == [
        "motif detector",
        "enriched + restored",
        "aligned + restored",
        "aligned + enriched",
    ]
    assert table["aligned_relative"].tolist() == [True, True, True, True]
    assert table.loc[0, ["r_q", "rho_q", "pm_q"]].tolist() == [0.01, 0.02, 0.03]
    assert table.loc[2, "rho_low"] == 0.9
    assert np.isnan(table.loc[3, "pm_low"])


@pytest.mark.parametrize("doubled", range(3))
def test_a_head_that_occurs_twice_is_refused(doubled):
    parts = list(tables())
    parts[doubled] = pd.concat([parts[doubled], parts[doubled].iloc[:1]])
    with pytest.raises(pd.errors.MergeError):
        evidence_table(*parts, THRESHOLDS)


# Calibration


def planted(found_by_strength, count=20):
    """Evidence rows of `count` planted heads per strength, so many of which meet every criterion; alignment always."""
    rows = []
    for strength, found in found_by_strength.items():
        for index in range(count):
            rest = index < found
            rows.append({"strength": strength, "aligned": True, "aligned_relative": True, "enriched": rest})
            rows[-1]["restored"] = rest
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_a_stack_is_met_where_all_of_its_criteria_are():
    flags = ("aligned", "aligned_relative", "enriched", "restored")
    table = pd.DataFrame([{name: bool(bits >> i & 1) for i, name in enumerate(flags)} for bits in range(16)])
    expected = {
        "alignment": lambda row: row.aligned,
        "alignment relative to ceiling": lambda row: row.aligned_relative,
        "enrichment": lambda row: row.enriched,
        "restoration": lambda row: row.restored,
        "registered stack": lambda row: row.aligned and row.enriched and row.restored,
        "ceiling-relative stack": lambda row: row.aligned_relative and row.enriched and row.restored,
    }
    assert expected.keys() == CRITERIA.keys()
    for criterion, rule in expected.items():
        assert meets(table, criterion).tolist() == [rule(row) for row in table.itertuples()]


def test_detection_rates_have_exact_intervals():
    table = detection_table(planted({0.0: 0, 1.0: 7, 2.0: 20}), level=0.95)
    assert len(table) == len(CRITERIA) * 3
    stack = table[table["criterion"] == "registered stack"].set_index("strength")
    assert stack["detected"].to_dict() == {0.0: 0, 1.0: 7, 2.0: 20}
    assert (stack["planted"] == 20).all()
    for strength, row in stack.iterrows():
        exact = binomtest(int(row["detected"]), 20).proportion_ci(0.95, method="exact")
        assert row["rate"] == row["detected"] / 20, strength
        np.testing.assert_allclose([row["low"], row["high"]], [exact.low, exact.high], rtol=1e-9)
    assert (table[table["criterion"] == "alignment"]["rate"] == 1).all()


@pytest.mark.parametrize("positives", [0, 3])
def test_the_false_positive_rate_carries_a_one_sided_exact_bound(positives):
    tests, names = 48, ("permuted", "shuffled")
    rows = [
        {"null": null, "replicate": i // 12, "aligned": i < positives, "aligned_relative": False, "enriched": i < 1}
        | {"restored": False}
        for null in names
        for i in range(tests)
    ]
    table = false_positive_table(pd.DataFrame(rows), level=0.95)
    assert table["null"].tolist() == [name for name in names for _ in CRITERIA]
    assert (table["replicates"] == 4).all()
    assert (table["tests"] == tests).all()
    row = table[(table["null"] == "shuffled") & (table["criterion"] == "alignment")].iloc[0]
    assert row["rate"] == positives / tests
    exact = binomtest(positives, tests, alternative="less").proportion_ci(0.95, method="exact")
    assert row["upper"] == pytest.approx(exact.high, rel=1e-9)
    if positives == 0:
        assert row["upper"] == pytest.approx(1 - 0.05 ** (1 / tests))


def sensitivity(found_by_strength, power=0.95):
    detection = detection_table(planted(found_by_strength), level=0.95)
    return {one.criterion: one for one in sensitivities(detection, power)}["registered stack"]


@pytest.mark.parametrize(
    ("found", "strength"),
    [
        ({0.5: 3, 1.0: 19, 2.0: 20, 4.0: 20}, 1.0),
        ({0.5: 20, 1.0: 18, 2.0: 19, 4.0: 20}, 2.0),  # what a weaker one reached by luck does not count
        ({0.5: 0, 1.0: 0, 2.0: 0, 4.0: 19}, 4.0),
        ({0.5: 20, 1.0: 20, 2.0: 20, 4.0: 20}, 0.5),
        ({0.5: 20, 1.0: 20, 2.0: 20, 4.0: 18}, None),  # nor do any below a largest that was missed
    ],
)
def test_the_sensitivity_is_the_strength_from_which_on_enough_are_found(found, strength):
    result = sensitivity(found)
    assert result.strength == strength
    assert result.power == 0.95
    assert result.rate_at_largest == found[4.0] / 20


def test_the_sentences_say_how_far_a_negative_result_reaches():
    assert sensitivity({1.0: 10, 2.5: 20}).statement == (
        "planted detectors of strength 2.5 and more were found in at least 95% of cases (20 of 20, interval from 83%):"
        " a negative result speaks against such heads, and says nothing about weaker ones"
    )
    assert sensitivity({1.0: 10, 2.5: 12}).statement == (
        "even at the largest planted strength, 2.5, 12 of 20 detectors were found, fewer than 95%: a negative result of"
        " this criterion is weak evidence against a detector"
    )
    assert sensitivity({1.0: 0, 2.5: 10}).statement.endswith("a negative result of this criterion says little")


def test_every_criterion_has_its_own_sentence_in_the_order_of_the_table():
    results = sensitivities(detection_table(planted({1.0: 0, 2.0: 0}), level=0.95), power=0.95)
    assert [result.criterion for result in results] == [*CRITERIA]
    assert {result.criterion: result.strength for result in results}["alignment"] == 1.0
    assert {result.criterion: result.strength for result in results}["enrichment"] is None
