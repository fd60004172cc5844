"""Step: mean-pooled residual vectors of every sequence, for the model and for its two controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy import ndarray

from mints.data.composition import dinucleotide_shuffle
from mints.models.activations import mean_residuals
from mints.models.encoder import Encoder, randomly_initialised
from mints.pipeline.run import Run
from mints.studies.genomic.fields import VARIANTS
from mints.studies.genomic.models import OpenModel, open_model, probed_layers

SHARD = 2048
"""Sequences of one shard: what a kill can cost, and all that is held in memory at a time."""


def run_residual_cache(run: Run) -> None:
    """Cache mean residual vectors of the model, of a randomly initialised twin, and on shuffled sequences."""
    run.fact("layers", cache_variants(run, open_model(run), run.config))


def cache_variants(run: Run, model: OpenModel, section: Any, folder: str = "") -> list[int]:
    """Write `activations/TASK_VARIANT.npz` below `folder` for every task and variant; returns the layers.

    section: of the configuration, which may name the layers.
    """
    model.encoder.fused_attention = True
    layers = probed_layers(section, model.encoder.architecture.n_layers)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True
    for task in run.config.tasks:
        sequences = run.load(f"tasks/{task.name}.parquet")["sequence"].tolist()
        for variant in VARIANTS:
            encoder = untrained if variant == "random_initialisation" else model.encoder
            name = f"{folder}activations/{task.name}_{variant}"
            cache(run, name, encoder, model, sequences, layers, shuffled=variant == "shuffled")
    return list(layers)


def cache(
    run: Run,
    name: str,
    encoder: Encoder,
    model: OpenModel,
    sequences: Sequence[str],
    layers: Sequence[int],
    *,
    shuffled: bool,
) -> None:
    """Stream the vectors of `sequences` into `{name}.npz`: rows in their order, one shard at a time."""

    def compute_shard(start: int) -> Mapping[str, ndarray]:
        shard = list(sequences[start : start + SHARD])
        if shuffled:
            rng = run.rng(f"{PurePosixPath(name).name} {start}")
            shard = [dinucleotide_shuffle(sequence, rng) for sequence in shard]
        encodings = model.tokenizer.encode_many(shard)
        vectors = mean_residuals(encoder, encodings, layers, model.compute, run.config.tokens_per_batch)
        return {"residual": vectors}

    shards = run.map(compute_shard, range(0, len(sequences), SHARD), label=name.replace("/", " "))
    shape = (len(sequences), len(layers), encoder.architecture.d_model)
    blocks = (shard["residual"] for shard in shards)
    run.save_rows(f"{name}.npz", {"layers": np.asarray(layers)}, "residual", shape, blocks)
