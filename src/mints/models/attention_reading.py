"""What a statistic of attention needs from one forward pass: key scores and attention received, of every head at once.

The key score of token j is the mean over queries i ≠ j of the model's pre-softmax score(i, j), its content part. The
score is bilinear, so that the mean needs no score matrix: with s = Σᵢ qᵢ it is (s − qⱼ) · kⱼ / ((n − 1) √d_head).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from mints.models.batching import Batch
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.positions import Rotation, alibi_bias
from mints.models.sites import Intervention


class AttentionReading(NamedTuple):
    """Per token and head; layers and heads are flattened, layer by layer. Values at pads mean nothing."""

    key_scores: Float[Tensor, "batch pos head"]
    """Mean content score that the other real tokens' queries give this token; ALiBi's penalty is not in it."""

    received: Float[Tensor, "batch pos head"]
    """Mean attention over all real tokens' queries."""


def read_attention(encoder: Encoder, batch: Batch, compute: Compute) -> AttentionReading:
    """Key scores and attention received of every head, in one forward pass.

    Special tokens are queries like all others. Statistics are float32 whatever the precision of the pass.
    """
    architecture = encoder.architecture
    tokens, real = batch.tokens.to(compute.device), batch.real.to(compute.device)
    reader = _Reader(real, architecture.d_head)
    rotary = architecture.position == "rotary"
    interventions: dict[str, Intervention] = {
        f"blocks.*.attn.hook_{'rot_' if rotary else ''}q": reader.queries,
        f"blocks.*.attn.hook_{'rot_' if rotary else ''}k": reader.keys,
        "blocks.*.attn.hook_pattern": reader.pattern,
    }
    with compute.inference():
        encoder.run(tokens, real, interventions=interventions)
    return AttentionReading(torch.cat(reader.key_scores, dim=-1), torch.cat(reader.received, dim=-1))


class _Reader:
    """Takes its figures as the values pass, so that no layer's scores are kept."""

    def __init__(self, real: Bool[Tensor, "batch pos"], d_head: int) -> None:
        self.weights = real.float()
        self.count = self.weights.sum(1)
        self.scale = d_head**-0.5 / (self.count - 1).clamp(min=1)
        self.key_scores: list[Float[Tensor, "batch pos head"]] = []
        self.received: list[Float[Tensor, "batch pos head"]] = []
        self._queries: Tensor | None = None

    def queries(self, q: Float[Tensor, "batch pos head d_head"]) -> Tensor:
        self._queries = q
        return q

    def keys(self, k: Float[Tensor, "batch pos head d_head"]) -> Tensor:
        assert self._queries is not None
        q, k32 = self._queries.float(), k.float()
        with torch.autocast(k.device.type, enabled=False):  # which would round the sum of the queries
            others = torch.einsum("bp,bphd->bhd", self.weights, q)[:, None] - q
        self.key_scores.append((others * k32).sum(-1) * self.scale[:, None, None])
        return k

    def pattern(self, pattern: Float[Tensor, "batch head query key"]) -> Tensor:
        weights = (self.weights / self.count[:, None])[:, None, None, :].expand(-1, pattern.shape[1], -1, -1)
        with torch.autocast(pattern.device.type, enabled=False):
            self.received.append((weights @ pattern.float())[:, :, 0].transpose(1, 2))
        return pattern


class PositionOnly(NamedTuple):
    """What a head would score and attend to if tokens had no content."""

    key_scores: Float[Tensor, "pos head"]
    received: Float[Tensor, "pos head"]


def position_only(encoder: Encoder, length: int) -> PositionOnly:
    """Key scores and attention received of every head without content, in a sequence of so many tokens.

    ALiBi: the penalty −slope · |i − j| alone. Rotary: the queries and keys of an empty standardised residual, that is,
    of the biases alone, turned by their positions. Learned positions enter the residual itself: zeros.
    """
    architecture = encoder.architecture
    scores = []
    for layer in range(architecture.n_layers):
        if architecture.position == "alibi":
            scores.append(alibi_bias(architecture.n_heads, length, torch.device("cpu")))
        elif architecture.position == "rotary":
            scores.append(_rotary_scores(encoder, layer, length))
        else:
            scores.append(torch.zeros(architecture.n_heads, length, length))
    every = torch.cat(scores)
    not_itself = 1 - torch.eye(length)
    key_scores = (every * not_itself).sum(1) / max(1, length - 1)
    return PositionOnly(key_scores.T, every.softmax(-1).mean(1).T)


def _rotary_scores(encoder: Encoder, layer: int, length: int) -> Float[Tensor, "head query key"]:
    architecture = encoder.architecture
    attention, norm = encoder.block(layer).attn, encoder.block(layer).ln1
    standardised = architecture.norm_placement == "pre"
    empty = norm.bias if standardised and isinstance(norm, nn.LayerNorm) else torch.zeros(architecture.d_model)
    with torch.no_grad():
        q, k, _ = functional.linear(empty, attention.qkv.weight, attention.qkv.bias).float().cpu().chunk(3)
        shape = (1, length, architecture.n_heads, architecture.d_head)
        turn = Rotation(architecture.d_head, length, torch.device("cpu"))
        q, k = (turn(part.view(1, 1, *shape[2:]).expand(shape))[0] for part in (q, k))
    return torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(architecture.d_head)
