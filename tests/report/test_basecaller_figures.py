"""Figures of the basecaller study, from tables as the steps save them."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from mints.report.basecaller_patching import groups_figure, layers_figure, strata_figure, tracks_figure
from mints.report.read_identity import run_lengths_figure

KINDS = ("layer", "attention", "mlp")


@pytest.fixture
def components():
    keys = ("patch", "direction", "group", "granularity", "layer")
    cells = product(("run", "chunk"), ("denoising", "noising"), ("homopolymer", "other"), KINDS, range(3))
    table = pd.DataFrame(list(cells), columns=keys)
    table["pm"] = np.where(table["granularity"] == "layer", 1.0, 0.1 * (1 + table["layer"]))
    table["pm_low"], table["pm_high"], table["effect"] = table["pm"] - 0.05, table["pm"] + 0.05, 4.2
    for null, value in (("other_corrupted", 0.02), ("other_site", 0.0), ("unrelated", 0.04)):
        table[null] = np.where((table["patch"] == "run") & (table["direction"] == "denoising"), value, np.nan)
    return table


def has_line(axis, *heights):
    """Whether a line of these heights is drawn."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()]
    return any(len(line) == len(heights) and np.allclose(line, heights) for line in drawn)


def test_layers_are_drawn_by_component_and_direction_with_the_largest_null(components):
    figure = layers_figure(components, measure="sequence")
    attention, noised = figure.axes[1], figure.axes[4]
    assert attention.get_title(loc="left") == "attention output, denoising"
    assert has_line(attention, 0.1, 0.2, 0.3)
    assert has_line(attention, 0.04, 0.04, 0.04)
    assert not has_line(noised, 0.04, 0.04, 0.04)
    assert any("largest 0.30 (layer 2) and 0.30 (layer 2)" in text.get_text() for text in attention.texts)


def test_strata_show_the_chosen_layers_of_attention_and_feed_forward(components):
    rows = [
        {"stratifier": by, "stratum": value, "group": group, "granularity": kind, "layer": layer}
        for by, value in (("base", "A"), ("run_length", "4"), ("corruption", "repeat_more"))
        for group in ("homopolymer", "other")
        for kind in KINDS
        for layer in range(3)
    ]
    table = pd.DataFrame(rows).assign(pm=lambda rows: rows["layer"] / 10)
    table = table.assign(pm_low=table["pm"] - 0.1, pm_high=table["pm"] + 0.1)
    figure = strata_figure(table, {"layer": 0, "attention": 2, "mlp": 1, "head": 0}, measure="transition")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["attention output, layer 2", "MLP output, layer 1"]
    assert [text.get_text() for text in figure.axes[0].texts].count("0.200") == 6
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[::2] == ["base A", "repeat more", "run length 4"]


def test_the_groups_difference_is_drawn_for_both_measures():
    table = pd.DataFrame(
        list(product(("run", "chunk"), ("denoising", "noising"), ("transition", "sequence"), KINDS, range(2))),
        columns=["patch", "direction", "measure", "granularity", "layer"],
    )
    table["difference"] = np.where(table["measure"] == "sequence", -0.2, 0.1)
    table = table.assign(low=table["difference"] - 0.1, high=table["difference"] + 0.1)
    axis = groups_figure(table).axes[1]
    assert has_line(axis, -0.2, -0.2)
    assert has_line(axis, 0.1, 0.1)


def test_tracks_show_the_clean_run_and_each_layer():
    rows = [
        {"group": group, "component": kind, "layer": layer, "sample": sample, "gain": (layer + 2) * sample / 10}
        for group in ("all", "homopolymer", "other")
        for kind, layers in (("clean run", [-1]), *((kind, range(2)) for kind in KINDS))
        for layer in layers
        for sample in (-6, 0, 6)
    ]
    table = pd.DataFrame(rows).assign(low=lambda rows: rows["gain"] - 1, high=lambda rows: rows["gain"] + 1)
    axis = tracks_figure(table).axes[5]
    assert axis.get_title(loc="left") == "other: MLP output"
    for layer in (-1, 0, 1):
        assert has_line(axis, *((layer + 2) * np.array([-0.6, 0, 0.6])))


def test_run_lengths_are_shares_of_the_runs_of_each_true_length():
    table = pd.DataFrame(
        [("A", 4, 3, 1), ("A", 4, 4, 3), ("A", 12, 11, 2), ("C", 1, 0, 1), ("G", np.nan, 5, 9)],
        columns=["base", "length", "called", "count"],
    )
    figure = run_lengths_figure(table)
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert numbers[:2] == ["6 runs; of 3 bases and more 50% right", "0.25"]
    assert numbers[2:] == ["0.75", "1.00"]
    assert "1 runs, none of 3 bases or more" in [text.get_text() for text in figure.axes[1].texts]


def test_what_was_not_measured_is_said(components):
    nothing = components.assign(pm=np.nan)
    for figure in (layers_figure(nothing, measure="sequence"), run_lengths_figure(pd.DataFrame({"length": []}))):
        assert figure.axes[0].texts[0].get_text() == "not measured in this run"
