"""A motif detector written into a model's weights, of known strength: what the evidence stack should find.

The head's key reads the direction along which the layer's input tells the motif score, its query is constant, and its
output writes along the read-out's direction. With strength s the score of token j is s · w·(x_j − μ), where w·x has
unit variance; the value carries the same reading, and the output is scaled by s as well.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.ceiling import CrossProducts, ridge
from mints.models.encoder import Encoder

GAIN = 0.03
"""Length of what the planted head writes for a reading of one standard deviation, in units of the residual's length."""

RIDGE_PENALTY = 1e-4
"""Penalty of the direction that is planted, in units of the mean variance of a residual dimension."""


class Detector(NamedTuple):
    """Where a detector is planted, what it reads and where it writes."""

    layer: int
    head: int
    reads: Float[ndarray, "d_model"]
    """Direction in the attention's input; its reading has unit variance over tokens."""

    mean: Float[ndarray, "d_model"]
    """Mean of the attention's input."""

    writes: Float[ndarray, "d_model"]
    """What it adds to the residual stream for a reading of one standard deviation."""


def make_detector(
    products: CrossProducts, layer: int, head: int, readout: Float[ndarray, "d_model"], residual_length: float
) -> Detector:
    """The linear detector of one layer that the cross-products of training tokens allow.

    readout: direction to write along. residual_length: mean length of a residual vector, which sets the scale.
    """
    direction = ridge([products], layer, RIDGE_PENALTY)
    spread = np.sqrt(direction @ products.xx[layer] @ direction / products.n)
    writes = GAIN * residual_length * readout / np.linalg.norm(readout)
    return Detector(layer, head, direction / spread, products.mean[layer], writes)


def plant(encoder: Encoder, detector: Detector, strength: float) -> Encoder:
    """A copy of the encoder in which one head is this detector; at strength 0 the head is silent."""
    planted = copy.deepcopy(encoder)
    attention = planted.block(detector.layer).attn
    n_heads, d_head = planted.architecture.n_heads, planted.architecture.d_head
    rows = slice(detector.head * d_head, (detector.head + 1) * d_head)
    reads = torch.from_numpy(detector.reads).float()
    offset = -float(detector.reads @ detector.mean)
    # Rotary positions turn the pair (i, i + d_head / 2) the more slowly the larger i: the last pair hardly turns, so
    # that the score is the same at all distances.
    carrier = d_head // 2 - 1
    with torch.no_grad():
        weight = attention.qkv.weight.view(3, n_heads * d_head, -1)
        bias = attention.qkv.bias.view(3, -1)
        weight[:, rows], bias[:, rows] = 0.0, 0.0
        attention.output.weight[:, rows] = 0.0
        if strength > 0:
            bias[0, rows][carrier] = d_head**0.5
            weight[1, rows][carrier], bias[1, rows][carrier] = strength * reads, strength * offset
            weight[2, rows][0], bias[2, rows][0] = reads, offset
            attention.output.weight[:, rows][:, 0] = strength * torch.from_numpy(detector.writes).float()
    return planted
