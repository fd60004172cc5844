"""Step: mean-pooled residual vectors of every sequence, for the model and for its two controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy import ndarray

from mints.data.composition import dinucleotide_shuffle
from mints.models.activations import mean_residuals
from mints.models.encoder import Encoder, randomly_initialised
from mints.pipeline.run import Run
from mints.studies.genomic.fields import VARIANTS
from mints.studies.shared.models import OpenModel, open_model, probed_layers

SHARD = 2048
"""Sequences of one shard: what a kill can cost, and all that is held in memory at a time."""


def run_residual_cache(run: Run) -> None:
    """Cache mean residual vectors of the model, of a randomly initialised twin, and on shuffled sequences."""
    run.fact("layers", cache_variants(run, open_model(run), run.config))


def cache_variants(run: Run, model: OpenModel, section: Any, folder: str = "") -> list[int]:
    """Write `activations/TASK_VARIANT.npz` below `folder` for every task and variant; returns the layers.

    section: of the configuration, which may name the layers.
    """
    layers = probed_layers(section, model.encoder.architecture.n_layers)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True
    for task in run.config.tasks:
        sequences = run.load(f"tasks/{task.name}.parquet")["sequence"].tolist()
        for variant in VARIANTS:
            encoder = untrained if variant == "random_initialisation" else model.encoder
            name = f"{folder}activations/{task.name}_{variant}"
            # A control is held against the probe of one layer: where that is known beforehand, no other is kept.
            is_control = variant != "residual_mean" and section.probe_layer is not None
            kept = [section.probe_layer] if is_control else layers
            cache(run, name, encoder, model, sequences, kept, shuffled=variant == "shuffled")
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
    """Stream the vectors of `sequences` into `{name}.npz`: rows in their order, one shard at a time.

    They are kept as differences from the first shard's mean, in half precision: what a probe reads are differences
    between sequences, and these keep eleven bits, however large a dimension's mean is.
    """

    def compute_shard(start: int) -> Mapping[str, ndarray]:
        shard = list(sequences[start : start + SHARD])
        if shuffled:
            rng = run.rng(f"{PurePosixPath(name).name} {start}")
            shard = [dinucleotide_shuffle(sequence, rng) for sequence in shard]
        encodings = model.tokenizer.encode_many(shard)
        vectors = mean_residuals(encoder, encodings, layers, model.compute, run.config.tokens_per_batch)
        return {"residual": vectors}

    shards = iter(run.map(compute_shard, range(0, len(sequences), SHARD), label=name.replace("/", " ")))
    shape = (len(sequences), len(layers), encoder.architecture.d_model)
    first = next(shards)["residual"]
    arrays = {"layers": np.asarray(layers), "offset": first.mean(axis=0)}
    blocks = (block - arrays["offset"] for block in chain([first], (shard["residual"] for shard in shards)))
    run.save_rows(f"{name}.npz", arrays, "residual", shape, blocks, dtype="float16")
