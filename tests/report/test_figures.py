"""What the figures show: where points and intervals lie, what is written beside them, and that nothing overlaps."""

import subprocess
import sys
from io import BytesIO
from itertools import combinations, product

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text
from pandas.testing import assert_frame_equal

from mints.report import figures
from mints.report.training import training_curve_figure

TASKS = [
    "promoter_tata",
    "splice_sites_donors_matched",
    "promoter_no_tata",
    "splice_sites_donors",
    "splice_sites_acceptors",
    "ctcf",
    "splice_sites_donors_swapped",
]
AUROC = {
    "shuffled_test_sequences": 0.55,
    "high_to_low_gc": 0.86,
    "gc_content": 0.62,
    "kmer_logistic": 0.88,
    "residual_probe": 0.93,
    "kmer_boosted": 0.87,
    "metadata": np.nan,
    "gc_matched_test": 0.91,
    "random_labels": 0.43,
    "low_to_high_gc": 0.84,
    "random_initialisation": 0.76,
    "shuffled_sequences": 0.64,
}


def controls_table(tasks=1):
    rows = [
        {
            "task": task,
            "control": control,
            "label": f"label of {control}",
            "layer": 3,
            "n_test": 2000,
            "auroc": value - 0.01 * shift,
            "auroc_low": value - 0.01 * shift - 0.02,
            "auroc_high": value - 0.01 * shift + 0.03,
            "chosen_on_validation": control == "kmer_boosted",
        }
        for shift, task in enumerate(TASKS[:tasks])
        for control, value in AUROC.items()
    ]
    return pd.DataFrame(rows)


def layers_table(tasks=1, layers=5):
    rows = [
        {
            "task": task,
            "layer": layer,
            "chosen": layer == 3,
            "n_test": 2000,
            "auroc": 0.6 + 0.08 * layer,
            "auroc_low": 0.57 + 0.08 * layer,
            "auroc_high": 0.62 + 0.08 * layer,
        }
        for task in TASKS[:tasks]
        for layer in reversed(range(layers))
    ]
    return pd.DataFrame(rows)


def loss_table():
    losses = {"model": 4.47, "unigram": 4.95, "two-sided token bigram": 4.5}
    rows = [
        {
            "masking": masking,
            "predictor": predictor,
            "loss": loss + shift,
            "low": loss + shift - 0.02,
            "high": loss + shift + 0.01,
            "tokens": 65536,
        }
        for masking, shift in (("15% hidden", 0.0), ("one token hidden", -0.2))
        for predictor, loss in losses.items()
    ]
    return pd.DataFrame(rows)


def curve_table():
    step = np.arange(500, 7500, 500)
    return pd.DataFrame(
        {"step": step, "tokens": step * 4000, "train_loss": 4.3 + 300 / step, "heldout_loss": 4.5 + 250 / step}
    )


def reliability_table(tasks=1):
    low = np.arange(5) / 5
    parts = [
        pd.DataFrame(
            {
                "task": task,
                "bin_low": low,
                "bin_high": low + 0.2,
                "mean_predicted": [0.05, 0.3, np.nan, 0.7, 0.97],
                "observed": [0.02, 0.25, np.nan, 0.6, 0.99],
                "low": [0.01, 0.15, np.nan, 0.5, 0.97],
                "high": [0.04, 0.36, np.nan, 0.72, 1.0],
                "n": [800, 100, 0, 200, 900],
            }
        )
        for task in TASKS[:tasks]
    ]
    return pd.concat(parts, ignore_index=True)


DRAWN = {
    "controls": lambda tasks: figures.probe_controls_figure(controls_table(tasks)),
    "layers": lambda tasks: figures.probe_layers_figure(layers_table(tasks, 13), dict.fromkeys(TASKS, 0.9)),
    "reliability": lambda tasks: figures.reliability_figure(reliability_table(tasks)),
    "loss": lambda _: figures.masked_token_loss_figure(loss_table()),
    "curve": lambda _: training_curve_figure(curve_table()),
}


