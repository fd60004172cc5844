"""A dictionary of a dictionary: sparse autoencoders on the decoder rows of another, and what random rows would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from mints.features.autoencoder import SparseAutoencoder


class MetaRecipe(NamedTuple):
    """How meta-dictionaries are trained."""

    meta_latents: int
    steps: int = 300
    batch: int = 256
    learning_rate: float = 1e-2


class Member(NamedTuple):
    """One of several autoencoders that are trained side by side."""

    rows: Float[Tensor, "row d_in"]
    k: int
    """Most meta-latents per row."""

    seed: int


def unit_rows(rows: Float[Tensor, "row d_in"]) -> Float[Tensor, "row d_in"]:
    """The rows, each divided by its length; a dictionary's rows differ in length only by its training's convention."""
    return functional.normalize(rows.detach().float(), dim=1)


def isotropic_rows(like: Float[Tensor, "row d_in"], rng: np.random.Generator) -> Float[Tensor, "row d_in"]:
    """As many unit vectors, drawn evenly from the sphere."""
    return unit_rows(torch.from_numpy(rng.standard_normal(like.shape)))


def covariance_rows(like: Float[Tensor, "row d_in"], rng: np.random.Generator) -> Float[Tensor, "row d_in"]:
    """As many Gaussian vectors with the rows' mean and covariance, divided by their lengths.

    What a meta-dictionary gains on the rows beyond these is not that they lie in few dimensions.
    """
    values = like.double().numpy()
    mean = values.mean(0)
    _, spreads, axes = np.linalg.svd(values - mean, full_matrices=False)
    drawn = rng.standard_normal((len(values), len(spreads))) * spreads / np.sqrt(len(values))
    return unit_rows(torch.from_numpy(mean + drawn @ axes))


def train_together(members: Sequence[Member], recipe: MetaRecipe) -> list[SparseAutoencoder]:
    """TopK autoencoders of equal size, trained in one batched loop: each as it would be alone.

    Decoders start at rows drawn from the member's own and keep unit length; Adam, learning rate falling to zero over
    the last half. Raises ValueError where members differ in the shape of their rows, or there are too few rows.
    """
    rows = torch.stack([member.rows for member in members])
    n_members, n_rows, d_in = rows.shape
    if n_rows < recipe.meta_latents:
        raise ValueError(f"{n_rows} rows are too few for {recipe.meta_latents} meta-latents")
    generators = [torch.Generator().manual_seed(member.seed) for member in members]
    starts = torch.stack([torch.randperm(n_rows, generator=g)[: recipe.meta_latents] for g in generators])
    b_dec = rows.mean(1)
    w_dec = functional.normalize(_pick(rows, starts) - b_dec[:, None], dim=2)
    parameters = [w_dec.mT.clone(), torch.zeros(n_members, recipe.meta_latents), w_dec, b_dec]
    w_enc, b_enc, w_dec, b_dec = (parameter.requires_grad_() for parameter in parameters)
    optimiser = torch.optim.Adam([w_enc, b_enc, w_dec, b_dec], lr=recipe.learning_rate)
    ranks = torch.arange(max(member.k for member in members))
    kept = ranks < torch.tensor([[member.k] for member in members])
    for step in range(recipe.steps):
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * min(1.0, 2 * (1 - step / recipe.steps))
        x = _pick(rows, torch.stack([torch.randint(n_rows, (recipe.batch,), generator=g) for g in generators]))
        pre = torch.baddbmm(b_enc[:, None], x - b_dec[:, None], w_enc)
        values, latents = pre.relu().topk(len(ranks), dim=-1)
        z = torch.zeros_like(pre).scatter(-1, latents, values * kept[:, None])
        error = torch.baddbmm(b_dec[:, None], z, w_dec) - x
        # Summed over members: Adam's step of each is then its own.
        error.square().sum(2).mean(1).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            w_dec.copy_(functional.normalize(w_dec, dim=2))
    return [_finished(member, recipe, *part) for member, *part in zip(members, w_enc, b_enc, w_dec, b_dec, strict=True)]


def _pick(
    rows: Float[Tensor, "member row d_in"], which: Int[Tensor, "member chosen"]
) -> Float[Tensor, "member chosen d_in"]:
    return rows[torch.arange(len(rows))[:, None], which]


def _finished(
    member: Member, recipe: MetaRecipe, w_enc: Tensor, b_enc: Tensor, w_dec: Tensor, b_dec: Tensor
) -> SparseAutoencoder:
    autoencoder = SparseAutoencoder(member.rows.shape[1], recipe.meta_latents, "topk", k=member.k)
    with torch.no_grad():
        for parameter, value in zip(
            (autoencoder.W_enc, autoencoder.b_enc, autoencoder.W_dec, autoencoder.b_dec),
            (w_enc, b_enc, w_dec, b_dec),
            strict=True,
        ):
            parameter.copy_(value)
    return autoencoder.requires_grad_(False)


class MetaFit(NamedTuple):
    """How much of some rows a dictionary of atoms leaves over."""

    left: float
    """Squared length of the error over that of the rows around their mean: fraction of variance unexplained."""

    l0: float
    """Atoms per row."""


def own_fit(autoencoder: SparseAutoencoder, rows: Float[Tensor, "row d_in"]) -> MetaFit:
    """With the codes of the autoencoder's own encoder."""
    with torch.no_grad():
        latents, output = autoencoder(rows)
    return MetaFit(_left(rows, output), float((latents > 0).double().sum(1).mean()))


