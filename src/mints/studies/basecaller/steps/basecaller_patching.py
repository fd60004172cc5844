"""Step: activation patching of every component of the basecaller."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.shared.fields import MODEL_FIELDS

MEASURES = ("transition", "sequence")


@step(
    "basecaller_patching",
    needs=["pairs/pairs.npz", "tables/signal_pairs.csv"],
    makes=[
        "patching/pairs.csv",
        "patching/components.csv",
        "patching/tracks.csv",
        "tables/basecaller_strata.csv",
        "tables/basecaller_groups.csv",
        "tables/basecaller_summary.csv",
        *(f"figures/basecaller_{kind}_{name}.png" for kind in ("layers", "heads", "strata") for name in MEASURES),
        "figures/basecaller_groups.png",
        "figures/basecaller_tracks.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "patch_margin",
        "registered_restoration",
        "probe_bootstrap_samples",
        "probe_ci_level",
        "seed",
    ],
    opens=["model"],
    without_effect=["tokens_per_batch"],
)
def basecaller_patching(run: Run) -> None:
    """Patch layers, attention, feed-forward and heads of the basecaller, both ways, against their nulls."""
    from mints.studies.basecaller.activation_patching import run_basecaller_patching

    run_basecaller_patching(run)
