"""A sparse autoencoder in training, whatever its kind: weights, start, and what a batch gives.

Every kind has the weights of `SparseAutoencoder`, kept latent by latent. The activations that it sees are scaled to a
mean length of √d_in, so that one learning rate and one penalty fit every site (docs/methods.md, Sparse autoencoders).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from mints.features.autoencoder import SparseAutoencoder

ENCODER_START = 0.3
"""Length of the encoder's vectors at the start: shorter ones turn sooner, and k random rows at full length would
reconstruct more than there is (measured: docs/methods.md, Sparse autoencoders)."""

THRESHOLD_TOKENS = 2048
"""Tokens that the first thresholds are taken from."""


class Outcome(NamedTuple):
    """What one batch gave."""

    loss: Float[Tensor, ""]
    """To be differentiated."""

    error: Float[Tensor, "token d_in"]
    """Reconstruction − activations, both scaled; without gradient."""

    fired: Int[Tensor, "latent"]
    """Tokens in which each latent was active."""


class TrainingAutoencoder(nn.Module, ABC):
    """Weights in training, latent by latent."""

    scale: Tensor

    def __init__(self, d_in: int, d_sae: int, k: int) -> None:
        """k: latents per token; what the kinds without a fixed number aim at."""
        super().__init__()
        self.d_in, self.d_sae, self.k = d_in, d_sae, k
        self.W_enc = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.W_dec = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def initialise(self, first: Float[Tensor, "token d_in"], seed: int) -> None:
        """Scale and decoder bias from the first activations; random decoder rows of norm 1.

        The bias is the mean of the scaled activations, the encoder `ENCODER_START` times the decoder.
        """
        self.scale.copy_(self.d_in**0.5 / first.double().norm(dim=1).mean())
        self.b_dec.copy_(first.double().mean(0) * self.scale)
        rows = torch.randn(self.d_sae, self.d_in, generator=torch.Generator().manual_seed(seed))
        self.W_dec.copy_(functional.normalize(rows, dim=1))
        self.W_enc.copy_(ENCODER_START * self.W_dec)

    @torch.no_grad()
    def bound_for_k(self, first: Float[Tensor, "token d_in"]) -> float:
        """What k pre-activations of a token exceed on average, as the weights are initialised."""
        some = first[:THRESHOLD_TOKENS]
        pre = (some * self.scale - self.b_dec) @ self.W_enc.T
        return max(0.0, float(pre.view(-1).topk(self.k * len(some), sorted=False).values.min()))

    @abstractmethod
    def outcome(self, scaled: Float[Tensor, "token d_in"], dead: Bool[Tensor, "latent"] | None) -> Outcome:
        """Loss of a batch of scaled activations. dead: latents that the auxiliary loss trains, where there are any."""

    def rates(self) -> dict[str, float]:
        """Learning rates of parameters, as multiples of the run's, where they differ from it."""
        return {}

    def after_step(self, step: int, steps: int, active_per_token: float) -> None:
        """Follow what the weights do. step: of the run's steps, from 1."""

    @abstractmethod
    def finished(self) -> SparseAutoencoder:
        """The autoencoder for inference."""

    def _inference(self, autoencoder: SparseAutoencoder) -> SparseAutoencoder:
        with torch.no_grad():
            autoencoder.W_enc.copy_(self.W_enc.T)
            for name in ("b_enc", "W_dec", "b_dec", "scale"):
                getattr(autoencoder, name).copy_(getattr(self, name))
        return autoencoder.to(self.W_dec.device).requires_grad_(False)