def row_labels(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def forest_rows(axis):
    """(marker position, interval, number) of each row, by row label; by place where the labels stand elsewhere."""
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axis.lines if len(line.get_ydata()) == 1}
    segments = [segment for collection in axis.collections for segment in collection.get_segments() if len(segment)]
    intervals = {segment[0, 1]: tuple(segment[:, 0]) for segment in segments}
    numbers = {text.get_position()[1]: text.get_text() for text in axis.texts if text.get_position()[0] > 1}
    labels = row_labels(axis) if any(row_labels(axis)) else range(len(points))
    return {label: (points[row], intervals.get(row), numbers[row]) for row, label in enumerate(labels)}


def vertical_lines(axis):
    """Positions and colours of the lines that cross a whole panel from bottom to top."""
    return {line.get_xdata()[0]: line.get_color() for line in axis.lines if list(line.get_ydata()) == [0, 1]}


@pytest.fixture
def written(monkeypatch):
    """Draws a figure and gives every text that was put on paper, with its box in pixels."""

    def draw(figure):
        drawn = []
        original = Text.draw
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # settles the layout
        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), original(text, renderer)))
            canvas.draw()
        shown = [text for text in drawn if text.get_visible() and text.get_text().strip()]
        return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]

    return draw


# All figures


@pytest.mark.parametrize(
    ("name", "tasks"),
    [*product(["controls", "layers", "reliability"], [1, 2, 4, 7]), ("loss", 1), ("curve", 1)],
)
def test_no_text_overlaps_another_or_leaves_the_figure(written, name, tasks):
    figure = DRAWN[name](tasks)
    boxes = written(figure)
    assert len(boxes) > 10
    pairs = combinations([(text, box.shrunk(0.98, 0.9)) for text, box in boxes], 2)
    assert [(a, b) for (a, box), (b, other) in pairs if box.overlaps(other)] == []
    page = figure.bbox
    assert [text for text, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > page.x1 or box.y1 > page.y1] == []


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_table_gives_the_same_bytes(name):
    pictures = []
    for _ in range(2):
        picture = BytesIO()
        DRAWN[name](2).savefig(picture, format="png", metadata={"Software": None})
        pictures.append(picture.getvalue())
    assert pictures[0] == pictures[1]


def test_drawing_changes_neither_the_table_nor_matplotlib_s_settings():
    table, before = controls_table(2), dict(matplotlib.rcParams)
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        figure = figures.probe_controls_figure(table)
        assert matplotlib.rcParams["font.size"] == 30
    assert to_hex(figure.axes[0].get_facecolor()) == "#ffffff"
    assert dict(matplotlib.rcParams) == before
    assert_frame_equal(table, controls_table(2))


def test_figures_do_without_pyplot():
    check = "import sys, mints.report.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (figures.probe_controls_figure, controls_table()),
        (figures.probe_layers_figure, layers_table()),
        (figures.masked_token_loss_figure, loss_table()),
        (training_curve_figure, curve_table()),
        (figures.reliability_figure, reliability_table()),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(written, draw, table):
    assert "not measured in this run" in [text for text, _ in written(draw(table.iloc[:0]))]


def test_titles_name_the_level_of_the_intervals():
    assert "95% intervals" in figures.probe_layers_figure(layers_table()).get_suptitle()
    assert "99.5% intervals" in figures.probe_layers_figure(layers_table(), level=0.995).get_suptitle()


# Probe and controls


def test_every_control_lies_at_its_value_with_its_interval_and_number():
    rows = forest_rows(figures.probe_controls_figure(controls_table()).axes[0])
    assert rows["probe"] == (0.93, pytest.approx((0.91, 0.96)), "0.930")
    assert rows["k-mer counts, logistic (k ≤ 6)"] == (0.88, pytest.approx((0.86, 0.91)), "0.880")
    assert rows["probe, random labels"] == (0.43, pytest.approx((0.41, 0.46)), "0.430")
    assert rows["length and position"][2] == "n/a"
    assert np.isnan(rows["length and position"][0])


