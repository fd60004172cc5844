"""Step: residues of every behaviour with matched decoys, and the probes that tell them apart."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.fields import (
    BEHAVIOUR_ARTIFACTS,
    BEHAVIOUR_FIELDS,
    PROTEINS,
    SIMULATED_ANNOTATION,
    has_behaviours,
)


@step(
    "behaviour_probes",
    needs=[PROTEINS],
    may_need=[SIMULATED_ANNOTATION],
    makes=[*BEHAVIOUR_ARTIFACTS, "tables/behaviour_probes.csv", "figures/behaviour_probes.png"],
    reads=BEHAVIOUR_FIELDS,
    opens=["model", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=has_behaviours,
)
def behaviour_probes(run: Run) -> None:
    """Match every annotated behaviour with decoys of equal hydropathy, and fit the probe that reads it."""
    from mints.studies.protein.behaviours import run_behaviour_probes

    run_behaviour_probes(run)
