"""Which latents of one dictionary another one has as well."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

TWIN = 0.7
"""Two latents are twins whose decoder rows have a larger cosine than this, and that are nearest to each other."""

BLOCK = 1024
"""Rows compared at a time."""


class Twins(NamedTuple):
    """Pairs of latents of two dictionaries."""

    first: Int[Tensor, "pair"]
    second: Int[Tensor, "pair"]
    cosine: Float[Tensor, "pair"]


def twins(first: Float[Tensor, "latent d_in"], second: Float[Tensor, "other d_in"], least: float = TWIN) -> Twins:
    """Pairs of decoder rows that are each other's nearest by cosine, with a cosine above `least`.

    Each row is in one pair at most; no row of norm 0 is in any. Memory grows with the rows of `second` alone.
    """
    rows, others = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    nearest = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    cosine = torch.empty(len(rows), device=rows.device)
    best = torch.full((len(others),), -2.0, device=rows.device)
    best_row = torch.zeros(len(others), dtype=torch.int64, device=rows.device)
    for start in range(0, len(rows), BLOCK):
        products = rows[start : start + BLOCK] @ others.T
        cosine[start : start + BLOCK], nearest[start : start + BLOCK] = products.max(1)
        largest, row = products.max(0)
        better = largest > best
        best = torch.where(better, largest, best)
        best_row = torch.where(better, row + start, best_row)
    mutual = best_row[nearest] == torch.arange(len(rows), device=rows.device)
    kept = (mutual & (cosine > least)).nonzero()[:, 0]
    return Twins(kept, nearest[kept], cosine[kept])
