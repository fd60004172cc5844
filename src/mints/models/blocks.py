"""One layer of the encoder: attention and feed-forward, with every intermediate value at a named site."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from mints.models.architecture import Architecture
from mints.models.positions import Rotation
from mints.models.sites import Taps


class Geometry(NamedTuple):
    """What every layer of one run shares: which keys are real, and how position enters."""

    real: Bool[Tensor, "batch key"] | None
    """False at pads; None where the batch has none."""

    window: Bool[Tensor, "query key"] | None
    """False where a key lies outside its query's window; None where every query sees all keys."""

    bias: Float[Tensor, "head query key"] | None
    """ALiBi's penalty; None for other positions."""

    rotation: Rotation | None
    fused: bool
    """Use torch's fused attention where no site needs scores or pattern. Equal to the explicit one up to rounding."""

    def open_keys(self) -> Bool[Tensor, "#batch 1 #query key"] | None:
        """Which keys a query sees; None where it sees all of them."""
        if self.real is None:
            return None if self.window is None else self.window[None, None]
        real = self.real[:, None, None, :]
        return real if self.window is None else real & self.window


class Attention(nn.Module):
    """Multi-head self-attention; queries, keys and values come from one fused projection (rows in that order)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        d_model = architecture.d_model
        self.n_heads, self.d_head = architecture.n_heads, architecture.d_head
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=architecture.qkv_bias)
        self.output = nn.Linear(d_model, d_model, bias=architecture.attention_output_bias)

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], geometry: Geometry, taps: Taps, at: str
    ) -> Float[Tensor, "batch pos d_model"]:
        """Attention output before the residual sum. `at` is the block's site prefix, `blocks.{layer}.`."""
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_heads, self.d_head).unbind(dim=2)
        q, k, v = taps(f"{at}attn.hook_q", q), taps(f"{at}attn.hook_k", k), taps(f"{at}attn.hook_v", v)
        if geometry.rotation is not None:
            q = taps(f"{at}attn.hook_rot_q", geometry.rotation(q))
            k = taps(f"{at}attn.hook_rot_k", geometry.rotation(k))
        if geometry.fused and not taps.wants(f"{at}attn.hook_attn_scores", f"{at}attn.hook_pattern"):
            z = _fused_attention(q, k, v, geometry)
        else:
            z = self._explicit_attention(q, k, v, geometry, taps, at)
        z = taps(f"{at}attn.hook_z", z)
        return taps(f"{at}hook_attn_out", self.output(z.reshape(batch, length, -1)))

    def _explicit_attention(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head d_head"],
        v: Float[Tensor, "batch key head d_head"],
        geometry: Geometry,
        taps: Taps,
        at: str,
    ) -> Float[Tensor, "batch query head d_head"]:
        scores = q.transpose(1, 2) @ k.permute(0, 2, 3, 1) * self.d_head**-0.5
        if geometry.bias is not None:
            scores = scores + geometry.bias
        scores = taps(f"{at}attn.hook_attn_scores", scores)
        if (seen := geometry.open_keys()) is not None:
            # Keys are closed after the site: no intervention on scores can open a pad, or the window.
            scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        pattern = taps(f"{at}attn.hook_pattern", scores.softmax(dim=-1))
        return (pattern.to(v.dtype) @ v.transpose(1, 2)).transpose(1, 2)


def _fused_attention(
    q: Float[Tensor, "batch query head d_head"],
    k: Float[Tensor, "batch key head d_head"],
    v: Float[Tensor, "batch key head d_head"],
    geometry: Geometry,
) -> Float[Tensor, "batch query head d_head"]:
    mask = geometry.open_keys()
    closed = torch.finfo(q.dtype).min
    if geometry.bias is not None:
        bias = geometry.bias.to(q.dtype)[None]
        mask = bias if mask is None else bias.masked_fill(~mask, closed)
    elif mask is not None and geometry.real is not None and geometry.window is not None:
        # A query among pads may see no key at all: a softmax over nothing but −∞ is no number, and a number here.
        mask = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(~mask, closed)
    attended = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask
    )
    return attended.transpose(1, 2)


class FeedForward(nn.Module):
    """Feed-forward: GELU, or a gated pair whose first half is activated (GELU in GEGLU, SiLU in SwiGLU)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.gated = architecture.mlp_is_gated
        self.activation = functional.silu if architecture.mlp == "swiglu" else functional.gelu
        width = architecture.d_mlp * (2 if self.gated else 1)
        self.input = nn.Linear(architecture.d_model, width, bias=architecture.mlp_input_bias)
        self.output = nn.Linear(architecture.d_mlp, architecture.d_model, bias=architecture.mlp_output_bias)

    def forward(self, x: Float[Tensor, "batch pos d_model"], taps: Taps, at: str) -> Float[Tensor, "batch pos d_model"]:
        """Feed-forward output before the residual sum."""
        if self.gated:
            # Two products, not one that is cut in two: torch's GELU rounds a strided half differently from a copy of
            # it, and an intervention that hands back a copy must change nothing.
            halves = zip(self.input.weight.chunk(2), self._bias_halves(), strict=True)
            pre, linear = (functional.linear(x, weight, bias) for weight, bias in halves)
            pre, linear = taps(f"{at}mlp.hook_pre", pre), taps(f"{at}mlp.hook_pre_linear", linear)
            post = self.activation(pre) * linear
        else:
            post = self.activation(taps(f"{at}mlp.hook_pre", self.input(x)))
        return taps(f"{at}hook_mlp_out", self.output(taps(f"{at}mlp.hook_post", post)))

    def _bias_halves(self) -> tuple[Tensor | None, ...]:
        return (None, None) if self.input.bias is None else self.input.bias.chunk(2)


def make_norm(architecture: Architecture) -> nn.LayerNorm | nn.RMSNorm:
    """A norm over the residual stream's width, of the architecture's kind."""
    kind = nn.RMSNorm if architecture.norm_kind == "rms" else nn.LayerNorm
    return kind(architecture.d_model, eps=architecture.norm_epsilon)


class Block(nn.Module):
    """One layer; the norms stand before the sub-layers (`pre`) or after the residual sums (`post`, `deepnorm`)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.post_norm = architecture.norms_sums
        self.stream_weight = architecture.deepnorm_alpha
        self.attn = Attention(architecture)
        self.mlp = FeedForward(architecture)
        self.ln1 = make_norm(architecture)
        self.ln2 = make_norm(architecture)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        geometry: Geometry,
        taps: Taps,
        at: str,
        attended: Float[Tensor, "batch pos d_model"] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after this layer. attended: this layer's attention output, where it is known already."""
        x = taps(f"{at}hook_resid_pre", x)
        if attended is None:
            read = x if self.post_norm else taps(f"{at}ln1.hook_out", self.ln1(x))
            attended = self.attn(read, geometry, taps, at)
        if self.post_norm:
            x = taps(f"{at}hook_resid_mid", self.ln1(self._sum(x, attended)))
            return taps(f"{at}hook_resid_post", self.ln2(self._sum(x, self.mlp(x, taps, at))))
        x = taps(f"{at}hook_resid_mid", x + attended)
        return taps(f"{at}hook_resid_post", x + self.mlp(taps(f"{at}ln2.hook_out", self.ln2(x)), taps, at))

    def _sum(
        self, x: Float[Tensor, "batch pos d_model"], part: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """Stream and component before the norm."""
        return x + part if self.stream_weight == 1.0 else part + self.stream_weight * x
