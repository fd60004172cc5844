"""The heads: alignment, enrichment and restoration of every head side by side, and what each head is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.report.page.blocks import Block, Choice, Claim, Missing, View, Widget, table_block
from mints.report.page.marks import named
from mints.report.page.saved import Saved

EVIDENCE, SUMMARY = "tables/evidence.csv", "tables/evidence_summary.csv"
MAPS = (
    ("r", "aligned", "QK alignment", "Pearson r", 0.0),
    ("rho", "enriched", "Attention enrichment", "ρ, motif over background", 1.0),
    ("pm", "restored", "Causal restoration", "share restored (PM)", 0.0),
)
"""Value, criterion, title, label, and the value of no effect."""


def heads(saved: Saved) -> View:
    """Three linked maps per question."""
    evidence, summary = saved.table(EVIDENCE), saved.table(SUMMARY)
    question = (
        "Does a head's key follow the motif, is the motif attended to, and does patching the head restore its effect?"
    )
    if evidence.empty:
        return View("heads", "Heads", question, [Missing("the evidence", saved.advice(EVIDENCE))])
    thresholds = saved.configured("registered", {})
    options: dict[str, list[Block]] = {
        str(name): [maps(rows, thresholds)] for name, rows in evidence.groupby("question", sort=False)
    }
    blocks: list[Block] = [Choice("motif", options), table_block(evidence, "Every head, every criterion", EVIDENCE)]
    return View("heads", "Heads", question, blocks, claims(summary))


def maps(rows: pd.DataFrame, thresholds: dict[str, float]) -> Widget:
    """Layer × head matrices of the three criteria, with the rest of each head's row for the side panel."""
    size = int(rows["layer"].max()) + 1, int(rows["head"].max()) + 1
    registered = {"r": thresholds.get("qk_r"), "rho": thresholds.get("enrichment"), "pm": thresholds.get("restoration")}
    panels = [
        {
            "value": value,
            "title": title,
            "label": label,
            "centre": centre,
            "threshold": registered[value],
            "values": square(rows, value, size),
            "low": square(rows, f"{value}_low", size),
            "high": square(rows, f"{value}_high", size),
            "passes": square(rows, passes, size),
        }
        for value, passes, title, label, centre in MAPS
        if value in rows
    ]
    details: dict[str, Any] = {
        f"L{row['layer']}H{row['head']}": {key: value for key, value in row.items() if key != "question"}
        for row in rows.to_dict("records")
    }
    note = (
        "Point at a head to see it in all three maps; choose one to see its whole row. Outlined: passes the criterion."
    )
    return Widget(
        "heads",
        f"Heads for {named(str(rows['question'].iloc[0]))}",
        {"question": str(rows["question"].iloc[0]), "panels": panels, "details": details},
        EVIDENCE,
        note,
    )


def square(rows: pd.DataFrame, column: str, size: tuple[int, int]) -> Float[ndarray, "layer head"]:
    """One column by layer and head; NaN where a head was not measured."""
    matrix = np.full(size, np.nan)
    matrix[rows["layer"], rows["head"]] = rows[column].astype(float)
    return matrix


def claims(summary: pd.DataFrame) -> list[Claim]:
    """Whether a head is a motif detector."""
    if summary.empty:
        return []
    found = int(summary["motif_detectors"].sum())
    figures = "; ".join(
        f"{named(row['question'])}: {row['motif_detectors']} of {row['heads']} heads"
        f" (largest r {row['largest_r']:.2f} under a ceiling of {row['largest_ceiling']:.2f},"
        f" ρ {row['largest_rho']:.2f}, restoration {row['largest_pm']:.2f})"
        for row in summary.to_dict("records")
    )
    return [Claim("Is a head a motif detector?", f"{figures}.", "yes" if found else "no")]
