"""All patches of pairs of signals: layers, attention, feed-forward and heads, both ways, and their nulls."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.basecalling.measures import Question, read_scores
from mints.analysis.patching import (
    BatchRecording,
    heads_of,
    patch_attention,
    patch_layer,
    patch_mlp,
    patch_residual,
    record_from,
    sweep_components,
    sweep_heads,
)
from mints.models.basecaller import Basecaller
from mints.models.compute import Compute
from mints.models.encoder import Encoder

WHOLE = (patch_layer, patch_attention, patch_mlp)
GRANULARITIES = ("layer", "attention", "mlp")
"""Names of `WHOLE`; heads follow them along the axis of the components."""

MEASURES = ("transition", "sequence")
"""First figures of the read-out; the log-odds of every time step follow them."""

FLAT = 1e-3
"""Difference between clean and corrupted log-odds of a time step below which a ratio to it means nothing."""


class SignalBatch(NamedTuple):
    """Chunks that are patched together, and what is asked of them."""

    real: Bool[Tensor, "pair pos"]
    question: Question


class ScoreReadout(NamedTuple):
    """Figures of the scores that follow from the last layer's output."""

    basecaller: Basecaller

    @property
    def layer(self) -> int:
        """The last one."""
        return self.basecaller.encoder.architecture.n_layers - 1

    def __call__(
        self, encoder: Encoder, residual: Float[Tensor, "pair pos d_model"], batch: SignalBatch
    ) -> Float[Tensor, "pair figure"]:
        """See `read_scores`."""
        return read_scores(self.basecaller.scores_of(residual), batch.question)


class Chunks(NamedTuple):
    """Signals of a batch of pairs, what is asked of them, and where they are patched."""

    clean: Float[ndarray, "pair sample"]
    corrupted: Float[ndarray, "pair sample"]
    other_clean: Float[ndarray, "pair sample"]
    """Clean side of another pair of the same group and corruption."""

    other_corrupted: Float[ndarray, "pair sample"]
    """Corrupted side of that other pair."""

    unrelated: Float[ndarray, "pair sample"]
    """Corrupted side of a pair of the other group from another read, of the same corruption."""

    question: Question
    run: Bool[ndarray, "pair pos"]
    """Positions of the run."""

    elsewhere: Bool[ndarray, "pair pos"]
    """As many positions away from it."""


class Patched(NamedTuple):
    """Figures of patched runs."""

    measures: Float[ndarray, "pair layer component measure"]
    maximum: Float[ndarray, "pair layer component"]
    """Largest share of the way to the other run's log-odds over all time steps (the seed's figure); NaN where clean and
    corrupted differ nowhere."""


class Swept(NamedTuple):
    """Every patch of every pair."""

    clean: Float[ndarray, "pair measure"]
    corrupted: Float[ndarray, "pair measure"]
    clean_track: Float[ndarray, "pair time"]
    corrupted_track: Float[ndarray, "pair time"]
    tracks: Float[ndarray, "pair layer granularity time"]
    """Log-odds of every time step in the corrupted run with a whole component at the run from the clean run."""

    denoised: Patched
    noised: Patched
    denoised_chunk: Patched
    """As `denoised`, at all positions; whole components alone, NaN for heads."""

    noised_chunk: Patched
    other_clean: Patched
    """As `denoised`, the activations being another pair's clean ones: what they say of the corruption is the same."""

    other_corrupted: Patched
    """As `denoised`, the activations being another pair's corrupted ones."""

    other_site: Patched
    """As `denoised`, at other positions."""

    unrelated: Patched
    no_op: Float[ndarray, "pair"]
    """Largest change of any figure when a run is patched with itself: exactly 0."""

    everything: Float[ndarray, "pair"]
    """Largest distance from the clean run's figures when its whole input is put into the corrupted run: exactly 0."""

    last_layer: Float[ndarray, "pair"]
    """The same for the last layer's output at all positions, both ways: exactly 0."""


def open_recording(
    basecaller: Basecaller, signal: Float[ndarray, "pair sample"], question: Question, compute: Compute
) -> BatchRecording[SignalBatch]:
    """One run of these signals with every component's value."""
    with compute.inference():
        residual = basecaller.embed(torch.from_numpy(signal).to(compute.device))
    batch = SignalBatch(torch.ones(residual.shape[:2], dtype=torch.bool), question)
    return record_from(basecaller.encoder, residual, batch, ScoreReadout(basecaller), compute)