def pursuit_fit(
    atoms: Float[Tensor, "atom d_in"], centre: Float[Tensor, "d_in"], rows: Float[Tensor, "row d_in"], k: int
) -> MetaFit:
    """With codes by orthogonal matching pursuit (Pati et al. 1993), the same for any dictionary, trained or not."""
    x = (rows - centre).double()
    output = pursuit(atoms.double(), x, k)
    return MetaFit(_left(x, output), float(k))


def pursuit(atoms: Float[Tensor, "atom d_in"], x: Float[Tensor, "row d_in"], k: int) -> Float[Tensor, "row d_in"]:
    """Least-squares reconstruction of each row from k unit atoms, each the one that fits the remainder best."""
    chosen = torch.zeros(len(x), 0, dtype=torch.long)
    output = torch.zeros_like(x)
    for _ in range(k):
        fit = ((x - output) @ atoms.T).abs().scatter(1, chosen, -1.0)
        chosen = torch.cat([chosen, fit.argmax(1, keepdim=True)], dim=1)
        used = atoms[chosen]
        weights = torch.linalg.lstsq(used.mT, x[..., None], driver="gelsd").solution
        output = (used.mT @ weights)[..., 0]
    return output


def _left(rows: Float[Tensor, "row d_in"], output: Float[Tensor, "row d_in"]) -> float:
    rows = rows.double()
    around = rows - rows.mean(0)
    return float((rows - output).square().sum() / around.square().sum())


class Child(NamedTuple):
    """A latent that a meta-latent is active for."""

    meta_latent: int
    rank: int
    """From 1, the strongest."""

    row: int
    """Index among the rows that the meta-dictionary was trained on."""

    activation: float
    cosine: float
    """Of the latent's decoder row with the meta-latent's."""


def children(autoencoder: SparseAutoencoder, rows: Float[Tensor, "row d_in"], most: int) -> list[Child]:
    """The strongest children of every meta-latent, at most `most` of each; none where it is never active."""
    with torch.no_grad():
        latents = autoencoder.encode(rows)
        cosine = unit_rows(rows) @ unit_rows(autoencoder.W_dec).T
    values, order = latents.sort(dim=0, descending=True, stable=True)
    return [
        Child(meta, rank + 1, int(order[rank, meta]), float(values[rank, meta]), float(cosine[order[rank, meta], meta]))
        for meta in range(autoencoder.d_sae)
        for rank in range(min(most, int((values[:, meta] > 0).sum())))
    ]
