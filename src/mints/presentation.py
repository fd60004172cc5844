"""What the command line prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mints.pipeline.progress import duration

if TYPE_CHECKING:
    from mints.pipeline.planner import Decision
    from mints.pipeline.runner import StepStatus
    from mints.pipeline.step import Step


def show_steps(steps: Sequence[Step], *, as_json: bool) -> None:
    """Names, older names and purposes of the steps."""
    if as_json:
        fields = ("name", "summary", "aliases", "needs", "makes", "reads")
        _print_json([{field: getattr(step, field) for field in fields} for step in steps])
        return
    _print_table(
        ("step", "what it does", "also called"),
        [(step.name, step.summary, ", ".join(step.aliases)) for step in steps],
    )


def show_status(statuses: Sequence[StepStatus], *, as_json: bool) -> None:
    """How every step stands."""
    if as_json:
        _print_json(
            [
                {"step": status.step.name, "state": status.state, "reason": status.reason, "finished": status.finished}
                for status in statuses
            ]
        )
        return
    _print_table(
        ("step", "state", "finished", "took", "size", "why"),
        [
            (
                status.step.name,
                status.state,
                status.finished or "",
                "" if status.seconds is None else duration(status.seconds),
                "" if status.output_bytes is None else f"{status.output_bytes / 1e6:.1f} MB",
                status.reason,
            )
            for status in statuses
        ],
    )


def show_plan(decisions: Sequence[Decision], *, as_json: bool) -> None:
    """What would run, and why."""
    if as_json:
        _print_json([{"step": d.step.name, "runs": d.runs, "reason": d.reason} for d in decisions])
        return
    _print_table(
        ("step", "would run", "why"),
        [(decision.step.name, "yes" if decision.runs else "no", decision.reason) for decision in decisions],
    )


def show_sources(sources: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """What a configuration takes from elsewhere, and where it lies now."""
    if as_json:
        _print_json(sources)
        return
    rows = [
        (
            row["purpose"],
            row["location"],
            f"{row['bytes'] / 1e6:.1f} MB",
            row["hash"].partition(":")[2][:12],
            row["path"],
        )
        for row in sources
    ]
    if rows:
        _print_table(("for", "from", "size", "hash", "kept as"), rows)
    else:
        sys.stdout.write("nothing of this configuration comes from elsewhere\n")


def show_results(summary: dict[str, Any], results: Path, *, as_json: bool) -> None:
    """The account of a run; for people, its conclusions and where the rest lies."""
    if as_json:
        _print_json(summary)
        return
    for name, title, columns in HEADLINES:
        path = results / name
        if path.exists():
            _print_headline(path, title, columns)
    sys.stdout.write(f"\n{duration(summary['seconds'])}; tables, figures and manifests are in {results}\n")


HEADLINES = (
    (
        "tables/masked_token_loss.csv",
        "Masked-token loss on held-out sequence (nats per hidden token)",
        ("masking", "predictor", "loss", "low", "high"),
    ),
    (
        "tables/beyond_composition.csv",
        "Is the label decodable beyond composition? (test AUROC; difference to the k-mer floor chosen on validation)",
        (
            "task",
            "layer",
            "probe",
            "linear_floor",
            "boosted_floor",
            "difference",
            "difference_low",
            "difference_high",
            "verdict",
        ),
    ),
    (
        "tables/evidence_summary.csv",
        "Is a head a motif detector? (heads that meet each criterion; the largest figures, and the ceiling of r)",
        (
            "question",
            "heads",
            "aligned",
            "enriched",
            "restored",
            "motif_detectors",
            "largest_r",
            "largest_ceiling",
            "largest_rho",
            "largest_pm",
        ),
    ),
    (
        "tables/calibration_sensitivity.csv",
        "What could these criteria have seen? (detectors planted into this model)",
        ("criterion", "statement"),
    ),
    (
        "tables/concept_summary.csv",
        "Do latents stand for annotated concepts? (F1 per token on held-out windows)",
        ("site", "concepts", "scored", "above_the_null", "above_every_baseline", "statement"),
    ),
    (
        "tables/cross_model_probes.csv",
        "Which model tells more, on the same sequences? (test AUROC; difference to the k-mer floor of validation)",
        (
            "task",
            "model",
            "layer",
            "auroc",
            "auroc_low",
            "auroc_high",
            "random_initialisation",
            "beyond_floor",
            "beyond_floor_low",
            "beyond_floor_high",
            "flag",
        ),
    ),
)
"""Tables that a person wants to see at the end of a run, with the columns that fit a terminal."""


def _print_headline(path: Path, title: str, columns: Sequence[str]) -> None:
    import pandas as pd

    table = pd.read_csv(path)
    rows = [[_cell(row[column]) for column in columns] for row in table[list(columns)].to_dict("records")]
    sys.stdout.write(f"\n{title}\n")
    _print_table([column.replace("_", " ") for column in columns], rows)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _print_table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*(_escape(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a log has no width to wrap at
    console.print(table)


def _escape(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
