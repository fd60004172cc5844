"""Integrated gradients of latents: what they and the error are given, how concentrated; and how general latents are."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, table_block
from mints.report.page.marks import COLOURS, LEGIBLE, Trace
from mints.report.page.panels import broken, legend_below, literal
from mints.report.page.views.exchanged_latents import SIGNIFICANT, Study

ATTRIBUTIONS, UNIVERSAL = "tables/integrated_gradients.csv", "tables/universality.csv"
CONCENTRATION = {
    "": ("the model", "@blue"),
    "_random_gradient": ("random gradient", "@vermillion"),
    "_uniform": ("equal attributions", "@quiet"),
}
RULES = {
    "completeness_error": ("ten Gauss–Legendre nodes", "@blue"),
    "completeness_error_left_riemann": ("ten left steps", "@vermillion"),
}
SHARES = {
    "latents": ("all latents", "@blue", "circle"),
    "error": ("the dictionary's error", "@vermillion", "x-thin-open"),
}


def attribution_blocks(table: pd.DataFrame, study: Study) -> list[Block]:
    """By site: how concentrated attributions are, what latents and the error are given, and what is missing."""
    sites: dict[str, list[Block]] = {}
    axes = {"top_20": "share of the 20 largest", "gini": "Gini coefficient"}
    for site, rows in table.groupby("site", sort=False):
        sites[str(site)] = [concentration_chart(rows, column, axis, study) for column, axis in axes.items()]
        if set(SHARES) <= set(rows):
            shares: dict[str, list[Block]] = {
                study.called(name): [shares_chart(rows[rows["readout"] == name], name, study)]
                for name in study.of(rows)
            }
            sites[str(site)] += [Choice("read-out", shares), completeness_chart(rows, study)]
    return [Choice("site", sites), table_block(table, f"Integrated gradients of every {study.pair}", ATTRIBUTIONS)]


def concentration_chart(rows: pd.DataFrame, column: str, axis: str, study: Study) -> Chart:
    """One measure of concentration, a box per read-out and kind."""
    traces = [boxes(rows, f"{column}{end}", name, colour, study) for end, (name, colour) in CONCENTRATION.items()]
    layout = box_layout({"title": {"text": axis}, "range": [-0.03, 1.03]})
    more = "; ".join(
        f"{study.called(name)}: {int((own[column] > own[f'{column}_random_gradient']).sum())} of {len(own)}"
        for name in study.of(rows)
        for own in [rows[rows["readout"] == name]]
    )
    note = (
        f"A point per {study.pair} and read-out; boxes: quartiles. A random gradient shows what the code's sparsity"
        f" alone gives. Larger than with a random gradient: {more}."
    )
    return Chart(f"Concentration of integrated gradients: {axis}", traces, layout, ATTRIBUTIONS, note, 440)


def boxes(rows: pd.DataFrame, column: str, name: str, colour: str, study: Study) -> Trace:
    """One column, a box per read-out with all its points."""
    labels = [broken(literal(study.called(each))) for each in rows["readout"]]
    trace: Trace = {"type": "box", "name": name, "y": rows[column].tolist(), "x": labels, "line": {"width": 1.2}}
    style = {"marker": {"color": colour, "size": 3}, "boxpoints": "all", "jitter": 0.4, "pointpos": 0}
    return trace | style


def box_layout(yaxis: dict[str, object]) -> dict[str, object]:
    """Groups of boxes side by side."""
    xaxis = {"title": {"text": "read-out"}}
    return {"meta": LEGIBLE, "boxmode": "group", "xaxis": xaxis, "yaxis": yaxis, "legend": {"y": -0.3}}


def shares_chart(rows: pd.DataFrame, readout: str, study: Study) -> Chart:
    """What latents and the error are given of the effect of every pair."""
    both = [*rows["effect"].dropna(), 0.0]
    ends = [min(both), max(both)]
    line: Trace = {"type": "scatter", "mode": "lines", "name": "the whole effect", "x": ends, "y": ends}
    traces: list[Trace] = [line | {"line": {"color": "@quiet", "dash": "dot"}, "hoverinfo": "skip"}]
    for column, (name, colour, symbol) in SHARES.items():
        trace: Trace = {"type": "scatter", "mode": "markers", "name": name, "text": [*map(literal, rows["name"])]}
        marker = {"color": colour, "symbol": symbol, "size": 7, "line": {"color": colour, "width": 1.5}}
        hover = "%{text}<br>%{y:.3f} of %{x:.3f} nats<extra>%{fullData.name}</extra>"
        points = {"x": rows["effect"].tolist(), "y": rows[column].tolist()}
        traces.append(trace | points | {"marker": marker, "hovertemplate": hover})
    layout = {
        "xaxis": {"title": {"text": "effect (nats)"}},
        "yaxis": {"title": {"text": "attributed to it (nats)"}},
        "legend": legend_below(400),
    }
    note = (
        f"A point per {study.pair}. Latents and error add up to the effect: latents on the line carry all of it, and"
        " what the error is given the dictionary does not explain."
    )
    return Chart(
        f"What latents and the error are given: {study.called(readout)}", traces, layout, ATTRIBUTIONS, note, 400
    )


def completeness_chart(rows: pd.DataFrame, study: Study) -> Chart:
    """How far attributions miss their sum, by rule of integration; an exact sum has no place on the scale."""
    sizes = rows.assign(**{column: rows[column].abs().replace(0, float("nan")) for column in RULES})
    traces = [boxes(sizes, column, name, colour, study) for column, (name, colour) in RULES.items()]
    layout = box_layout({"title": {"text": "|completeness error| (nats)"}, "type": "log", "exponentformat": "power"})
    exact = int((rows["completeness_error"] == 0).sum())
    note = (
        "What the attributions lack of the effect, on a logarithmic scale: small where the integral is right."
        f"{f' Not drawn: {exact} that lack nothing.' if exact else ''}"
    )
    return Chart("Completeness of integrated gradients", traces, layout, ATTRIBUTIONS, note, 400)


def universality_chart(rows: pd.DataFrame, letters: str, units: str) -> Chart:
    """F1 of the letters that best tell when a latent matters, against what chance gives.

    letters: what they are, such as `residue`, added to the table's kind of identity. units: on whose other half they
    are judged.
    """
    traces: list[Trace] = []
    for kind, colour in zip(dict.fromkeys(rows["identity_kind"]), COLOURS, strict=False):
        own = rows[rows["identity_kind"] == kind]
        name = f"{kind} {letters}".strip()
        told = [
            literal(f"F{r['latent']} of {r['site']}, {r['readout']}: {name} {r['identity']}, q {r['q']:.2g}")
            for r in own.to_dict("records")
        ]
        symbols = ["circle" if q <= SIGNIFICANT else "circle-open" for q in own["q"].fillna(1)]
        trace: Trace = {"type": "scatter", "mode": "markers", "name": literal(name), "text": told}
        hover = "%{text}<br>F1 %{y:.2f}, by chance %{x:.2f}<extra></extra>"
        points = {"x": own["f1_expected"].tolist(), "y": own["f1"].tolist()}
        marker = {"color": colour, "symbol": symbols, "size": 9}
        traces.append(trace | points | {"marker": marker, "hovertemplate": hover})
    limit = max(0.1, float(rows["f1_expected"].max()) * 1.15)
    diagonal: Trace = {"type": "scatter", "mode": "lines", "name": "as by chance", "x": [0, limit], "y": [0, limit]}
    traces.append(diagonal | {"line": {"color": "@quiet", "dash": "dot"}, "hoverinfo": "skip"})
    layout = {
        "xaxis": {"title": {"text": "F1 with identities dealt out anew"}, "range": [-0.01 * limit, limit]},
        "yaxis": {"title": {"text": f"F1 on other {units}"}, "range": [-0.04, 1.06]},
        "legend": legend_below(400),
    }
    below = int((rows["q"] <= SIGNIFICANT).sum())
    note = (
        f"Full: q ≤ {SIGNIFICANT} ({below} of {len(rows)}). High: the latent matters where these letters stand, and"
        " little else."
    )
    shown = sorted({(str(row["site"]), int(row["latent"])) for row in rows.to_dict("records")})
    return Chart("Do letters tell when a latent matters?", traces, layout, UNIVERSAL, note, 400, latents=shown)
