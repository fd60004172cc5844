"""Configuration fields and artifacts that several steps of the protein study name."""

from typing import Any

from mints.studies.shared.fields import MODEL_FIELDS

PROTEINS = "proteins/proteins.parquet"
"""Every protein with its cluster of like proteins and its split: accession, sequence, cluster, split."""

SIMULATED_ANNOTATION = "simulated_proteins/features.tsv"
"""The annotation, where the proteins are simulated."""

BEHAVIOUR_ARTIFACTS = ("behaviours/{behaviour}.parquet", "behaviours/{behaviour}_probe.npz")
"""Positions of a behaviour and of its decoys; the probe that reads it."""

BEHAVIOUR_FIELDS = (
    *MODEL_FIELDS,
    "behaviours",
    "decoy_caliper",
    "features.annotations",
    "probe_bootstrap_samples",
    "probe_ci_level",
    "seed",
)
"""Fields that decide what a behaviour is and how its probe is fitted."""


def has_proteins(config: Any) -> bool:
    """Whether dictionaries are trained: sites are named, and there are proteins."""
    return bool(config.features.sites) and config.proteins is not None


def has_behaviours(config: Any) -> bool:
    """Whether there are annotated proteins, and behaviours to ask about."""
    return config.proteins is not None and bool(config.features.annotations) and bool(config.behaviours)


def has_circuits(config: Any) -> bool:
    """Whether circuits are traced: behaviours, and dictionaries at two sites or more."""
    return has_behaviours(config) and len(config.features.sites) > 1
