"""Masked-language pretraining of small encoders, resumable to identical weights.

The recipe: matrices are trained by Muon (Jordan et al. 2024), everything else by AdamW; linear warm-up, cosine decay,
gradients clipped to norm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.masking import BatchSource, MaskedBatch, masked_losses

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


class CurvePoint(NamedTuple):
    """One row of a training curve; losses in nats per masked token."""

    step: int
    tokens: int
    train_loss: float
    """Mean since the previous row, with the 80/10/10 masking that is trained on."""

    heldout_loss: float
    """On fixed held-out windows, every chosen token masked."""


def pretrain(
    encoder: Encoder,
    training: BatchSource,
    heldout: list[MaskedBatch],
    recipe: Recipe,
    compute: Compute,
    *,
    checkpoint: Path,
    report: Callable[[CurvePoint], None],
    track: Callable[[range], Iterable[int]],
) -> list[CurvePoint]:
    """Train `encoder` in place and return its curve; goes on from `checkpoint` if that file exists.

    report is called with every new row of the curve; track wraps the steps, to show progress.
    """
    encoder.to(compute.device).train()
    optimisers = _optimisers(encoder, recipe)
    curve, first, running, tokens = _resume(checkpoint, encoder, optimisers, training)
    for step in track(range(first, recipe.steps)):
        set_learning_rate(optimisers, recipe, step)
        batch = training.draw(recipe.batch)
        running += _train_step(encoder, batch, optimisers, compute)
        tokens += batch.content
        done = step + 1
        if done % recipe.evaluate_every == 0 or done == recipe.steps:
            since = done - (curve[-1].step if curve else 0)
            curve.append(CurvePoint(done, tokens, running / since, evaluate(encoder, heldout, compute)))
            running = 0.0
            report(curve[-1])
        if done % recipe.save_every == 0 and done < recipe.steps:
            _save(checkpoint, encoder, optimisers, training, curve, done, running, tokens)
    checkpoint.unlink(missing_ok=True)
    encoder.eval()
    return curve


def evaluate(encoder: Encoder, batches: list[MaskedBatch], compute: Compute) -> float:
    """Mean loss in nats per hidden token."""
    losses = [batch_losses(encoder, batch, compute) for batch in batches]
    return float(torch.cat(losses).double().mean())


def batch_losses(encoder: Encoder, batch: MaskedBatch, compute: Compute) -> Tensor:
    """Loss in nats of each hidden token of a batch."""
    with compute.inference():
        logits = _masked_logits(encoder, batch, compute)
        return masked_losses(logits, batch.truth.to(compute.device)).cpu()


def _masked_logits(encoder: Encoder, batch: MaskedBatch, compute: Compute) -> Tensor:
    residual = encoder.run(batch.tokens.to(compute.device)).residual
    return encoder.logits(residual.flatten(0, 1)[batch.chosen.to(compute.device)])


def _train_step(
    encoder: Encoder, batch: MaskedBatch, optimisers: list[torch.optim.Optimizer], compute: Compute
) -> float:
    with compute.autocast():
        logits = _masked_logits(encoder, batch, compute)
    loss = functional.cross_entropy(logits.float(), batch.truth.to(compute.device))
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad()
    return float(loss.detach())


def _optimisers(encoder: Encoder, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks and the head; AdamW for tables, norms and biases."""
    tables = ("embed.", "positions.", "token_types.", "head.decoder")
    matrices = [p for name, p in encoder.named_parameters() if p.ndim == 2 and not name.startswith(tables)]
    others = [p for name, p in encoder.named_parameters() if p.ndim != 2 or name.startswith(tables)]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def set_learning_rate(optimisers: list[torch.optim.Optimizer], recipe: Recipe, step: int) -> None:
    """Linear warm-up to the recipe's rate, cosine decay to `FINAL_SHARE` of it."""
    warm = min(1.0, (step + 1) / max(1.0, recipe.warm_up * recipe.steps))
    decay = max(FINAL_SHARE, 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * warm * decay


def _save(
    path: Path,
    encoder: Encoder,
    optimisers: list[torch.optim.Optimizer],
    training: BatchSource,
    curve: list[CurvePoint],
    step: int,
    running: float,
    tokens: int,
) -> None:
    state = {
        "encoder": encoder.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "generator": training.generator.get_state(),
        "curve": [tuple(point) for point in curve],
        "step": step,
        "running": running,
        "tokens": tokens,
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(
    path: Path, encoder: Encoder, optimisers: list[torch.optim.Optimizer], training: BatchSource
) -> tuple[list[CurvePoint], int, float, int]:
    if not path.exists():
        return [], 0, 0.0, 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    encoder.load_state_dict(state["encoder"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    training.generator.set_state(state["generator"])
    curve = [CurvePoint(*point) for point in state["curve"]]
    return curve, state["step"], state["running"], state["tokens"]
