"""Masked-language pretraining of small encoders, resumable to identical weights (see `mints.models.optimisation`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.masking import BatchSource, MaskedBatch, masked_losses
from mints.models.optimisation import (
    Recipe,
    descend,
    load_state,
    make_optimisers,
    restore_optimisers,
    save_state,
    set_learning_rate,
)


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
    return descend(loss, encoder, optimisers)


def _optimisers(encoder: Encoder, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks and the head; AdamW for tables, norms and biases."""
    tables = ("embed.", "positions.", "token_types.", "head.decoder")
    matrices = [p for name, p in encoder.named_parameters() if p.ndim == 2 and not name.startswith(tables)]
    others = [p for name, p in encoder.named_parameters() if p.ndim != 2 or name.startswith(tables)]
    return make_optimisers(matrices, others, recipe)


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
    save_state(path, state)


def _resume(
    path: Path, encoder: Encoder, optimisers: list[torch.optim.Optimizer], training: BatchSource
) -> tuple[list[CurvePoint], int, float, int]:
    state = load_state(path)
    if state is None:
        return [], 0, 0.0, 0
    encoder.load_state_dict(state["encoder"])
    restore_optimisers(optimisers, state["optimisers"])
    training.generator.set_state(state["generator"])
    curve = [CurvePoint(*point) for point in state["curve"]]
    return curve, state["step"], state["running"], state["tokens"]
