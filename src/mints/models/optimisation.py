"""How small models are trained: numbers of a run, optimisers, one step, and a state that a kill leaves whole.

Matrices are trained by Muon (Jordan et al. 2024), everything else by AdamW; linear warm-up, cosine decay, gradients
clipped to norm 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mints.pipeline.artifacts import written_atomically

FINAL_SHARE = 0.02
"""Learning rate at the end, as a share of its peak."""


class Recipe(NamedTuple):
    """Numbers of a training run."""

    steps: int
    batch: int
    learning_rate: float = 2.5e-3
    warm_up: float = 0.06
    """Share of the steps."""

    weight_decay: float = 0.05
    evaluate_every: int = 500
    save_every: int = 500


def make_optimisers(
    matrices: Sequence[nn.Parameter], others: Sequence[nn.Parameter], recipe: Recipe
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW without decay for the others."""
    return [
        torch.optim.Muon(
            matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def set_learning_rate(optimisers: Sequence[torch.optim.Optimizer], recipe: Recipe, step: int) -> None:
    """Linear warm-up to the recipe's rate, cosine decay to `FINAL_SHARE` of it."""
    warm = min(1.0, (step + 1) / max(1.0, recipe.warm_up * recipe.steps))
    decay = max(FINAL_SHARE, 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * warm * decay


def descend(loss: Tensor, model: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> float:
    """One step down the gradient of a loss; returns the loss."""
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad()
    return float(loss.detach())


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training; a reader sees the old file or the new one."""
    with written_atomically(path) as temporary:
        torch.save(dict(state), temporary)


def load_state(path: Path) -> dict[str, Any] | None:
    """State of an earlier, killed training; None where there is none."""
    return torch.load(path, weights_only=True) if path.exists() else None


def restore_optimisers(optimisers: Sequence[torch.optim.Optimizer], saved: Sequence[Mapping[str, Any]]) -> None:
    """Bring optimisers to where they were."""
    for optimiser, state in zip(optimisers, saved, strict=True):
        optimiser.load_state_dict(dict(state))
