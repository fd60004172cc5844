"""Figure of the concept scores: who is drawn where, filled or hollow, and what is said of those that are not."""

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, detail, legend, written
from matplotlib.collections import LineCollection
from pandas.testing import assert_frame_equal

from mints.features import concept_tables
from mints.report import concepts
from mints.report.concepts import BASELINES, MOST_CONCEPTS, concept_figure

SITES = ["blocks.1.hook_resid_post", "blocks.2.hook_resid_post"]


def score_table(n=6, annotations=("truth",), sites=SITES):
    """Concept 0 is best; concept 1 is above every baseline at the first site; the last one is not scored."""
    rows = []
    for site in sites:
        for annotation in annotations:
            for concept in range(n):
                f1 = 0.9 - 0.8 * concept / n + (0.05 if site == SITES[1] else 0)
                row = {"site": site, "annotation": annotation, "concept": f"kind{concept}", "scored": concept < n - 1}
                row |= {"f1": f1, "f1_low": f1 - 0.05, "f1_high": f1 + 0.04, "null_mean": 0.02, "null_p95": 0.06}
                row |= {column: f1 / 2 for group in BASELINES for column in group.columns}
                above = concept == 1 and site == SITES[0]
                row["verdict"] = concept_tables.ABOVE_ALL if above else concept_tables.NOT_FOUND
                if not row["scored"]:
                    row |= {"f1": np.nan, "f1_low": np.nan, "f1_high": np.nan, "verdict": concept_tables.NOT_SCORED}
                rows.append(row)
    return pd.DataFrame(rows)


def circles(axis):
    """Value by row, of the filled and of all circles."""
    drawn = [line for line in axis.lines if line.get_marker() == "o"]
    filled = {}
    hollow = {}
    for line in drawn:
        places = {round(y): x for x, y in np.transpose(line.get_data()).tolist()}
        (hollow if line.get_markerfacecolor() == "white" else filled).update(places)
    return filled, filled | hollow


def test_rows_are_sorted_by_the_best_site_and_filled_where_every_baseline_is_below():
    figure = concept_figure(score_table())
    first, second = figure.axes
    assert [text.get_text() for text in first.get_yticklabels()] == [f"kind{n}" for n in range(5)]
    filled, everything = circles(first)
    assert filled == {1: pytest.approx(0.9 - 0.8 / 6)}
    assert everything == pytest.approx({row: 0.9 - 0.8 * row / 6 for row in range(5)})
    assert circles(second)[0] == {}
    assert detail(first) == "1 of 5 above every baseline; 1 too rare to be scored"
    assert detail(second).startswith("0 of 5")


def test_intervals_nulls_and_baselines_lie_where_the_table_says():
    first = concept_figure(score_table()).axes[0]
    drawn = [found for found in first.collections if isinstance(found, LineCollection)]
    ends = {round(line[0][1]): np.sort(line[:, 0]).tolist() for each in drawn for line in each.get_segments()}
    assert sorted(ends) == [0, 1, 2, 3, 4]
    assert ends[0] == pytest.approx([0.85, 0.94])
    assert [patch.get_x() for patch in first.patches] == pytest.approx([0.02] * 5)
    assert [patch.get_width() for patch in first.patches] == pytest.approx([0.04] * 5)
    for group in BASELINES:
        marks = [line for line in first.lines if line.get_marker() == group.marker]
        assert len(marks) == len(group.columns)
        assert marks[0].get_xdata()[0] == pytest.approx(0.45)


def test_every_mark_is_named_and_the_table_is_left_as_it_was():
    table = score_table()
    before = table.copy()
    named = legend(concept_figure(table))
    assert_frame_equal(table, before)
    assert {group.label for group in BASELINES} <= set(named)
    assert len(named) == len(BASELINES) + 4
    for verdict in ("ABOVE_ALL", "ABOVE_NULL", "NOT_FOUND"):
        assert getattr(concepts, verdict) == getattr(concept_tables, verdict)


def test_many_concepts_are_cut_off_and_counted():
    figure = concept_figure(score_table(60))
    assert len(figure.axes[0].get_yticks()) == MOST_CONCEPTS
    assert any(f"{59 - MOST_CONCEPTS} more concepts are in the table" in text for text, _ in written(figure))


def test_several_annotations_go_before_their_concepts_names():
    first = concept_figure(score_table(4, ("genes", "repeats"))).axes[0]
    names = [text.get_text() for text in first.get_yticklabels()]
    assert sorted(names) == sorted(f"{kind}/kind{n}" for kind in ("genes", "repeats") for n in range(3))


@pytest.mark.parametrize("size", [3, 30])
@pytest.mark.parametrize("sites", [SITES[:1], SITES])
def test_no_text_covers_another_or_leaves_the_page(size, sites):
    assert collisions(concept_figure(score_table(size, sites=sites))) == []


def test_a_table_without_scores_says_so():
    table = score_table(1)
    assert any("not measured" in text.get_text() for text in concept_figure(table).axes[0].texts)
