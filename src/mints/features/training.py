"""Training of sparse autoencoders."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mints.features.autoencoder import SparseAutoencoder

WARM_UP = 0.05
"""Share of the steps over which the learning rate rises."""

COOL_DOWN = 0.2
"""Share of the steps, at the end, over which it falls to zero."""

THRESHOLD_MEMORY = 0.99
"""Weight of the past in the running mean of the smallest active latent."""


class Recipe(NamedTuple):
    """Numbers of a training run."""

    k: int
    d_sae: int
    steps: int
    learning_rate: float
    seed: int


class BatchTopKTrainer:
    """A BatchTopK autoencoder in training (Bussmann et al. 2024): k latents a token on average over the batch."""

    def __init__(self, recipe: Recipe, first: Float[Tensor, "token d_in"]) -> None:
        """first: activations that give the scale and the start of the decoder's bias."""
        d_in = first.shape[1]
        self.recipe, self.step = recipe, 0
        self.autoencoder = SparseAutoencoder(d_in, recipe.d_sae, "threshold").to(first.device)
        generator = torch.Generator().manual_seed(recipe.seed)
        with torch.no_grad():
            rows = functional.normalize(torch.randn(recipe.d_sae, d_in, generator=generator), dim=1)
            self.autoencoder.scale.copy_(d_in**0.5 / first.norm(dim=1).mean())
            self.autoencoder.W_dec.copy_(rows)
            self.autoencoder.W_enc.copy_(rows.T)
            self.autoencoder.b_dec.copy_(first.mean(0) * self.autoencoder.scale)
        self.threshold = torch.zeros((), dtype=torch.float64)
        self.optimiser = torch.optim.Adam(self.autoencoder.parameters(), lr=recipe.learning_rate, fused=True)

    def train(self, x: Float[Tensor, "token d_in"]) -> float:
        """One step; gives the mean squared error of the scaled activations."""
        scaled = x * self.autoencoder.scale
        positive = functional.relu(self.autoencoder.pre_activations(x)).flatten()
        values, places = positive.topk(self.recipe.k * len(x), sorted=False)
        latents = torch.zeros_like(positive).scatter(0, places, values).view(len(x), -1)
        error = latents @ self.autoencoder.W_dec + self.autoencoder.b_dec - scaled
        loss = error.square().sum(1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            rows, gradient = self.autoencoder.W_dec, self.autoencoder.W_dec.grad
            assert gradient is not None
            gradient -= (gradient * rows).sum(1, keepdim=True) * rows
            self.optimiser.param_groups[0]["lr"] = self.recipe.learning_rate * self.pace()
            self.optimiser.step()
            self.optimiser.zero_grad()
            rows.copy_(functional.normalize(rows, dim=1))
            smallest = values[values > 0].min().double().cpu()
            self.threshold = smallest if self.step == 0 else torch.lerp(smallest, self.threshold, THRESHOLD_MEMORY)
        self.step += 1
        return float(loss.detach())

    def pace(self) -> float:
        """Learning rate of this step as a share of its peak."""
        rising = (self.step + 1) / max(1.0, WARM_UP * self.recipe.steps)
        falling = (self.recipe.steps - self.step) / max(1.0, COOL_DOWN * self.recipe.steps)
        return min(1.0, rising, falling)

    def finished(self) -> SparseAutoencoder:
        """The autoencoder for inference: every latent above the one threshold."""
        self.autoencoder.threshold.fill_(float(self.threshold))
        return self.autoencoder.requires_grad_(False)