def test_the_order_of_the_rows_does_not_depend_on_the_table():
    expected = [label for control, (label, _) in figures.CONTROLS.items() if control in AUROC]
    assert expected[0] == "probe"
    for seed in range(3):
        shuffled = controls_table().sample(frac=1, random_state=seed)
        axis = figures.probe_controls_figure(shuffled).axes[0]
        assert row_labels(axis) == expected
        assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first row is on top"


def test_chance_and_the_floor_chosen_on_validation_are_marked():
    axis = figures.probe_controls_figure(controls_table()).axes[0]
    lines = vertical_lines(axis)
    assert list(lines) == [0.5, 0.87]
    assert lines[0.87] == figures.FLOOR.colour


def test_each_task_has_its_own_panel_in_the_order_of_the_table():
    axes = figures.probe_controls_figure(controls_table(7)).axes
    assert [axis.get_title(loc="left") for axis in axes] == [task.replace("_", " ") for task in TASKS]
    for shift, axis in enumerate(axes):
        assert sorted(x for line in axis.lines if line.get_marker() == "o" for x in line.get_xdata()) == pytest.approx(
            [0.93 - 0.01 * shift]
        )
        assert [text.get_text() for text in axis.texts][0] == "layer 3, 2,000 test sequences"
        assert any(row_labels(axis)) == (shift % 3 == 0), "row names stand at the left edge alone"
        assert bool(axis.get_xlabel()) == (shift >= 4), "the x label stands under the lowest panels alone"


def test_all_intervals_lie_inside_the_shared_limits():
    table = controls_table(2)
    table.loc[5, ["auroc_low", "auroc_high"]] = [0.21, 1.0]
    limits = {axis.get_xlim() for axis in figures.probe_controls_figure(table).axes}
    assert len(limits) == 1
    low, high = limits.pop()
    assert 0.1 < low < 0.21
    assert 1.0 < high < 1.05


def test_kinds_of_controls_differ_in_colour_and_in_shape():
    groups = [figures.PROBE, figures.FLOOR, figures.BROKEN, figures.SHIFTED]
    assert len({group.colour for group in groups}) == len({group.marker for group in groups}) == 4
    figure = figures.probe_controls_figure(controls_table())
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert legend == {*(group.label for group in groups), "chance", "best k-mer floor"}
    points = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 1]
    assert [line.get_marker() for line in points] == ["o", *"ssss", *"XXXX", *"^^^"]


def test_an_unknown_control_comes_last_under_its_own_label():
    table = controls_table()
    table.loc[0, ["control", "label"]] = ["new_control", "something new"]
    assert row_labels(figures.probe_controls_figure(table).axes[0])[-1] == "something new"


def test_an_estimate_outside_its_interval_is_still_drawn():
    table = controls_table()
    table.loc[table["control"] == "random_labels", ["auroc_low", "auroc_high"]] = [0.45, 0.55]
    rows = forest_rows(figures.probe_controls_figure(table).axes[0])
    assert rows["probe, random labels"][:2] == (0.43, (0.45, 0.55))


def test_the_best_floor_is_the_one_chosen_on_validation_or_else_the_higher_one():
    table = controls_table(2)
    table.index = [0] * len(table)
    assert figures.best_floors(table) == {"promoter_tata": 0.87, "splice_sites_donors_matched": 0.86}
    unmarked = table.drop(columns="chosen_on_validation")
    assert figures.best_floors(unmarked) == {"promoter_tata": 0.88, "splice_sites_donors_matched": 0.87}
    table.loc[table["task"] == "promoter_tata", "chosen_on_validation"] = False
    assert figures.best_floors(table) == {"promoter_tata": 0.88, "splice_sites_donors_matched": 0.86}
    assert figures.best_floors(table[table["control"] == "gc_content"]) == {}


# Probe by layer


