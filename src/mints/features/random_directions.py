"""Directions that are uniform over the sphere: the null of whatever a latent's direction does."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


def random_directions(d: int, count: int, rng: np.random.Generator) -> Float[ndarray, "d direction"]:
    """Unit vectors, one a column."""
    drawn = rng.normal(size=(d, count))
    unit: Float[ndarray, "d direction"] = drawn / np.linalg.norm(drawn, axis=0)
    return unit


def redirected(vectors: Float[Tensor, "... d"], rng: np.random.Generator) -> Float[Tensor, "... d"]:
    """Vectors of the same lengths, each along a random direction of its own."""
    drawn = torch.from_numpy(rng.normal(size=tuple(vectors.shape))).to(vectors)
    drawn *= vectors.norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True)
    return drawn
