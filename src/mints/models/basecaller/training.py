"""Training of small basecallers, resumable to identical weights.

The loss is the negative log-likelihood of each chunk's bases under the CRF, per base. Matrices inside the encoder are
trained by Muon, everything else by AdamW (see `mints.models.optimisation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mints.models.basecaller import crf
from mints.models.basecaller.crf import Targets
from mints.models.basecaller.model import Basecaller
from mints.models.compute import Compute
from mints.models.optimisation import (
    Recipe,
    descend,
    load_state,
    make_optimisers,
    restore_optimisers,
    save_state,
    set_learning_rate,
)


class Chunks(NamedTuple):
    """Pieces of reads with the bases in them."""

    signal: Float[Tensor, "read sample"]
    targets: Targets


class CurvePoint(NamedTuple):
    """One row of a training curve; losses in nats per base."""

    step: int
    bases: int
    """Bases trained on so far."""

    train_loss: float
    """Mean over the batches since the previous row, batch statistics in the norms."""

    heldout_loss: float
    """On fixed held-out chunks, evaluation mode."""


def train(
    basecaller: Basecaller,
    draw: Callable[[int], Chunks],
    heldout: Sequence[Chunks],
    recipe: Recipe,
    compute: Compute,
    *,
    checkpoint: Path,
    report: Callable[[CurvePoint], None],
    track: Callable[[range], Iterable[int]],
) -> list[CurvePoint]:
    """Train `basecaller` in place and return its curve; goes on from `checkpoint` if that file exists.

    draw: the batch of a step, the same whenever it is asked for. report is called with every new row of the curve;
    track wraps the steps, to show progress. Raises ValueError for a head that is no CRF.
    """
    basecaller.to(compute.device).train()
    optimisers = _optimisers(basecaller, recipe)
    curve, first, bases, running = _resume(checkpoint, basecaller, optimisers)
    for step in track(range(first, recipe.steps)):
        set_learning_rate(optimisers, recipe, step)
        chunks = draw(step)
        running += _train_step(basecaller, chunks, optimisers, compute)
        bases += int(chunks.targets.lengths.sum())
        done = step + 1
        if done % recipe.evaluate_every == 0 or done == recipe.steps:
            since = done - (curve[-1].step if curve else 0)
            curve.append(CurvePoint(done, bases, running / since, evaluate(basecaller, heldout, compute)))
            running = 0.0
            report(curve[-1])
        if done % recipe.save_every == 0 and done < recipe.steps:
            _save(checkpoint, basecaller, optimisers, curve, done, bases, running)
    checkpoint.unlink(missing_ok=True)
    basecaller.eval()
    return curve


def evaluate(basecaller: Basecaller, heldout: Sequence[Chunks], compute: Compute) -> float:
    """Mean loss in nats per base, in evaluation mode; the mode is as before afterwards."""
    was_training = basecaller.training
    basecaller.eval()
    with compute.inference():
        total = sum(float(_losses(basecaller, chunks, compute).double().sum()) for chunks in heldout)
    basecaller.train(was_training)
    return total / sum(int(chunks.targets.lengths.sum()) for chunks in heldout)


def _losses(basecaller: Basecaller, chunks: Chunks, compute: Compute) -> Float[Tensor, "read"]:
    """Negative log-likelihood of each chunk, in nats."""
    state_length = basecaller.state_length
    if state_length is None:
        raise ValueError("the recipe trains basecallers with a CRF head")
    scores = basecaller(chunks.signal.to(compute.device)).float()
    targets = Targets(*(part.to(compute.device) for part in chunks.targets))
    return -crf.log_likelihood(scores, targets, state_length)


def _train_step(
    basecaller: Basecaller, chunks: Chunks, optimisers: list[torch.optim.Optimizer], compute: Compute
) -> float:
    with compute.autocast():
        loss = _losses(basecaller, chunks, compute).sum() / chunks.targets.lengths.sum().to(compute.device)
    return descend(loss, basecaller, optimisers)


def _optimisers(basecaller: Basecaller, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the encoder; AdamW for convolutions, upsampling, head, norms and biases."""
    named = list(basecaller.named_parameters())
    inside = {name for name, parameter in named if name.startswith("encoder.") and parameter.ndim == 2}
    matrices = [parameter for name, parameter in named if name in inside]
    others = [parameter for name, parameter in named if name not in inside]
    return make_optimisers(matrices, others, recipe)


def _save(
    path: Path,
    basecaller: Basecaller,
    optimisers: list[torch.optim.Optimizer],
    curve: list[CurvePoint],
    step: int,
    bases: int,
    running: float,
) -> None:
    state = {
        "basecaller": basecaller.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "curve": [tuple(point) for point in curve],
        "step": step,
        "bases": bases,
        "running": running,
    }
    save_state(path, state)


def _resume(
    path: Path, basecaller: Basecaller, optimisers: list[torch.optim.Optimizer]
) -> tuple[list[CurvePoint], int, int, float]:
    state = load_state(path)
    if state is None:
        return [], 0, 0, 0.0
    basecaller.load_state_dict(state["basecaller"])
    restore_optimisers(optimisers, state["optimisers"])
    return [CurvePoint(*point) for point in state["curve"]], state["step"], state["bases"], state["running"]
