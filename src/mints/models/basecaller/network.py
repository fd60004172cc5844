"""A transformer basecaller's network in the grammar of Bonito's `config.toml`: one table per part.

Every table is strict about its names, since a setting that is not understood would be another model. The facts are
those of Bonito's published `dna_r10.4.1@v5.0.toml`.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mints.section import Section

Activation = Literal["swish", "relu", "tanh"]

ALPHABET = ("N", "A", "C", "G", "T")
"""Bonito's labels; the first is the blank, or the stay of a CRF."""


class Convolution(Section):
    """One convolution over time, with its norm and then its activation."""

    type: Literal["convolution"] = "convolution"
    insize: PositiveInt
    size: PositiveInt
    winlen: PositiveInt
    stride: PositiveInt = 1
    padding: NonNegativeInt = 0
    bias: bool = True
    activation: Activation | None = None
    norm: Literal["batchnorm"] | None = None


class Permute(Section):
    """Change of layout."""

    type: Literal["permute"] = "permute"
    dims: tuple[int, int, int]


class Front(Section):
    """Convolutions from the signal to the encoder's positions, and the change to `[read, position, width]`."""

    type: Literal["serial"] = "serial"
    sublayers: list[Annotated[Convolution | Permute, Field(discriminator="type")]]

    @property
    def convolutions(self) -> list[Convolution]:
        """The convolutions in order."""
        return [layer for layer in self.sublayers if isinstance(layer, Convolution)]

    @model_validator(mode="after")
    def _chained(self) -> Front:
        layers = self.convolutions
        if not layers or self.sublayers != [*layers, Permute(dims=(0, 2, 1))]:
            raise ValueError("expected convolutions followed by one permute with dims = [0, 2, 1]")
        if layers[0].insize != 1 or any(a.size != b.insize for a, b in zip(layers, layers[1:], strict=False)):
            raise ValueError("the sizes do not fit: the first insize is 1, every other the size before it")
        return self


class TransformerLayer(Section):
    """One layer: attention within a window, SwiGLU, deep-norm with root-mean-square norms."""

    type: Literal["transformerencoderlayer"] = "transformerencoderlayer"
    d_model: PositiveInt
    nhead: PositiveInt
    dim_feedforward: PositiveInt
    deepnorm_alpha: PositiveFloat
    deepnorm_beta: PositiveFloat
    """Gain of the weights at the start of training; an encoder that runs has no use for it."""

    attn_window: tuple[NonNegativeInt, NonNegativeInt] | None = None


class Stack(Section):
    """Layers of one kind."""

    type: Literal["stack"] = "stack"
    depth: PositiveInt
    layer: TransformerLayer


class LinearUpsample(Section):
    """Every position becomes `scale_factor` positions."""

    type: Literal["linearupsample"] = "linearupsample"
    d_model: PositiveInt
    scale_factor: PositiveInt
    batch_first: Literal[True] = True


class LinearCRF(Section):
    """Scores of the transitions between states."""

    type: Literal["linearcrfencoder"] = "linearcrfencoder"
    insize: PositiveInt
    n_base: Literal[4] = 4
    state_len: PositiveInt
    bias: bool = True
    scale: float | None = None
    activation: Activation | None = None
    blank_score: float | None = None
    """Score of every stay; None: stays have scores of their own from the head."""

    expand_blanks: Literal[True] = True
    permute: tuple[int, int, int]

    @model_validator(mode="after")
    def _time_first(self) -> LinearCRF:
        if self.permute != (1, 0, 2):
            raise ValueError("permute is not [1, 0, 2], which puts time first")
        return self


class EncoderTables(Section):
    """The parts of the network, in the order in which they run."""

    type: Literal["namedserial"] = "namedserial"
    conv: Front
    transformer_encoder: Stack
    upsample: LinearUpsample | None = None
    crf: LinearCRF | None = None

    @model_validator(mode="after")
    def _one_width(self) -> EncoderTables:
        width = self.transformer_encoder.layer.d_model
        found = {"conv": self.conv.convolutions[-1].size}
        found |= {"upsample": self.upsample.d_model} if self.upsample else {}
        found |= {"crf": self.crf.insize} if self.crf else {}
        for name, other in found.items():
            if other != width:
                raise ValueError(f"{name} is {other} wide, the transformer {width}")
        if math.prod(layer.stride for layer in self.conv.convolutions) % self.upsampling:
            raise ValueError(f"the strides of conv do not divide by the scale_factor {self.upsampling}")
        return self

    @property
    def upsampling(self) -> int:
        """Time steps of the scores per position of the encoder."""
        return 1 if self.upsample is None else self.upsample.scale_factor


class SequenceDistribution(Section):
    """States of the CRF."""

    state_len: PositiveInt
    alphabet: tuple[str, ...] = ALPHABET


class Model(Section):
    """`bonito.transformer`: a CRF over the transitions. `bonito.ctc`: label probabilities instead."""

    type: Literal["seqdistmodel"] | None = None
    package: Literal["bonito.transformer", "bonito.ctc"] = "bonito.transformer"
    seqdist: SequenceDistribution | None = None
    encoder: EncoderTables

    @model_validator(mode="after")
    def _one_head(self) -> Model:
        crf = self.encoder.crf
        if self.package == "bonito.ctc":
            if crf is not None or self.seqdist is not None:
                raise ValueError("bonito.ctc has neither a crf nor a seqdist table")
        elif crf is None or self.seqdist is None:
            raise ValueError("bonito.transformer needs the tables encoder.crf and seqdist")
        elif crf.state_len != self.seqdist.state_len:
            raise ValueError(f"seqdist has states of {self.seqdist.state_len} bases, encoder.crf of {crf.state_len}")
        return self
