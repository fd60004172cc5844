"""Registered criteria: what each asks for, how many pass it, the best figure, and what could have been seen."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from mints.report.page.blocks import Link, Table
from mints.report.page.marks import named
from mints.report.page.saved import Saved
from mints.report.page.views.basecaller_charts import component_name
from mints.report.page.views.heads import DETECTOR, EVIDENCE, SENSITIVITY, STACK, largest, name_of

COMPONENTS, COMPONENT_SENSITIVITY = "patching/components.csv", "tables/basecaller_sensitivity.csv"
STRICTEST = "restoration beyond its nulls"
COLUMNS = ["criterion", "threshold", "tested", "pass", "best", "of", "would be seen"]
PASS = "Pass: with all else that the criterion asks for"
TITLE = "Registered criteria"
FIXED = "Fixed in the configuration and written to the manifest before the first step; all else is exploratory."
UNKNOWN = "not measured"


class Criterion(NamedTuple):
    """One of the three that make a motif detector."""

    title: str
    passes: str
    """Column of the evidence that says which heads pass."""

    value: str
    judged: str
    """Column that is held against the threshold."""

    field: str
    threshold: str
    calibrated: str
    """Its name in the calibration."""

    besides: str


CRITERIA = (
    Criterion("QK alignment", "aligned", "r", "r", "qk_r", "r ≥ {value:g}", "alignment",
              "positive with position held fixed, above the permuted motifs"),
    Criterion("Attention enrichment", "enriched", "rho", "rho", "enrichment", "ρ ≥ {value:g}", "enrichment",
              "interval above 1, beyond position, above the permuted motifs"),
    Criterion("Causal restoration", "restored", "pm", "pm_low", "restoration", "lower bound of PM ≥ {value:g}",
              "restoration", "the edit has an effect, more is restored than by both nulls"),
)  # fmt: skip

PARTS = {"attention": "Attention outputs", "mlp": "Feed-forward outputs", "head": "Single heads"}
"""Components of a basecaller that a criterion is asked of; a layer's whole output restores by construction."""


def criteria_tables(saved: Saved) -> list[Table]:
    """The table of every registered criterion; none where the run has registered nothing."""
    if saved.configured("registered"):
        return [of_heads(saved)]
    if saved.configured("registered_restoration") is not None:
        return [of_components(saved, float(saved.configured("registered_restoration")))]
    return []


def of_heads(saved: Saved) -> Table:
    """Alignment, enrichment and restoration of every head, and all three together."""
    evidence, sensitivity = saved.table(EVIDENCE), saved.table(SENSITIVITY)
    rows = [head_row(criterion, saved, evidence, sensitivity) for criterion in CRITERIA]
    detectors = evidence[evidence["verdict"] == DETECTOR] if len(evidence) else evidence
    found: list[Any] = [None] * 4
    if len(evidence):
        first = detectors.iloc[0].to_dict() if len(detectors) else None
        found = [len(evidence), len(detectors), None, None if first is None else head_link(first)]
    rows.append(["Motif detector", "all three for one motif", *found, seen(sensitivity, STACK)])
    questions = evidence["question"].nunique() if len(evidence) else 0
    tested = f" Tested: {len(evidence) // questions} heads × {questions} motifs." if questions else ""
    besides = "; ".join(f"{criterion.title}: {criterion.besides}" for criterion in CRITERIA)
    note = f"{FIXED}{tested} {PASS} ({besides}).{planted_note(saved, sensitivity)}"
    return Table(TITLE, COLUMNS, rows, EVIDENCE if len(evidence) else "pipeline_run.json", note)


def planted_note(saved: Saved, sensitivity: pd.DataFrame) -> str:
    """What the last column's strengths are."""
    name = saved.configured("calibration_question")
    if sensitivity.empty or not name:
        return ""
    powers = [f"{power:.0%}" for power in sensitivity["power"].unique()] if "power" in sensitivity else []
    share = f", from which on {powers[0]} were found" if len(powers) == 1 else ""
    return f" Would be seen: strength of heads planted for {named(str(name))}{share}."


def head_row(criterion: Criterion, saved: Saved, evidence: pd.DataFrame, sensitivity: pd.DataFrame) -> list[Any]:
    """One criterion over all heads and motifs."""
    value, p = (saved.configured(f"registered.{field}") for field in (criterion.field, "qk_p"))
    threshold = "–" if value is None else criterion.threshold.format(value=value)
    with_p = f", Holm's p < {p:g}" if p is not None and criterion.passes != "restored" else ""
    found: list[Any] = [None] * 4
    judged = evidence.dropna(subset=[criterion.judged]) if criterion.judged in evidence else evidence.iloc[:0]
    if len(judged):
        best = judged.iloc[int(judged[criterion.judged].argmax())].to_dict()
        estimate = largest(judged, criterion.value, criterion.judged)
        found = [len(judged), int(judged[criterion.passes].sum()), estimate, head_link(best)]
    return [criterion.title, f"{threshold}{with_p}", *found, seen(sensitivity, criterion.calibrated)]


def head_link(row: dict[Any, Any]) -> Link:
    """The page of a head for a motif."""
    name = name_of(row)
    return Link(f"{name}, {named(str(row['question']))}", f"#/head/{quote(str(row['question']), safe='')}/{name}")


def of_components(saved: Saved, threshold: float) -> Table:
    """Restoration by every component of a basecaller, by the measure and the patch that conclusions use."""
    table, sensitivity = saved.table(COMPONENTS), saved.table(COMPONENT_SENSITIVITY)
    used = {"measure": "sequence", "patch": "run", "direction": "denoising", "group": "all"}
    for column, value in used.items():
        table = table[table[column] == value] if column in table else table.iloc[:0]
    rows = []
    for granularity, title in PARTS.items():
        part = table[table["granularity"] == granularity] if len(table) else table
        found: list[Any] = [None] * 4
        visible = None
        if len(part):
            best = part.iloc[int(part["pm_low"].argmax())].to_dict()
            passing = int(part["passes"].sum())
            estimate = largest(part, "pm", "pm_low")
            found = [len(part), passing, estimate, Link(component_name(best), "#/patching")]
            visible = f"PM {best['least_visible']:.2f} and more"
        rows.append([title, f"lower bound of PM ≥ {threshold:g}", *found, visible])
    planted = f" Planted heads: {seen(sensitivity, STRICTEST)}." if len(sensitivity) else ""
    how = "sequence log-odds, all pairs, denoising at the run"
    besides = "interval above 0 over components, more than each null"
    note = f"{FIXED} {PASS} ({besides}); {how}. Would be seen: by the standard error of the best.{planted}"
    return Table(TITLE, COLUMNS, rows, COMPONENTS if len(table) else "pipeline_run.json", note)


def seen(sensitivity: pd.DataFrame, criterion: str) -> str:
    """From which planted strength on a criterion finds what is there."""
    rows = sensitivity[sensitivity["criterion"] == criterion] if len(sensitivity) else sensitivity
    if rows.empty:
        return UNKNOWN
    row = rows.iloc[0]
    if not {"strength", "power", "rate_at_largest"} <= set(row.index):
        return str(row["statement"])
    if pd.isna(row["strength"]):
        return f"no strength ({row['rate_at_largest']:.0%} at most)"
    return f"from strength {row['strength']:g}"
