"""How the figures of many sequences make one number with an interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num
from numpy import ndarray


class Contrast(NamedTuple):
    """Mean over the positive sequences minus mean over the negative ones; the plain mean where none is negative.

    Mean ablation has no effect on the average sequence to first order, whatever a latent does: what it does shows in
    the difference between sequences.
    """

    positive: Bool[ndarray, "sequence"]
    negative: Bool[ndarray, "sequence"]

    @classmethod
    def of_labels(cls, labels: ndarray) -> Contrast:
        """Sequences of label 1 against all others."""
        return cls(labels == 1, labels != 1)

    @classmethod
    def of_all(cls, count: int) -> Contrast:
        """The mean over this many sequences."""
        return cls(np.ones(count, dtype=bool), np.zeros(count, dtype=bool))

    def weights(self) -> Float[ndarray, "sequence"]:
        """What each sequence's figure counts."""
        sides = (side / max(1, int(side.sum())) for side in (self.positive, self.negative))
        weights: Float[ndarray, "sequence"] = np.subtract(*sides)
        return weights

    def of(self, values: Float[ndarray, "... sequence"]) -> Float[ndarray, "..."]:
        """The contrast itself."""
        result: Float[ndarray, "..."] = values @ self.weights()
        return result

    def resampled(
        self, values: Float[ndarray, "... sequence"], weights: Num[ndarray, "resample sequence"]
    ) -> Float[ndarray, "... resample"]:
        """The contrast in every resample; NaN where a resample has no sequence of a side."""
        total = np.zeros((*values.shape[:-1], len(weights)))
        for side, sign in ((self.positive, 1), (self.negative, -1)):
            if side.any():
                drawn = weights * side
                with np.errstate(invalid="ignore", divide="ignore"):
                    total += sign * (values @ drawn.T) / drawn.sum(1)
        return total
