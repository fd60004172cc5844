"""What a run looked at, in a line or two: tasks, proteins or reads, with their counts and sources."""

from __future__ import annotations

from typing import Any

from mints.report.page.saved import Saved
from mints.report.page.views.methods_text import file_name

TASKS, PROTEINS, READS, PAIRS = "tables/tasks.csv", "tables/proteins.csv", "tables/reads.csv", "tables/signal_pairs.csv"
FEW = 3
"""Sources that are named; more are counted."""


def data_rows(saved: Saved) -> list[tuple[str, Any]]:
    """Rows for the table of the run; none of what is not there."""
    study = saved.configured("study", "genomic")
    data = {"genomic": tasks_text, "protein": proteins_text, "basecaller": reads_text}[study](saved)
    return [("data", data), ("sources", sources_text(saved))]


def tasks_text(saved: Saved) -> str | None:
    """Tasks and their sequences by split."""
    table = saved.table(TASKS)
    if table.empty:
        return None
    counts = table.groupby("split", sort=False)["sequences"].sum()
    parts = [f"{int(counts[split]):,} {split}" for split in ("train", "validation", "test") if split in counts]
    return f"{table['task'].nunique()} tasks, {int(counts.sum()):,} sequences ({', '.join(parts)})"


def proteins_text(saved: Saved) -> str | None:
    """Proteins by split, and scans."""
    table, scans = saved.table(PROTEINS), saved.configured("scans") or []
    parts = []
    if len(table):
        splits = ", ".join(f"{int(row['proteins']):,} {row['split']}" for row in table.to_dict("records"))
        parts.append(
            f"{int(table['proteins'].sum()):,} proteins ({splits}) in {int(table['clusters'].sum()):,} clusters"
        )
    if scans:
        parts.append(f"scans of {', '.join(str(scan['name']) for scan in scans)}")
    return "; ".join(parts) or None


def reads_text(saved: Saved) -> str | None:
    """Reads and pairs of signals."""
    reads, pairs = saved.table(READS), saved.table(PAIRS)
    parts = []
    if len(reads):
        parts.append(f"{len(reads):,} reads, {int(reads['kept_samples'].sum()):,} samples")
    if len(pairs):
        parts.append(f"{len(pairs):,} pairs of signals")
    return "; ".join(parts) or None


def sources_text(saved: Saved) -> str | None:
    """Files that it all came from, without their folders."""
    cards = [saved.value(name) for name in saved.matching("cards/*.json")]
    of_cards = [source["file"] for card in cards for source in card.get("sources", [])]
    fields = [saved.configured(field) for field in ("genome", "proteins", "reads")]
    scans = [scan["file"] for scan in saved.configured("scans") or []]
    names = dict.fromkeys(filter(None, map(file_name, [*fields, *scans, *of_cards])))
    if not names:
        return None
    rest = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    made = " (simulated)" if saved.configured("simulation") else ""
    return f"{', '.join(list(names)[:FEW])}{rest}{made}"
