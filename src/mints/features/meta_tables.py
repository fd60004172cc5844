"""What a meta-dictionary leaves of the decoder rows, beside what random rows and a random dictionary leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from mints.features.autoencoder import SparseAutoencoder
from mints.features.meta import (
    Member,
    MetaFit,
    MetaRecipe,
    covariance_rows,
    isotropic_rows,
    own_fit,
    pursuit_fit,
    train_together,
)

DECODER, ISOTROPIC, COVARIANCE, UNTRAINED = (
    "decoder rows",
    "random rows",
    "random rows of equal covariance",
    "decoder rows, untrained dictionary",
)
"""What is decomposed. The first three have dictionaries trained on themselves; the atoms of the untrained one are drawn
with the mean and covariance of the decoder rows."""


class MetaDictionaries(NamedTuple):
    """A curve over sparsity and seeds."""

    table: pd.DataFrame
    """Columns rows, k, seed; l0 and left (unexplained share of the variance) by the own encoder, NaN for the untrained;
    left_pursuit by orthogonal matching pursuit with k atoms; dead_share (meta-latents active for no row)."""

    trained: dict[tuple[int, int], SparseAutoencoder]
    """On decoder rows, by k and seed."""


def meta_dictionaries(
    rows: Float[Tensor, "row d_in"], ks: Sequence[int], seeds: int, recipe: MetaRecipe, rng: np.random.Generator
) -> MetaDictionaries:
    """Train on unit decoder rows and on random ones, for every k and seed (docs/methods.md, Meta-dictionaries).

    Random rows and untrained atoms are drawn anew for each seed.
    """
    members, labels = [], []
    table: list[dict[str, object]] = []
    for seed in range(seeds):
        kinds = {DECODER: rows, ISOTROPIC: isotropic_rows(rows, rng), COVARIANCE: covariance_rows(rows, rng)}
        atoms = covariance_rows(rows, rng)[: recipe.meta_latents]
        for k in ks:
            members += [Member(of_kind, k, seed) for of_kind in kinds.values()]
            labels += [(kind, k, seed) for kind in kinds]
            untrained = pursuit_fit(atoms, rows.mean(0), rows, k)
            table.append(_row(UNTRAINED, k, seed, MetaFit(np.nan, np.nan), untrained) | {"dead_share": np.nan})
    trained = train_together(members, recipe)
    for (kind, k, seed), member, autoencoder in zip(labels, members, trained, strict=True):
        pursued = pursuit_fit(autoencoder.W_dec, autoencoder.b_dec, member.rows, k)
        dead = (autoencoder.encode(member.rows) > 0).sum(0) == 0
        row = _row(kind, k, seed, own_fit(autoencoder, member.rows), pursued)
        table.append(row | {"dead_share": float(dead.double().mean())})
    order = [DECODER, ISOTROPIC, COVARIANCE, UNTRAINED]
    frame = pd.DataFrame(table)
    frame = frame.sort_values(["k", "rows", "seed"], key=lambda c: c.map(order.index) if c.name == "rows" else c)
    return MetaDictionaries(
        frame.reset_index(drop=True),
        {(k, seed): found for (kind, k, seed), found in zip(labels, trained, strict=True) if kind == DECODER},
    )


def _row(kind: str, k: int, seed: int, own: MetaFit, pursued: MetaFit) -> dict[str, object]:
    return {"rows": kind, "k": k, "seed": seed, "l0": own.l0, "left": own.left, "left_pursuit": pursued.left}
