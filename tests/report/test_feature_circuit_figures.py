"""Figures of a feature circuit: what is drawn, how wide, and in which colour."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, legend, written
from matplotlib.colors import to_hex

from mints.report.feature_circuits import circuit_figure, curves_figure, planted_figure
from mints.report.style import BLUE, ORANGE, VERMILLION

SITES = ("blocks.1.hook_resid_post", "blocks.2.hook_resid_post")


def edges_table(latents=15):
    rows = []
    for site, latent in product(SITES, range(latents)):
        weight = (-1) ** latent * (latents - latent) / 100
        rows.append(
            ("feat->behavior", site, latent, "", -1, weight, weight - 0.01, weight + 0.01, 0.9 if latent == 2 else 0.01)
        )
    rows += [("feat->behavior", site, -1, "", -1, 0.3, 0.1, 0.5, np.nan) for site in SITES]
    for source, target in product(range(latents), range(latents)):
        weight = (
            2.0 if source == target else -1.0 if source + target == 3 else 0.7 if (source, target) == (5, 4) else 0.01
        )
        rows.append(
            (
                "feat->feat",
                SITES[0],
                source,
                SITES[1],
                target,
                weight,
                weight - 0.1,
                weight + 0.1,
                0.5 if weight in (0.01, 0.7) else 0.01,
            )
        )
    columns = ["kind", "source_site", "source", "target_site", "target", "weight", "low", "high", "q"]
    return pd.DataFrame(rows, columns=columns)


def lines(figure):
    """Colour, width and opacity of every edge by its rounded ends."""
    (axis,) = figure.axes
    drawn = {}
    for line in axis.lines:
        x, y = line.get_data()
        if len(x) > 2:
            ends = (round(x[0], 3), round(y[0], 3), round(x[-1], 3), round(y[-1], 3))
            drawn[ends] = (to_hex(line.get_color()).upper(), line.get_linewidth(), line.get_alpha())
    return drawn


def places(figure):
    """Where every node stands."""
    (axis,) = figure.axes
    return {(round(text.get_position()[0]), text.get_text().split()[0]): text for text in axis.texts}


def test_colour_is_the_sign_and_width_the_size_on_a_scale_of_each_kind():
    figure = circuit_figure(edges_table(), question="donors")
    nodes, drawn = places(figure), lines(figure)

    def between(source, target):
        ends = (*nodes[0, source].get_position(), *nodes[1, target].get_position())
        return drawn.get(tuple(round(value, 3) for value in ends))

    assert between("F4", "F4") == (BLUE.upper(), 4.5, 0.6)
    assert between("F0", "F3") == (VERMILLION.upper(), 2.25, 0.6)
    assert between("F4", "F5") is None  # its interval holds 0
    assert between("F5", "F4") == (BLUE.upper(), 0.7 * 4.5 / 2, 0.15)  # not significant
    to_end = {name: line for name, line in drawn.items() if name[2] == 2}
    assert max(width for _, width, _ in to_end.values()) == 4.5  # the error node's 0.3, far below 2
    assert len(to_end) == 12
    own = {round(width / 4.5 * 0.3, 3) for _, width, _ in to_end.values()}
    assert {0.3, 0.15, 0.14} <= own


def test_what_is_not_significant_is_pale_and_errors_are_judged_by_their_interval():
    figure = circuit_figure(edges_table())
    nodes = places(figure)
    edge = {
        name: to_hex(text.get_bbox_patch().get_edgecolor()).upper()
        for name, text in nodes.items()
        if name[1][0] in "Fe"
    }
    assert edge[1, "F0"] == BLUE.upper()
    assert edge[1, "F1"] == VERMILLION.upper()
    assert edge[1, "F2"] == "#DDDDDD"
    assert edge[1, "error"] == BLUE.upper()
    assert nodes[1, "F0"].get_text().split()[1] == "+0.150"
    assert nodes[1, "F1"].get_text().split()[1] == "-0.140"


def test_no_label_of_a_graph_covers_another():
    assert collisions(circuit_figure(edges_table(), question="donors")) == []


@pytest.fixture
def curves():
    rows = []
    for measure, errors, nodes in product(
        ("faithfulness", "completeness", "minimality"), ("keep", "remove"), (0, 1, 4, 16, 64)
    ):
        value = nodes / 64 if errors == "keep" else nodes / 128
        chance = nodes / 640 if nodes in (4, 16) else np.nan
        rows.append((measure, errors, nodes, value, value - 0.1, value + 0.1, 3, chance, chance - 0.01, chance + 0.01))
    return pd.DataFrame(
        rows,
        columns=[
            "measure",
            "errors",
            "nodes",
            "value",
            "low",
            "high",
            "random_circuits",
            "random_mean",
            "random_low",
            "random_high",
        ],
    )


def test_curves_are_the_table_s_values_beside_random_circuits(curves):
    figure = curves_figure(curves, question="donors")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["faithfulness", "completeness", "minimality"]
    by_colour = {}
    for line in figure.axes[0].lines:
        by_colour.setdefault((to_hex(line.get_color()).upper(), line.get_linestyle()), []).append(line.get_ydata())
    np.testing.assert_allclose(by_colour[BLUE.upper(), "-"][0], np.array([0, 1, 4, 16, 64]) / 64)
    np.testing.assert_allclose(by_colour[ORANGE.upper(), "-"][0], np.array([0, 1, 4, 16, 64]) / 128)
    np.testing.assert_allclose(by_colour[BLUE.upper(), "--"][0], np.array([4, 16]) / 640)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "1", "4", "16", "64"]
    assert collisions(figure) == []


def test_planted_circuits_show_their_rates_and_every_rank():
    strengths = (0.0, 0.5, 2.0)
    trials = pd.DataFrame(
        [
            (strength, pair, pair + 9, 400 / 10 ** (2 * place) + pair, 900)
            for place, strength in enumerate(strengths)
            for pair in (1, 2)
        ],
        columns=["strength", "upstream", "downstream", "edge_rank", "latents"],
    )
    criteria = ("edge a → b", "a → behaviour", "b → behaviour", "whole circuit")
    detection = pd.DataFrame(
        [
            (name, strength, 2, 2 * (strength > 1), float(strength > 1), 0.1, 0.9)
            for name, strength in product(criteria, strengths)
        ],
        columns=["criterion", "strength", "planted", "detected", "rate", "low", "high"],
    )
    figure = planted_figure(trials, detection)
    rates, ranks = figure.axes
    assert [line.get_ydata().tolist() for line in rates.lines] == [[0, 0, 1]] * 4
    assert ranks.lines[0].get_ydata().tolist() == [401, 5, 1.04]
    assert ranks.get_ylim()[0] > ranks.get_ylim()[1]
    assert legend(figure) == list(criteria)
    assert collisions(figure) == []


@pytest.mark.parametrize(
    "figure",
    [
        circuit_figure(edges_table().iloc[:0]),
        curves_figure(pd.DataFrame()),
        planted_figure(pd.DataFrame(), pd.DataFrame()),
    ],
)
def test_nothing_measured_is_said(figure):
    assert "not measured in this run" in [text for text, _ in written(figure)]
