"""Step: are the sequences in question already in a corpus?"""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step


def is_wanted(config: Any) -> bool:
    """There are sequences to look for."""
    return config.features.audit_queries is not None


@step(
    "corpus_audit",
    makes=[
        "audit/hits.csv",
        "tables/corpus_audit.csv",
        "tables/corpus_audit_summary.json",
        "figures/corpus_audit.png",
    ],
    reads=[
        "features.audit_queries",
        "features.audit_corpus",
        "features.corpus",
        "genome",
        "features.audit_identity",
        "features.audit_length",
        "features.audit_evalue",
        "features.audit_coverage",
        "features.audit_truth",
        "blast_version",
        "probe_ci_level",
        "seed",
    ],
    opens=["features.audit_queries", "features.audit_corpus", "features.audit_truth", "features.corpus", "genome"],
    aliases=["blast_audit"],
    when=is_wanted,
)
def corpus_audit(run: Run) -> None:
    """Search a corpus for the sequences in question, and for shuffled ones as a control."""
    from mints.studies.genomic.corpus_audit import run_corpus_audit

    run_corpus_audit(run)
