"""A head that carries the repeat count, written into a basecaller's weights: what the head sweep should find.

Its queries are zero, so that it averages its value over its window of attention; its value is a linear reading of the
layer's input, and its output writes along the gradient of the sequences' log-odds. The reading is fitted on other pairs
than those that are patched (docs/methods.md, Basecaller).
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from mints.analysis.basecalling.sweep import MEASURES, ScoreReadout, SignalBatch
from mints.analysis.patching import BatchRecording
from mints.models.basecaller import Basecaller
from mints.models.compute import Compute

SEQUENCE = MEASURES.index("sequence")

PENALTY = 0.1
"""Of the ridge by which the reading is fitted, in units of the mean variance of a dimension."""


class Counter(NamedTuple):
    """Where a head is planted, what it reads and what it writes for a reading of one unit at strength 1."""

    layer: int
    head: int
    reads: Float[ndarray, "d_model"]
    """Direction in the attention's input; over the pairs that it was fitted on a base more is a reading of about 1 (in
    the root mean square)."""

    mean: float
    """Mean reading, which is taken away again."""

    writes: Float[ndarray, "d_model"]


class FitSide(NamedTuple):
    """Recordings of the pairs that are fitted on, each with one base more on one of its sides."""

    clean: BatchRecording[SignalBatch]
    corrupted: BatchRecording[SignalBatch]
    run: Bool[Tensor, "pair pos"]


class LayerFit(NamedTuple):
    """What all heads planted into one layer are fitted on."""

    layer: int
    clean: Float[ndarray, "pair d_model"]
    """Input of the attention, averaged over its window and over the run's positions."""

    corrupted: Float[ndarray, "pair d_model"]
    spread: Float[ndarray, "d_model d_model"]
    """Covariance of the averaged input over all positions of all clean sides."""

    gradients: Float[ndarray, "pair d_model"]
    """See `gradients`."""

    effect: float
    """Size of the pairs' mean effect on the sequences' log-odds."""


def window_average(positions: int, window: tuple[int, int] | None) -> Float[Tensor, "query key"]:
    """Pattern of a head whose scores are all equal: each query averages the keys in its window."""
    offset = torch.arange(positions)[None, :] - torch.arange(positions)[:, None]
    seen = torch.ones_like(offset, dtype=torch.bool)
    if window is not None:
        seen = (offset >= -window[0]) & (offset <= window[1])
    return seen.double() / seen.sum(1, keepdim=True)


def layer_fit(basecaller: Basecaller, pairs: FitSide, layer: int, compute: Compute) -> LayerFit:
    """Inputs and gradients of one layer's attention over the pairs that are fitted on."""
    average = window_average(pairs.run.shape[1], basecaller.encoder.architecture.attention_window)
    averaged = [average @ side.residual[layer].cpu().double() for side in (pairs.clean, pairs.corrupted)]
    clean, corrupted = (_at_run(side, pairs.run) for side in averaged)
    effect = (pairs.clean.readout - pairs.corrupted.readout)[:, SEQUENCE].mean().item()
    spread = np.cov(averaged[0].flatten(0, 1).T.numpy())
    return LayerFit(layer, clean, corrupted, spread, gradients(basecaller, pairs, layer, compute), abs(effect))


def make_counter(
    fit: LayerFit, more: Float[ndarray, "pair"], head: int, told: Float[ndarray, "pair"] | None = None
) -> Counter:
    """The linear reader of the repeat count that these pairs allow, and what it has to write.

    With d the difference of the averaged input x between the side with one base more and the other, at the run, the
    reading is w ∝ (Cov d + Cov x + λ I)⁻¹ mean d: it tells the sides apart, and sequences as little as may be. It
    writes along the mean gradient (both signs made one), so much that at strength 1 it makes the pairs' mean effect, to
    first order.

    more: 1 where the clean side has one base more than the corrupted one, −1 where it has one fewer. told: what the
    reading is fitted to in its place.
    """
    difference = (more if told is None else told)[:, None] * (fit.clean - fit.corrupted)
    spread = np.cov(difference.T) + fit.spread
    penalty = PENALTY * np.trace(spread) / len(spread)
    direction = np.linalg.solve(spread + penalty * np.eye(len(spread)), difference.mean(0))
    reads = direction / np.sqrt(np.mean((difference @ direction) ** 2))
    gradient = (more[:, None] * fit.gradients).mean(0)
    writes = fit.effect * gradient / (gradient @ gradient)
    mean = float(np.concatenate([fit.clean, fit.corrupted]).mean(0) @ reads)
    return Counter(fit.layer, head, reads, mean, writes)


def _at_run(values: Float[Tensor, "pair pos d_model"], run: Bool[Tensor, "pair pos"]) -> Float[ndarray, "pair d_model"]:
    """Mean over each pair's positions of the run."""
    weights = run.double() / run.sum(1, keepdim=True)
    mean: Float[ndarray, "pair d_model"] = torch.einsum("pt,ptd->pd", weights, values).numpy()
    return mean


def gradients(basecaller: Basecaller, pairs: FitSide, layer: int, compute: Compute) -> Float[ndarray, "pair d_model"]:
    """∂(sequences' log-odds)/∂(attention output of a layer) in the corrupted run, summed over the run's positions."""
    encoder, readout, base = basecaller.encoder, ScoreReadout(basecaller), pairs.corrupted
    attended = base.attention[layer].clone().requires_grad_()
    with torch.enable_grad(), compute.autocast():
        real = base.batch.real.to(compute.device)
        output = encoder.run_from(layer, base.residual[layer].clone(), real, attended=attended)
        figures = readout(encoder, output.residual, base.batch)
        (gradient,) = torch.autograd.grad(figures[:, SEQUENCE].sum(), attended)
    summed: Float[ndarray, "pair d_model"] = (gradient.cpu() * pairs.run[..., None]).sum(1).double().numpy()
    return summed


def plant(basecaller: Basecaller, counter: Counter, strength: float) -> Basecaller:
    """A copy of the basecaller in which one head is this counter; at strength 0 the head is silent."""
    planted = copy.deepcopy(basecaller)
    attention = planted.encoder.block(counter.layer).attn
    d_head = planted.encoder.architecture.d_head
    rows = slice(counter.head * d_head, (counter.head + 1) * d_head)
    reads, writes = (torch.from_numpy(part).to(attention.output.weight) for part in (counter.reads, counter.writes))
    with torch.no_grad():
        weight = attention.qkv.weight.view(3, -1, attention.qkv.weight.shape[1])
        weight[:, rows] = 0.0
        if attention.qkv.bias is not None:
            attention.qkv.bias.view(3, -1)[:, rows] = 0.0
        attention.output.weight[:, rows] = 0.0
        if strength > 0:
            weight[2, rows][0] = reads
            attention.output.weight[:, rows][:, 0] = strength * writes
            attention.output.bias.sub_(strength * counter.mean * writes)
    return planted
