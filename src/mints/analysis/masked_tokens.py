"""Floors of the masked-token loss: what a count of tokens and of token pairs already predicts.

A checkpoint that was loaded wrongly shows here first: its loss lies above the unigram floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse

from mints.analysis.bootstrap import interval

SMOOTHING = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Pseudo-tokens of the unigram distribution that may be mixed into every row of the bigram table."""

HIDDEN = -1
"""A neighbour that the model does not see either: masked itself, or a special token."""


class TokenFloors(NamedTuple):
    """Token and token-pair frequencies of a training stream."""

    unigram: Float[ndarray, "token"]
    """Probability of each token, with half a count added."""

    pairs: sparse.csr_array
    """Counts of (token, next token)."""

    smoothing: float
    """Pseudo-tokens of the unigram in each row, chosen on the last part of the training stream."""

    def unigram_losses(self, truth: Int[ndarray, "masked"]) -> Float[ndarray, "masked"]:
        """-ln p(token) in nats."""
        losses: Float[ndarray, "masked"] = -np.log(self.unigram[truth])
        return losses

    def bigram_losses(
        self, left: Int[ndarray, "masked"], truth: Int[ndarray, "masked"], right: Int[ndarray, "masked"]
    ) -> Float[ndarray, "masked"]:
        """-ln p(token | left, right) in nats, with p ∝ p(token | left) · p(right | token).

        left, right: neighbouring tokens, `HIDDEN` where the neighbour is hidden too; its factor is then left out.
        """
        by_column = self.pairs.tocsc()
        row_totals = np.asarray(self.pairs.sum(axis=1)).ravel() + self.smoothing
        losses = np.empty(len(truth))
        for start in range(0, len(truth), 256):
            part = slice(start, start + 256)
            weight = self._given_left(left[part], row_totals)
            weight *= self._of_right(right[part], by_column, row_totals)
            likelihood = weight[np.arange(weight.shape[0]), truth[part]] / weight.sum(axis=1)
            losses[part] = -np.log(likelihood)
        return losses

    def _given_left(
        self, left: Int[ndarray, "row"], row_totals: Float[ndarray, "token"]
    ) -> Float[ndarray, "row token"]:
        """p(token | left) for every token; the unigram where left is hidden."""
        counts = self.pairs[np.maximum(left, 0)].toarray() + self.smoothing * self.unigram
        conditional = counts / row_totals[np.maximum(left, 0)][:, None]
        return np.where((left == HIDDEN)[:, None], self.unigram, conditional)

    def _of_right(
        self, right: Int[ndarray, "row"], by_column: sparse.csc_array, row_totals: Float[ndarray, "token"]
    ) -> Float[ndarray, "row token"]:
        """p(right | token) for every token; 1 where right is hidden."""
        shown = np.maximum(right, 0)
        counts = by_column[:, shown].toarray().T + self.smoothing * self.unigram[shown][:, None]
        return np.where((right == HIDDEN)[:, None], 1.0, counts / row_totals)


