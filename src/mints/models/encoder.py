"""The one encoder: every model family is a setting of it.

    output = encoder.run(tokens, real, sites=["blocks.*.hook_resid_post"], interventions={"blocks.2.attn.hook_z": f})
    output.residual, output.cache["blocks.0.hook_resid_post"]
    encoder.logits(output.residual)

`run_from(layer, residual, real)` restarts mid-way and gives exactly what the full run gives: an intervention in layer 9
pays for layers 9 and above alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from mints.errors import MintsError
from mints.models.architecture import Architecture
from mints.models.blocks import Block, Geometry, make_norm
from mints.models.positions import Rotation, alibi_bias, attention_window
from mints.models.sites import Intervention, Taps, site_names
from mints.models.work import count_layers, count_logits

TOKEN_DROPOUT_IN_TRAINING = 0.15 * 0.8
"""Share of tokens that ESM-2 saw as masks in training; its embeddings are rescaled to it (Rives et al. 2021)."""


class EncoderOutput(NamedTuple):
    """Result of one run."""

    residual: Float[Tensor, "batch pos d_model"]
    """The residual stream where the run ended; after the final norm if the whole model ran and has one."""

    cache: dict[str, Tensor]
    """Values at the sites that were asked for, interventions included."""


class MaskedLanguageHead(nn.Module):
    """Dense, GELU, norm, and the output matrix (the embedding matrix where they are tied)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.dense = nn.Linear(architecture.d_model, architecture.d_model)
        self.norm = nn.LayerNorm(architecture.d_model, eps=architecture.norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(architecture.vocabulary_size))
        if not architecture.tied_head:
            self.decoder = nn.Parameter(torch.empty(architecture.vocabulary_size, architecture.d_model))

    def forward(
        self, x: Float[Tensor, "... d_model"], embedding: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "... token"]:
        """Logits over the vocabulary."""
        decoder = getattr(self, "decoder", embedding)
        return functional.linear(self.norm(functional.gelu(self.dense(x))), decoder, self.bias)


