"""Encoding and decoding that touch active latents alone, forwards and backwards.

A dense step multiplies by the whole dictionary five times: pre-activations, reconstruction, and the gradients of the
latents, the decoder and the encoder. With k of F latents active only the first product has to be dense; the others are
weighted sums of rows, which `embedding_bag` computes without ever making a (token, latent) or (token, k, d_in) array.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


class Pattern(NamedTuple):
    """Which latents of which tokens are active, sorted by token and once more by latent."""

    rows: Int[Tensor, "entry"]
    """Token of each entry, ascending."""

    latents: Int[Tensor, "entry"]
    offsets: Int[Tensor, "token+1"]
    """Token t's entries are those from `offsets[t]` up to `offsets[t + 1]`."""

    by_latent: Int[Tensor, "entry"]
    """Entries in the order of their latents."""

    latent_offsets: Int[Tensor, "latent+1"]
    """The same for latents, in the order `by_latent`."""

    def counts(self) -> Int[Tensor, "latent"]:
        """Tokens in which each latent is active."""
        return self.latent_offsets.diff()

    def part(self, low: int, high: int) -> tuple[Pattern, Int[Tensor, "kept"]]:
        """The entries of the latents from `low` up to `high`, and which ones they are."""
        kept = ((self.latents >= low) & (self.latents < high)).nonzero()[:, 0]
        tokens, latents = len(self.offsets) - 1, len(self.latent_offsets) - 1
        return pattern(self.rows[kept], self.latents[kept], tokens, latents), kept


def pattern(rows: Int[Tensor, "entry"], latents: Int[Tensor, "entry"], n_tokens: int, n_latents: int) -> Pattern:
    """Pattern of these entries; `rows` is ascending."""
    by_latent = latents.argsort(stable=True)
    return Pattern(rows, latents, _offsets(rows, n_tokens), by_latent, _offsets(latents[by_latent], n_latents))


def _offsets(ascending: Int[Tensor, "entry"], groups: int) -> Int[Tensor, "group+1"]:
    return torch.searchsorted(ascending, torch.arange(groups + 1, device=ascending.device))


def places_above(values: Float[Tensor, "token latent"], bound: float) -> Int[Tensor, "entry"]:
    """Flat indices of the values above a bound, ascending."""
    if values.device.type == "cpu":
        # numpy counts and writes the few that are found many times faster than torch does.
        return torch.from_numpy(np.flatnonzero((values > bound).numpy()))
    return (values > bound).view(-1).nonzero()[:, 0]


def pattern_at(places: Int[Tensor, "entry"], n_tokens: int, n_latents: int) -> Pattern:
    """Pattern of ascending flat indices (token · n_latents + latent)."""
    edges = torch.arange(n_tokens + 1, device=places.device) * n_latents
    counts = torch.searchsorted(places, edges).diff()
    rows = torch.repeat_interleave(torch.arange(n_tokens, device=places.device), counts)
    return pattern(rows, places - rows * n_latents, n_tokens, n_latents)


def _weighted_rows(
    matrix: Float[Tensor, "row d"],
    which: Int[Tensor, "entry"],
    offsets: Int[Tensor, "group+1"],
    weights: Float[Tensor, "entry"],
) -> Float[Tensor, "group d"]:
    """Σ weights[e] · matrix[which[e]] over the entries of every group; differentiable in the weights."""
    return functional.embedding_bag(which, matrix, offsets[:-1], mode="sum", per_sample_weights=weights)


def sparse_decode(
    values: Float[Tensor, "entry"], decoder: Float[Tensor, "latent d_in"], active: Pattern
) -> Float[Tensor, "token d_in"]:
    """Σ value · decoder row over each token's active latents, with gradients to the values and to the decoder."""
    decoded = _weighted_rows(decoder.detach(), active.latents, active.offsets, values)
    result: Tensor = _DecoderGradient.apply(  # type: ignore[no-untyped-call]
        decoded, decoder, values.detach(), active
    )
    return result


class _DecoderGradient(torch.autograd.Function):
    """Passes the reconstruction on; ∂L/∂decoder[l] = Σ over tokens of latent · ∂L/∂reconstruction."""

    @staticmethod
    def forward(
        ctx: Any, decoded: Tensor, decoder: Tensor, values: Tensor, active: Pattern
    ) -> Float[Tensor, "token d_in"]:
        ctx.active = active
        ctx.save_for_backward(values)
        return decoded.view_as(decoded)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (values,), active = ctx.saved_tensors, ctx.active
        order = active.by_latent
        of_decoder = _weighted_rows(gradient, active.rows[order], active.latent_offsets, values[order])
        return gradient, of_decoder, None, None


def sparse_encode(
    pre: Float[Tensor, "token latent"],
    centred: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "latent d_in"],
    encoder_bias: Float[Tensor, "latent"],
    decoder_bias: Float[Tensor, "d_in"],
    active: Pattern,
) -> Float[Tensor, "entry"]:
    """Pre-activations of the active latents, with gradients to the encoder, its bias and the decoder's bias.

    pre: (scaled − decoder_bias) · encoderᵀ + encoder_bias, computed without a graph, as is centred = scaled −
    decoder_bias. No gradient reaches the activations: they are data.
    """
    values = pre[active.rows, active.latents]
    result: Tensor = _EncoderGradient.apply(  # type: ignore[no-untyped-call]
        values, centred, encoder, encoder_bias, decoder_bias, active
    )
    return result


class _EncoderGradient(torch.autograd.Function):
    """Values of the active pre-activations; a latent that is not active has no gradient."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, centred: Tensor, encoder: Tensor, bias: Tensor, decoder_bias: Tensor, active: Pattern
    ) -> Float[Tensor, "entry"]:
        ctx.active = active
        ctx.save_for_backward(centred, encoder)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor, Tensor, Tensor, None]:
        (centred, encoder), active = ctx.saved_tensors, ctx.active
        order = active.by_latent
        weights = gradient[order]
        of_encoder = _weighted_rows(centred, active.rows[order], active.latent_offsets, weights)
        of_bias = torch.zeros_like(encoder[:, 0]).index_add_(0, active.latents, gradient)
        # Every token's decoder bias is subtracted before the encoder: only the sum over tokens is needed.
        return None, None, of_encoder, of_bias, -(of_bias @ encoder), None
