"""Which latents are steered, how strong a dose is, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.features.autoencoder import SparseAutoencoder
from mints.features.concepts import Matrix
from mints.features.restart import adding, restart_at
from mints.features.steering import Steered
from mints.features.steering_sites import SteeringSites
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder

SCALE_QUANTILE = 0.99
"""A dose of 1 is this quantile of a latent's active values."""

NEAREST = 3
"""Latents among which those matched on firing frequency are drawn, in multiples of the number drawn."""


class LatentUse(NamedTuple):
    """How latents are used on training sequences."""

    scale: Float[ndarray, "latent"]
    """`SCALE_QUANTILE` of the values above zero; NaN for a latent that is never active."""

    frequency: Float[ndarray, "latent"]
    """Share of the tokens on which it is active."""


def latent_use(latents: Matrix) -> LatentUse:
    """Scale and firing frequency of every latent. latents: one row a token."""
    columns = latents.tocsc()
    scale = np.full(columns.shape[1], np.nan)
    for latent in range(columns.shape[1]):
        values = columns.data[columns.indptr[latent] : columns.indptr[latent + 1]]
        active = values[values > 0]
        if len(active):
            scale[latent] = np.quantile(active.astype(float), SCALE_QUANTILE)
    return LatentUse(scale, np.asarray((columns > 0).sum(axis=0)).ravel() / max(columns.shape[0], 1))


def dose_gradient(
    encoder: Encoder,
    autoencoder: SparseAutoencoder,
    site: str,
    sites: SteeringSites,
    scale: Float[ndarray, "latent"],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Float[ndarray, "latent"]:
    """First-order change of the target's log-odds by a dose of 1 of every latent at the hidden token: its mean.

    scale: of every latent; NaN gives NaN. One gradient tells it for all latents.
    """
    total = torch.zeros(autoencoder.d_sae, dtype=torch.double)

    def of_rows(rows: Int[ndarray, "batch"]) -> Float[Tensor, "latent"]:
        padded = pad(sites.encodings, rows, encoder.architecture.pad_id)
        real, which = padded.real.to(compute.device), torch.arange(len(rows), device=compute.device)
        hidden = torch.from_numpy(sites.hidden[rows]).to(compute.device)
        target = torch.from_numpy(sites.target[rows]).to(compute.device)
        with torch.no_grad():
            restart = restart_at(encoder, padded.tokens.to(compute.device), real, site)
        with torch.enable_grad():
            moved = torch.zeros_like(restart.x, dtype=torch.float32, requires_grad=True)
            residual = restart.run(encoder, adding(moved)).residual[which, hidden]
            log_p = encoder.logits(residual).float().log_softmax(-1)[which, target]
            log_odds = log_p - torch.log(-torch.expm1(log_p))
            (slope,) = torch.autograd.grad(log_odds.sum(), moved)
        size = autoencoder.frame(restart.x).size[which, hidden]
        with torch.no_grad(), torch.autocast(size.device.type, enabled=False):
            return (slope[which, hidden] * size @ autoencoder.W_dec.T).double().sum(0).cpu()

    budget = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    with compute.autocast():
        for _, part in in_batches(of_rows, token_counts(sites.encodings), budget, compute):
            total += part
    slopes: Float[ndarray, "latent"] = total.numpy() / len(sites.hidden) * scale
    return slopes


def choose_latents(scores: Mapping[str, Float[ndarray, "latent"]], use: LatentUse, each: int) -> list[tuple[int, str]]:
    """The `each` best latents by every score, and the score's name; none twice, none that is never active."""
    chosen: dict[int, str] = {}
    for name, score in scores.items():
        order = np.argsort(-np.where(np.isfinite(use.scale), score, -np.inf), kind="stable")
        free = [int(latent) for latent in order if np.isfinite(use.scale[latent]) and int(latent) not in chosen]
        chosen |= dict.fromkeys(free[:each], name)
    return [*chosen.items()]


def matched_latents(
    frequency: Float[ndarray, "latent"],
    latent: int,
    draws: int,
    excluded: Int[ndarray, "steered"],
    rng: np.random.Generator,
) -> Int[ndarray, "draw"]:
    """Other active latents that fire about as often: drawn from the `NEAREST` × `draws` nearest in log frequency.

    excluded: latents that are steered themselves. Fewer than `draws` where there are no more.
    """
    candidates = np.setdiff1d(np.flatnonzero(frequency > 0), np.append(excluded, latent))
    distance = np.abs(np.log(frequency[candidates]) - np.log(frequency[latent]))
    nearest = candidates[np.argsort(distance, kind="stable")[: NEAREST * draws]]
    return np.sort(rng.choice(nearest, min(draws, len(nearest)), replace=False))


def steered_latent(
    autoencoder: SparseAutoencoder,
    latent: int,
    scale: float,
    draws: int,
    matched: Int[ndarray, "draw"],
    rng: np.random.Generator,
) -> Steered:
    """A latent's own direction, `draws` random ones, and the decoder rows of matched latents, all of unit length."""
    rows = autoencoder.W_dec.detach()
    random = torch.from_numpy(rng.standard_normal((draws, autoencoder.d_in))).to(rows)
    directions = torch.cat([rows[latent][None], random, rows[torch.from_numpy(matched).to(rows.device)]])
    return Steered(latent, scale, directions / directions.norm(dim=1, keepdim=True))
