"""Figures of scans and of latents of substitutions: what is drawn where, and that nothing overlaps."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_reading import cells, collisions, crosses, detail, legend
from matplotlib.colors import to_hex

from mints.report.heat import AROUND, colours_around
from mints.report.latents import OF_SUBSTITUTIONS, latent_effects_figure
from mints.report.scans import (
    PANELS,
    RELATED,
    RESIDUES,
    SCORES,
    latent_relation_figure,
    scan_map_figure,
    scan_scatter_figure,
)

WILD = "MKTAYIAK"


def map_table():
    rows = [
        {"position": at + 40, "wild_type": own, "mutant": letter, "masked_marginal": at - RESIDUES.index(letter) / 10}
        for at, own in enumerate(WILD)
        for letter in RESIDUES
        if letter != own
    ]
    table = pd.DataFrame(rows)
    table["DMS_score"] = -2 * table["masked_marginal"] + 1
    table.loc[(table["position"] == 42) & (table["mutant"] == "W"), "DMS_score"] = np.nan
    return table


def scatter_tables():
    rng = np.random.default_rng(0)
    tables = {
        name: pd.DataFrame(
            {"mutations": [1] * 30 + [2] * 9, "DMS_score": rng.normal(size=39), "masked_marginal": rng.normal(size=39)}
        )
        for name in ("EPHB2_HUMAN", "DNJA1_HUMAN")
    }
    rows = []
    for protein, target, score in product(tables, ("DMS_score", "truth"), ("masked_marginal", "blosum62")):
        value = {"DMS_score": 0.4, "truth": 0.9}[target] - 0.2 * (score == "blosum62")
        row = {"protein": protein, "target": target, "mutants": "all", "score": score, "n": 1960, "spearman": value}
        rows.append(row | {"spearman_low": value - 0.1, "spearman_high": value + 0.05})
    return tables, pd.DataFrame(rows)


def relation_table(sites):
    rows = []
    for site, protein, (readout, quantities) in product(
        sites, ("one", "all proteins"), [*((name, RELATED) for name in list(PANELS)[:3]), (list(PANELS)[3], SCORES)]
    ):
        for at, quantity in enumerate(quantities):
            value = 0.1 * at - 0.3 - (protein == "one")
            row = {"site": site, "protein": protein, "readout": readout, "quantity": quantity, "spearman": value}
            rows.append(row | {"spearman_low": value - 0.2, "spearman_high": value + 0.1})
    return pd.DataFrame(rows)


def test_a_map_has_every_substitution_in_its_place_the_wild_type_dotted_and_what_is_missing_crossed():
    table = map_table()
    figure = scan_map_figure(table, protein="EPHB2_HUMAN")
    for axis, column in zip(figure.axes, ("masked_marginal", "DMS_score"), strict=False):
        centre = 0.0 if column == "masked_marginal" else float(table[column].median())
        norm = colours_around(table[column].to_numpy(), centre)
        drawn = cells(axis)
        assert len(drawn) == len(WILD) * 20
        for row in table.dropna(subset=[column]).iloc[::7].to_dict("records"):
            at = row["position"] - 40
            assert drawn[at - 0.5, at + 0.5, RESIDUES.index(row["mutant"])] == to_hex(AROUND(norm(row[column])))
        dots = [line for line in axis.lines if line.get_marker() == "."]
        assert dots[0].get_ydata().tolist() == [RESIDUES.index(own) for own in WILD]
        assert axis.get_xticklabels()[0].get_text() == "40"
    assert crosses(figure.axes[0]) == []
    assert crosses(figure.axes[1]) == [(2.0, RESIDUES.index("W"))]
    assert collisions(figure) == []


def test_a_scatter_shows_singles_and_multiples_apart_and_says_both_correlations_with_the_assay():
    tables, correlations = scatter_tables()
    figure = scan_scatter_figure(tables, correlations)
    for axis, (name, table) in zip(figure.axes, tables.items(), strict=True):
        assert axis.get_title(loc="left") == name
        singles, multiples = axis.lines[:2]
        assert singles.get_ydata().tolist() == table["DMS_score"].iloc[:30].tolist()
        assert multiples.get_xdata().tolist() == table["masked_marginal"].iloc[30:].tolist()
        assert detail(axis) == "model 0.40 [0.30, 0.45], BLOSUM62 0.20 [0.10, 0.25], n = 1,960"
        assert axis.get_xlabel().endswith("(nats)")
    assert legend(figure) == ["singles", "multiple mutants"]
    assert collisions(figure) == []
    nothing = scan_scatter_figure(tables, correlations.iloc[:0])
    assert detail(nothing.axes[0]) == "too few mutants for a correlation"


@pytest.mark.parametrize("sites", [["blocks.1.hook_resid_post"], [f"blocks.{at}.hook_resid_post" for at in range(5)]])
def test_relations_with_the_assay_are_those_of_all_proteins_by_quantity_and_site(sites):
    table = relation_table(sites)
    figure = latent_relation_figure(table)
    together = table[table["protein"] == "all proteins"]
    for axis, readout in zip(figure.axes, PANELS, strict=True):
        shown = together[together["readout"] == readout].sort_values(["quantity", "site"])
        values = sorted(line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1)
        assert values == pytest.approx(sorted(shown["spearman"]))
        named = [label.get_text() for label in axis.get_yticklabels() if label.get_text()]
        assert named == list((SCORES if readout == "score of the mutant" else RELATED).values())
    assert legend(figure) == sites
    assert collisions(figure) == []


def test_without_a_traced_mutation_the_figures_say_so():
    for figure in (
        latent_relation_figure(pd.DataFrame()),
        latent_effects_figure(pd.DataFrame(), pd.DataFrame(), drawn=OF_SUBSTITUTIONS),
    ):
        assert [text.get_text() for text in figure.axes[0].texts] == ["not measured in this run"]
