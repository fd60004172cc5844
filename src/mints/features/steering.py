"""Steering: a latent is raised inside the model, dose by dose, and the hidden token's prediction is read.

What steering adds to a site's activations is known before the run (the latent's difference times a direction), so that
all sites, doses and directions are one batch of restarts from that site, each a share of a forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from mints.features.autoencoder import SparseAutoencoder
from mints.features.restart import Restart, adding, restart_at
from mints.features.steering_sites import SteeringSites
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Tokenizer

KINDS = ("add", "clamp")
"""The latent gets an amount more than it had (never below zero), or gets an amount whatever it had."""

MEASURES = (
    "target_log_odds",
    "target_log_p",
    "substitution_log_odds",
    "off_target_log_p",
    "target_rank",
    "kl",
    "rest_loss",
)
"""Of the hidden token's prediction: log-odds of the target against all other tokens; its log-probability; that less the
mean of its substitutes' (NaN without any); mean log-probability of the ordinary tokens that are not the target; rank of
the target, 1 for the most probable; Kullback–Leibler divergence from the prediction without steering. And of the rest:
mean loss of the other hidden tokens. Nats."""


class Steered(NamedTuple):
    """A latent to steer, and the directions along which its amounts are put in."""

    latent: int
    scale: float
    """What a dose of 1 is: the latent's 99th percentile among its active values in training."""

    directions: Float[Tensor, "direction d_in"]
    """Unit length. The first is the latent's own decoder row; the others are nulls of the same length in the model."""


class Arm(NamedTuple):
    """One way of steering all sites."""

    direction: int
    position: str
    kind: str
    dose: float


class Steering(NamedTuple):
    """What every arm does at every site."""

    base: Float[ndarray, "site measure"]
    """`MEASURES` without steering."""

    change: Float[ndarray, "arm site measure"]
    """With steering, less without."""


class _Batch(NamedTuple):
    """Some of the sites, run once up to the autoencoder's site."""

    rows: Int[ndarray, "site"]
    restart: Restart
    latents: Float[Tensor, "site pos"]
    """Of the steered latent."""

    size: Float[Tensor, "site pos"]
    """Of the autoencoder's frame."""


