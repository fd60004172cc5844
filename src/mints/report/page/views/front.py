"""The front: what was asked of which model, on what, when, and what became of every registered criterion."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mints.report.page.blocks import Table, View, table_block
from mints.report.page.saved import Saved
from mints.report.page.views.criteria import criteria_tables
from mints.report.page.views.run_data import data_rows
from mints.report.page.views.words import words_table

QUESTIONS = {
    "genomic": "Which component of this model implements this biology, and how sure are we?",
    "protein": "Which latents of this protein model carry this biology, and how sure are we?",
    "basecaller": "Which component of this basecaller counts repeated bases, and how sure are we?",
}


def front(saved: Saved) -> View:
    """Claims of all chapters go below this title; then criteria, words, the run, and what the steps warned of."""
    study = saved.configured("study", "genomic")
    return View(
        "front",
        headline(saved),
        QUESTIONS[study],
        [*criteria_tables(saved), words_table(saved), facts_table(saved), *warnings(saved)],
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
        *data_rows(saved),
        ("seed", saved.configured("seed")),
        ("device and precision", " · ".join(filter(None, (fact(saved, "device"), fact(saved, "precision"))))),
        ("host", ", ".join(f"{key} {value}" for key, value in host.items() if isinstance(value, str | int))),
        ("started", account.get("started")),
        ("minutes of all steps", round(saved.step_seconds() / 60, 1)),
        ("status", None if account.get("status") == "complete" else account.get("status")),
        ("MINTS", account.get("version")),
        ("commit", (account.get("git_commit") or "unknown")),
        ("command", f"python {account.get('command', '')}"),
    ]
    shown = [(name, value) for name, value in rows if value not in (None, "")]
    return Table("The run", ["", "value"], shown, "pipeline_run.json", page_length=20)


def fact(saved: Saved, name: str) -> Any:
    """The first value of this name among the facts that the steps recorded."""
    recorded = saved.account.get("facts", {}).values()
    return next((facts[name] for facts in recorded if name in facts), None)


def warnings(saved: Saved) -> list[Table]:
    """What the steps said that a reader should know."""
    rows = [{"warning": warning} for warning in saved.account.get("warnings", [])]
    return [table_block(pd.DataFrame(rows), "Warnings of the steps", "pipeline_run.json")] if rows else []
