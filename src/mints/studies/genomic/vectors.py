"""How the probe steps read a task's cached vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.floors import SplitSequences
from mints.analysis.probes import Labelled, LayerVectors
from mints.pipeline.run import Run


def split_rows(table: pd.DataFrame) -> SplitSequences:
    """The task's rows by split, each in the order of the table."""
    parts = {split: table[table["split"] == split].reset_index(drop=True) for split in SplitSequences._fields}
    return SplitSequences(**parts)


def layer_vectors(run: Run, name: str, table: pd.DataFrame, folder: str = "") -> dict[int, LayerVectors]:
    """The vectors of `activations/{name}.npz` below `folder`, by layer and split."""
    cached = cached_vectors(run.load(f"{folder}activations/{name}.npz"))
    return {layer: _by_split(vectors, table) for layer, vectors in cached.items()}


def cached_vectors(arrays: Mapping[str, ndarray]) -> dict[int, Float[ndarray, "sequence d_model"]]:
    """Mean residual vectors by layer, float32, from the arrays of an `activations/*.npz`."""
    residual, offset = arrays["residual"], arrays["offset"]
    return {
        int(layer): residual[:, place].astype(np.float32) + offset[place]
        for place, layer in enumerate(arrays["layers"])
    }


def _by_split(vectors: Float[ndarray, "sequence d_model"], table: pd.DataFrame) -> LayerVectors:
    split, labels = table["split"].to_numpy(), table["label"].to_numpy().astype(np.int64)
    parts = {name: Labelled(vectors[split == name], labels[split == name]) for name in LayerVectors._fields}
    return LayerVectors(**parts)
