"""OV readout audit: does a head write, or read, along the direction that a probe reads?

For W_OV = Σₛ σₛ uₛ rₛᵀ and a probe's direction v (unit length) in the residual stream:

    write cosine = uₛ · v,   read cosine = rₛ · v,   self-gain = vᵀ W_OV v = Σₛ σₛ (uₛ · v)(rₛ · v)

Two nulls, of which neither needs a random matrix, because the coordinates of a random direction are all that matters:

* random frames: the head keeps its singular values, its singular vectors become two independent random frames. Their
  cosines with v are coordinates of two uniformly random unit vectors.
* random directions: the head stays as it is, v becomes a random direction d, and dᵀ W_OV d = Σ μᵢ cᵢ², with μ the
  eigenvalues of the symmetric part of W_OV and c coordinates of a random unit vector. For the cosines both nulls are
  the same. For the self-gain this is the one to conclude from: trained heads have a trace (they copy, or take away,
  *any* direction), and are then extreme among random frames whatever the probe is.

An audit of weights is no attribution. In post-norm models a head's output is normalised with the stream, layer after
layer, before the probe sees it: the residual stream is not a sum of component outputs, and what a head contributes to
the logit cannot be read off its weights. Hence no direct-logit attribution is offered there; patching measures it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.random import Generator
from scipy.stats import beta

from mints.analysis.circuits import NEGLIGIBLE, SingularVectors
from mints.analysis.multiplicity import benjamini_hochberg

NULL_DRAWS = 50_000
"""Draws of each null. The smallest p-value is 1 / (draws + 1): small enough for 0.05 over 464 heads."""

LEVEL = 0.95
"""Share of a null between its two quantiles in the tables."""

TOP_VECTORS = 25
"""Singular vectors in the table of the audited head."""


class Overlaps(NamedTuple):
    """How heads meet a direction v."""

    values: Float[ndarray, "head rank"]
    """Singular values of W_OV, the largest first."""

    write: Float[ndarray, "head rank"]
    """uₛ · v, with the sign of uₛ chosen so that it is not negative; 0 where the singular value is."""

    read: Float[ndarray, "head rank"]
    """rₛ · v, with the sign that belongs to that choice."""

    symmetric_eigenvalues: Float[ndarray, "head eigenvalue"]
    """Of (W_OV + W_OVᵀ) / 2, all that may differ from 0."""

    def self_gain(self) -> Float[ndarray, "head"]:
        """vᵀ W_OV v."""
        gain: Float[ndarray, "head"] = (self.values * self.write * self.read).sum(axis=1)
        return gain

    def rank(self) -> Int[ndarray, "head"]:
        """Number of singular values that are not 0."""
        rank: Int[ndarray, "head"] = (self.values > NEGLIGIBLE * self.values[:, :1]).sum(axis=1)
        return rank


class Nulls(NamedTuple):
    """Coordinates of random directions, shared by all heads of a model."""

    top_cosine: Float[ndarray, "rank draw"]
    """Largest |cosine| of a random direction with the first 1, 2, … vectors of a frame; ascending over draws."""

    frame_products: Float[ndarray, "draw rank"]
    """Random frames: write cosine times read cosine, vector by vector."""

    squared_coordinates: Float[ndarray, "draw eigenvalue"]
    """Random directions: squared coordinates along the eigenvectors of a head's symmetric part."""


class Judged(NamedTuple):
    """A statistic of every head against a null; p is two-sided."""

    low: Float[ndarray, "head"]
    high: Float[ndarray, "head"]
    p: Float[ndarray, "head"]


def overlaps(vectors: SingularVectors, directions: Mapping[str, Float[ndarray, "d_model"]]) -> dict[str, Overlaps]:
    """How the heads of one layer meet each of several directions (of any length).

    Raises ValueError for a direction of no length.
    """
    present = vectors.values > NEGLIGIBLE * vectors.values[:, :1]
    symmetric = _symmetric_eigenvalues(vectors)
    met = {}
    for name, direction in directions.items():
        length = float(np.linalg.norm(direction))
        if not length > 0:
            raise ValueError(f"the direction of {name} has no length")
        write = np.where(present, np.einsum("hdr,d->hr", vectors.write, direction / length), 0)
        read = np.where(present, np.einsum("hdr,d->hr", vectors.read, direction / length), 0)
        sign = np.where(write < 0, -1, 1)
        met[name] = Overlaps(vectors.values, sign * write, sign * read, symmetric)
    return met


def random_nulls(d_model: int, d_head: int, draws: int, rng: Generator) -> Nulls:
    """What the nulls of all heads of this shape are computed from."""
    write, read = (_random_coordinates(d_model, d_head, draws, rng) for _ in range(2))
    along = _random_coordinates(d_model, min(2 * d_head, d_model), draws, rng)
    top = np.maximum.accumulate(np.abs(write.T), axis=0)
    top.sort(axis=1)
    return Nulls(top, write * read, along**2)


