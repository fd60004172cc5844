"""Figures of latents and substitutions: what is drawn where, and that nothing overlaps."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_reading import cells, collisions, crosses, detail, legend, written
from matplotlib.colors import to_hex

from mints.report.heat import AROUND, colours_around
from mints.report.latents import latent_effects_figure, substitution_map_figure

SIZES = [1, 2, 4, 8, 16, 32, 64, 128]


def singles_table(latents=30):
    rows = []
    for direction, readout, latent in product(
        ["denoising", "noising"], ["probe", "substitution", "other_tokens"], range(latents)
    ):
        change = (-1) ** latent * 0.01 * latent * (2 if direction == "noising" else 1)
        row = {"direction": direction, "readout": readout, "latent": 700 + latent, "change": change}
        rows.append(row | {"change_low": change - 0.03, "change_high": change + 0.02, "matched": 0.01, "random": 0.0})
    return pd.DataFrame(rows)


def sets_table():
    rows = []
    rankings = [
        "change",
        *(
            f"{name}, {readout}"
            for name in ("integrated gradients", "change times gradient", "matched latents")
            for readout in ("probe", "substitution")
        ),
    ]
    for tokens, direction, readout in product(
        ["changed tokens", "all tokens"], ["denoising", "noising"], ["probe", "substitution"]
    ):
        for ranking, size in [
            *product(rankings, SIZES),
            ("all latents", 1024),
            ("error alone", 0),
            ("latents and error", 0),
        ]:
            change = {"all latents": 0.8, "error alone": 0.2, "latents and error": 0.95}.get(
                ranking, 0.1 * np.log2(2 * size or 1)
            )
            row = {"tokens": tokens, "direction": direction, "readout": readout, "ranking": ranking, "size": size}
            rows.append(
                row
                | {
                    "change": change,
                    "change_low": change - 0.1,
                    "change_high": change + 0.1,
                    "effect": 1.0,
                    "effect_low": 0.9,
                    "effect_high": 1.1,
                }
            )
    return pd.DataFrame(rows)


def substitutions_table(width=19):
    rng = np.random.default_rng(0)
    rows = []
    for kind, offset, base in product(["site", "control"], range(width), "ACGT"):
        if kind == "site" and (offset, base) == (3, "G"):
            continue
        effects = rng.normal(size=4)
        for shift in (-0.25, 0.25):
            values = dict(
                zip(["wild_type_marginal", "masked_marginal", "other_tokens", "probe"], effects + shift, strict=True)
            )
            rows.append({"kind": kind, "offset": offset, "motif_mutant": base} | values)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: latent_effects_figure(singles_table(), sets_table(), question="splice sites acceptors"),
        lambda: latent_effects_figure(singles_table(3), sets_table()),
        lambda: substitution_map_figure(substitutions_table(), question="splice sites acceptors"),
        lambda: substitution_map_figure(substitutions_table(9)),
    ],
)
def test_no_text_overlaps_another_or_leaves_the_figure(draw):
    assert collisions(draw()) == []


def test_empty_tables_give_a_figure_that_says_so():
    for figure in (
        latent_effects_figure(singles_table().iloc[:0], sets_table()),
        latent_effects_figure(singles_table(), sets_table().assign(change=np.nan)),
        substitution_map_figure(substitutions_table().iloc[:0]),
    ):
        assert "not measured in this run" in [text for text, _ in written(figure)]


def test_the_largest_latents_of_the_denoising_direction_are_drawn_with_their_nulls():
    figure = latent_effects_figure(singles_table(), sets_table())
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [str(700 + latent) for latent in range(29, 17, -1)]
    assert detail(axis) == "the 12 largest of 30 tested"
    points = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "o"]
    assert points[:2] == [pytest.approx(-0.29), pytest.approx(0.28)]
    (matched,) = (line for line in axis.lines if line.get_marker() == "|")
    assert set(matched.get_xdata()) == {0.01}
    assert len(crosses(axis)) == 12


def test_curves_are_those_of_the_read_out_s_own_rankings_at_the_changed_tokens():
    sets = sets_table()
    chosen = (
        (sets["tokens"] == "changed tokens") & (sets["direction"] == "denoising") & (sets["readout"] == "substitution")
    )
    sets.loc[chosen & (sets["ranking"] == "integrated gradients, substitution"), "change"] = 0.5
    figure = latent_effects_figure(singles_table(), sets)
    curves = [line for line in figure.axes[3].lines if len(line.get_xdata()) == len(SIZES)]
    assert sum(set(line.get_ydata()) == {0.5} for line in curves) == 1
    assert not any(
        set(line.get_ydata()) == {0.5} for line in figure.axes[1].lines if len(line.get_xdata()) == len(SIZES)
    )
    assert "matched sets" in legend(figure)
    assert detail(figure.axes[1]) == "whole effect 1.00 [0.90, 1.10], dotted"


def test_cells_are_means_over_substitutions_and_what_was_never_kept_is_crossed():
    table = substitutions_table()
    figure = substitution_map_figure(table)
    axis = figure.axes[0]
    assert crosses(axis) == [(3.0, 2.0)]
    at_sites = table[table["kind"] == "site"].groupby(["motif_mutant", "offset"])["wild_type_marginal"].mean()
    elsewhere = table[table["kind"] == "control"].groupby("offset")["wild_type_marginal"].mean()
    norm = colours_around(np.concatenate([at_sites, elsewhere]), 0)
    drawn = cells(axis)
    for (base, offset), row in ((("A", 0), 0), (("T", 7), 3), (("C", 18), 1)):
        assert drawn[offset - 0.5, offset + 0.5, row] == to_hex(AROUND(norm(at_sites[base, offset])))
    assert drawn[4.5, 5.5, 4] == to_hex(AROUND(norm(elsewhere[5])))
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A", "C", "G", "T", "elsewhere"]