def fit_floors(stream: Int[ndarray, "token"], vocabulary_size: int) -> TokenFloors:
    """Frequencies of a training stream; the smoothing is chosen on its last twentieth, which then joins the counts.

    Raises ValueError for a stream too short to split.
    """
    if len(stream) < 40:
        raise ValueError(f"a stream of {len(stream)} tokens is too short for token statistics")
    cut = len(stream) - max(2, len(stream) // 20)
    kept, tail = stream[:cut], stream[cut:]
    unigram, pairs = _unigram(kept, vocabulary_size), _pairs(kept, vocabulary_size)
    candidates = [TokenFloors(unigram, pairs, smoothing) for smoothing in SMOOTHING]
    losses = [_one_sided_loss(candidate, tail) for candidate in candidates]
    best = SMOOTHING[int(np.argmin(losses))]
    return TokenFloors(_unigram(stream, vocabulary_size), _pairs(stream, vocabulary_size), best)


def neighbours(
    tokens: Int[ndarray, "batch pos"], chosen: Int[ndarray, "masked"], hidden_ids: Sequence[int]
) -> tuple[Int[ndarray, "masked"], Int[ndarray, "masked"]]:
    """Left and right neighbours of the chosen tokens (flat indices) as the model sees them; `HIDDEN` for `hidden_ids`.

    Chosen tokens must not stand at a window's edge without a special token beside them.
    """
    flat = np.where(np.isin(tokens, hidden_ids), HIDDEN, tokens)
    padded = np.pad(flat, ((0, 0), (1, 1)), constant_values=HIDDEN)
    row, column = np.divmod(chosen, tokens.shape[1])
    return padded[row, column], padded[row, column + 2]


def composition_losses(
    tokens: Int[ndarray, "batch pos"],
    chosen: Int[ndarray, "masked"],
    truth: Int[ndarray, "masked"],
    hidden_ids: Sequence[int],
    unigram: Float[ndarray, "token"],
    smoothing: float,
) -> Float[ndarray, "masked"]:
    """-ln p(token) in nats by the tokens that are visible in the same sequence, wherever they stand.

    smoothing: pseudo-tokens of the unigram that are mixed in; chosen: flat indices; hidden_ids: tokens that tell
    nothing.
    """
    row = chosen // tokens.shape[1]
    visible = ~np.isin(tokens, hidden_ids)
    same = ((tokens[row] == truth[:, None]) & visible[row]).sum(1)
    share = (same + smoothing * unigram[truth]) / (visible.sum(1)[row] + smoothing)
    losses: Float[ndarray, "masked"] = -np.log(share)
    return losses


def unit_loss_rows(
    losses: Mapping[str, Float[ndarray, "masked"]],
    units: Int[ndarray, "masked"],
    weights: Int[ndarray, "resample unit"],
    level: float,
    *,
    reference: str,
) -> list[dict[str, object]]:
    """One row per predictor: `loss` in nats per hidden token, and `gain` over the reference predictor, paired.

    units: which unit (protein) each hidden token belongs to, any number of them to each; units are resampled.
    """
    count = weights.shape[1]
    tokens = weights @ np.bincount(units, minlength=count)
    rows: list[dict[str, object]] = []
    for predictor, values in losses.items():
        row: dict[str, object] = {"predictor": predictor, "tokens": len(values), "units": len(np.unique(units))}
        for name, figure in (("loss", values), ("gain", losses[reference] - values)):
            resampled = weights @ np.bincount(units, figure, minlength=count) / tokens
            ends = _with_ends(figure.mean(), resampled, level)
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        rows.append(row)
    return rows


def loss_rows(
    losses: Mapping[str, Float[ndarray, "window masked"]],
    bases: Float[ndarray, "window masked"],
    weights: Int[ndarray, "resample window"],
    level: float,
    *,
    reference: str,
) -> list[dict[str, object]]:
    """One row per predictor: `loss` in nats per hidden token, bits per base of the hidden tokens, and `gain`.

    losses: nats. bases: of each hidden token, NaN where that has no meaning. weights: windows are resampled, since the
    hidden tokens of one window are dependent. `gain` is the loss of the reference predictor minus the row's, paired.
    """
    hidden = bases.shape[1]
    tokens, total_bases = weights.sum(1) * hidden, weights @ bases.sum(1)
    rows: list[dict[str, object]] = []
    for predictor, values in losses.items():
        gains = losses[reference] - values
        loss = _with_ends(values.mean(), weights @ values.sum(1) / tokens, level)
        bits = values.sum() / bases.sum() / np.log(2)
        per_base = _with_ends(bits, weights @ values.sum(1) / total_bases / np.log(2), level)
        gain = _with_ends(gains.mean(), weights @ gains.sum(1) / tokens, level)
        rows.append(
            {"predictor": predictor, "tokens": values.size, "bases": float(bases.sum())}
            | dict(zip(("loss", "low", "high"), loss, strict=True))
            | dict(zip(("bits_per_base", "bits_per_base_low", "bits_per_base_high"), per_base, strict=True))
            | dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
        )
    return rows


def _with_ends(value: float, resampled: Float[ndarray, "resample"], level: float) -> tuple[float, float, float]:
    low, high = interval(resampled, level)
    return float(value), float(low), float(high)


def _unigram(stream: Int[ndarray, "token"], vocabulary_size: int) -> Float[ndarray, "token"]:
    counts = np.bincount(stream, minlength=vocabulary_size) + 0.5
    shares: Float[ndarray, "token"] = counts / counts.sum()
    return shares


def _pairs(stream: Int[ndarray, "token"], vocabulary_size: int) -> sparse.csr_array:
    ones = np.ones(len(stream) - 1)
    return sparse.coo_array((ones, (stream[:-1], stream[1:])), shape=(vocabulary_size, vocabulary_size)).tocsr()


def _one_sided_loss(floors: TokenFloors, tail: Int[ndarray, "token"]) -> float:
    left, truth = tail[:-1], tail[1:]
    totals = np.asarray(floors.pairs.sum(axis=1)).ravel()
    counts = np.asarray(floors.pairs[left, truth]).ravel() + floors.smoothing * floors.unigram[truth]
    return float(-np.log(counts / (totals[left] + floors.smoothing)).mean())
