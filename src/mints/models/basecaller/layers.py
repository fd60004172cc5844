"""What a basecaller has around its encoder: convolutions before it, upsampling and a head behind it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mints.models.basecaller import network
from mints.models.work import count_products

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swish": functional.silu,
    "relu": functional.relu,
    "tanh": torch.tanh,
}


class Convolution(nn.Module):
    """Convolution over time, batch norm, activation."""

    def __init__(self, table: network.Convolution) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            table.insize, table.size, table.winlen, stride=table.stride, padding=table.padding, bias=table.bias
        )
        self.norm = nn.BatchNorm1d(table.size) if table.norm == "batchnorm" else None
        self.activation = None if table.activation is None else ACTIVATIONS[table.activation]

    def forward(self, x: Float[Tensor, "read channel time"]) -> Float[Tensor, "read size step"]:
        """Steps are `stride` time points apart."""
        x = self.conv(x)
        count_products(2 * x.numel() * self.conv.weight[0].numel())
        x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else self.activation(x)


class Front(nn.Module):
    """From the signal to the encoder's positions."""

    def __init__(self, table: network.Front) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Convolution(layer) for layer in table.convolutions)
        self.stride = math.prod(layer.stride for layer in table.convolutions)

    def forward(self, signal: Float[Tensor, "read sample"]) -> Float[Tensor, "read pos d_model"]:
        """Position p is centred on sample p · stride where every padding is half its window."""
        x = signal[:, None]
        for layer in self.layers:
            x = layer(x)
        return x.transpose(1, 2)


class LinearUpsample(nn.Module):
    """Every position gives `factor` time steps."""

    def __init__(self, table: network.LinearUpsample) -> None:
        super().__init__()
        self.linear = nn.Linear(table.d_model, table.scale_factor * table.d_model)

    def forward(self, x: Float[Tensor, "read pos d_model"]) -> Float[Tensor, "read time d_model"]:
        """Time steps of one position stand one after another."""
        count_products(2 * x[..., 0].numel() * self.linear.weight.numel())
        upsampled: Tensor = self.linear(x)
        return upsampled.reshape(len(x), -1, x.shape[2])


class TransitionHead(nn.Module):
    """Scores of a CRF's transitions: per state its stay and its four ways in."""

    def __init__(self, table: network.LinearCRF) -> None:
        super().__init__()
        transitions = 4 if table.blank_score is not None else 5
        self.linear = nn.Linear(table.insize, transitions * 4**table.state_len, bias=table.bias)
        self.scale, self.blank_score = table.scale, table.blank_score
        self.activation = None if table.activation is None else ACTIVATIONS[table.activation]

    def forward(self, x: Float[Tensor, "read time d_model"]) -> Float[Tensor, "time read transition"]:
        """Stays have the fixed score where the head gives none."""
        x = x.transpose(0, 1)
        count_products(2 * x[..., 0].numel() * self.linear.weight.numel())
        scores: Tensor = self.linear(x)
        if self.activation is not None:
            scores = self.activation(scores)
        if self.scale is not None:
            scores = scores * self.scale
        if self.blank_score is None:
            return scores
        moves = scores.view(*scores.shape[:2], -1, 4)
        return functional.pad(moves, (1, 0), value=self.blank_score).flatten(2)


class LabelHead(nn.Module):
    """Log-probabilities of the labels N, A, C, G, T."""

    def __init__(self, d_model: int, labels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(d_model, labels, 1)

    def forward(self, x: Float[Tensor, "read time d_model"]) -> Float[Tensor, "time read label"]:
        """A convolution of one time step is a linear map."""
        count_products(2 * x[..., 0].numel() * self.conv.weight.numel())
        logits: Tensor = self.conv(x.transpose(1, 2))
        return logits.permute(2, 0, 1).log_softmax(-1)
