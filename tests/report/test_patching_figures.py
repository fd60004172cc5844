"""Figures of activation patching: where components, windows and heads are drawn, and what is flagged."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_reading import cells, collisions, crosses, detail, heads, legend, written
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from pandas.testing import assert_frame_equal

from mints.report.heat import AROUND
from mints.report.patching import attribution_figure, components_figure, window_map_figure

SIZES = [(4, 4), (12, 12), (29, 16)]
FLAG = "restores the input, proves nothing"


def components_table(layers=4):
    rows = [
        {
            "granularity": granularity,
            "direction": direction,
            "layer": layer,
            "pm": height - 0.05 * layer,
            "pm_low": height - 0.05 * layer - 0.02,
            "pm_high": height - 0.05 * layer + 0.03,
            "flag": FLAG if (granularity, layer) == ("residual", 0) else "",
        }
        for (granularity, height), direction, layer in product(
            {"mlp": 0.2, "residual": 1.0, "attention": 0.4}.items(), ["denoising", "noising"], reversed(range(layers))
        )
    ]
    return pd.DataFrame(rows)


def windows_table(layers=4, width=10, step=10):
    rows = [
        {"layer": layer, "start": start, "end": start + width, "pm": 0.6 - 0.1 * layer if start == 0 else 0.01}
        for layer, start in product(range(layers), range(-50, 60, step))
    ]
    return pd.DataFrame(rows)


def attribution_table(layers=4, n_heads=4):
    table = heads(layers, n_heads)
    table["exact"] = np.linspace(-0.2, 0.5, len(table))
    table["estimate"] = 0.5 * table["exact"] ** 3
    return table


DRAWN = {
    "components": lambda layers, _: components_figure(components_table(layers), question="splice sites acceptors"),
    "windows": lambda layers, _: window_map_figure(windows_table(layers), 19, question="splice sites acceptors"),
    "attribution": lambda *size: attribution_figure(attribution_table(*size), question="splice sites acceptors"),
}


@pytest.mark.parametrize(("name", "size"), [*product(DRAWN, SIZES)])
def test_no_text_overlaps_another_or_leaves_the_figure(name, size):
    assert collisions(DRAWN[name](*size)) == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: components_figure(components_table().iloc[:0]),
        lambda: window_map_figure(windows_table().iloc[:0], 19),
        lambda: attribution_figure(attribution_table().assign(exact=np.nan)),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(draw):
    assert "not measured in this run" in [text for text, _ in written(draw())]


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (components_figure, components_table()),
        (lambda table: window_map_figure(table, 19), windows_table()),
        (attribution_figure, attribution_table()),
    ],
)
def test_drawing_leaves_the_table_as_it_was(draw, table):
    before = table.copy()
    draw(table)
    assert_frame_equal(table, before)


def test_components_lie_at_their_restoration_and_flagged_ones_are_hollow():
    figure = components_figure(components_table())
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["residual stream", "attention output", "MLP output"]
    for axis, height in zip(figure.axes, (1.0, 0.4, 0.2), strict=True):
        curves = [line for line in axis.lines if len(line.get_xdata()) == 4]
        assert [line.get_marker() for line in curves] == ["o", "D"], "denoising and noising"
        for line in curves:
            assert np.round(line.get_xdata()).tolist() == [0, 1, 2, 3]
            assert line.get_ydata() == pytest.approx(height - 0.05 * np.arange(4))
        hollow = [line for line in axis.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
        assert [tuple(line.get_ydata()) for line in hollow] == ([(1.0,), (1.0,)] if height == 1 else [])
        first = next(found for found in axis.collections if isinstance(found, LineCollection)).get_segments()[0]
        assert first[:, 1] == pytest.approx([height - 0.02, height + 0.03])
    assert len({axis.get_ylim() for axis in figure.axes}) == 1
    assert f"flagged: {FLAG}" in legend(figure)
    assert figure.axes[0].get_ylabel() == "restoration (PM)"
    unflagged = components_figure(components_table().assign(flag=np.nan))
    assert not any("flagged" in name for name in legend(unflagged))


def test_a_component_that_was_not_measured_is_a_cross_at_the_bottom():
    table = components_table()
    table.loc[(table["granularity"] == "mlp") & (table["layer"] == 2), ["pm", "pm_low", "pm_high"]] = np.nan
    figure = components_figure(table)
    assert [[round(x) for x, _ in crosses(axis)] for axis in figure.axes] == [[], [], [2, 2]]
    assert "not measured" in legend(figure)


def test_windows_lie_at_their_nucleotides_beside_the_motif_s_extent():
    table = windows_table().sample(frac=1, random_state=0)
    table.loc[(table["layer"] == 3) & (table["start"] == 20), "pm"] = np.nan
    figure = window_map_figure(table, 19)
    axis = figure.axes[0]
    drawn = cells(axis)
    assert len(drawn) == 44
    assert drawn[0, 10, 0] == to_hex(AROUND(1.0))
    assert drawn[0, 10, 2] == to_hex(AROUND(0.5 + 0.5 * 0.4 / 0.6))
    assert crosses(axis) == [(25, 3)]
    assert axis.get_xlim() == (-50, 60)
    assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"] == [0, 19]
    assert "bp" in axis.get_xlabel()
    assert detail(axis) == "largest 0.60: layer 0, 0 to 10 bp"


def test_windows_that_overlap_meet_in_the_middle_and_gaps_stay_open():
    sliding = cells(window_map_figure(windows_table(1, width=20, step=10), 19).axes[0])
    assert sorted(sliding)[:3] == [(-50, -35, 0), (-35, -25, 0), (-25, -15, 0)]
    spaced = cells(window_map_figure(windows_table(1, width=4, step=10), 19).axes[0])
    assert sorted(spaced)[:2] == [(-50, -46, 0), (-40, -36, 0)]


def test_attribution_is_drawn_against_exact_patching_with_their_rank_correlation():
    table = attribution_table()
    table.loc[4, "estimate"] = np.nan
    axis = attribution_figure(table).axes[0]
    (points,) = (line for line in axis.lines if line.get_marker() == "o")
    rows = table.drop(index=4)
    assert np.allclose(points.get_data(), [rows["exact"], rows["estimate"]])
    assert detail(axis) == "Spearman's rank correlation 1.00 over 15 heads, 1 not measured"
    table["estimate"] = -table["exact"]
    turned = attribution_figure(table).axes[0]
    assert detail(turned) == "Spearman's rank correlation -1.00 over 16 heads"
    assert turned.texts[1].get_text() == "L3H3", "the head with the largest effect is named"
    mirrored = attribution_table().assign(exact=lambda rows: -rows["exact"])
    assert collisions(attribution_figure(mirrored)) == [], "a head at the left edge is named to its right"
    (identity,) = (line for line in axis.lines if line.get_linestyle() == ":")
    assert list(identity.get_xdata()) == list(identity.get_ydata()) == list(axis.get_xlim()) == list(axis.get_ylim())
