"""All patches of a set of pairs: denoising and noising, heads and components, nulls and the gradient's estimate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from mints.analysis.attribution import attribute_heads
from mints.analysis.head_sums import Tree, map_leaves
from mints.analysis.patching import (
    COMPONENTS,
    PairTokens,
    Readout,
    Recording,
    heads_of,
    patch_residual,
    record,
    sweep_components,
    sweep_heads,
)
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding

TOKENS_PER_BATCH = {"cpu": 512, "cuda": 65_536, "mps": 16_384}
"""What keeps a device busy: a patched run keeps several versions of its batch at once, so a CPU's is a small one."""


class PairSet(NamedTuple):
    """Encoded pairs; all sides of a pair have the same token boundaries."""

    clean: Sequence[Encoding]
    corrupted: Sequence[Encoding]
    control: Sequence[Encoding]
    """Clean with a like edit elsewhere; the clean encoding itself where there is none, which changes nothing."""

    partner: Sequence[Encoding]
    """Clean side of another pair: an activation that knows the motif, and nothing of this pair."""

    motifless: Sequence[Encoding]
    """Corrupted side of that other pair: an activation that knows neither."""

    start: Int[ndarray, "pair"]
    """First base of the motif."""


class Denoising(NamedTuple):
    """Read-outs of every pair, float64, with one head at a time taken from a clean run; NaN for heads left out."""

    clean: Float[ndarray, "pair"]
    corrupted: Float[ndarray, "pair"]
    control: Float[ndarray, "pair"]
    heads: Float[ndarray, "pair layer head"]
    """Corrupted run, head from the clean run."""

    partner_heads: Float[ndarray, "pair layer head"]
    """Corrupted run, head from another pair's clean run."""

    motifless_heads: Float[ndarray, "pair layer head"]
    """Corrupted run, head from another pair's corrupted run."""

    control_heads: Float[ndarray, "pair layer head"]
    """Control run, head from the clean run."""


class Sweep(NamedTuple):
    """Every patch of every pair."""

    denoising: Denoising
    noised_heads: Float[ndarray, "pair layer head"]
    """Clean run, one head from the corrupted run."""

    denoised_components: Float[ndarray, "pair layer component"]
    noised_components: Float[ndarray, "pair layer component"]
    windows: Float[ndarray, "pair layer window"]
    """Corrupted run, a layer's input taken from the clean run at the tokens of one nucleotide window."""

    estimated_heads: Float[ndarray, "pair layer head"]
    """First-order estimate of the change that denoising each head makes."""

    no_op: Float[ndarray, "pair"]
    """Largest change over all heads when the corrupted run is patched with itself: exactly 0."""

    everything: Float[ndarray, "pair"]
    """Distance from the clean read-out when the clean run's whole input is patched in: exactly 0."""

    above_readout: Float[ndarray, "pair"]
    """Change by silencing the layer above the read-out in a full forward pass: exactly 0."""


def sweep_pairs(
    encoder: Encoder,
    pairs: PairSet,
    readout: Readout,
    compute: Compute,
    windows: Sequence[tuple[int, int]],
    tokens_per_batch: int,
) -> Sweep:
    """Every patch of every pair; rows are in the order of the pairs, whatever the batches were.

    windows: half-open nucleotide intervals relative to each motif's first base. Raises ValueError where the sides of a
    pair differ in their token boundaries: patching would put one place's activation into another.
    """
    everyone = heads_of(encoder)

    def sweep_batch(rows: Int[ndarray, "pair"], sides: Sides) -> Sweep:
        places = [_positions(pairs, rows, window, sides.clean.batch.tokens.shape[1]) for window in windows]
        return _sweep_batch(encoder, sides, everyone, readout, compute, places)

    return _over_batches(encoder, pairs, readout, compute, tokens_per_batch, sweep_batch)


def denoise_heads(
    encoder: Encoder,
    pairs: PairSet,
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int,
    heads: Collection[tuple[int, int]] | None = None,
) -> Denoising:
    """The denoising part of `sweep_pairs` alone, of some heads (layer, head) or of all."""
    chosen = heads_of(encoder) if heads is None else heads

    def denoise_batch(rows: Int[ndarray, "pair"], sides: Sides) -> Denoising:
        return _denoise(encoder, sides, chosen, readout, compute)

    return _over_batches(encoder, pairs, readout, compute, tokens_per_batch, denoise_batch)


class Sides(NamedTuple):
    """Recordings of one batch of pairs."""

    clean: Recording
    corrupted: Recording
    control: Recording
    partner: Recording
    motifless: Recording


def _over_batches(
    encoder: Encoder,
    pairs: PairSet,
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int,
    sweep_batch: Callable[[Int[ndarray, "pair"], Sides], Tree],
) -> Tree:
    for clean, *others in zip(pairs.clean, pairs.corrupted, pairs.control, strict=True):
        if not all(np.array_equal(clean.spans, other.spans) for other in others):
            raise ValueError("the token boundaries of a pair differ")

    def sweep_rows(rows: Int[ndarray, "pair"]) -> Tree:
        width = max(len(side[row].ids) for side in (pairs.clean, pairs.partner) for row in rows)
        batches = (_batch(side, rows, encoder, width) for side in pairs[:5])
        return sweep_batch(rows, Sides(*(record(encoder, batch, readout, compute) for batch in batches)))

    parts = list(in_batches(sweep_rows, token_counts(pairs.clean), tokens_per_batch, compute))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return map_leaves(lambda *leaves: np.concatenate(leaves)[order], *(part for _, part in parts))


