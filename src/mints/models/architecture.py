"""The settings that tell one transformer encoder from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Architecture:
    """Shape and conventions of an encoder; every family is a setting of this one class.

    Widths are in units of the residual stream (`d_model`), attention heads (`d_head`) and the feed-forward (`d_mlp`).
    """

    vocabulary_size: int
    """Rows of the token embedding; 0 where the encoder is entered at its first block (a basecaller)."""

    d_model: int
    n_layers: int
    n_heads: int
    d_mlp: int

    norm_placement: Literal["pre", "post", "deepnorm"]
    """`pre`: x + f(LN(x)), with a final norm. `post`: LN(x + f(x)), so the residual is no sum of components.
    `deepnorm`: LN(f(x) + α x), post-norm with a weighted stream (Wang et al. 2022)."""

    norm_epsilon: float

    position: Literal["alibi", "rotary", "learned"]

    mlp: Literal["gelu", "geglu", "swiglu"]
    """`geglu` and `swiglu` split the input projection in two: the first half is activated and gates the second."""

    mlp_input_bias: bool
    mlp_output_bias: bool

    pad_id: int

    embedding_norm: bool
    """A layer norm on the embeddings, before the first block."""

    norm_kind: Literal["layer", "rms"] = "layer"
    """`rms` divides by the root mean square and has no bias; the mean stays in."""

    deepnorm_alpha: float = 1.0
    """Weight of the stream in the sums of `deepnorm`."""

    attention_window: tuple[int, int] | None = None
    """(before, after): the query at i sees the keys from i − before to i + after; None: all of them."""

    qkv_bias: bool = True
    attention_output_bias: bool = True

    token_types: int = 0
    """Rows of the segment embedding (BERT); every token is of type 0."""

    max_positions: int | None = None
    """Rows of the learned position embedding; None where positions are not learned."""

    position_offset: int = 0
    """Row of the first token in a learned position embedding: ESM counts from the pad id + 1, BERT from 0."""

    token_dropout_mask_id: int | None = None
    """ESM-2's token dropout: mask embeddings are zeroed and the others rescaled by the share that is masked."""

    masked_language_head: bool = True
    tied_head: bool = True
    """The head's output matrix is the embedding matrix."""

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def mlp_is_gated(self) -> bool:
        """Whether the feed-forward multiplies two projections."""
        return self.mlp != "gelu"

    @property
    def norms_sums(self) -> bool:
        """Whether the norms stand after the residual sums, so that the stream is the normalised one."""
        return self.norm_placement != "pre"

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"width {self.d_model} is not a multiple of {self.n_heads} heads")
        if (self.max_positions is None) == (self.position == "learned"):
            raise ValueError("max_positions belongs to learned positions, and to them alone")
        if (self.deepnorm_alpha != 1.0) and self.norm_placement != "deepnorm":
            raise ValueError("deepnorm_alpha belongs to the norm placement deepnorm, and to it alone")
        if not self.vocabulary_size and self.masked_language_head:
            raise ValueError("a masked-language head needs a vocabulary")
