"""Encodings of which a circuit sees chosen positions alone: there nodes are ablated, read and counted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from mints.models.tokenizers import Encoding


def at_positions(encoding: Encoding, start: int, end: int) -> Encoding:
    """The encoding with every token outside of letters [start, end) marked as frame.

    The model reads the whole sequence as before. What looks at content tokens looks at these positions: the mean that a
    probe reads, the places where a latent is ablated and a downstream one watched, the tokens that are hidden.
    Raises ValueError where no token lies there.
    """
    inside: Bool[ndarray, "token"] = (encoding.spans[:, 0] < end) & (encoding.spans[:, 1] > start) & ~encoding.special
    if not inside.any():
        raise ValueError(f"no token of the sequence lies at letters {start} to {end}")
    return encoding._replace(special=~inside | np.asarray(encoding.special))
