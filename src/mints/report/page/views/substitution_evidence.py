"""What latents of substitutions have to do with the assay, how concentrated they are, and how general."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, table_block
from mints.report.page.marks import LEGIBLE, Estimates, Trace, dodged, named, vertical
from mints.report.page.panels import legend_below, literal

ATTRIBUTIONS, ASSAY, UNIVERSAL = (
    "tables/integrated_gradients.csv",
    "tables/latent_dms.csv",
    "tables/universality.csv",
)
ALL = "all proteins"
SIGNIFICANT = 0.05
READOUTS = {
    "other_tokens": "log-likelihood of all other residues",
    "hidden_tokens": "log-likelihood of hidden residues",
    "substitution": "log-odds at the substitution",
}


def ordered(names: pd.Series) -> list[str]:
    """Names in their order, all proteins together first."""
    return sorted(dict.fromkeys(names.astype(str)), key=lambda name: name != ALL)


def readouts_of(table: pd.DataFrame) -> list[str]:
    """Read-outs of a table, in the order in which they count."""
    there = list(dict.fromkeys(table["readout"].astype(str)))
    return sorted(there, key=lambda name: [*READOUTS, name].index(name))


def readout_name(readout: str) -> str:
    """A read-out as a reader names it."""
    return READOUTS.get(readout, named(readout))


def assay_blocks(table: pd.DataFrame) -> list[Block]:
    """Correlation of each effect with the measured score, by site and protein."""
    by_site: dict[str, list[Block]] = {}
    for site, rows in table.groupby("site", sort=False):
        proteins = {name: assay_charts(rows[rows["protein"] == name]) for name in ordered(rows["protein"])}
        by_site[str(site)] = [Choice("protein", proteins)]
    return [Choice("site", by_site), table_block(table, "Effects of latents against the assay", ASSAY)]


def assay_charts(rows: pd.DataFrame) -> Sequence[Block]:
    """Plain, and given BLOSUM62."""
    axes = {"spearman": "Spearman's ρ to assay"}
    axes |= {"partial": "partial ρ, given BLOSUM62"}
    charts = []
    for column, axis_title in axes.items():
        there = rows.dropna(subset=[column])
        if there.empty:
            continue
        there = there.assign(
            label=[SCORED.get(name, literal(named(name))) for name in there["quantity"].astype(str)],
            group=[READOUTS.get(name, literal(named(name))) for name in there["readout"].astype(str)],
        )
        groups = [READOUTS.get(name, literal(named(name))) for name in readouts_of(there)]
        traces, axis = dodged(there, "label", groups, "group", Estimates.of(column))
        height = 160 + 38 * there["label"].nunique()
        layout = {
            "xaxis": {"title": {"text": axis_title}, "range": [-1.05, 1.05]},
            "yaxis": axis,
            "shapes": [vertical(0.0)],
            "legend": legend_below(height),
        }
        note = (
            f"{there['n'].max()} mutants; 95% intervals over positions."
            " The last rows: the model's scores of these mutants."
        )
        title = "Effects of latents against the assay" + (", given BLOSUM62" if column == "partial" else "")
        charts.append(Chart(title, traces, layout, ASSAY, note, height))
    return charts


SCORED = {"blosum62": "BLOSUM62", "wild_type_marginal": "wild-type marginal", "masked_marginal": "masked marginal"}
SCORED |= {
    "other position": "the same move<br>elsewhere",
    "largest random direction": "largest random<br>direction",
}
CONCENTRATION = {"": ("the model", "@blue"), "_random_gradient": ("random gradient", "@vermillion")}
CONCENTRATION |= {"_uniform": ("equal attributions", "@quiet")}


def concentration_blocks(table: pd.DataFrame) -> list[Block]:
    """How much of the attribution few latents hold, mutation by mutation, beside what has no direction."""
    sites: dict[str, list[Block]] = {}
    axes = {"top_20": "share of the 20 largest", "gini": "Gini coefficient"}
    for site, rows in table.groupby("site", sort=False):
        sites[str(site)] = [concentration_chart(rows, column, axis) for column, axis in axes.items()]
    return [Choice("site", sites), table_block(table, "Integrated gradients of every substitution", ATTRIBUTIONS)]


def concentration_chart(rows: pd.DataFrame, column: str, axis: str) -> Chart:
    """One measure of concentration, a box per read-out and kind."""
    traces = []
    for end, (name, colour) in CONCENTRATION.items():
        trace: Trace = {"type": "box", "name": name, "y": rows[f"{column}{end}"].tolist()}
        labels = [
            READOUTS.get(each, literal(named(each))).replace(" of ", "<br>of ").replace(" at ", "<br>at ")
            for each in rows["readout"].astype(str)
        ]
        style = {"marker": {"color": colour, "size": 3}, "boxpoints": "all", "jitter": 0.4, "pointpos": 0}
        traces.append(trace | {"x": labels, **style, "line": {"width": 1.2}})
    layout = {
        "meta": LEGIBLE,
        "boxmode": "group",
        "xaxis": {"title": {"text": "read-out"}},
        "yaxis": {"title": {"text": axis}, "range": [-0.03, 1.03]},
        "legend": {"y": -0.3},
    }
    note = (
        f"A point per substitution ({len(rows.drop_duplicates(['protein', 'name']))}); boxes: quartiles. A random"
        " gradient shows what the code's sparsity alone gives."
    )
    return Chart(f"Concentration of integrated gradients: {axis}", traces, layout, ATTRIBUTIONS, note, 440)


def universality_blocks(table: pd.DataFrame) -> list[Block]:
    """How well a residue tells when a widespread latent matters, beside identities dealt out anew."""
    by_unit = {
        f"units: {unit}": [universality_chart(rows)]
        for unit, rows in table.dropna(subset=["f1", "f1_expected"]).groupby("unit", sort=False)
    }
    pictures: list[Block] = [Choice("unit", by_unit)] if by_unit else []
    return [*pictures, table_block(table, "Latents that matter in many sequences", UNIVERSAL)]


def universality_chart(rows: pd.DataFrame) -> Chart:
    """F1 of the best residue on other units against what chance gives."""
    traces: list[Trace] = []
    for kind, colour in zip(dict.fromkeys(rows["identity_kind"]), ("@blue", "@orange"), strict=False):
        own = rows[rows["identity_kind"] == kind]
        told = [
            literal(f"F{r['latent']} of {r['site']}, {r['readout']}: residue {r['identity']}, q {r['q']:.2g}")
            for r in own.to_dict("records")
        ]
        symbols = ["circle" if q <= SIGNIFICANT else "circle-open" for q in own["q"].fillna(1)]
        trace: Trace = {"type": "scatter", "mode": "markers", "name": literal(f"{kind} residue"), "text": told}
        hover = "%{text}<br>F1 %{y:.2f}, by chance %{x:.2f}<extra></extra>"
        marker = {"color": colour, "symbol": symbols, "size": 9}
        traces.append(
            trace
            | {"x": own["f1_expected"].tolist(), "y": own["f1"].tolist(), "marker": marker, "hovertemplate": hover}
        )
    limit = max(0.1, float(rows["f1_expected"].max()) * 1.15)
    diagonal: Trace = {"type": "scatter", "mode": "lines", "name": "as by chance", "x": [0, limit], "y": [0, limit]}
    traces.append(diagonal | {"line": {"color": "@quiet", "dash": "dot"}, "hoverinfo": "skip"})
    layout = {
        "xaxis": {"title": {"text": "F1 with identities dealt out anew"}, "range": [-0.01 * limit, limit]},
        "yaxis": {"title": {"text": "F1 of the residue, on other units"}, "range": [-0.04, 1.06]},
        "legend": legend_below(400),
    }
    below = int((rows["q"] <= SIGNIFICANT).sum())
    note = (
        f"Full: q ≤ {SIGNIFICANT} ({below} of {len(rows)}). High: the latent matters where one residue stands, and"
        " little else."
    )
    return Chart("Does one residue tell when a latent matters?", traces, layout, UNIVERSAL, note, 400)