def sweep_chunks(basecaller: Basecaller, chunks: Chunks, compute: Compute) -> Swept:
    """Every patch of these pairs. All patches of a component run over all pairs at once."""
    sides = (chunks.clean, chunks.corrupted, chunks.other_clean, chunks.other_corrupted, chunks.unrelated)
    recordings = (open_recording(basecaller, side, chunks.question, compute) for side in sides)
    clean, corrupted, other_clean, other_corrupted, unrelated = recordings
    run, elsewhere = torch.from_numpy(chunks.run), torch.from_numpy(chunks.elsewhere)
    target, start = (recording.readout.cpu().numpy() for recording in (clean, corrupted))
    denoised = sweep_everything(basecaller, corrupted, clean, compute, run)
    noised = sweep_everything(basecaller, clean, corrupted, compute, run)
    denoised_chunk = sweep_everything(basecaller, corrupted, clean, compute, heads=())
    noised_chunk = sweep_everything(basecaller, clean, corrupted, compute, heads=())
    itself = sweep_everything(basecaller, corrupted, corrupted, compute)
    nulls = ((other_clean, run), (other_corrupted, run), (clean, elsewhere), (unrelated, run))
    of_nulls = (sweep_everything(basecaller, corrupted, source, compute, where) for source, where in nulls)
    from_clean, from_corrupted, from_elsewhere, from_unrelated = (reduce(null, start, target) for null in of_nulls)
    whole_input = patch_residual(basecaller.encoder, corrupted, clean, 0, ScoreReadout(basecaller), compute)
    measures, last = len(MEASURES), basecaller.encoder.architecture.n_layers - 1
    return Swept(
        clean=target[:, :measures],
        corrupted=start[:, :measures],
        clean_track=target[:, measures:],
        corrupted_track=start[:, measures:],
        tracks=denoised[:, :, : len(WHOLE), measures:],
        denoised=reduce(denoised, start, target),
        noised=reduce(noised, target, start),
        denoised_chunk=reduce(denoised_chunk, start, target),
        noised_chunk=reduce(noised_chunk, target, start),
        other_clean=from_clean,
        other_corrupted=from_corrupted,
        other_site=from_elsewhere,
        unrelated=from_unrelated,
        no_op=_largest(itself - start[:, None, None]),
        everything=_largest(whole_input.cpu().numpy() - target),
        last_layer=np.maximum(
            _largest(denoised_chunk[:, last, 0] - target), _largest(noised_chunk[:, last, 0] - start)
        ),
    )


def sweep_everything(
    basecaller: Basecaller,
    base: BatchRecording[SignalBatch],
    source: BatchRecording[SignalBatch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
    heads: Collection[tuple[int, int]] | None = None,
) -> Float[ndarray, "pair layer component figure"]:
    """Figures of the base run with every component in turn taken from the source run, at some positions or at all.

    heads: those that are patched, default all; figures of the others are NaN.
    """
    encoder, readout = basecaller.encoder, ScoreReadout(basecaller)
    whole = sweep_components(encoder, base, source, readout, compute, positions, WHOLE)
    chosen = heads_of(encoder) if heads is None else heads
    return np.concatenate([whole, sweep_heads(encoder, base, source, readout, compute, chosen, positions)], axis=2)


def reduce(
    figures: Float[ndarray, "pair layer component figure"],
    start: Float[ndarray, "pair figure"],
    target: Float[ndarray, "pair figure"],
) -> Patched:
    """The measures, and the largest share of the way from the start's to the target's log-odds over all time steps."""
    measures = len(MEASURES)
    way = (target - start)[:, None, None, measures:]
    moved = figures[..., measures:] - start[:, None, None, measures:]
    share = np.divide(moved, way, out=np.full(moved.shape, -np.inf), where=np.abs(way) >= FLAT)
    largest = share.max(axis=-1)
    return Patched(figures[..., :measures], np.where(np.isfinite(largest), largest, np.nan))


def _largest(difference: Float[ndarray, "pair ..."]) -> Float[ndarray, "pair"]:
    """Largest absolute value of each pair."""
    largest: Float[ndarray, "pair"] = np.abs(difference).reshape(len(difference), -1).max(axis=1)
    return largest


def positions_of(
    start: Int[ndarray, "pair"], end: Int[ndarray, "pair"], stride: int, count: int, margin: int
) -> tuple[Bool[ndarray, "pair pos"], Bool[ndarray, "pair pos"]]:
    """Positions of [start, end) samples with a margin on either side, and as many next to them, `margin` away.

    Those lie before the run, where both sides of a pair are the same signal; after it where there is no room before.
    """
    first, last = np.maximum(start // stride - margin, 0), np.minimum(-(-end // stride) + margin, count)
    width = last - first
    other = np.where(first >= width + margin, first - width - margin, np.minimum(last + margin, count - width))
    position = np.arange(count)
    run = (position >= first[:, None]) & (position < last[:, None])
    return run, (position >= other[:, None]) & (position < (other + width)[:, None])
