"""Figures of deep mutational scans: what was measured against what the model says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest
from mints.report.heat import colours_around, draw_cells
from mints.report.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    VERMILLION,
    heading,
    legend_below,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

RESIDUES = "GAVLIMCFYWPSTNQDEHKR"
"""Small, aliphatic, aromatic, proline, polar, charged."""

SCORE = "masked_marginal"

KINDS = {"singles": (BLUE, "o"), "multiple mutants": (ORANGE, "s")}


@styled
def scan_scatter_figure(tables: Mapping[str, DataFrame], correlations: DataFrame) -> Figure:
    """Measured score of every mutant against the model's, one panel per protein.

    tables: by protein; columns mutations, DMS_score, masked_marginal. correlations: columns protein, target, mutants,
    score, n, spearman, spearman_low, spearman_high.
    """
    title = "mutants in the assay and in the model; Spearman's correlation with 95% interval over positions"
    grid = panel_grid(title, len(tables), 4.5, 3.4)
    of_assay = correlations[correlations["target"] == "DMS_score"]
    for axis, (protein, table) in zip(grid.panels, tables.items(), strict=True):
        single = (table["mutations"] == 1).to_numpy()
        for (colour, marker), rows in zip(KINDS.values(), (single, ~single), strict=True):
            shown = table[rows]
            axis.plot(shown[SCORE], shown["DMS_score"], marker, color=colour, markersize=2, alpha=0.35, linestyle="")
        heading(axis, protein, _said(of_assay[of_assay["protein"] == protein]))
        axis.set_xlabel("masked marginal, summed over substitutions (nats)")
        axis.grid()
    for axis in grid.left():
        axis.set_ylabel("DMS score (assay's unit; higher is fitter)")
    legend_below(grid.figure, [point_mark(name, *style) for name, style in KINDS.items()], columns=2)
    return grid.figure


def _said(rows: DataFrame) -> str:
    """The model's and the baseline's correlation over all mutants."""
    over_all = rows[rows["mutants"] == "all"].set_index("score")
    if over_all.empty:
        return "too few mutants for a correlation"
    parts = []
    for score, name in ((SCORE, "model"), ("blosum62", "BLOSUM62")):
        row = over_all.loc[score]
        parts.append(f"{name} {row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]")
    return f"{', '.join(parts)}, n = {int(over_all['n'].iloc[0]):,}"


@styled
def scan_map_figure(table: DataFrame, *, protein: str) -> Figure:
    """Every substitution by place and residue: the model's masked marginal above, the assay below.

    table: columns position (from 1), wild_type, mutant, masked_marginal, DMS_score (may be missing). The wild type is
    dotted, what was not measured crossed.
    """
    positions = np.sort(table["position"].unique())
    width = len(positions)
    grid = panel_grid(f"{protein}: every single substitution", 2, max(6.0, 0.13 * width), 2.9, columns=1)
    edges = np.stack([np.arange(width) - 0.5, np.arange(width) + 0.5], axis=1)
    wild = table.groupby("position")["wild_type"].first().reindex(positions)
    rows = [RESIDUES.index(residue) for residue in wild]
    for axis, (column, name, unit) in zip(grid.panels, SHOWN, strict=True):
        cells = table.pivot_table(index="mutant", columns="position", values=column)
        values = cells.reindex(index=list(RESIDUES), columns=positions).to_numpy(dtype=float)
        centre = 0.0 if column == SCORE else float(np.nanmedian(values))
        filled = values.copy()
        filled[rows, np.arange(width)] = centre  # the wild type is no substitution that was missed
        drawn = draw_cells(axis, edges, filled, colours_around(values, centre))
        axis.plot(np.arange(width), rows, ".", color=INK, markersize=3)
        axis.set_yticks(range(len(RESIDUES)), list(RESIDUES), size=6)
        ticks = [place for place in MaxNLocator(integer=True).tick_values(0, width - 1) if 0 <= place < width]
        axis.set_xticks(ticks, [str(positions[int(place)]) for place in ticks])
        heading(axis, name)
        axis.set_ylabel("to residue")
        bar = grid.figure.colorbar(drawn, ax=axis, pad=0.01, aspect=16, label=unit)
        bar.outline.set_visible(False)
    grid.panels[-1].set_xlabel("position in the protein")
    return grid.figure


SHOWN = (
    (SCORE, "model: masked marginal; dots are the wild type", "nats"),
    ("DMS_score", "assay: DMS score; the middle of the scale is its median", "assay's unit"),
)
"""Column, title and unit of the two panels."""


RELATED = {
    "whole effect": "whole effect of the substitution",
    "all latents": "all latents at the substitution",
    "error alone": "error of the autoencoder alone",
    "largest latent": "size of the largest latent's effect",
    "largest random direction": "size of the largest random one's",
    "token identity": "identity of the residues alone",
    "other position": "the same move at another residue",
}
"""Effects that are drawn, of all in the table."""

SCORES = {"wild_type_marginal": "wild-type marginal", "masked_marginal": "masked marginal", "blosum62": "BLOSUM62"}

PANELS = {
    "substitution": "log-odds at the substitution",
    "other_tokens": "log-likelihood of all other residues",
    "hidden_tokens": "log-likelihood of hidden residues",
    "score of the mutant": "scores of the same mutants",
}


@styled
def latent_relation_figure(table: DataFrame) -> Figure:
    """Does what latents carry follow the assay? Rank correlation of their effects with DMS scores.

    table: columns site, protein, readout, quantity, spearman, spearman_low, spearman_high; of the last protein of each
    site, which is all proteins together where there are several.
    """
    title = "effects of latents against the assay: Spearman's correlation with the DMS score"
    if table.empty:
        return nothing_measured(title)
    table = table[table["protein"] == table["protein"].iloc[-1]]
    sites = list(dict.fromkeys(table["site"]))
    grid = panel_grid(title, len(PANELS), 5.6, 0.9 + 0.17 * len(sites) * len(RELATED), columns=2, margin=1.6)
    colours = [BLUE, ORANGE, GREEN, PURPLE, VERMILLION, INK]
    groups = {site: Group(site, colours[at % len(colours)], "os^Dv"[at % 5]) for at, site in enumerate(sites)}
    for axis, (readout, name) in zip(grid.panels, PANELS.items(), strict=True):
        names = SCORES if readout == "score of the mutant" else RELATED
        rows = table[(table["readout"] == readout) & table["quantity"].isin(names)]
        rows = rows.sort_values("quantity", key=lambda column: column.map(list(names).index), kind="stable")
        labels = [names[quantity] for quantity in rows["quantity"]]
        shown = [label if at == 0 or labels[at - 1] != label else "" for at, label in enumerate(labels)]
        estimates = Estimates.of(rows, "spearman", "spearman_low", "spearman_high")
        forest(axis, shown, [groups[site] for site in rows["site"]], estimates)
        axis.axvline(0, color=QUIET, linestyle=":", linewidth=1)
        axis.set_xlim(-1, 1)
        heading(axis, name)
    for axis in grid.bottom():
        axis.set_xlabel("Spearman's correlation with the DMS score")
    legend_below(grid.figure, [point_mark(site, g.colour, g.marker) for site, g in groups.items()], columns=3)
    return grid.figure
