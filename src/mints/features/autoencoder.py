"""A sparse autoencoder as everything that uses one sees it: one frame, one encode, one decode."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

Rule = Literal["relu", "topk", "threshold"]
"""Which pre-activations are let through: the positive ones, the k largest positive ones, those above a threshold."""

Normalisation = Literal["none", "layer_norm", "unit_norm"]
"""What is done to each token before the scale: nothing, or what some published dictionaries were trained on:
mean 0 and standard deviation 1 over its dimensions (InterProt), or length √d_in (InterPLM)."""

SMALLEST_SPREAD = 1e-5
"""Added to a token's standard deviation under layer_norm."""


class Frame(NamedTuple):
    """Where a token's activations lie, so that (x − centre) / size has the size that the weights were trained at."""

    centre: Float[Tensor, "... 1"]
    size: Float[Tensor, "... 1"]


class ActiveLatents(NamedTuple):
    """Active latents of many tokens, one token after the other (compressed sparse rows)."""

    offsets: Int[Tensor, "token+1"]
    """Token t's entries are those from `offsets[t]` up to `offsets[t + 1]`, by ascending latent."""

    latents: Int[Tensor, "entry"]
    values: Float[Tensor, "entry"]


class Reconstruction(NamedTuple):
    """What an autoencoder makes of its input."""

    latents: Float[Tensor, "... d_sae"]
    output: Float[Tensor, "... d_in"]


class SparseAutoencoder(nn.Module):
    """Encoder, rule and decoder of one dictionary.

        pre     = ((x − centre) / size − b_dec) W_enc + b_enc        (b_dec only if `subtracts_decoder_bias`)
        latents = rule(pre)
        output  = (latents W_dec + b_dec) size + centre

    Without normalisation, centre = 0 and size = 1 / scale for every token. `scale` belongs to the weights: encoding and
    decoding both apply it, and nothing else does, so that training, scoring and steering see the same latents.
    """

    threshold: Tensor
    scale: Tensor

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        rule: Rule,
        *,
        k: int | None = None,
        subtracts_decoder_bias: bool = True,
        normalisation: Normalisation = "none",
    ) -> None:
        """All weights zero. Raises ValueError where the rule is topk and k is not from 1 to d_sae."""
        super().__init__()
        if rule == "topk" and not (k is not None and 1 <= k <= d_sae):
            raise ValueError(f"a topk autoencoder of {d_sae} latents needs k from 1 to {d_sae}, not {k}")
        self.d_in, self.d_sae, self.rule, self.k = d_in, d_sae, rule, k
        self.subtracts_decoder_bias, self.normalisation = subtracts_decoder_bias, normalisation
        self.W_enc = nn.Parameter(torch.zeros(d_in, d_sae))
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.W_dec = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        self.register_buffer("threshold", torch.zeros(d_sae))
        self.register_buffer("scale", torch.ones(()))

    def frame(self, x: Float[Tensor, "... d_in"]) -> Frame:
        """Centre and size of every token's activations."""
        x = x.float()
        if self.normalisation == "layer_norm":
            spread = x.std(-1, keepdim=True) + SMALLEST_SPREAD
            return Frame(x.mean(-1, keepdim=True), spread / self.scale)
        if self.normalisation == "unit_norm":
            length = x.norm(dim=-1, keepdim=True) / self.d_in**0.5
            return Frame(torch.zeros_like(length), length.clamp(min=SMALLEST_SPREAD) / self.scale)
        one = torch.ones_like(x[..., :1])
        return Frame(torch.zeros_like(one), one / self.scale)

    def pre_activations(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Before the rule; in float32 whatever the precision of the model, since a rule is a comparison."""
        with torch.autocast(x.device.type, enabled=False):
            frame = self.frame(x)
            scaled = (x.float() - frame.centre) / frame.size
            centred = scaled - self.b_dec if self.subtracts_decoder_bias else scaled
            return centred @ self.W_enc + self.b_enc

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Latents, none below zero."""
        pre = self.pre_activations(x)
        positive = functional.relu(pre)
        if self.rule == "relu":
            return positive
        if self.rule == "threshold":
            return positive * (pre > self.threshold)
        assert self.k is not None
        values, latents = positive.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(positive).scatter(-1, latents, values)

    def active(self, x: Float[Tensor, "token d_in"]) -> ActiveLatents:
        """The latents above zero alone."""
        latents = self.encode(x)
        tokens, which = latents.nonzero(as_tuple=True)
        counts = torch.bincount(tokens, minlength=len(latents))
        offsets = functional.pad(counts.cumsum(0), (1, 0))
        return ActiveLatents(offsets, which, latents[tokens, which])

    def decode(self, latents: Float[Tensor, "... d_sae"], frame: Frame) -> Float[Tensor, "... d_in"]:
        """Activations that these latents stand for in the frame of the token that they came from."""
        with torch.autocast(latents.device.type, enabled=False):
            return (latents @ self.W_dec + self.b_dec) * frame.size + frame.centre

    def moved_by(self, difference: Float[Tensor, "... d_sae"], frame: Frame) -> Float[Tensor, "... d_in"]:
        """What a change of the latents adds to the activations; nothing for no change, to the bit."""
        with torch.autocast(difference.device.type, enabled=False):
            return (difference @ self.W_dec) * frame.size

    def forward(self, x: Float[Tensor, "... d_in"]) -> Reconstruction:
        """Latents and reconstruction."""
        latents = self.encode(x)
        return Reconstruction(latents, self.decode(latents, self.frame(x)))
