"""Where aligned sequences agree: the place of a site that all of them carry, when nobody says where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mints.data.sequences import encode
from mints.errors import MintsError

LEAST_BITS = 1.0
"""A column of less information than this is no fixed place: a single base in 1,000 sequences has about 0.002 bits."""


def column_information(sequences: Sequence[str]) -> Float[ndarray, "position"]:
    """Bits of information of every position over all sequences (Schneider et al. 1986: 2 − entropy; N left out).

    Positions are those of the shortest sequence.
    """
    length = min((len(sequence) for sequence in sequences), default=0)
    codes = encode("".join(sequence[:length] for sequence in sequences)).reshape(-1, length)
    counts = (codes[:, :, None] == np.arange(4)).sum(axis=0).astype(float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    entropy = -(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares))).sum(axis=1)
    information: Float[ndarray, "position"] = np.where(counts.sum(axis=1) > 0, 2 - entropy, 0.0)
    return information


def conserved_site(sequences: Sequence[str], width: int) -> tuple[int, tuple[int, int]]:
    """First base of the most conserved stretch of `width` bases, and the offsets in it of its best two neighbours.

    Raises MintsError where no two neighbouring columns have a bit each: such sequences have no site at a fixed place.
    """
    information = column_information(sequences)
    if len(information) < width:
        raise MintsError(f"the sequences have {len(information)} positions in common, fewer than a site of {width}")
    whole = np.convolve(information, np.ones(width), mode="valid")
    start = int(whole.argmax())
    inside = information[start : start + width]
    pairs = np.minimum(inside[:-1], inside[1:])
    core = int(pairs.argmax())
    if pairs[core] < LEAST_BITS:
        raise MintsError(
            f"the sequences have no site at a fixed place: the best two neighbouring positions, from {start + core} on,"
            f" have {pairs[core]:.2f} bits of information each"
        )
    return start, (core, core + 2)
