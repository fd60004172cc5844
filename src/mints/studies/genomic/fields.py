"""Configuration fields that several steps read."""

from typing import Any

PROBE_FIELDS = (
    "tasks",
    "probe_penalties",
    "probe_layer",
    "probe_bootstrap_samples",
    "probe_ci_level",
    "seed",
)
"""Fields that decide how a probe is fitted and judged."""

VARIANTS = ("residual_mean", "random_initialisation", "shuffled")
"""Cached vectors: of the model itself; of the same shape with random weights; of the model on shuffled sequences."""

EVIDENCE_FIELDS = ("motif_questions", "probe_bootstrap_samples", "probe_ci_level", "seed")
"""Fields that decide what the evidence stack asks and how its intervals are made."""

FEATURE_WINDOW_FIELDS = ("genome", "features.window", "validation_chromosomes", "test_chromosomes", "seed")
"""Fields that decide which windows of the genome the feature steps look at."""

SUM_VARIANTS = ("model", "random_initialisation", "shuffled")
"""Passes of the attention statistics: the model, an untrained twin, and the model on shuffled sequences."""


def has_questions(config: Any) -> bool:
    """Whether there is a motif to ask about."""
    return bool(config.motif_questions)


def has_dictionaries(config: Any) -> bool:
    """Whether sparse autoencoders are trained: sites are named, and there is a genome."""
    return bool(config.features.sites) and config.genome is not None
