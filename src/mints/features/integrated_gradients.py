"""Integrated gradients over latents and error together (docs/methods.md, Integrated gradients of latents)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from mints.features.above import Above, SiteReadout
from mints.features.autoencoder import SparseAutoencoder
from mints.features.latent_effects import TOKENS_PER_BATCH, added
from mints.features.random_directions import redirected
from mints.features.restart import Restart

NODES = 10
"""Points of the path at which the gradient is taken."""


class Nodes(NamedTuple):
    """Points of the path from base (0) to source (1), and their weights, which add up to 1."""

    places: Float[ndarray, "node"]
    weights: Float[ndarray, "node"]


def gauss_legendre(count: int) -> Nodes:
    """Exact for polynomials of degree 2·count − 1."""
    places, weights = np.polynomial.legendre.leggauss(count)
    return Nodes((places + 1) / 2, weights / 2)


def left_riemann(count: int) -> Nodes:
    """0, 1/count, …: misses the end of the path; for comparison with published figures."""
    return Nodes(np.arange(count) / count, np.full(count, 1 / count))


def mean_gradients(
    above: Above,
    base: Restart,
    source: Float[Tensor, "row pos d_in"],
    readout: SiteReadout,
    nodes: Nodes,
    which: Sequence[str] | None = None,
    tokens_per_batch: int | None = None,
) -> Float[Tensor, "readout row pos d_in"]:
    """Gradients of these read-outs, averaged along the straight path from each base row to its source; float64.

    What lies below the site stays that of the base run. which: default all.
    """
    budget = tokens_per_batch or TOKENS_PER_BATCH[above.compute.device.type]
    at_once = max(1, budget // base.x.shape[1])
    row, node = (part.ravel() for part in np.mgrid[: len(source), : len(nodes.places)])
    asked = which or readout.names
    total = torch.zeros(len(asked), *source.shape, dtype=torch.float64, device=source.device)
    for start in range(0, len(row), at_once):
        case = torch.from_numpy(row[start : start + at_once]).to(source.device)
        place, weight = (torch.from_numpy(part[node[start : start + at_once]]).to(source.device) for part in nodes)
        run = base.rows(case)
        x = run.x + place[:, None, None].to(run.x.dtype) * (source[case] - run.x)
        gradients = above.gradients(x, run, readout.rows(case), asked).double()
        total.index_add_(1, case, gradients * weight[:, None, None])
    return total


class Attributions(NamedTuple):
    """Shares of M(source) − M(base), per read-out and case."""

    latents: Float[ndarray, "readout row latent"]
    """Summed over the tokens."""

    at_changed: Float[ndarray, "readout row latent"]
    """Over the tokens that the case changes, alone."""

    error: Float[ndarray, "readout row"]
    """Of what the autoencoder leaves unexplained, over all tokens."""

    effect: Float[ndarray, "readout row"]
    """M(source) − M(base)."""

    missing: Float[ndarray, "readout row"]
    """Sum of all attributions less the effect: the completeness error."""

    along_random: Float[ndarray, "readout row latent"]
    """As `latents`, of a gradient of the same length at every token and of random direction: what is concentrated in it
    comes from the differences of the latents alone."""


def attribute(
    above: Above,
    autoencoder: SparseAutoencoder,
    base: Restart,
    source: Float[Tensor, "row pos d_in"],
    changed: Bool[Tensor, "row pos"],
    readout: SiteReadout,
    nodes: Nodes,
    rng: np.random.Generator,
    which: Sequence[str] | None = None,
) -> Attributions:
    """Integrated gradients of latents and error (Sundararajan et al. 2017) on the path from base to source.

    The activations are what the latents add, token by token, plus the error; both go along the path together, so that
    no rule is differentiated: latent j is given (added_source − added_base) · ⟨W_dec[j], mean gradient⟩.
    """
    gradients = mean_gradients(above, base, source, readout, nodes, which)
    difference = (added(autoencoder, source) - added(autoencoder, base.x)).double()
    directions = autoencoder.W_dec.detach().double()
    unexplained = (source - base.x).double() - difference @ directions
    here = changed.to(difference.device).double()[..., None]
    shares = []
    for gradient in gradients:  # one read-out at a time: tokens times latents is the largest array
        share = difference * (gradient @ directions.T)
        along_random = (difference * (redirected(gradient, rng) @ directions.T)).sum(1)
        shares.append(torch.stack([share.sum(1), (share * here).sum(1), along_random]))
    latents, at_changed, along_random = torch.stack(shares, dim=1)
    error = (gradients * unexplained).sum((2, 3))
    asked = [readout.names.index(name) for name in which or readout.names]
    effect = _readouts(above, base, source, readout)[asked] - _readouts(above, base, base.x, readout)[asked]
    missing = latents.sum(2) + error - effect
    parts = (latents, at_changed, error, effect, missing, along_random)
    return Attributions(*(part.cpu().numpy() for part in parts))


def attribute_changed(
    above: Above,
    autoencoder: SparseAutoencoder,
    base: Restart,
    source: Float[Tensor, "row pos d_in"],
    place: Int[Tensor, "row"],
    readout: SiteReadout,
    nodes: Nodes,
    which: Sequence[str],
) -> Float[ndarray, "readout row latent"]:
    """`attribute(…).at_changed` alone, for cases that change one token each, at `place`."""
    gradients = mean_gradients(above, base, source, readout, nodes, which)
    row = torch.arange(len(source), device=source.device)
    difference = added(autoencoder, source[row, place]) - added(autoencoder, base.x[row, place])
    along = gradients[:, row, place].float() @ autoencoder.W_dec.detach().T
    shares: Float[ndarray, "readout row latent"] = (difference * along).cpu().numpy()
    return shares


def _readouts(
    above: Above, run: Restart, x: Float[Tensor, "row pos d_in"], readout: SiteReadout
) -> Float[Tensor, "readout row"]:
    with torch.no_grad(), above.compute.autocast():
        return above.readouts(x, run, readout).T


def top_share(attributions: Float[ndarray, "... latent"], count: int = 20) -> Float[ndarray, "..."]:
    """Share of the absolute attributions that the largest `count` hold; NaN where all are 0."""
    sizes = -np.sort(-np.abs(attributions), axis=-1)
    with np.errstate(invalid="ignore"):
        share: Float[ndarray, "..."] = sizes[..., :count].sum(-1) / sizes.sum(-1)
    return share


def gini(attributions: Float[ndarray, "... latent"]) -> Float[ndarray, "..."]:
    """Gini coefficient of the absolute attributions over all latents: 0 where all are equal; NaN where all are 0."""
    sizes = np.sort(np.abs(attributions), axis=-1)
    count = sizes.shape[-1]
    with np.errstate(invalid="ignore"):
        ranked = (sizes * np.arange(1, count + 1)).sum(-1) / sizes.sum(-1)
    coefficient: Float[ndarray, "..."] = 2 * ranked / count - (count + 1) / count
    return coefficient


def sparse_uniform(active: Float[ndarray, "..."], d_sae: int, count: int = 20) -> tuple[ndarray, ndarray]:
    """Share of the top `count` and Gini that equal attributions to `active` of `d_sae` latents have.

    What the sparsity of the latents alone imposes: only latents that differ between the two ends get anything.
    """
    active = np.asarray(active, dtype=float)
    with np.errstate(divide="ignore"):
        share = np.minimum(1.0, count / active)
    return np.where(active > 0, share, np.nan), np.where(active > 0, 1 - active / d_sae, np.nan)
