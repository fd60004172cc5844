"""Which tokens a latent's decoder row makes likelier or less likely, straight through the model's head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.bootstrap import interval
from mints.models.encoder import Encoder

ADDED_TO_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
"""Sites whose values lie in, or are added to, the residual stream."""


class TokenChange(NamedTuple):
    """What a direction does to the prediction of one token."""

    token: int
    change: float
    """Of the log-probability, in nats: a mean over positions."""

    low: float
    high: float


class LogitEffect(NamedTuple):
    """Tokens that a direction moves most."""

    promoted: list[TokenChange]
    suppressed: list[TokenChange]
    """The largest change first."""


def reaches_the_head(site: str) -> bool:
    """Whether decoder rows of a site are directions of the residual stream."""
    return site.split(".")[-1] in ADDED_TO_STREAM


class HeadAt:
    """The masked-token head at some positions, and what it predicts there without any change."""

    def __init__(self, encoder: Encoder, residual: Float[Tensor, "position d_model"]) -> None:
        """residual: stream after the last layer, before the final norm if there is one.

        Raises ValueError for a model without a head.
        """
        self._encoder, self._residual = encoder, residual
        self._before = self._log_probabilities(residual)

    def changes(self, directions: Float[Tensor, "direction d_model"]) -> Float[ndarray, "direction position token"]:
        """Change of every token's log-probability at every position when a direction is added to the stream."""
        moved = self._residual + directions[:, None]
        after = self._log_probabilities(moved.flatten(0, 1)).view(*moved.shape[:2], -1)
        difference: Float[ndarray, "direction position token"] = (after - self._before).double().cpu().numpy()
        return difference

    def _log_probabilities(self, stream: Float[Tensor, "position d_model"]) -> Float[Tensor, "position token"]:
        real = torch.ones((len(stream), 1), dtype=torch.bool, device=stream.device)
        with torch.no_grad():
            end = self._encoder.run_from(self._encoder.architecture.n_layers, stream[:, None], real).residual[:, 0]
            return self._encoder.logits(end).float().log_softmax(-1)


def logit_effect(
    change: Float[ndarray, "position token"],
    tokens: Sequence[int],
    weights: Int[ndarray, "resample position"],
    level: float,
    count: int,
) -> LogitEffect:
    """The `count` tokens most promoted and most suppressed, by the mean change of their log-probability.

    tokens: those that may be listed. weights: of positions, by clusters (docs/methods.md, Latent dashboards).
    """
    change = change[:, list(tokens)]
    mean = change.mean(axis=0)
    order = np.argsort(mean, kind="stable")
    count = min(count, len(order) // 2)
    shown = np.concatenate([order[::-1][:count], order[:count]])
    resampled = weights @ change[:, shown] / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    low, high = interval(resampled, level)
    rows = [
        TokenChange(int(tokens[which]), float(mean[which]), float(low[place]), float(high[place]))
        for place, which in enumerate(shown)
    ]
    return LogitEffect(rows[:count], rows[count:])


def largest_random_change(changes: Float[ndarray, "draw position token"], tokens: Sequence[int]) -> float:
    """Median over random directions of the largest |mean change| of any of the tokens: what chance lists first."""
    if not len(changes):
        return float("nan")
    return float(np.median(np.abs(changes[:, :, list(tokens)].mean(axis=1)).max(axis=1)))