class Encoder(nn.Module):
    """A transformer encoder with named sites."""

    def __init__(self, architecture: Architecture, *, fused_attention: bool = False) -> None:
        """`fused_attention` trades bitwise equality with explicit attention for speed (caching, pretraining)."""
        super().__init__()
        self.architecture = architecture
        self.fused_attention = fused_attention
        d_model = architecture.d_model
        if architecture.vocabulary_size:
            self.embed = nn.Embedding(architecture.vocabulary_size, d_model)
        if architecture.token_types:
            self.token_types = nn.Embedding(architecture.token_types, d_model)
        if architecture.max_positions is not None:
            self.positions = nn.Embedding(architecture.max_positions, d_model)
        if architecture.embedding_norm:
            self.embed_norm = nn.LayerNorm(d_model, eps=architecture.norm_epsilon)
        self.blocks = nn.ModuleList(Block(architecture) for _ in range(architecture.n_layers))
        if not architecture.norms_sums:
            self.ln_final = make_norm(architecture)
        self.head = MaskedLanguageHead(architecture) if architecture.masked_language_head else None

    def run(
        self,
        tokens: Int[Tensor, "batch pos"],
        real: Bool[Tensor, "batch pos"] | None = None,
        *,
        sites: Iterable[str] = (),
        interventions: Mapping[str, Intervention] | None = None,
        stop: int | None = None,
    ) -> EncoderOutput:
        """Run the model, keep the values at `sites`, apply `interventions` (site name or pattern → function).

        real: False at pads (default: everything but the pad id). stop: end before this layer.
        Raises UsageError for a site or pattern that this run does not pass, ValueError for an encoder without tokens.
        """
        if not self.architecture.vocabulary_size:
            raise ValueError("this encoder has no token embedding: enter it by run_from(0, residual)")
        real = tokens != self.architecture.pad_id if real is None else real
        taps = Taps(site_names(self.architecture, 0, stop), sites, interventions or {})
        residual = taps("hook_embed", self._embed(tokens, real))
        return self._run_blocks(residual, real, taps, 0, stop)

    def run_from(
        self,
        layer: int,
        residual: Float[Tensor, "batch pos d_model"],
        real: Bool[Tensor, "batch pos"] | None = None,
        *,
        sites: Iterable[str] = (),
        interventions: Mapping[str, Intervention] | None = None,
        stop: int | None = None,
        attended: Float[Tensor, "batch pos d_model"] | None = None,
    ) -> EncoderOutput:
        """Go on from `blocks.{layer}.hook_resid_pre` = `residual`; otherwise as `run`.

        real: False at pads; None where there are none.
        attended: value of `blocks.{layer}.hook_attn_out`, where it is known: that attention is not run again, and its
        sites are not passed.
        """
        if not 0 <= layer <= self.architecture.n_layers:
            raise ValueError(f"layer {layer} is not in 0 … {self.architecture.n_layers}")
        names = site_names(self.architecture, layer, stop)
        if attended is not None:
            skipped = (f"blocks.{layer}.attn.", f"blocks.{layer}.ln1.", f"blocks.{layer}.hook_attn_out")
            names = [name for name in names if not name.startswith(skipped)]
        taps = Taps(names, sites, interventions or {})
        return self._run_blocks(residual, real, taps, layer, stop, attended)

    def block(self, layer: int) -> Block:
        """One layer."""
        block = self.blocks[layer]
        assert isinstance(block, Block)
        return block

    def forward(
        self, tokens: Int[Tensor, "batch pos"], real: Bool[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos token"]:
        """Logits of the masked-language head at every position."""
        return self.logits(self.run(tokens, real).residual)

    def logits(self, residual: Float[Tensor, "... d_model"]) -> Float[Tensor, "... token"]:
        """Logits of the masked-language head; pass chosen positions alone to save the vocabulary-wide product."""
        if self.head is None:
            raise ValueError("this checkpoint has no masked-language head")
        count_logits(self.architecture, residual[..., 0].numel())
        logits: Tensor = self.head(residual, self.embed.weight)
        return logits

    def _embed(
        self, tokens: Int[Tensor, "batch pos"], real: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        x: Tensor = self.embed(tokens)
        mask_id = self.architecture.token_dropout_mask_id
        if mask_id is not None:
            masked = (tokens == mask_id) & real
            share = masked.sum(1) / real.sum(1).clamp(min=1)
            x = x.masked_fill(masked[..., None], 0.0)
            x = x * ((1 - TOKEN_DROPOUT_IN_TRAINING) / (1 - share))[:, None, None].to(x.dtype)
        if self.architecture.position == "learned":
            x = x + self.positions(self._position_rows(real))
        if self.architecture.token_types:
            x = x + self.token_types.weight[0]
        if self.architecture.embedding_norm:
            x = self.embed_norm(x)
        return x * real[..., None].to(x.dtype)

    def _position_rows(self, real: Bool[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
        rows = (real.cumsum(1) - 1).clamp(min=0) + self.architecture.position_offset
        capacity = (self.architecture.max_positions or 0) - self.architecture.position_offset
        longest = int(real.sum(1).max())
        if longest > capacity:
            raise MintsError(f"a sequence has {longest} tokens, the model takes {capacity}: give it shorter sequences")
        return rows

    def _run_blocks(
        self,
        residual: Float[Tensor, "batch pos d_model"],
        real: Bool[Tensor, "batch pos"] | None,
        taps: Taps,
        start: int,
        stop: int | None,
        attended: Float[Tensor, "batch pos d_model"] | None = None,
    ) -> EncoderOutput:
        length, device = residual.shape[1], residual.device
        alibi, rotary = (self.architecture.position == kind for kind in ("alibi", "rotary"))
        window = self.architecture.attention_window
        geometry = Geometry(
            real=None if real is None or bool(real.all()) else real,
            window=None if window is None or min(window) >= length - 1 else attention_window(window, length, device),
            bias=alibi_bias(self.architecture.n_heads, length, device) if alibi else None,
            rotation=Rotation(self.architecture.d_head, length, device) if rotary else None,
            fused=self.fused_attention,
        )
        end = self.architecture.n_layers if stop is None else stop
        through = max(0, end - start)
        count_layers(self.architecture, len(residual), length, through - (attended is not None), through)
        for layer in range(start, end):
            known = attended if layer == start else None
            residual = self.blocks[layer](residual, geometry, taps, f"blocks.{layer}.", known)
        if end == self.architecture.n_layers and not self.architecture.norms_sums:
            residual = taps("ln_final.hook_out", self.ln_final(residual))
        return EncoderOutput(residual, taps.cache)


def randomly_initialised(architecture: Architecture, seed: int) -> Encoder:
    """An untrained encoder of this shape: the start of pretraining, and the random-initialisation control.

    Matrices are normal with standard deviation 0.7 / sqrt(inputs) (0.025 at width 768, near BERT's 0.02), embeddings
    0.02, biases 0, norms 1.
    """
    encoder = Encoder(architecture)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if parameter.ndim == 1:
                is_norm_scale = name.endswith("weight")
                parameter.fill_(1.0 if is_norm_scale else 0.0)
            else:
                is_table = name.split(".")[0] in ("embed", "positions", "token_types")
                spread = 0.02 if is_table else 0.7 / math.sqrt(parameter.shape[1])
                parameter.normal_(0.0, spread, generator=generator)
    return encoder.eval()
