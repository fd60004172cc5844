"""Step: what the model makes of every measured mutant, beside the assay and beside what needs no model."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.scans import SCAN_FILES, has_scans
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "substitution_effects",
    may_need=SCAN_FILES,
    makes=[
        "substitutions/{scan}.csv",
        "substitutions/{scan}_map.csv",
        "tables/dms_correlation.csv",
        "figures/dms_scatter.png",
        "figures/dms_map.png",
    ],
    reads=[*MODEL_FIELDS, "scans", "probe_bootstrap_samples", "probe_ci_level", "seed"],
    opens=["model", "scans"],
    when=has_scans,
)
def substitution_effects(run: Run) -> None:
    """Score the mutants of every scan with the model, an untrained twin and the baselines; correlate with the assay."""
    from mints.studies.protein.substitution_effects import run_substitution_effects

    run_substitution_effects(run)
