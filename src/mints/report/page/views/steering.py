"""Steering: the dose–response of every steered latent beside random directions and other latents."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import Block, Choice, Claim, Missing, table_block
from mints.report.page.marks import interval
from mints.report.page.saved import Saved
from mints.report.page.views.latents import dose_charts

DOSES, SUMMARY = "tables/steering.csv", "tables/steering_summary.csv"
SIGNIFICANT = 0.05
JUDGED = {"target_log_odds": "the hidden token", "substitution_log_odds": "its substitutes"}


def steering_blocks(saved: Saved) -> list[Block]:
    """One group of charts per latent, and the summary."""
    doses, summary = saved.table(DOSES), saved.table(SUMMARY)
    if doses.empty:
        if saved.configured("study", "genomic") != "genomic":
            return []
        return [Missing("steering", saved.advice(DOSES))]
    options: dict[str, list[Block]] = {
        f"{site} F{latent}": [*dose_charts(rows)]
        for (site, latent), rows in doses.groupby(["site", "latent"], sort=False)
    }
    blocks: list[Block] = [Choice("latent", options)]
    if not summary.empty:
        note = "Area under the dose–response, and slope up to the natural dose; p by rank among the draws of each null."
        rows = tested(summary).dropna(axis=1, how="all")
        blocks.append(table_block(rows, "Areas and slopes", SUMMARY, note=note))
    return blocks


def tested(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows that are held against the nulls."""
    at_hidden = (summary["position"] == "hidden") & (summary["kind"] == "add")
    return summary[at_hidden & summary["measure"].isin(list(JUDGED))]


def steering_claims(saved: Saved) -> list[Claim]:
    """Whether a steered latent raises what it should by more than both nulls.

    Not told where several are tried: p is then larger than the correction lets pass, whatever a single one does.
    """
    summary = saved.table(SUMMARY)
    if summary.empty:
        return []
    rows = tested(summary)
    nulls = [name for name in ("q_area_directions", "q_area_latents") if name in rows and rows[name].notna().any()]
    if not nulls:
        return []
    sure = rows[(rows[nulls] <= SIGNIFICANT).all(axis=1) & (rows["area_low"] > 0)]
    told = [
        f"F{row['latent']} of {row['site']} raises {JUDGED[row['measure']]} by"
        f" {interval(row['area'], row['area_low'], row['area_high'])} nats (mean over doses)"
        for row in sure.to_dict("records")
    ]
    smallest = float(rows[nulls].max(axis=1).min())
    tried = rows.groupby(["site", "latent"]).ngroups
    answer = f"None at q ≤ {SIGNIFICANT}: the smallest q against both nulls is {smallest:.2g}."
    if tried > 1:
        answer += f" p is a rank among few draws of each null, too few for one latent of {tried} to pass alone."
    answer = "; ".join(told) + "." if told else answer
    question = f"Does steering one of {tried} latents raise the motif token beyond random directions and other latents?"
    return [Claim(question, answer, "yes" if told else "open" if tried > 1 else "no")]
