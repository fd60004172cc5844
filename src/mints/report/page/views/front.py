"""The front: what was asked of which model, on what, when, and the thresholds that were fixed beforehand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mints.report.page.blocks import Table, View, table_block
from mints.report.page.saved import Saved

REGISTERED = {
    "qk_r": "QK alignment: least Pearson r of a head's key scores and the motif score",
    "qk_p": "QK alignment: largest p",
    "enrichment": "Attention enrichment: least ratio of motif tokens over matched background",
    "restoration": "Causal restoration: least lower bound of the share restored",
}

QUESTIONS = {
    "genomic": "Which component of this model implements this biology, and how sure are we?",
    "protein": "Which latents of this protein model carry this biology, and how sure are we?",
    "basecaller": "Which component of this basecaller counts repeated bases, and how sure are we?",
}


def front(saved: Saved) -> View:
    """Claims of all chapters go below this title; then the run, the thresholds, and what the steps warned of."""
    study = saved.configured("study", "genomic")
    return View(
        "front",
        headline(saved),
        QUESTIONS[study],
        [facts_table(saved), *registered(saved), *warnings(saved)],
        chapter="Overview",
    )


def headline(saved: Saved) -> str:
    """Model and profile."""
    model = str(saved.configured("model", "model")).removeprefix("mints:").rstrip("/").split("/")[-1]
    return f"{model} · profile {saved.account.get('profile', 'unknown')}"


def facts_table(saved: Saved) -> Table:
    """What made these results."""
    account = saved.account
    host = account.get("host", {})
    rows = [
        ("model", saved.configured("model")),
        ("weights, SHA-256", fact(saved, "model_weights_sha256")),
        ("seed", saved.configured("seed")),
        ("device and precision", " · ".join(filter(None, (fact(saved, "device"), fact(saved, "precision"))))),
        ("host", ", ".join(f"{key} {value}" for key, value in host.items() if isinstance(value, str | int))),
        ("started", account.get("started")),
        ("minutes of all steps", round(saved.step_seconds() / 60, 1)),
        ("commit", (account.get("git_commit") or "unknown")),
        ("command", f"python {account.get('command', '')}"),
    ]
    shown = [(name, value) for name, value in rows if value not in (None, "")]
    return Table("The run", ["", "value"], shown, "pipeline_run.json", page_length=20)


def fact(saved: Saved, name: str) -> Any:
    """The first value of this name among the facts that the steps recorded."""
    recorded = saved.account.get("facts", {}).values()
    return next((facts[name] for facts in recorded if name in facts), None)


def registered(saved: Saved) -> list[Table]:
    """The thresholds, as they stood in the manifest before any result."""
    values = saved.configured("registered", {})
    rows = [(REGISTERED.get(name, name), value) for name, value in values.items()]
    note = "Fixed in the profile and written to the manifest before the first step; all else is exploratory."
    return [Table("Registered criteria", ["criterion", "threshold"], rows, "pipeline_run.json", note)] if rows else []


def warnings(saved: Saved) -> list[Table]:
    """What the steps said that a reader should know."""
    rows = [{"warning": warning} for warning in saved.account.get("warnings", [])]
    return [table_block(pd.DataFrame(rows), "Warnings of the steps", "pipeline_run.json")] if rows else []
