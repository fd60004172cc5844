"""Mean-pooled residual vectors of many sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.models.batching import Batch, in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding

TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 65_536, "mps": 16_384}
"""What keeps a device busy: a CPU's caches are left by larger batches, a GPU is idle with smaller ones."""


def mean_residuals(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    layers: Sequence[int],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Float[ndarray, "sequence layer d_model"]:
    """Mean of `hook_resid_post` over each sequence's tokens, special tokens and pads excluded, in float32.

    layers: ascending. tokens_per_batch: pads included; default by device, and halved where its memory does not
    suffice. Layers above the highest one are not run. A sequence without a token gives zeros.
    """
    tokens_per_batch = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    pooled = np.zeros((len(encodings), len(layers), encoder.architecture.d_model), dtype=np.float32)
    sites = [f"blocks.{layer}.hook_resid_post" for layer in layers]

    def pool(rows: Int[ndarray, "batch"]) -> Float[ndarray, "batch layer d_model"]:
        batch = pad(encodings, rows, encoder.architecture.pad_id)
        return _pool(encoder, batch, sites, compute, max(layers) + 1)

    with compute.inference():
        for rows, vectors in in_batches(pool, token_counts(encodings), tokens_per_batch, compute):
            pooled[rows] = vectors
    return pooled


def _pool(
    encoder: Encoder, batch: Batch, sites: list[str], compute: Compute, stop: int
) -> Float[ndarray, "batch layer d_model"]:
    """Means are taken as the values pass: no layer's activations are kept, which would cost memory and time."""
    tokens, real, content = (part.to(compute.device) for part in (batch.tokens, batch.real, batch.content))
    means: list[Tensor] = []

    def read(values: Tensor) -> Tensor:
        means.append(_mean(values, content))
        return values

    encoder.run(tokens, real, interventions=dict.fromkeys(sites, read), stop=stop)
    return torch.stack(means, dim=1).cpu().numpy()


def _mean(values: Tensor, content: Tensor) -> Tensor:
    """Mean over content tokens as one batched product: no masked copy of the activations is made."""
    weights = content.float() / content.sum(1, keepdim=True).clamp(min=1)
    with torch.autocast(values.device.type, enabled=False):  # which would round the mean itself
        return torch.bmm(weights[:, None, :], values.float())[:, 0]
