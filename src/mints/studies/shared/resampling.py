"""The resamples that all figures of a step share."""

from __future__ import annotations

from jaxtyping import Shaped
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.pipeline.run import Run


def resamples_of(run: Run, clusters: Shaped[ndarray, "row"]) -> Resamples:
    """Of rows that hang together by cluster."""
    weights = cluster_weights(clusters, run.config.probe_bootstrap_samples, run.rng("resamples"))
    return Resamples(weights, run.config.probe_ci_level)
