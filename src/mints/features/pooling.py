"""From tokens to sequences: the mean of a site's activations, and the largest value of each direction or latent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray
from scipy.sparse import csr_array

from mints.features.activations import Tokens, sites_activations
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding


def sequence_means(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    tokens: Tokens,
    sites: Sequence[str],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> dict[str, Float32[ndarray, "sequence d_site"]]:
    """Mean activation of each sequence's `tokens`, by site, in one pass; zeros for a sequence without one."""
    sums: dict[str, torch.Tensor] = {}
    for which, activations in sites_activations(encoder, encodings, tokens, sites, compute, tokens_per_batch):
        rows = torch.from_numpy(tokens.sequence[which])
        for site, values in activations.items():
            if site not in sums:
                sums[site] = torch.zeros(len(encodings), values.shape[1], dtype=torch.float64)
            sums[site].index_add_(0, rows, values.double().cpu())
    counts = np.maximum(np.bincount(tokens.sequence, minlength=len(encodings)), 1)
    return {site: (total.numpy() / counts[:, None]).astype(np.float32) for site, total in sums.items()}


def largest_projections(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    tokens: Tokens,
    site: str,
    directions: Float32[ndarray, "d_site unit"],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Float32[ndarray, "sequence unit"]:
    """Largest projection of each sequence's `tokens` on each direction; zeros for a sequence without one."""
    columns = torch.from_numpy(directions).to(compute.device)
    largest = np.zeros((len(encodings), directions.shape[1]), dtype=np.float32)
    for which, activations in sites_activations(encoder, encodings, tokens, [site], compute, tokens_per_batch):
        with torch.autocast(compute.device.type, enabled=False):
            projected = (activations[site] @ columns).cpu().numpy()
        rows = tokens.sequence[which]
        first = np.flatnonzero(np.diff(rows, prepend=-1))  # a batch holds the tokens of each sequence side by side
        largest[rows[first]] = np.maximum.reduceat(projected, first, axis=0)
    return largest


def sequence_maxima(
    latents: csr_array[Any, tuple[int, int]], tokens: Tokens, sequences: int
) -> Float32[ndarray, "sequence d_sae"]:
    """Largest activation of each latent among each sequence's tokens; 0 where it is silent."""
    largest = np.zeros((sequences, latents.shape[1]), dtype=np.float32)
    entries = latents.tocoo()
    rows, columns = entries.coords
    np.maximum.at(largest, (tokens.sequence[rows], columns), entries.data)
    return largest