def test_layers_are_in_order_with_their_intervals_and_the_chosen_one_filled():
    axis = figures.probe_layers_figure(layers_table()).axes[0]
    curve = next(line for line in axis.lines if len(line.get_xdata()) == 5)
    assert curve.get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert curve.get_ydata() == pytest.approx([0.6, 0.68, 0.76, 0.84, 0.92])
    assert curve.get_markerfacecolor() == "white"
    (intervals,) = (c for c in axis.collections if isinstance(c, LineCollection))
    expected = [[(layer, 0.57 + 0.08 * layer), (layer, 0.62 + 0.08 * layer)] for layer in range(5)]
    assert np.allclose(intervals.get_segments(), expected)
    (chosen,) = (line for line in axis.lines if len(line.get_xdata()) == 1)
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (3, pytest.approx(0.84))
    assert chosen.get_markerfacecolor() == figures.BLUE


def test_a_floor_is_drawn_where_it_is_known_and_lies_inside_the_limits():
    figure = figures.probe_layers_figure(layers_table(2), {"promoter_tata": 0.31, "elsewhere": 0.1})
    heights = [[line.get_ydata()[0] for line in axis.lines if list(line.get_xdata()) == [0, 1]] for axis in figure.axes]
    assert heights == [[0.5, 0.31], [0.5]]
    assert 0.2 < figure.axes[0].get_ylim()[0] < 0.31
    without = figures.probe_layers_figure(layers_table(2))
    assert "best k-mer floor" not in [text.get_text() for text in without.legends[0].get_texts()]


# Losses


def test_losses_of_model_and_floors_lie_at_their_values_in_nats():
    figure = figures.masked_token_loss_figure(loss_table())
    first, second = figure.axes
    assert first.get_title(loc="left") == "15% hidden"
    rows = forest_rows(first)
    assert list(rows) == ["model", "unigram", "two-sided token bigram"]
    assert rows["model"] == (4.47, pytest.approx((4.45, 4.48)), "4.470")
    assert rows["unigram"] == (4.95, pytest.approx((4.93, 4.96)), "4.950")
    assert forest_rows(second)[0] == (pytest.approx(4.27), pytest.approx((4.25, 4.28)), "4.270")
    assert "nats per token" in first.get_xlabel()
    assert "65,536 hidden tokens" in first.texts[0].get_text()


def test_the_training_curve_shows_both_losses_and_the_tokens_seen():
    axis = training_curve_figure(curve_table()).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    for label, column in (("training", "train_loss"), ("held out", "heldout_loss")):
        (line,) = (line for name, line in lines.items() if name.startswith(label))
        assert line.get_xdata().tolist() == curve_table()["step"].tolist()
        assert line.get_ydata() == pytest.approx(curve_table()[column])
    (above,) = axis.child_axes
    FigureCanvasAgg(axis.figure).draw()
    assert above.get_xlim() == pytest.approx(np.array(axis.get_xlim()) * 4000 / 1e6)
    assert (axis.get_ylabel(), above.get_xlabel()) == ("loss (nats per hidden token)", "tokens seen (million)")


# Calibration


def test_calibration_bins_lie_at_their_means_with_area_by_their_sequences():
    axis = figures.reliability_figure(reliability_table()).axes[0]
    (bins,) = (c for c in axis.collections if isinstance(c, PathCollection))
    assert np.allclose(bins.get_offsets(), [(0.05, 0.02), (0.3, 0.25), (0.7, 0.6), (0.97, 0.99)])
    assert bins.get_sizes() / bins.get_sizes().max() == pytest.approx(np.array([800, 100, 200, 900]) / 900)
    (intervals,) = (c for c in axis.collections if isinstance(c, LineCollection))
    ends = [segment[:, 1] for segment in intervals.get_segments()]
    assert np.allclose(ends, [(0.01, 0.04), (0.15, 0.36), (0.5, 0.72), (0.97, 1)])
    diagonal = axis.lines[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert axis.texts[0].get_text() == "2,000 sequences; fullest bin 900"
