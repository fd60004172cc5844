"""Meta-dictionaries: whether decoder rows are themselves sparse sums, beside rows that are not."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Missing, table_block
from mints.report.page.marks import LEGIBLE, Estimates, rows_with_intervals, vertical
from mints.report.page.saved import Saved

CURVES, CHILDREN, PROBE = "tables/meta_sae.csv", "tables/meta_sae_children.csv", "tables/meta_sae_probe.csv"
COLOURS = ("@blue", "@quiet", "@orange", "@purple", "@green")


def meta_blocks(saved: Saved) -> list[Block]:
    """Per site: what is left unexplained, and what meta-latents tell as probes."""
    curves, children, probe = (saved.table(name) for name in (CURVES, CHILDREN, PROBE))
    if curves.empty:
        if saved.configured("study", "genomic") != "genomic":
            return []
        return [Missing("the meta-dictionaries", saved.advice(CURVES))]
    options: dict[str, list[Block]] = {}
    for site, rows in curves.groupby("site", sort=False):
        options[str(site)] = [left_chart(rows)]
        here = probe[probe["site"] == site] if "site" in probe else probe
        if len(here):
            pictures: dict[str, list[Block]] = {
                str(concept): [probe_chart(part)] for concept, part in here.groupby("concept", sort=False)
            }
            options[str(site)].append(Choice("concept", pictures))
    blocks: list[Block] = [Choice("site", options)]
    if not children.empty:
        blocks.append(table_block(children, "Strongest latents of every meta-latent", CHILDREN))
    return blocks


def left_chart(rows: pd.DataFrame) -> Chart:
    """Share of the rows' variance that a meta-dictionary leaves, by active meta-latents."""
    traces = []
    for (kind, of_kind), colour in zip(rows.groupby("rows", sort=False), COLOURS, strict=False):
        for column, how, dash in (("left", "", "solid"), ("left_pursuit", ", pursuit", "dot")):
            if of_kind[column].isna().all():
                continue
            mean = of_kind.groupby("k")[column].mean()
            look = {"line": {"color": colour, "dash": dash}, "marker": {"color": colour, "size": 6}}
            line = {"x": mean.index.tolist(), "y": mean.tolist(), "name": f"{kind}{how}", "mode": "lines"}
            points = {"x": of_kind["k"].tolist(), "y": of_kind[column].tolist(), "mode": "markers", "showlegend": False}
            traces += [{"type": "scatter", **shape, **look} for shape in (line, points)]
    layout = {
        "xaxis": {"title": {"text": "active meta-latents per row"}, "tickvals": sorted(set(rows["k"].tolist()))},
        "yaxis": {"title": {"text": "share left unexplained"}, "rangemode": "tozero"},
        "legend": {"y": -0.34},
    }
    seeds = rows["seed"].nunique()
    return Chart(
        "What meta-latents leave of the rows",
        traces,
        layout,
        CURVES,
        f"Points: {seeds} seeds; lines: their mean. Dotted: codes by matching pursuit.",
        360,
    )


def probe_chart(rows: pd.DataFrame) -> Chart:
    """F1 of every way to probe one concept."""
    labels = rows["probe"].astype(str).tolist()
    trace = rows_with_intervals(rows, labels, Estimates.of("f1"), name="F1", colour="@blue")
    layout = {
        "meta": LEGIBLE,
        "xaxis": {"title": {"text": "F1 on test tokens"}, "rangemode": "tozero"},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": [vertical(float(rows["f1_of_all"].iloc[0]))],
        "showlegend": False,
    }
    note = "95% intervals over window clusters; dotted: every token called."
    return Chart(f"Probing {rows['concept'].iloc[0]}", [trace], layout, PROBE, note, 120 + 26 * len(rows))
