"""Bonito's `config.toml`: the network with the input that it expects, and the architecture that this means."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, PositiveFloat, PositiveInt, ValidationError, model_validator

from mints.errors import MintsError
from mints.models.architecture import Architecture
from mints.models.basecaller.network import ALPHABET, Model
from mints.section import Section


class Labels(Section):
    """Labels of a CTC head."""

    labels: tuple[str, ...] = ALPHABET


class Scaling(Section):
    """Where shift and scale of a read come from."""

    strategy: Literal["pa", "quantile", "med_mad"] = "quantile"


class Standardisation(Section):
    """Constants of the strategy `pa`, in pA."""

    standardise: bool
    mean: float = 0.0
    stdev: PositiveFloat = 1.0


class Quantiles(Section):
    """Constants of the strategy `quantile`."""

    quantile_a: float = 0.2
    quantile_b: float = 0.9
    shift_multiplier: float = 0.51
    scale_multiplier: float = 0.53


class RunInfo(Section):
    """What the model was trained on."""

    model_config = ConfigDict(extra="allow")

    sample_rate: PositiveInt
    """Samples per second."""


class OwnSettings(Section):
    """What Bonito's grammar has no name for; its reader passes over this table."""

    norm_epsilon: PositiveFloat = 1e-5
    """Of the root-mean-square norms. flash-attn's, by which Bonito's models are trained, have 1e-5; ont-bonito 1.1.0 on
    a CPU takes float32's machine epsilon, 1.1920929e-7."""


class BonitoConfig(Section):
    """`config.toml` of a model folder. Tables of training and basecalling runs are kept and not read."""

    model_config = ConfigDict(extra="allow")

    model: Model
    labels: Labels | None = None
    scaling: Scaling = Scaling()
    standardisation: Standardisation | None = None
    normalisation: Quantiles = Quantiles()
    run_info: RunInfo
    mints: OwnSettings = OwnSettings()

    @model_validator(mode="after")
    def _known_alphabet(self) -> BonitoConfig:
        if (self.model.package == "bonito.ctc") != (self.labels is not None):
            raise ValueError("labels is a table of bonito.ctc, and needed there")
        if self.alphabet != ALPHABET:
            raise ValueError(f"the alphabet is {', '.join(self.alphabet)}, not {', '.join(ALPHABET)}")
        return self

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Labels of the scores."""
        if self.labels is not None:
            return self.labels.labels
        return self.model.seqdist.alphabet if self.model.seqdist else ALPHABET

    @property
    def normalisation_settings(self) -> dict[str, Any]:
        """How the current of a read becomes the model's input, under the names of `Normalisation`'s fields.

        (`mints.data.nanopore.normalisation`.) Without a table `standardisation` the current stays in pA.
        """
        constants = self.standardisation or Standardisation(standardise=False)
        return {
            "strategy": self.scaling.strategy,
            "standardise": constants.standardise,
            "mean": constants.mean,
            "standard_deviation": constants.stdev,
            **self.normalisation.model_dump(),
        }

    def encoder_architecture(self) -> Architecture:
        """The transformer as a setting of the one encoder."""
        stack = self.model.encoder.transformer_encoder
        layer = stack.layer
        return Architecture(
            vocabulary_size=0,
            d_model=layer.d_model,
            n_layers=stack.depth,
            n_heads=layer.nhead,
            d_mlp=layer.dim_feedforward,
            norm_placement="deepnorm",
            norm_kind="rms",
            norm_epsilon=self.mints.norm_epsilon,
            deepnorm_alpha=layer.deepnorm_alpha,
            position="rotary",
            attention_window=layer.attn_window,
            mlp="swiglu",
            mlp_input_bias=False,
            mlp_output_bias=False,
            qkv_bias=False,
            pad_id=0,
            embedding_norm=False,
            masked_language_head=False,
        )


def read_config(path: Path) -> BonitoConfig:
    """`config.toml` of a model folder. Raises MintsError for what is missing, wrong or of another kind of model."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MintsError(f"{path} does not exist: expected an unpacked Bonito model folder") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MintsError(f"{path} cannot be read as TOML: {error}") from None
    return parse_config(table, str(path))


def parse_config(table: Mapping[str, Any], where: str) -> BonitoConfig:
    """The same from a table. where: names it in errors."""
    if "block" in table:
        raise MintsError(f"{where} has [[block]] tables, those of Bonito's convolutional CTC models: not a transformer")
    try:
        config = BonitoConfig.model_validate(table)
        config.encoder_architecture()
    except ValidationError as error:
        raise MintsError(f"{where} is of no transformer basecaller: {_first_fault(error)}") from None
    except ValueError as error:
        raise MintsError(f"{where} is of no transformer basecaller: {error}") from None
    return config


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    found = f", found {fault['input']!r}" if isinstance(fault["input"], str | int | float) else ""
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}{found}"
