"""Maps of heads and the ceiling of alignment: colours, outlines, crosses, and what the subtitle says."""

from itertools import product

import numpy as np
import pytest
from figure_reading import cells, collisions, crosses, detail, heads, legend, written
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LogNorm, to_hex
from matplotlib.patches import Rectangle
from pandas.testing import assert_frame_equal

from mints.report.head_maps import alignment_ceiling_figure, head_map, head_maps_figure
from mints.report.heat import AROUND

SIZES = [(4, 4), (12, 12), (29, 16)]


def alignment_table(layers=4, n_heads=4):
    """Values that rise by .001 from head to head, one head far above them, one not measured."""
    table = heads(layers, n_heads)
    table["r"] = 0.001 * np.arange(len(table)) - 0.05
    table.loc[6, "r"], table.loc[2, "r"] = 0.31, np.nan
    table["r_low"], table["r_high"] = table["r"] - 0.02, table["r"] + 0.03
    table["ceiling"] = 0.4 + 0.1 * table["layer"] / layers
    table["ceiling_low"], table["ceiling_high"] = table["ceiling"] - 0.02, table["ceiling"] + 0.01
    table["r_position"], table["null_r"] = 0.01, 0.06
    return table


def r_map(table):
    return head_map(table, "r", title="Alignment", label="Pearson r", centre=0, threshold=0.5)


def pm_maps(layers, n_heads):
    panels = {name: alignment_table(layers, n_heads).rename(columns={"r": "pm"}) for name in ("denoising", "noising")}
    title = "Restoration by head: of the probe's logit, for the question promoter tata"
    return head_maps_figure(panels, "pm", title=title, label="restoration (PM)", centre=0, threshold=0.5)


DRAWN = {
    "map": lambda *size: r_map(alignment_table(*size)),
    "maps": pm_maps,
    "ceiling": lambda *size: alignment_ceiling_figure(alignment_table(*size), 0.5, question="splice sites acceptors"),
}


def scale(axis):
    (drawn,) = (found for found in axis.collections if isinstance(found, PatchCollection))
    return drawn.norm


def frames(axis):
    """(layer, head) of the cells that are outlined."""
    boxes = [patch.get_bbox() for patch in axis.patches if isinstance(patch, Rectangle)]
    return [(round((box.y0 + box.y1) / 2, 6), round((box.x0 + box.x1) / 2, 6)) for box in boxes]


def numbers(axis):
    return {text.get_position(): text.get_text() for text in axis.texts[1:]}


@pytest.mark.parametrize(("name", "size"), [*product(DRAWN, SIZES)])
def test_no_text_overlaps_another_or_leaves_the_figure(name, size):
    assert collisions(DRAWN[name](*size)) == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: r_map(alignment_table().iloc[:0]),
        lambda: head_maps_figure({}, "pm", title="t", label="l", centre=0),
        lambda: alignment_ceiling_figure(alignment_table().iloc[:0], 0.5),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(draw):
    assert "not measured in this run" in [text for text, _ in written(draw())]


@pytest.mark.parametrize(
    ("draw", "table"),
    [(r_map, alignment_table()), (lambda table: alignment_ceiling_figure(table, 0.5), alignment_table())],
)
def test_drawing_leaves_the_table_as_it_was(draw, table):
    before = table.copy()
    draw(table)
    assert_frame_equal(table, before)


# Maps


def test_every_head_has_the_colour_of_its_value_with_layer_0_on_top():
    table = alignment_table(4, 5).sample(frac=1, random_state=0)
    axis = r_map(table).axes[0]
    assert axis.get_ylim() == (3.5, -0.5)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("head", "layer")
    drawn = cells(axis)
    assert len(drawn) == 20
    for layer, head, r in table[["layer", "head", "r"]].dropna().to_numpy():
        assert drawn[head - 0.5, head + 0.5, layer] == to_hex(AROUND((r + 0.55) / 1.1))


def test_a_head_without_a_value_is_grey_with_a_cross_and_has_no_number():
    table = alignment_table()
    table = table.drop(index=15)  # a row that is missing and one that holds no number look alike
    axis = r_map(table).axes[0]
    assert crosses(axis) == [(2, 0), (3, 3)]
    assert cells(axis)[1.5, 2.5, 0] == cells(axis)[2.5, 3.5, 3] == "#dddddd"
    assert len(numbers(axis)) == 14
    assert "not measured" in legend(axis.figure)
    assert "not measured" not in legend(r_map(alignment_table().fillna(0)))


def test_colours_reach_equally_far_to_both_sides_and_past_the_threshold():
    norm = scale(r_map(alignment_table()).axes[0])
    assert (norm.vmin, norm.vmax) == pytest.approx((-0.55, 0.55)), "the threshold of .5 lies within"
    low = alignment_table().assign(r=lambda table: -3 * table["r"])
    assert scale(r_map(low).axes[0]).vmax == pytest.approx(0.93), "the largest distance is at -.93"
    ratios = heads(2, 2).assign(rho=[0.125, 1.0, 2.5, np.nan])
    norm = scale(head_map(ratios, "rho", title="t", label="ρ", centre=1, threshold=2).axes[0])
    assert isinstance(norm, LogNorm)
    assert (norm.vmin, norm.vmax) == pytest.approx((1 / 8, 8))


def test_the_threshold_is_marked_on_the_colour_bar():
    figure = r_map(alignment_table())
    bar = figure.axes[-1]
    assert bar.get_ylabel() == "Pearson r"
    assert {tuple(line.get_ydata()) for line in bar.lines} == {(0.5, 0.5)}
    assert "registered 0.5" in legend(figure)
    without = head_map(alignment_table(), "r", title="t", label="r", centre=0)
    assert [line for line in without.axes[-1].lines if len(line.get_ydata()) == 2] == []


