"""From a forward pass to `head_sums`: alignment and enrichment of all heads in one pass, with their nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.head_sums import HeadSums, Moments, PermutedSums, Received, map_leaves
from mints.analysis.token_roles import TokenRoles
from mints.models.attention_reading import AttentionReading, PositionOnly, position_only, read_attention
from mints.models.batching import Batch, in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding


class PassSums(NamedTuple):
    """Sums of one pass: rows of the motif in question, totals of its permutations."""

    rows: HeadSums
    permuted: PermutedSums


def sum_attention(
    encoder: Encoder, encodings: Sequence[Encoding], roles: TokenRoles, compute: Compute, tokens_per_batch: int
) -> PassSums:
    """Run the model once over the sequences; rows are in their order, whatever the batches were."""
    alone = PositionCache(encoder)
    dense, device = _Dense(encodings, roles), _summing_device(compute.device)

    def sum_batch(rows: Int[ndarray, "batch"]) -> PassSums:
        batch = pad(encodings, rows, encoder.architecture.pad_id)
        return _batch_sums(read_attention(encoder, batch, compute), alone.of(batch), dense.of(batch, device))

    parts = list(in_batches(sum_batch, token_counts(encodings), tokens_per_batch, compute))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    rows = map_leaves(lambda *leaves: np.concatenate(leaves)[order], *(part.rows for _, part in parts))
    permuted = map_leaves(lambda *leaves: np.sum(leaves, axis=0), *(part.permuted for _, part in parts))
    return PassSums(rows, permuted)


class PositionCache:
    """`position_only` of every length that occurred; it depends on nothing else."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[int, PositionOnly] = {}

    def of(self, batch: Batch) -> AttentionReading:
        """Position-only figures of a batch, zero at pads."""
        lengths = batch.real.sum(1).tolist()
        width = batch.real.shape[1]
        for length in set(lengths) - set(self._known):
            self._known[length] = position_only(self._encoder, length)
        padded = [
            [torch.nn.functional.pad(part, (0, 0, 0, width - length)) for part in self._known[length]]
            for length in lengths
        ]
        scores, received = zip(*padded, strict=True)
        return AttentionReading(torch.stack(scores), torch.stack(received))


class BatchRoles(NamedTuple):
    """`TokenRoles` of one batch, in its shape, float64 on the device where the statistics are summed."""

    bits: Float[Tensor, "batch pos motif"]
    """Zero where the token takes no part."""

    known: Float[Tensor, "batch pos motif"]
    support: Float[Tensor, "batch pos motif"]
    background: Float[Tensor, "batch pos motif"]
    inner: Float[Tensor, "batch pos 1"]
    positive: Float[Tensor, "batch 1"]


class _Dense:
    """Lays flat token roles out in the shape of a batch."""

    def __init__(self, encodings: Sequence[Encoding], roles: TokenRoles) -> None:
        self._roles = roles
        self._first = np.searchsorted(roles.sequence, np.arange(len(encodings) + 1))

    def of(self, batch: Batch, device: torch.device) -> BatchRoles:
        roles = self._roles
        rows = [np.arange(self._first[row], self._first[row + 1]) for row in batch.rows]
        tokens = np.concatenate(rows)
        in_batch = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        known = np.isfinite(roles.bits[tokens])

        def lay_out(values: ndarray) -> Float[Tensor, "batch pos motif"]:
            dense = np.zeros((*batch.real.shape, values.shape[1]))
            dense[in_batch, roles.position[tokens]] = values
            return torch.from_numpy(dense).to(device)

        return BatchRoles(
            lay_out(np.where(known, roles.bits[tokens], 0)),
            lay_out(known),
            lay_out(roles.support[tokens] & known),
            lay_out(roles.background[tokens] & known),
            lay_out(roles.inner[tokens, None]),
            torch.from_numpy(roles.positive[batch.rows].astype(float)[:, None]).to(device),
        )


def _summing_device(device: torch.device) -> torch.device:
    """Where float64 sums are made: where the model ran, but for Apple's GPUs, which have no float64."""
    return torch.device("cpu") if device.type == "mps" else device


def _batch_sums(reading: AttentionReading, alone: AttentionReading, roles: BatchRoles) -> PassSums:
    device = roles.bits.device
    x, received, alone_x, alone_received = (part.to(device).double() for part in (*reading, *alone))
    bits, known, support, background = (part[..., :1] for part in roles[:4])
    all_tokens = _moments(x, bits, known)
    rows = HeadSums(
        all_tokens,
        Moments(*(leaf * roles.positive.cpu().numpy() for leaf in all_tokens)),
        _moments(x, bits, known * roles.inner),
        _moments(x, bits, support + background),
        _moments(alone_x, bits, known),
        _shared(x, alone_x, known),
        _received(received, support, background),
        _received(alone_received, support, background),
    )
    return PassSums(rows, _permuted(x, received, roles))


def _arrays(*sums: Tensor) -> tuple[ndarray, ...]:
    return tuple(part.cpu().numpy() for part in sums)


def _moments(
    x: Float[Tensor, "batch pos head"], y: Float[Tensor, "batch pos 1"], mask: Float[Tensor, "batch pos 1"]
) -> Moments:
    n = mask.sum(1)
    sum_x, sum_y = (x * mask).sum(1), (y * mask).sum(1)
    mean_x, mean_y = sum_x / n.clamp(min=1), sum_y / n.clamp(min=1)
    apart_x, apart_y = (x - mean_x[:, None]) * mask, (y - mean_y[:, None]) * mask
    within = (apart_x**2).sum(1), (apart_y**2).sum(1), (apart_x * apart_y).sum(1)
    raw = within[0] + sum_x * mean_x, within[1] + sum_y * mean_y, within[2] + sum_x * mean_y
    return Moments(*_arrays(n, sum_x, sum_y, *raw, *within))


def _shared(
    x: Float[Tensor, "batch pos head"], other: Float[Tensor, "batch pos head"], mask: Float[Tensor, "batch pos 1"]
) -> Float[ndarray, "batch head"]:
    mean = (other * mask).sum(1) / mask.sum(1).clamp(min=1)
    # One side is centred within its sequence: the other need not be.
    return _arrays((x * (other - mean[:, None]) * mask).sum(1))[0]


def _received(
    received: Float[Tensor, "batch pos head"],
    support: Float[Tensor, "batch pos 1"],
    background: Float[Tensor, "batch pos 1"],
) -> Received:
    sums = support.sum(1), (received * support).sum(1), background.sum(1), (received * background).sum(1)
    return Received(*_arrays(*sums))


def _permuted(
    x: Float[Tensor, "batch pos head"], received: Float[Tensor, "batch pos head"], roles: BatchRoles
) -> PermutedSums:
    """Totals over the batch, as products of a token × motif with a token × head matrix."""
    bits, known, support, background = (part[..., 1:] for part in roles[:4])
    apart = (bits - ((bits * known).sum(1) / known.sum(1).clamp(min=1))[:, None]) * known

    def against(motif_side: Tensor, head_side: Tensor) -> Float[Tensor, "motif head"]:
        return motif_side.flatten(0, 1).T @ head_side.flatten(0, 1)

    sides = ((side.sum((0, 1))[:, None], against(side, received)) for side in (support, background))
    # The centred side sums to zero in every sequence: the other need not be centred.
    spread, shared = _arrays((apart**2).sum((0, 1))[:, None], against(apart, x))
    return PermutedSums(spread, shared, Received(*(part for side in sides for part in _arrays(*side))))
