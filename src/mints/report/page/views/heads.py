"""The heads: alignment, enrichment and restoration of every head side by side, and what each head is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.report.page.blocks import Block, Choice, Claim, Missing, Tone, View, Widget, table_block
from mints.report.page.marks import interval, named
from mints.report.page.saved import Saved

EVIDENCE, DETECTOR = "tables/evidence.csv", "motif detector"
SENSITIVITY, STACK = "tables/calibration_sensitivity.csv", "registered stack"
MAPS = (
    ("r", "aligned", "QK alignment", "Pearson r", 0.0),
    ("rho", "enriched", "Attention enrichment", "ρ, motif over background", 1.0),
    ("pm", "restored", "Causal restoration", "share restored (PM)", 0.0),
)
"""Value, criterion, title, label, and the value of no effect."""


LARGEST = (
    "The largest r (how well a key follows the motif), ρ (attention to it over background) and PM (share of its effect"
    " that patching restores):"
)


def heads(saved: Saved) -> View:
    """Three linked maps per question."""
    evidence = saved.table(EVIDENCE)
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
    return View("heads", "Heads", question, blocks, claims(evidence, blind(saved.table(SENSITIVITY))))


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


def blind(sensitivity: pd.DataFrame) -> bool:
    """Whether the three criteria together miss planted detectors of every strength."""
    rows = sensitivity[sensitivity["criterion"] == STACK] if "strength" in sensitivity else sensitivity.iloc[:0]
    return len(rows) > 0 and bool(rows["strength"].isna().all())


def claims(evidence: pd.DataFrame, unseen: bool = False) -> list[Claim]:
    """Whether a head is a motif detector, with the best head of every motif by each criterion.

    unseen: whether the criteria miss planted detectors as well, so that finding none answers nothing.
    """
    if evidence.empty:
        return []
    found = evidence[evidence["verdict"] == DETECTOR]
    names = ", ".join(f"{name_of(row)} for {named(str(row['question']))}" for row in found.to_dict("records"))
    questions = evidence.groupby("question", sort=False)
    told = ";\n".join(f"{named(str(name))}: {best_of(rows)}" for name, rows in questions)
    count = f"{len(found)} of {len(evidence)} pairs of head and motif" + (f": {names}" if names else "")
    missed = " These criteria miss planted detectors of every strength as well." if unseen and not names else ""
    tone: Tone = "yes" if names else "open" if unseen else "no"
    return [Claim("Is a head a motif detector?", f"{count}.{missed} {LARGEST}\n{told}.", tone)]


def best_of(rows: pd.DataFrame) -> str:
    """The largest figure by each criterion among the heads of one motif, with its interval."""
    r, rho = (largest(rows, value, value) for value in ("r", "rho"))
    ceiling = rows["ceiling"].max()
    under = f" (ceilings up to {ceiling:.2f})" if pd.notna(ceiling) else ""
    unclear = "effect_low" in rows and not (rows["effect_low"] > 0).any()
    pm = "PM not to be judged, since the edit has no clear effect" if unclear else f"PM {largest(rows, 'pm', 'pm_low')}"
    return f"r {r}{under}, ρ {rho}, {pm}"


def largest(rows: pd.DataFrame, value: str, by: str) -> str:
    """A figure of the head that leads by a column: what its criterion holds against the threshold."""
    judged = rows.dropna(subset=[by])
    if judged.empty:
        return "not measured"
    row = judged.iloc[int(judged[by].argmax())]
    return interval(row[value], row[f"{value}_low"], row[f"{value}_high"], 3)


def name_of(row: Mapping[Any, Any]) -> str:
    """A head's name, as the address of its page has it."""
    return f"L{int(row['layer'])}H{int(row['head'])}"
