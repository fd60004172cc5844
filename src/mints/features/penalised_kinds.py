"""Autoencoders whose number of active latents is kept near k by a penalty: ReLU with L1, and JumpReLU."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from mints.features.autoencoder import SparseAutoencoder
from mints.features.training_autoencoder import Outcome, TrainingAutoencoder

PENALTY, PENALTY_RATE, PENALTY_DAMPING = 0.1, 10.0, 1.0
"""First penalty of a ReLU autoencoder, and how much its logarithm follows that of L0 / k over the run, and each change
of it."""

ACTIVE_WEIGHT = 4.0
"""Weight of a JumpReLU autoencoder's penalty, times d_in."""

BANDWIDTH = 0.2
"""Width of the rectangle through which thresholds are trained, as a share of the first threshold."""

THRESHOLD_RATE = 10.0
"""Learning rate of the thresholds of a JumpReLU autoencoder, as a multiple of that of its weights."""


class ReLU(TrainingAutoencoder):
    """Every positive latent, with a penalty on the latents' sum (Bricken et al. 2023; decoder rows have norm 1).

    The penalty's weight is steered so that k latents are active per token. Trained densely: at first half of all
    latents are active.
    """

    penalty: Tensor
    surplus: Tensor

    def __init__(self, d_in: int, d_sae: int, k: int) -> None:
        super().__init__(d_in, d_sae, k)
        self.register_buffer("penalty", torch.full((), PENALTY, dtype=torch.float64))
        self.register_buffer("surplus", torch.full((), math.nan, dtype=torch.float64))

    def outcome(self, scaled: Float[Tensor, "token d_in"], dead: Bool[Tensor, "latent"] | None) -> Outcome:
        latents = functional.relu((scaled - self.b_dec) @ self.W_enc.T + self.b_enc)
        difference = latents @ self.W_dec + self.b_dec - scaled
        loss = difference.square().sum(1).mean() + float(self.penalty) * latents.sum(1).mean()
        return Outcome(loss, difference.detach(), (latents > 0).sum(0))

    @torch.no_grad()
    def initialise(self, first: Float[Tensor, "token d_in"], seed: int) -> None:
        """A bias that lets k latents of the first activations through: with half of them active, training is slow.

        The encoder begins at full length, since bias and penalty take from the latents what it has too much.
        """
        super().initialise(first, seed)
        self.W_enc.copy_(self.W_dec)
        self.b_enc.fill_(-self.bound_for_k(first))

    def after_step(self, step: int, steps: int, active_per_token: float) -> None:
        """Raise the penalty while too many latents are active, lower it while too few are.

        The more so the further off, and less while the number is already on its way.
        """
        surplus = math.log(max(active_per_token, 0.1) / self.k)
        trend = 0.0 if math.isnan(float(self.surplus)) else surplus - float(self.surplus)
        self.penalty.mul_(math.exp(PENALTY_RATE / steps * surplus + PENALTY_DAMPING * trend))
        self.surplus.fill_(surplus)

    def finished(self) -> SparseAutoencoder:
        return self._inference(SparseAutoencoder(self.d_in, self.d_sae, "relu"))


class JumpReLU(TrainingAutoencoder):
    """Latents above thresholds of their own, which are trained through a rectangle (Rajamanoharan et al. 2024b).

    The penalty is (active latents per token / k − 1)², their loss for an aimed-at number.
    """

    bandwidth: Tensor

    def __init__(self, d_in: int, d_sae: int, k: int) -> None:
        super().__init__(d_in, d_sae, k)
        self.threshold = nn.Parameter(torch.zeros(d_sae))
        self.register_buffer("bandwidth", torch.zeros(()))

    @torch.no_grad()
    def initialise(self, first: Float[Tensor, "token d_in"], seed: int) -> None:
        """Thresholds that let k latents of the first activations through."""
        super().initialise(first, seed)
        self.threshold.fill_(self.bound_for_k(first))
        self.bandwidth.copy_(BANDWIDTH * self.threshold[0])

    def outcome(self, scaled: Float[Tensor, "token d_in"], dead: Bool[Tensor, "latent"] | None) -> Outcome:
        pre = (scaled - self.b_dec) @ self.W_enc.T + self.b_enc
        latents, gates = jump(pre, self.threshold, float(self.bandwidth))
        difference = latents @ self.W_dec + self.b_dec - scaled
        surplus = gates.sum(1).mean() / self.k - 1
        loss = difference.square().sum(1).mean() + ACTIVE_WEIGHT * self.d_in * surplus.square()
        return Outcome(loss, difference.detach(), gates.detach().sum(0).long())

    def rates(self) -> dict[str, float]:
        """Thresholds are as large as whole latents, and a weight is as large as 1 / √d_in."""
        return {"threshold": THRESHOLD_RATE}

    @torch.no_grad()
    def after_step(self, step: int, steps: int, active_per_token: float) -> None:
        """Keep thresholds from falling below zero."""
        self.threshold.clamp_(min=0)

    def finished(self) -> SparseAutoencoder:
        autoencoder = SparseAutoencoder(self.d_in, self.d_sae, "threshold")
        autoencoder.threshold.copy_(self.threshold.detach())
        return self._inference(autoencoder)


def jump(
    pre: Float[Tensor, "token latent"], threshold: Float[Tensor, "latent"], bandwidth: float
) -> tuple[Float[Tensor, "token latent"], Float[Tensor, "token latent"]]:
    """Latents pre · [pre > threshold] and gates [pre > threshold].

    The thresholds' gradients are those of the expected value: a pre-activation within half a bandwidth of its threshold
    counts with −threshold / bandwidth for the latent and −1 / bandwidth for the gate (Rajamanoharan et al. 2024b).
    """
    latents, gates = _Jump.apply(pre, threshold, bandwidth)  # type: ignore[no-untyped-call]
    return latents, gates


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
        gates = (pre > threshold).to(pre.dtype)
        ctx.bandwidth = bandwidth
        ctx.save_for_backward(pre, threshold, gates)
        return pre * gates, gates

    @staticmethod
    def backward(ctx: Any, of_latents: Tensor, of_gates: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, threshold, gates = ctx.saved_tensors
        near = ((pre - threshold).abs() < ctx.bandwidth / 2).to(pre.dtype) / ctx.bandwidth
        return of_latents * gates, -(near * (threshold * of_latents + of_gates)).sum(0), None