def readout_audit(layers: Sequence[Overlaps], nulls: Nulls, probe_layer: int, level: float = LEVEL) -> pd.DataFrame:
    """One row per head: top write and read cosine and self-gain, each with null quantiles, p, and q over all heads.

    layers: of layer 0, 1, … with the direction of one probe, which reads `hook_resid_post` of `probe_layer`; heads
    above it cannot feed it (`at_or_below_probe`). Columns `self_gain_frames_*` are against random frames of the head's
    spectrum, `self_gain_*` against random directions in the head itself.
    """
    heads = [len(layer.values) for layer in layers]
    every = Overlaps(*(np.concatenate(parts) for parts in zip(*layers, strict=True)))
    layer = np.repeat(np.arange(len(layers)), heads)
    gain = every.self_gain()
    columns: dict[str, ndarray | int] = {
        "layer": layer,
        "head": np.concatenate([np.arange(n) for n in heads]),
        "probe_layer": probe_layer,
        "at_or_below_probe": layer <= probe_layer,
        "spectral_norm": every.values[:, 0],
    }
    for side, cosines in (("write", np.abs(every.write)), ("read", np.abs(every.read))):
        top = cosines.max(axis=1)
        columns |= {f"{side}_cosine": top, f"{side}_vector": cosines.argmax(axis=1) + 1}
        columns |= _columns(f"{side}_cosine", _judge_cosine(top, every.rank(), nulls, level))
    columns["self_gain"] = gain
    columns |= _columns("self_gain", _judge_gain(gain, every.symmetric_eigenvalues, nulls.squared_coordinates, level))
    columns |= _columns("self_gain_frames", _judge_gain(gain, every.values, nulls.frame_products, level))
    return pd.DataFrame(columns)


def head_alignment(layer: Overlaps, head: int, nulls: Nulls, d_model: int) -> pd.DataFrame:
    """The `TOP_VECTORS` strongest singular vectors of a head: cosines with the direction, share in the self-gain.

    null_cosine: |cosine| that one random vector exceeds with 5% chance, from cos² ~ Beta(1/2, (d_model - 1) / 2);
    null_top_cosine: the same for the largest among all of the head's vectors.
    """
    shown = slice(0, TOP_VECTORS)
    values, write, read = layer.values[head, shown], layer.write[head, shown], layer.read[head, shown]
    of_rank = nulls.top_cosine[max(int(layer.rank()[head]) - 1, 0)]
    return pd.DataFrame(
        {
            "vector": np.arange(1, len(values) + 1),
            "singular_value": values,
            "write_cosine": write,
            "read_cosine": read,
            "self_gain_part": values * write * read,
            "null_cosine": float(np.sqrt(beta.ppf(LEVEL, 0.5, (d_model - 1) / 2))),
            "null_top_cosine": float(np.quantile(of_rank, LEVEL)),
        }
    )


def _judge_cosine(top: Float[ndarray, "head"], rank: Int[ndarray, "head"], nulls: Nulls, level: float) -> Judged:
    """Top |cosine| against that of as many random vectors as the head has; two-sided in the vectors' sign."""
    of_rank = nulls.top_cosine[np.maximum(rank - 1, 0)]
    draws = of_rank.shape[1]
    below = np.array([np.searchsorted(random, value) for random, value in zip(of_rank, top, strict=True)])
    low, high = np.quantile(of_rank, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return Judged(low, high, (1 + draws - below) / (1 + draws))


def _judge_gain(
    gain: Float[ndarray, "head"],
    spectra: Float[ndarray, "head rank"],
    coordinates: Float[ndarray, "draw rank"],
    level: float,
) -> Judged:
    """Self-gain against Σ spectrum · coordinate over draws; p is twice the smaller tail."""
    low, high, p = np.empty_like(gain), np.empty_like(gain), np.empty_like(gain)
    for head, spectrum in enumerate(spectra):  # one by one: all at once would be heads x draws numbers
        random = coordinates @ spectrum
        low[head], high[head] = np.quantile(random, [(1 - level) / 2, (1 + level) / 2])
        tail = min((random <= gain[head]).sum(), (random >= gain[head]).sum())
        p[head] = min(1.0, 2 * (1 + tail) / (1 + len(random)))
    return Judged(low, high, p)


def _columns(name: str, judged: Judged) -> dict[str, ndarray]:
    return {
        f"{name}_null_low": judged.low,
        f"{name}_null_high": judged.high,
        f"{name}_p": judged.p,
        f"{name}_q": benjamini_hochberg(judged.p),
    }


def _symmetric_eigenvalues(vectors: SingularVectors) -> Float[ndarray, "head eigenvalue"]:
    """Of (U Σ Rᵀ + R Σ Uᵀ) / 2, in an orthonormal basis of the columns of U and R."""
    both = np.concatenate([vectors.write, vectors.read], axis=2)
    write, read = np.split(np.linalg.qr(both).R, 2, axis=2)
    half: Float[ndarray, "head basis basis"] = (write * vectors.values[:, None, :]) @ read.transpose(0, 2, 1)
    return np.linalg.eigvalsh((half + half.transpose(0, 2, 1)) / 2)


def _random_coordinates(d_model: int, count: int, draws: int, rng: Generator) -> Float[ndarray, "draw count"]:
    """The first coordinates of uniformly random unit vectors; the squares of the others together are a χ²."""
    coordinates = rng.standard_normal((draws, count))
    others = rng.chisquare(d_model - count, draws) if d_model > count else np.zeros(draws)
    coordinates /= np.sqrt((coordinates**2).sum(axis=1) + others)[:, None]
    return coordinates
