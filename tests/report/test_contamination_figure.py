"""Figure of the corpus audit: where alignments lie, which are filled, and what is said."""

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, detail, legend

from mints.report.contamination import corpus_audit_figure
from mints.report.style import BLUE, VERMILLION

SHARE = {"found": 2, "queries": 40, "share": 0.05, "low": 0.006, "high": 0.169}
SUMMARY = {
    "searched": True,
    "thresholds": {"identity": 0.9, "length": 50},
    "found": SHARE,
    "shuffled_found": SHARE | {"found": 0, "low": 0.0, "high": 0.088},
}


def hits():
    rows = [
        ("query", 0.97, 10, 410, True),
        ("query", 0.93, 0, 150, True),
        ("query", 0.75, 5, 205, False),
        ("shuffled", 1.0, 40, 57, False),
    ]
    return pd.DataFrame(rows, columns=["sequence", "identity", "q_start", "q_end", "passes"])


def points(axis, colour, *, filled):
    """Places of the markers of one colour."""
    lines = [line for line in axis.lines if line.get_marker() in "oX" and line.get_color() == colour]
    (line,) = [line for line in lines if (line.get_markerfacecolor() == colour) == filled]
    return np.transpose(line.get_data()).tolist()


def test_alignments_lie_at_their_length_and_identity_and_those_that_count_are_filled():
    figure = corpus_audit_figure(hits(), SUMMARY)
    (axis,) = figure.axes
    assert points(axis, BLUE, filled=True) == [[400, 97], [150, 93]]
    assert points(axis, BLUE, filled=False) == [[200, 75]]
    assert points(axis, VERMILLION, filled=False) == [[17, 100]]
    dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert sorted(line.get_xdata()[0] for line in dashed if len(set(line.get_ydata())) > 1) == [50]
    assert sorted(line.get_ydata()[0] for line in dashed if len(set(line.get_ydata())) == 1) == [90]
    assert axis.get_title(loc="left") == "queries found: 2 of 40 [0.01, 0.17]"
    assert detail(axis) == "shuffled queries found: 0 of 40 [0.00, 0.09]"
    assert legend(figure)[:2] == ["queries: 3 alignments", "shuffled: 1"]
    assert collisions(figure) == []


def test_an_audit_that_found_no_alignment_or_was_not_made_still_has_a_figure():
    empty = corpus_audit_figure(hits().iloc[:0], SUMMARY)
    assert legend(empty)[0] == "queries: 0 alignments"
    assert collisions(empty) == []
    (axis,) = corpus_audit_figure(pd.DataFrame(), {"searched": False}).axes
    assert [text.get_text() for text in axis.texts] == ["not measured in this run"]


@pytest.mark.parametrize("change", ["found", "shuffled_found"])
def test_what_is_said_follows_the_summary(change):
    figure = corpus_audit_figure(hits(), SUMMARY | {change: SHARE | {"found": 33, "low": 0.6, "high": 0.9}})
    said = [figure.axes[0].get_title(loc="left"), detail(figure.axes[0])]
    assert sum("33 of 40 [0.60, 0.90]" in text for text in said) == 1
