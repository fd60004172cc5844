"""Figures of the evidence stack and of its calibration: orders, markers, thresholds, bounds, and what is said."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, crosses, detail, heads, legend, written
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from pandas.testing import assert_frame_equal

from mints.report.calibration import LOOKS, detection_figure, sensitivity
from mints.report.evidence import evidence_figure, rank_heads

SIZES = [(4, 4), (12, 12), (29, 16)]
CRITERIA = [
    "alignment",
    "alignment relative to ceiling",
    "enrichment",
    "restoration",
    "registered stack",
    "ceiling-relative stack",
]
THRESHOLDS = {"r": 0.5, "rho": 2.0, "pm": 0.5}


def evidence_table(layers=4, n_heads=4):
    """One head passes everything, two pass enrichment, one was not measured in full."""
    table = heads(layers, n_heads).assign(question="promoter_tata", r=0.05, rho=1.1, pm=0.02, verdict="")
    table["ceiling"] = 0.4 + 0.1 * table["layer"] / layers
    table.loc[5, ["r", "rho", "pm", "verdict"]] = [0.55, 4.0, 0.7, "motif detector"]
    table.loc[9, ["rho", "pm", "verdict"]] = [2.5, 0.3, "enriched, not causal"]
    table.loc[11, ["rho", "pm", "verdict"]] = [2.5, 0.4, "enriched, not causal"]
    table.loc[3, ["rho", "pm"]] = np.nan
    for value in ("r", "rho", "pm"):
        table[f"{value}_low"], table[f"{value}_high"] = table[value] * 0.95, table[value] * 1.05
    return table.assign(aligned=table["r"] >= 0.5, enriched=table["rho"] >= 2, restored=table["pm"] >= 0.5)


def detection_table():
    detected = {"alignment": [0, 0, 0], "registered stack": [0, 0, 0], "enrichment": [1, 12, 20]}
    return pd.DataFrame(
        [
            {
                "criterion": name,
                "strength": strength,
                "planted": 20,
                "detected": count,
                "rate": count / 20,
                "low": max(count / 20 - 0.2, 0),
                "high": min(count / 20 + 0.2, 1),
            }
            for name in CRITERIA
            for strength, count in zip([0, 0.1, 2], detected.get(name, [0, 4, 19]), strict=True)
        ]
    )


def errors_table():
    rows = product(["permuted motifs", "shuffled sequences", "random initialisation"], enumerate(CRITERIA))
    return pd.DataFrame(
        [
            {"null": null, "criterion": name, "tests": 320, "positives": n, "rate": n / 320, "upper": n / 320 + 0.01}
            for null, (n, name) in rows
        ]
    )


@pytest.mark.parametrize("size", SIZES)
def test_no_text_of_the_evidence_overlaps_another_or_leaves_the_figure(size):
    assert collisions(evidence_figure(evidence_table(*size), THRESHOLDS)) == []


@pytest.mark.parametrize("criteria", [1, 2, 6])
def test_no_text_of_the_calibration_overlaps_another_or_leaves_the_figure(criteria):
    tables = (table[table["criterion"].isin(CRITERIA[:criteria])] for table in (detection_table(), errors_table()))
    assert collisions(detection_figure(*tables)) == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: evidence_figure(evidence_table().iloc[:0], THRESHOLDS),
        lambda: detection_figure(detection_table().iloc[:0], errors_table().iloc[:0]),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(draw):
    assert "not measured in this run" in [text for text, _ in written(draw())]


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (lambda table: evidence_figure(table, THRESHOLDS), evidence_table()),
        (lambda table: detection_figure(table, errors_table()), detection_table()),
    ],
)
def test_drawing_leaves_the_table_as_it_was(draw, table):
    before = table.copy()
    draw(table)
    assert_frame_equal(table, before)


# Evidence


def test_heads_go_by_criteria_passed_then_by_restoration():
    ranked = rank_heads(evidence_table().sample(frac=1, random_state=1))
    assert ranked["passed"].tolist() == [3, 1, 1, *[0] * 13]
    names = [f"L{layer}H{head}" for layer, head in zip(ranked["layer"], ranked["head"], strict=True)]
    assert names[:5] == ["L1H1", "L2H3", "L2H1", "L0H0", "L0H1"]
    assert names[-1] == "L0H3", "restoration was not measured"
    axis = evidence_figure(evidence_table(), THRESHOLDS).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == names


def test_markers_are_filled_where_a_criterion_is_passed():
    figure = evidence_figure(evidence_table(), THRESHOLDS)
    for axis, passing in zip(figure.axes, (1, 3, 1), strict=True):
        (hollow,) = (line for line in axis.lines if line.get_markerfacecolor() == "white")
        assert sorted({*range(16)} - {*hollow.get_ydata()}) == list(range(passing))
        assert detail(axis).startswith(f"{passing} of 16 heads pass; registered ")


def test_each_panel_has_values_intervals_threshold_and_the_layer_s_ceiling():
    figure = evidence_figure(evidence_table(), THRESHOLDS)
    for axis, value, low, threshold in zip(
        figure.axes, (0.55, 4.0, 0.7), (0.5225, 3.8, 0.665), (0.5, 2, 0.5), strict=True
    ):
        first = next(line for line in axis.lines if len(line.get_ydata()) == 1)
        assert first.get_xdata()[0] == value
        assert axis.collections[0].get_segments()[0][:, 0] == pytest.approx([low, value * 1.05])
        assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"] == [threshold]
    ticks = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "|"]
    assert [tick.get_xdata()[0] for tick in ticks] == pytest.approx([0.425]), "of layer 1, in the first panel alone"
    assert figure.axes[1].get_xscale() == "log"


def test_verdicts_stand_beside_their_heads_and_what_was_not_measured_is_said():
    last = evidence_figure(evidence_table(), THRESHOLDS).axes[2]
    verdicts = {text.xy[1]: text.get_text() for text in last.texts if getattr(text, "xy", (0,))[0] == 1}
    assert [verdicts[row] for row in range(-1, 4)] == [
        "verdict",
        "motif detector",
        "enriched, not causal",
        "enriched, not causal",
        "",
    ]
    assert [text.get_text() for text in last.texts if text.get_position() == (1.01, 15)] == ["n/a"]


def test_heads_beyond_thirty_are_summed_up_in_a_line():
    figure = evidence_figure(evidence_table(12, 12), THRESHOLDS)
    assert len(figure.axes[0].get_yticks()) == 30
    assert figure.legends[0].get_title().get_text() == "114 more heads pass no criterion and restore at most 0.02"
    everyone = evidence_figure(evidence_table(12, 12).assign(enriched=True, pm=np.nan), THRESHOLDS)
    assert everyone.legends[0].get_title().get_text() == "114 more heads pass at most 1 of 3 criteria"


def test_a_table_of_two_questions_is_refused():
    table = evidence_table()
    table.loc[0, "question"] = "ctcf"
    with pytest.raises(ValueError, match="unpack"):
        evidence_figure(table, THRESHOLDS)


# Calibration


def test_rates_lie_at_their_strength_with_their_intervals():
    axis = detection_figure(detection_table(), errors_table()).axes[0]
    curves = [line for line in axis.lines if len(line.get_xdata()) == 3]
    assert len(curves) == 6
    assert list(curves[2].get_xdata()) == [0, 1, 2]
    assert list(curves[2].get_ydata()) == [0.05, 0.6, 1.0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "0.1", "2"]
    intervals = [found.get_segments() for found in axis.collections if isinstance(found, LineCollection)]
    assert intervals[2][1][:, 1] == pytest.approx([0.4, 0.8])
    assert [line.get_ydata()[0] for line in axis.lines if list(line.get_xdata()) == [0, 1]] == [0.95]
    assert detail(axis).startswith("20 planted per strength")


def test_lines_that_coincide_are_told_apart_by_colour_marker_dashes_and_place():
    for attribute in range(3):
        assert len({look[attribute] for look in LOOKS}) == 6
    figure = detection_figure(detection_table(), errors_table())
    FigureCanvasAgg(figure).draw()
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    on_paper = [line.get_transform().transform((1, 0)) for line in curves]
    points = 72 / figure.dpi
    for (x, y), (other_x, other_y) in combinations(on_paper, 2):
        assert abs(x - other_x) * points > 4.9
        assert abs(y - other_y) * points > 1.5
    assert np.ptp([y for _, y in on_paper]) * points < 9


def test_the_legend_names_the_strength_that_is_detected_with_enough_power():
    names = legend(detection_figure(detection_table(), errors_table()))
    assert names[:4] == [
        "alignment: 95% not reached",
        "alignment relative to ceiling: 95% from 2",
        "enrichment: 95% from 2",
        "restoration: 95% from 2",
    ]
    assert "alignment: 50% not reached" in legend(detection_figure(detection_table(), errors_table(), power=0.5))
    assert "enrichment: 50% from 0.1" in legend(detection_figure(detection_table(), errors_table(), power=0.5))


def test_a_strength_above_which_detection_falls_again_is_not_yet_sensitive():
    rows = pd.DataFrame({"strength": [2, 0, 1, 0.5], "rate": [1.0, 0.97, 0.96, 0.9]})
    assert sensitivity(rows, 0.95) == 1
    assert np.isnan(sensitivity(rows.assign(rate=[np.nan, 1, 1, 1]), 0.95))


def test_false_positives_have_a_row_per_criterion_in_a_block_per_null():
    table = errors_table()
    table.loc[1, ["rate", "upper"]] = np.nan
    axis = detection_figure(detection_table(), table).axes[1]
    assert [label.get_text().replace("\n", " ") for label in axis.get_yticklabels()] == [
        "permuted motifs",
        "shuffled sequences",
        "random initialisation",
    ]
    points = [line for line in axis.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in points] == pytest.approx(
        [0, np.nan, *np.array([*range(2, 6), *range(6), *range(6)]) / 320], nan_ok=True
    )
    rows = [line.get_ydata()[0] for line in points]
    assert rows == sorted(rows)
    assert [round(row) for row in rows] == [0] * 6 + [1] * 6 + [2] * 6
    counts = [text.get_text() for text in axis.texts[1:]]
    assert counts[:4] == ["0/320", "n/a", "2/320", "3/320"]
    assert axis.collections[3].get_segments()[0][:, 0] == pytest.approx([3 / 320, 3 / 320 + 0.01])
    assert [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == [0, 1]] == [0.05]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]


def test_a_rate_that_was_not_measured_is_a_cross_and_a_missing_half_says_so():
    table = detection_table()
    table.loc[4, ["rate", "low", "high"]] = np.nan
    figure = detection_figure(table, errors_table().iloc[:0])
    assert [x for x, _ in crosses(figure.axes[0])] == [1]
    assert "not measured" in legend(figure)
    assert detail(figure.axes[1]) == "not measured"


def test_more_criteria_than_looks_are_refused():
    seventh = detection_table().assign(criterion="seventh")
    with pytest.raises(ValueError, match="zip"):
        detection_figure(pd.concat([detection_table(), seventh]), errors_table())
