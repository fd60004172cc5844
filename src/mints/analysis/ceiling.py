"""How well any linear detector could read a motif from a layer: the ridge ceiling beside every alignment.

A head's key score is, for a given query, a linear function of what the attention reads. Its correlation with the motif
score is therefore bounded by that of the best linear reading, which ridge regression finds (Hoerl & Kennard 1970).
Everything follows from cross-products over tokens, centred within sequence as the alignment is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import t
from torch import Tensor

from mints.models.batching import Batch, in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding

PENALTIES = tuple(10.0**power for power in range(-6, 2))
"""Ridge penalties, in units of the mean variance of a residual dimension."""


class CrossProducts(NamedTuple):
    """Of the layer's input x and the motif score y, over tokens centred within their sequence."""

    xx: Float[ndarray, "layer d_model d_model"]
    xy: Float[ndarray, "layer d_model"]
    yy: float
    mean: Float[ndarray, "layer d_model"]
    """Mean of x over all tokens, not centred."""

    n: int
    """Tokens."""


class Ceiling(NamedTuple):
    """Held-out correlation of the best linear reading of one layer's input with the motif score."""

    r: float
    low: float
    high: float
    """From the spread over folds (t interval)."""


def attention_input(encoder: Encoder, layer: int) -> str:
    """Site that the layer's queries and keys are linear functions of."""
    return f"blocks.{layer}." + ("ln1.hook_out" if encoder.architecture.norm_placement == "pre" else "hook_resid_pre")


def cross_products(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    bits: Sequence[Float[ndarray, "token"]],
    compute: Compute,
    tokens_per_batch: int,
) -> CrossProducts:
    """Run the model once over the sequences. bits: motif scores of each sequence's content tokens, −inf left out."""

    def sum_batch(rows: Int[ndarray, "batch"]) -> CrossProducts:
        batch = pad(encodings, rows, encoder.architecture.pad_id)
        return _batch_products(encoder, batch, [bits[row] for row in rows], compute)

    whole: CrossProducts | None = None
    for _, part in in_batches(sum_batch, token_counts(encodings), tokens_per_batch, compute):
        whole = part if whole is None else _add(whole, part)
    assert whole is not None
    return whole


def _batch_products(
    encoder: Encoder, batch: Batch, bits: Sequence[Float[ndarray, "token"]], compute: Compute
) -> CrossProducts:
    y, mask = torch.zeros(batch.tokens.shape), torch.zeros(batch.tokens.shape, dtype=torch.bool)
    for place, of_row in enumerate(bits):
        scores = torch.from_numpy(np.asarray(of_row, dtype=np.float32))
        mask[place, batch.content[place]] = torch.isfinite(scores)
        y[place, batch.content[place]] = scores.nan_to_num(neginf=0.0)
    y = _centred(y[..., None], mask)
    there, taking_part = y.to(compute.device).flatten(0, 1), mask.to(compute.device)
    sites = [attention_input(encoder, layer) for layer in range(encoder.architecture.n_layers)]
    xx, xy, total = [], [], []
    with compute.inference():
        cache = encoder.run(batch.tokens.to(compute.device), batch.real.to(compute.device), sites=sites).cache
    for site in sites:
        total.append(cache[site][taking_part].double().sum(0).cpu().numpy())
        x = _centred(cache[site].float(), taking_part).flatten(0, 1)
        xx.append((x.T @ x).double().cpu().numpy())
        xy.append((x.T @ there)[:, 0].double().cpu().numpy())
    n = int(mask.sum())
    return CrossProducts(np.stack(xx), np.stack(xy), float((y.double() ** 2).sum()), np.stack(total) / max(1, n), n)


def _add(one: CrossProducts, other: CrossProducts) -> CrossProducts:
    n = one.n + other.n
    mean = (one.mean * one.n + other.mean * other.n) / max(1, n)
    return CrossProducts(one.xx + other.xx, one.xy + other.xy, one.yy + other.yy, mean, n)


def _centred(values: Tensor, mask: Tensor) -> Tensor:
    weights = mask[..., None].to(values.dtype)
    mean = (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)
    return (values - mean) * weights


def ridge(products: Sequence[CrossProducts], layer: int, penalty: float) -> Float[ndarray, "d_model"]:
    """Ridge direction of one layer over the tokens of several parts."""
    xx = np.sum([part.xx[layer] for part in products], axis=0)
    xy = np.sum([part.xy[layer] for part in products], axis=0)
    scale = penalty * np.trace(xx) / len(xx)
    direction: Float[ndarray, "d_model"] = np.linalg.solve(xx + scale * np.eye(len(xx)), xy)
    return direction


def reading_r(direction: Float[ndarray, "d_model"], products: CrossProducts, layer: int) -> float:
    """Correlation of a linear reading with the motif score, on the tokens of these cross-products."""
    spread = direction @ products.xx[layer] @ direction * products.yy
    return float(direction @ products.xy[layer] / np.sqrt(spread)) if spread > 0 else float("nan")


def ceilings(folds: Sequence[CrossProducts], level: float) -> list[Ceiling]:
    """Ceiling of every layer: each fold is read by a direction that was fitted and whose penalty was chosen elsewhere.

    folds: at least three. For fold k the penalty is chosen on fold k + 1, fitted on the others, and the direction is
    then fitted on all but k. The interval is a t interval of the folds' correlations on Fisher's scale.
    """
    if len(folds) < 3:
        raise ValueError("a ceiling needs three folds: to fit, to choose and to judge")
    result = []
    for layer in range(len(folds[0].xy)):
        judged = []
        for k in range(len(folds)):
            others = [fold for i, fold in enumerate(folds) if i != k]
            chooser = folds[(k + 1) % len(folds)]
            fitting = [fold for fold in others if fold is not chooser]
            penalty = max(PENALTIES, key=lambda value: reading_r(ridge(fitting, layer, value), chooser, layer))  # noqa: B023
            judged.append(reading_r(ridge(others, layer, penalty), folds[k], layer))
        result.append(_summarise(np.array(judged), level))
    return result


def _summarise(r: Float[ndarray, "fold"], level: float) -> Ceiling:
    z = np.arctanh(r)
    half = t.ppf(0.5 + level / 2, len(z) - 1) * z.std(ddof=1) / np.sqrt(len(z))
    return Ceiling(float(np.tanh(z.mean())), float(np.tanh(z.mean() - half)), float(np.tanh(z.mean() + half)))


def fold_of(clusters: Int[ndarray, "sequence"], folds: int, rng: np.random.Generator) -> Int[ndarray, "sequence"]:
    """Fold of every sequence; a cluster lies in one fold, and folds are as equal as that allows."""
    names, inverse = np.unique(clusters, return_inverse=True)
    order = rng.permutation(len(names))
    assignment = np.empty(len(names), dtype=np.int64)
    assignment[order] = np.arange(len(names)) % folds
    of_sequence: Int[ndarray, "sequence"] = assignment[inverse]
    return of_sequence


def measure_ceilings(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    bits: Sequence[Float[ndarray, "token"]],
    folds: Int[ndarray, "sequence"],
    compute: Compute,
    *,
    tokens_per_batch: int,
    level: float,
) -> list[Ceiling]:
    """Ceiling of every layer from sequences that were put into folds."""
    parts = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold).tolist()
        chosen, scores = [encodings[row] for row in rows], [bits[row] for row in rows]
        parts.append(cross_products(encoder, chosen, scores, compute, tokens_per_batch))
    return ceilings(parts, level)
