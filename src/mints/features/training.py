"""Training of one sparse autoencoder, batch after batch, with a state from which it goes on to identical weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mints.feature_config import DictionaryKind
from mints.features.architectures import KINDS
from mints.features.autoencoder import SparseAutoencoder

WARM_UP, COOL_DOWN = 0.05, 0.2
"""Shares of the steps over which the learning rate rises at the beginning and falls at the end, both linearly."""

DEAD_AFTER = 0.05
"""A latent is dead that was not active in this share of the run's tokens: a fixed number of tokens would mean that in
a short run no latent is ever called dead."""

CURVE_POINTS = 50
"""Rows of a training curve."""


class Recipe(NamedTuple):
    """What a training run is decided by, beside its activations."""

    kind: DictionaryKind
    k: int
    d_sae: int
    steps: int
    batch: int
    """Tokens of a step."""

    learning_rate: float
    seed: int


class CurvePoint(NamedTuple):
    """One row of a training curve: means over the steps since the previous row."""

    tokens: int
    loss: float
    """What is minimised, with its penalties; activations are scaled to a mean length of √d_in."""

    variance_explained: float
    """1 − Σ‖error‖² / Σ‖x − mean‖² in training."""

    l0: float
    """Active latents per token."""

    dead_share: float
    """Share of the latents that are dead at this row."""


class Trainer:
    """An autoencoder in training."""

    def __init__(self, recipe: Recipe, first: Float[Tensor, "token d_in"], *, points: int = CURVE_POINTS) -> None:
        """first: activations from which the scale and the start are taken. points: rows of the curve."""
        self.recipe, self.points = recipe, points
        self.autoencoder = KINDS[recipe.kind](first.shape[1], recipe.d_sae, recipe.k).to(first.device)
        self.autoencoder.initialise(first, recipe.seed)
        named, rates = self.autoencoder.named_parameters(), self.autoencoder.rates()
        groups = [{"params": [parameter], "rate": rates.get(name, 1.0)} for name, parameter in named]
        self.optimiser = torch.optim.Adam(groups, lr=recipe.learning_rate, fused=True)
        self.step = 0
        self.silent: Int[Tensor, "latent"] = torch.zeros(recipe.d_sae, dtype=torch.int64, device=first.device)
        self.curve: list[CurvePoint] = []
        self._sums = torch.zeros(4, dtype=torch.float64, device=first.device)
        self._mean = torch.zeros(first.shape[1], dtype=torch.float64, device=first.device)

    @property
    def dead(self) -> Bool[Tensor, "latent"]:
        """Latents that have been silent for too many tokens."""
        return self.silent >= DEAD_AFTER * self.recipe.steps * self.recipe.batch

    def train(self, x: Float[Tensor, "token d_in"]) -> None:
        """One step on a batch of activations."""
        scaled = x * self.autoencoder.scale
        loss, error, fired = self.autoencoder.outcome(scaled, self.dead)
        loss.backward()  # type: ignore[no-untyped-call]
        self._update()
        self.silent = torch.where(fired > 0, 0, self.silent + len(x))
        self.step += 1
        active = fired.sum()
        self.autoencoder.after_step(self.step, self.recipe.steps, float(active) / len(x))
        self._note(scaled, error, loss.detach(), active)

    @torch.no_grad()
    def _update(self) -> None:
        """A step of Adam along the unit sphere: what would change a decoder row's length is left out."""
        rows, gradient = self.autoencoder.W_dec, self.autoencoder.W_dec.grad
        assert gradient is not None
        along = torch.bmm(gradient[:, None], rows[:, :, None])[:, 0]
        gradient.addcmul_(rows, along, value=-1)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * group["rate"] * pace(self.step, self.recipe.steps)
        self.optimiser.step()
        self.optimiser.zero_grad()
        rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True))

    @torch.no_grad()
    def _note(self, scaled: Tensor, error: Tensor, loss: Tensor, active: Tensor) -> None:
        """Add to the sums of the curve's next row, which nothing but the curve reads."""
        self._mean += scaled.sum(0)
        self._sums += torch.stack([loss * len(scaled), error.square().sum(), scaled.square().sum(), active])
        if self.step * self.points // self.recipe.steps > (self.step - 1) * self.points // self.recipe.steps:
            self._add_point()

    def _add_point(self) -> None:
        before = self.curve[-1].tokens if self.curve else 0
        tokens = self.step * self.recipe.batch
        loss, errors, squares, active = self._sums.tolist()
        count = tokens - before
        variance = squares - float(self._mean.square().sum()) / count
        dead = float(self.dead.double().mean())
        self.curve.append(CurvePoint(tokens, loss / count, 1 - errors / variance, active / count, dead))
        self._sums.zero_()
        self._mean.zero_()

    def finished(self) -> SparseAutoencoder:
        """The autoencoder for inference, as it is now."""
        return self.autoencoder.finished()

    def state(self) -> dict[str, Any]:
        """All that the following steps depend on, in tensors and plain values."""
        return {
            "autoencoder": self.autoencoder.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "silent": self.silent,
            "curve": [tuple(point) for point in self.curve],
            "sums": self._sums,
            "mean": self._mean,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.autoencoder.load_state_dict(state["autoencoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.curve = state["step"], [CurvePoint(*point) for point in state["curve"]]
        for own, saved in ((self.silent, "silent"), (self._sums, "sums"), (self._mean, "mean")):
            own.copy_(state[saved])


def pace(step: int, steps: int) -> float:
    """Learning rate of a step as a share of its peak."""
    rising = (step + 1) / max(1.0, WARM_UP * steps)
    falling = (steps - step) / max(1.0, COOL_DOWN * steps)
    return min(1.0, rising, falling)
