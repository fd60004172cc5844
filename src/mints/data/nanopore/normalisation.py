"""Bonito's normalisation of a read: shift and scale by the pore's constants, by quantiles, or by median and MAD.

Definitions: docs/methods.md, Nanopore signal. The rules and their constants were read in Bonito's public source
(`bonito/reader.py`; median and MAD are of its older versions); Bonito itself was not run beside this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

Strategy = Literal["pa", "quantile", "med_mad"]

LEAST_SHIFT, LEAST_SCALE = 10.0, 1.0
"""Smallest shift and scale of the quantile strategy: an open or a blocked channel is not blown up."""

TRIM_FROM, TRIM_WINDOW, TRIM_WITHIN = 10, 40, 8000
"""Samples that are always trimmed, samples of a window, and samples in which a read's beginning is looked for."""

TRIM_SCALES, TRIM_PEAK, TRIM_MOST = 2.4, 3, 0.3
"""Scales above the shift at which the pore counts as open, samples of a window above it that are no peak yet, and the
largest share of a read that is trimmed."""

MAD_TO_DEVIATION = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""


@dataclass(frozen=True)
class Normalisation:
    """How the current of a read becomes a model's input, as `config.toml` of a Bonito model says."""

    strategy: Strategy = "pa"
    """`pa`: constants; `quantile`: from two quantiles of the read; `med_mad`: from its median."""

    standardise: bool = True
    """With `pa`: subtract `mean` and divide by `standard_deviation`; otherwise the current stays in pA."""

    mean: float = 93.7
    standard_deviation: float = 23.5
    """In pA. (`[standardisation]` mean, stdev)"""

    quantile_a: float = 0.2
    quantile_b: float = 0.9
    shift_multiplier: float = 0.51
    scale_multiplier: float = 0.53
    """Of the quantile strategy. (`[normalisation]`)"""


R10_NORMALISATION = Normalisation()
"""Of Bonito's models of R10.4.1 at 5 kHz."""


class Scaling(NamedTuple):
    """Normalised = (current − shift) / scale."""

    shift: float
    scale: float


def scaling_of(current: Float[ndarray, "sample"], settings: Normalisation) -> Scaling:
    """Shift and scale of one read, both in pA (with `pa` and without standardisation 0 and 1).

    quantile: shift = max(10, 0.51 · (qa + qb)), scale = max(1, 0.53 · (qb − qa)) with the settings' values in place of
    these; med_mad: median, and 1.4826 · median of the absolute deviations, at least 1. Raises ValueError for a read
    without samples where these are asked for.
    """
    if settings.strategy == "pa":
        return Scaling(settings.mean, settings.standard_deviation) if settings.standardise else Scaling(0.0, 1.0)
    if not current.size:
        raise ValueError("a read without samples has no quantiles")
    if settings.strategy == "quantile":
        low, high = (float(q) for q in np.quantile(current, [settings.quantile_a, settings.quantile_b]))
        shift = max(LEAST_SHIFT, settings.shift_multiplier * (low + high))
        return Scaling(shift, max(LEAST_SCALE, settings.scale_multiplier * (high - low)))
    median = float(np.median(current))
    spread = MAD_TO_DEVIATION * float(np.median(np.abs(current - median)))
    return Scaling(median, max(LEAST_SCALE, spread))


def normalise(current: Float[ndarray, "*read sample"], scaling: Scaling) -> Float32[ndarray, "*read sample"]:
    """The model's input, in single precision."""
    return ((current - np.float32(scaling.shift)) / np.float32(scaling.scale)).astype(np.float32, copy=False)


def trimmed_samples(current: Float[ndarray, "sample"], scaling: Scaling) -> int:
    """Samples at the beginning of a read that belong to the open pore and not to the strand.

    Windows of 40 samples follow one another from sample 10 on. After the first window with more than 3 samples above
    shift + 2.4 · scale, the strand begins where a window ends below that. Without such a peak, or where it does not end
    within 8,000 samples and three tenths of the read, only the first 10 samples are trimmed. Bonito takes the
    threshold from the quantile strategy's shift and scale, whatever the model's own strategy is.
    """
    within = min(TRIM_WITHIN, len(current))
    windows = (within - TRIM_FROM) // TRIM_WINDOW
    if windows < 1:
        return min(TRIM_FROM, len(current))
    above = current[TRIM_FROM : TRIM_FROM + windows * TRIM_WINDOW].reshape(windows, TRIM_WINDOW)
    above = above > scaling.shift + TRIM_SCALES * scaling.scale
    peaked = np.maximum.accumulate(above.sum(axis=1) > TRIM_PEAK)
    begins = np.flatnonzero(peaked & ~above[:, -1])
    if not begins.size:
        return TRIM_FROM
    end = TRIM_FROM + int(begins[0] + 1) * TRIM_WINDOW
    return TRIM_FROM if end >= within or end / len(current) > TRIM_MOST else end