def steer(
    encoder: Encoder,
    tokenizer: Tokenizer,
    autoencoder: SparseAutoencoder,
    site: str,
    sites: SteeringSites,
    steered: Steered,
    arms: Sequence[Arm],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Steering:
    """Every arm at every site (docs/methods.md, Steering).

    The autoencoder's error is kept: x → x + (latent′ − latent) ‖w‖ u · size, w the latent's decoder row and u the
    arm's direction; with u = w/‖w‖ that is `change_latents`. Raises UsageError for a site that the model does not have.
    """
    measures = len(MEASURES)
    base = np.empty((len(sites.hidden), measures))
    change = np.empty((len(arms), len(sites.hidden), measures))
    ordinary = torch.tensor(sorted(tokenizer.maskable_ids), device=compute.device)
    budget = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]

    def of_rows(rows: Int[ndarray, "batch"]) -> Steering:
        batch = _open(encoder, autoencoder, site, sites, rows, steered.latent, compute)
        reader = _Reader(encoder, sites, rows, ordinary, compute.device)
        at_once = min(max(1, budget // batch.restart.real.numel()), len(arms))
        # Arms and the runs without steering are batches of one shape: what is not changed is then equal to the bit.
        without = reader.log_p(batch, torch.zeros(at_once, *batch.restart.x.shape, device=compute.device))
        unsteered = reader.measure(without, without)
        parts = []
        for start in range(0, len(arms), at_once):
            chosen = arms[start : start + at_once]
            moved = torch.zeros(at_once, *batch.restart.x.shape, device=compute.device)
            for place, arm in enumerate(chosen):
                moved[place] = _moved(batch, autoencoder, steered, arm, sites)
            after = reader.measure(reader.log_p(batch, moved), without)
            parts.append((after - unsteered)[: len(chosen)])
        return Steering(unsteered[0], np.concatenate(parts))

    with compute.inference():
        for rows, part in in_batches(of_rows, token_counts(sites.encodings), budget, compute):
            base[rows], change[:, rows] = part
    return Steering(base, change)


def _open(
    encoder: Encoder,
    autoencoder: SparseAutoencoder,
    site: str,
    sites: SteeringSites,
    rows: Int[ndarray, "batch"],
    latent: int,
    compute: Compute,
) -> _Batch:
    padded = pad(sites.encodings, rows, encoder.architecture.pad_id)
    restart = restart_at(encoder, padded.tokens.to(compute.device), padded.real.to(compute.device), site)
    x = restart.x
    return _Batch(rows, restart, autoencoder.encode(x)[..., latent], autoencoder.frame(x).size[..., 0])


def _moved(
    batch: _Batch, autoencoder: SparseAutoencoder, steered: Steered, arm: Arm, sites: SteeringSites
) -> Float[Tensor, "site pos d_in"]:
    """What an arm adds to the activations: zero except where it steers."""
    amount = arm.dose * steered.scale
    wanted = (batch.latents + amount).clamp(min=0) if arm.kind == "add" else torch.full_like(batch.latents, amount)
    length = (wanted - batch.latents) * batch.size * autoencoder.W_dec[steered.latent].norm()
    where = torch.zeros_like(batch.restart.real)
    where.scatter_(1, torch.from_numpy(sites.places(arm.position)[batch.rows]).to(where.device), True)
    moved: Float[Tensor, "site pos d_in"] = (length * where)[..., None] * steered.directions[arm.direction]
    return moved


class _Reader:
    """The masked-language head at the hidden tokens of a batch."""

    def __init__(
        self,
        encoder: Encoder,
        sites: SteeringSites,
        rows: Int[ndarray, "batch"],
        ordinary: Int[Tensor, "ordinary"],
        device: torch.device,
    ) -> None:
        self.encoder = encoder
        hidden = np.concatenate([sites.hidden[rows, None], sites.rest[rows]], axis=1)
        self.hidden = torch.from_numpy(hidden).to(device)
        self.target = torch.from_numpy(sites.target[rows]).to(device)
        self.truth = torch.from_numpy(sites.rest_truth[rows]).to(device)
        of_others = torch.zeros(len(rows), encoder.architecture.vocabulary_size, dtype=torch.double)
        of_substitutes = of_others.clone()
        of_others[:, ordinary.cpu()] = 1.0
        of_others[torch.arange(len(rows)), torch.from_numpy(sites.target[rows])] = 0.0
        for place, row in enumerate(rows):
            of_substitutes[place, torch.from_numpy(sites.substitutes[row])] = 1.0
        # Means as products; without any substitute 0/0, which is NaN.
        self.of_others = (of_others / of_others.sum(1, keepdim=True)).to(device)
        self.of_substitutes = (of_substitutes / of_substitutes.sum(1, keepdim=True)).to(device)

    def log_p(self, batch: _Batch, moved: Float[Tensor, "arm site pos d_in"]) -> Float[Tensor, "arm site hidden token"]:
        """Log-probabilities at the hidden tokens once `moved` has been added to the site's activations."""
        arms, n_sites = moved.shape[:2]
        residual = batch.restart.repeated(arms).run(self.encoder, adding(moved.flatten(0, 1))).residual
        residual = residual.view(arms, n_sites, *residual.shape[1:])
        read = residual.gather(2, self.hidden[None, :, :, None].expand(arms, -1, -1, residual.shape[-1]))
        return functional.log_softmax(self.encoder.logits(read).double(), dim=-1)

    def measure(
        self, log_p: Float[Tensor, "arm site hidden token"], without: Float[Tensor, "arm site hidden token"]
    ) -> Float[ndarray, "arm site measure"]:
        """`MEASURES`, in their order. without: the same without steering."""
        at, before = log_p[:, :, 0], without[:, :, 0]
        target = at.gather(2, self.target[None, :, None].expand(len(at), -1, 1))[..., 0]
        rest = log_p[:, :, 1:].gather(3, self.truth[None, :, :, None].expand(len(at), -1, -1, 1))[..., 0]
        measures = [
            target - torch.log(-torch.expm1(target)),
            target,
            target - (at * self.of_substitutes).sum(-1),
            (at * self.of_others).sum(-1),
            1.0 + (at > target[..., None]).sum(-1),
            (before.exp() * (before - at)).sum(-1),
            -rest.mean(-1),
        ]
        return torch.stack(measures, dim=-1).cpu().numpy()
