"""Corpus audit: which of the sequences in question the corpus already holds."""

from __future__ import annotations

from typing import Any

from mints.report.page.blocks import Block, Chart, Claim, Missing, Text, table_block
from mints.report.page.marks import LEGIBLE, interval
from mints.report.page.saved import Saved

SUMMARY, QUERIES = "tables/corpus_audit_summary.json", "tables/corpus_audit.csv"
SHARES = {
    "found": "all queries",
    "planted_found": "planted queries",
    "not_planted_found": "queries that were not planted",
    "shuffled_found": "shuffled queries (control)",
}


def corpus_blocks(saved: Saved) -> list[Block]:
    """Shares with exact intervals, and every query."""
    summary, queries = saved.value(SUMMARY), saved.table(QUERIES)
    if summary is None:
        if not saved.configured("features.audit_queries"):
            return []
        return [Missing("the corpus audit", saved.advice(SUMMARY))]
    if not summary["searched"]:
        return [Text([f"Nothing was searched: {summary['reason']} ({summary['installation']})."])]
    blocks: list[Block] = [share_chart(summary)]
    if not queries.empty:
        blocks.append(table_block(queries, "Every query", QUERIES))
    return blocks


def share_chart(summary: dict[str, Any]) -> Chart:
    """Share of the queries that are found, by kind."""
    rows = [(label, summary[name]) for name, label in SHARES.items() if name in summary]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [row["share"] for _, row in rows],
        "y": [f"{label} ({row['found']} of {row['queries']})" for label, row in rows],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [row["high"] - row["share"] for _, row in rows],
            "arrayminus": [row["share"] - row["low"] for _, row in rows],
            "color": "@blue",
            "width": 4,
        },
        "marker": {"color": "@blue", "size": 10},
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    layout = {
        "meta": LEGIBLE,
        "xaxis": {"title": {"text": "share found in the corpus"}, "range": [-0.02, 1.02], "tickformat": ".0%"},
        "yaxis": {"autorange": "reversed"},
        "showlegend": False,
    }
    limits = summary["thresholds"]
    note = (
        f"Found: an alignment of at least {limits['length']} bases, {100 * limits['identity']:g}% identity,"
        f" {100 * limits['coverage']:g}% of the query and E ≤ {limits['evalue']:g}. Exact 95% intervals."
    )
    return Chart("Are the sequences in the corpus?", [trace], layout, SUMMARY, note, 120 + 34 * len(rows))


def corpus_claims(saved: Saved) -> list[Claim]:
    """How many are found, and how many of the controls."""
    summary = saved.value(SUMMARY)
    if not summary or not summary["searched"]:
        return []
    found, control = summary["found"], summary["shuffled_found"]
    answer = (
        f"{found['found']} of {found['queries']} distinct queries,"
        f" {interval(found['share'], found['low'], found['high'])};"
        f" of their shuffled twins {control['found']}."
    )
    return [Claim("Are the sequences in question already in the corpus?", answer, "yes" if found["found"] else "no")]
