"""Which latents stand beside one that was chosen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Num
from numpy import ndarray


def nearest(distance: Num[ndarray, "latent"], free: Bool[ndarray, "latent"], count: int) -> Int[ndarray, "near"]:
    """At most `count` of the free latents, the nearest first; of equally near ones the lower index first."""
    candidates = np.flatnonzero(free)
    near: Int[ndarray, "near"] = candidates[np.argsort(distance[candidates], kind="stable")[:count]]
    return near