def _denoise(
    encoder: Encoder, sides: Sides, heads: Collection[tuple[int, int]], readout: Readout, compute: Compute
) -> Denoising:
    clean, corrupted, control, partner, motifless = sides
    return Denoising(
        clean.readout.cpu().numpy(),
        corrupted.readout.cpu().numpy(),
        control.readout.cpu().numpy(),
        sweep_heads(encoder, corrupted, clean, readout, compute, heads),
        sweep_heads(encoder, corrupted, _borrowed(corrupted, partner), readout, compute, heads),
        sweep_heads(encoder, corrupted, _borrowed(corrupted, motifless), readout, compute, heads),
        sweep_heads(encoder, control, clean, readout, compute, heads),
    )


def _sweep_batch(
    encoder: Encoder,
    sides: Sides,
    heads: Collection[tuple[int, int]],
    readout: Readout,
    compute: Compute,
    places: Sequence[Bool[Tensor, "pair pos"]],
) -> Sweep:
    clean, corrupted = sides.clean, sides.corrupted
    itself = sweep_heads(encoder, corrupted, corrupted, readout, compute, heads)
    everything = patch_residual(encoder, corrupted, clean, 0, readout, compute)
    by_window = [
        torch.stack([patch_residual(encoder, corrupted, clean, i, readout, compute, place) for place in places], dim=-1)
        for i in range(encoder.architecture.n_layers)
    ]
    return Sweep(
        _denoise(encoder, sides, heads, readout, compute),
        sweep_heads(encoder, clean, corrupted, readout, compute, heads),
        sweep_components(encoder, corrupted, clean, readout, compute),
        sweep_components(encoder, clean, corrupted, readout, compute),
        torch.stack(by_window, dim=1).cpu().numpy(),
        attribute_heads(encoder, corrupted, clean, readout, compute),
        np.abs(itself - corrupted.readout.cpu().numpy()[:, None, None]).max((1, 2)),
        np.abs((everything - clean.readout).cpu().numpy()),
        _change_from_above(encoder, corrupted, readout, compute),
    )


def _change_from_above(encoder: Encoder, base: Recording, readout: Readout, compute: Compute) -> Float[ndarray, "pair"]:
    """Silence the layer above the read-out in a full forward pass; there is none above the last layer's."""
    above = readout.layer + 1
    if above == encoder.architecture.n_layers:
        return np.zeros(len(base.batch.tokens))
    site = f"blocks.{readout.layer}.hook_resid_post"
    with compute.inference():
        tokens, real = base.batch.tokens.to(compute.device), base.batch.real.to(compute.device)
        silenced = {f"blocks.{above}.attn.hook_z": torch.zeros_like}
        output = encoder.run(tokens, real, sites=[site], interventions=silenced, stop=above + 1)
        change: ndarray = (readout(encoder, output.cache[site], base.batch) - base.readout).abs().cpu().numpy()
    return change


def _batch(side: Sequence[Encoding], rows: Int[ndarray, "pair"], encoder: Encoder, width: int) -> PairTokens:
    batch = pad(side, rows, encoder.architecture.pad_id)
    missing = (0, width - batch.tokens.shape[1])
    return PairTokens(
        functional.pad(batch.tokens, missing, value=encoder.architecture.pad_id),
        functional.pad(batch.real, missing, value=False),
        functional.pad(batch.content, missing, value=False),
    )


def _borrowed(base: Recording, partner: Recording) -> Recording:
    """The base run with the partner's heads at all tokens that both have."""
    both = (base.batch.real & partner.batch.real).to(base.residual[0].device)[..., None, None]
    z = [torch.where(both, theirs, own) for theirs, own in zip(partner.z, base.z, strict=True)]
    return base._replace(z=z)


def _positions(
    pairs: PairSet, rows: Int[ndarray, "pair"], window: tuple[int, int], width: int
) -> Bool[Tensor, "pair pos"]:
    """Tokens that overlap a window that is given relative to the motif."""
    positions = torch.zeros(len(rows), width, dtype=torch.bool)
    for place, row in enumerate(rows):
        encoding = pairs.clean[row]
        low, high = pairs.start[row] + window[0], pairs.start[row] + window[1]
        overlap = (encoding.spans[:, 0] < high) & (encoding.spans[:, 1] > low) & ~encoding.special
        positions[place, : len(overlap)] = torch.from_numpy(overlap)
    return positions


def empty_sweep(n_layers: int, n_heads: int, n_windows: int) -> Sweep:
    """The sweep of no pairs at all: every figure that follows from it is undefined."""
    one, heads = np.zeros(0), np.zeros((0, n_layers, n_heads))
    components, windows = np.zeros((0, n_layers, len(COMPONENTS))), np.zeros((0, n_layers, n_windows))
    denoising = Denoising(one, one, one, heads, heads, heads, heads)
    return Sweep(denoising, heads, components, components, windows, heads, one, one, one)


def part_of(pairs: PairSet, start: int, stop: int) -> PairSet:
    """Pairs [start, stop)."""
    chosen = slice(start, stop)
    return PairSet(
        pairs.clean[chosen],
        pairs.corrupted[chosen],
        pairs.control[chosen],
        pairs.partner[chosen],
        pairs.motifless[chosen],
        pairs.start[chosen],
    )