def test_ticks_of_a_ratio_are_powers_of_two():
    ratios = heads(2, 2).assign(rho=[0.125, 1.0, 2.5, np.nan])
    figure = head_map(ratios, "rho", title="t", label="ρ", centre=1, threshold=2)
    labels = [text for text, box in written(figure) if box.x0 > figure.axes[-1].bbox.x1]
    assert labels == ["0.125", "0.25", "0.5", "1", "2", "4", "8", "ρ"]


def test_heads_that_pass_are_outlined():
    table = alignment_table().assign(passes=False)
    assert frames(r_map(table).axes[0]) == []
    table["passes"] = table["passes"].astype(object)
    table.loc[6, "passes"], table.loc[13, "passes"], table.loc[2, "passes"] = True, True, np.nan
    figure = r_map(table)
    assert frames(figure.axes[0]) == [(1, 2), (3, 1)]
    assert "head that passes" in legend(figure)


def test_the_subtitle_says_how_near_the_best_head_comes():
    table = alignment_table()
    assert detail(r_map(table).axes[0]) == "largest 0.31 (L1H2); the registered 0.5 is not reached"
    table.loc[[9, 10], "r"] = [0.5, 0.62]
    assert detail(r_map(table).axes[0]) == "largest 0.62 (L2H2); 2 of 15 reach 0.5"
    assert detail(head_map(table, "r", title="t", label="r", centre=0).axes[0]) == "largest 0.62 (L2H2)"
    assert detail(r_map(table.assign(r=np.nan)).axes[0]) == "not measured"


def test_numbers_stand_in_the_cells_of_small_models_alone():
    axis = r_map(alignment_table()).axes[0]
    assert numbers(axis)[2, 1] == "0.31"
    assert numbers(axis)[0, 0] == "-0.05"
    assert numbers(r_map(alignment_table(14, 4)).axes[0])[2, 12] == "0.00", "no minus where nothing is left of it"
    assert len(numbers(r_map(alignment_table(16, 16)).axes[0])) == 255
    assert numbers(r_map(alignment_table(17, 16)).axes[0]) == {}


def test_numbers_are_white_on_dark_cells():
    table = alignment_table().assign(r=0.0)
    table.loc[3, "r"] = 0.9
    colours = {text.get_text(): text.get_color() for text in r_map(table).axes[0].texts[1:]}
    assert colours["0.90"] == "white"
    assert colours["0.00"] != "white"


def test_maps_side_by_side_share_one_scale_of_colours():
    first, second = alignment_table(), alignment_table().assign(r=2 * alignment_table()["r"])
    figure = head_maps_figure(
        {"denoising": first, "noising": second, "none": first.iloc[:0]}, "r", title="t", label="r", centre=0
    )
    panels = figure.axes[:3]
    assert len(figure.axes) == 4, "three panels and one bar"
    assert [panel.get_title(loc="left") for panel in panels] == ["denoising", "noising", "none"]
    assert {(scale(panel).vmin, scale(panel).vmax) for panel in panels} == {(-0.62, 0.62)}
    assert cells(panels[0])[1.5, 2.5, 1] != cells(panels[1])[1.5, 2.5, 1]
    assert len(crosses(panels[2])) == 16
    assert detail(panels[2]) == "not measured"


def test_in_a_grey_print_the_upper_end_is_far_darker_than_the_lower():
    low, middle, high = (np.dot(AROUND(x)[:3], [0.299, 0.587, 0.114]) for x in (0.0, 0.5, 1.0))
    assert high + 0.3 < low < middle - 0.3
    upper = [np.dot(AROUND(x)[:3], [0.299, 0.587, 0.114]) for x in np.linspace(0.5, 1, 20)]
    assert np.all(np.diff(upper) < 0)


# Alignment and its ceiling


def test_heads_stand_side_by_side_at_their_r_under_their_layer_s_ceiling():
    axis = alignment_ceiling_figure(alignment_table(), 0.5).axes[0]
    (points,) = (line for line in axis.lines if line.get_marker() == "o")
    assert points.get_ydata() == pytest.approx(alignment_table()["r"], nan_ok=True)
    places = points.get_xdata()
    assert np.all(np.diff(places) > 0.15)
    assert np.round(places).tolist() == alignment_table()["layer"].tolist()
    assert [x for x, _ in crosses(axis)] == pytest.approx([places[2]])
    segments = [
        segment
        for found in axis.collections
        if isinstance(found, LineCollection)
        for segment in found.get_segments()
        if len(segment)
    ]
    intervals = {
        round(segment[0, 0], 6): tuple(segment[:, 1]) for segment in segments if segment[0, 0] == segment[1, 0]
    }
    assert intervals[round(places[6], 6)] == pytest.approx((0.29, 0.34))
    ceilings = [segment[0, 1] for segment in segments if segment[0, 1] == segment[1, 1]]
    assert ceilings == pytest.approx([0.4, 0.425, 0.45, 0.475])


def test_the_ceiling_s_heading_compares_the_best_head_with_its_ceiling():
    axis = alignment_ceiling_figure(alignment_table(), 0.5).axes[0]
    assert detail(axis) == (
        "largest 0.31 (L1H2, 73% of its ceiling); the registered 0.5 is not reached; "
        "the highest ceiling is 0.48, below it"
    )
    lower = alignment_ceiling_figure(alignment_table(), 0.3).axes[0]
    assert detail(lower) == "largest 0.31 (L1H2, 73% of its ceiling); 1 of 15 reach 0.3; the highest ceiling is 0.48"
    dashed = [line.get_ydata()[0] for line in lower.lines if line.get_linestyle() == "--"]
    assert dashed == [0.3]
