"""Step: all criteria of every head in one table, with a verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mints.analysis.evidence import Thresholds, evidence_table
from mints.pipeline.run import Run
from mints.report.evidence import evidence_figure


def thresholds_of(registered: Any) -> Thresholds:
    """Registered thresholds of a configuration."""
    return Thresholds(registered.qk_r, registered.qk_p, registered.enrichment, registered.restoration)


def run_evidence(run: Run) -> None:
    """Call a head a motif detector only where alignment, enrichment and restoration agree on the same motif."""
    thresholds = thresholds_of(run.config.registered)
    tables = []
    for asked in run.config.motif_questions:
        name = asked.name
        alignment = run.load(f"qk_alignment/{name}_qk_alignment.csv")
        enrichment = run.load(f"enrichment/{name}_qk_alignment_matched_attention_enrichment.csv")
        patching = run.load(f"patching/{name}_batch_activation_patching.csv")
        alignment = alignment[(alignment["variant"] == "model") & (alignment["token_set"] == "all_tokens")]
        table = evidence_table(
            alignment.reset_index(drop=True),
            enrichment[enrichment["variant"] == "model"].reset_index(drop=True),
            patching[patching["direction"] == "denoising"].reset_index(drop=True),
            thresholds,
        )
        table.insert(0, "question", name)
        limits = {"r": thresholds.r, "rho": thresholds.rho, "pm": thresholds.pm}
        run.figure(f"{name}_evidence", evidence_figure(table, limits))
        tables.append(table)
    evidence = pd.concat(tables, ignore_index=True)
    run.save("tables/evidence.csv", evidence)
    run.save("tables/evidence_summary.csv", summary(evidence))
    for row in summary(evidence).itertuples():
        run.message(f"{row.question}: {row.motif_detectors} of {row.heads} heads are motif detectors")


def summary(evidence: pd.DataFrame) -> pd.DataFrame:
    """Per question how many heads meet each criterion, and the best figures."""
    rows = []
    for question, part in evidence.groupby("question", sort=False):
        rows.append(
            {
                "question": question,
                "heads": len(part),
                "aligned": int(part["aligned"].sum()),
                "aligned_relative": int(part["aligned_relative"].sum()),
                "enriched": int(part["enriched"].sum()),
                "restored": int(part["restored"].sum()),
                "motif_detectors": int((part["verdict"] == "motif detector").sum()),
                "largest_r": part["r"].max(),
                "largest_ceiling": part["ceiling"].max(),
                "largest_rho": part["rho"].max(),
                "largest_pm": part["pm"].max(),
            }
        )
    return pd.DataFrame(rows)
