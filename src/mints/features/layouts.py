"""How published libraries name and lay out the tensors of a dictionary, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mints.features.autoencoder import Normalisation, Rule
from mints.models.dictionary_files import DictionaryFiles

Axes = tuple[str, ...] | None
"""Names of a tensor's dimensions; None where they are not checked."""

RESCALED = "activation_rescale_factor"
"""InterPLM: by what a latent is divided on request, so that its largest activation is 1."""

NORMALISED = "normalize_to_sqrt_d"
"""InterPLM: whether `forward` brings every token's activations to length √d_in."""

INTERPLM_EXTRAS: dict[str, Axes] = {RESCALED: ("d_sae",), NORMALISED: ()}


@dataclass(frozen=True)
class Layout:
    """One kind of dictionary of one library."""

    name: str
    """Library and class."""

    rule: Rule

    weights: Mapping[str, str]
    """Parameter of SparseAutoencoder → name in the file. `….weight` is of a torch Linear, which keeps the transpose."""

    others: Mapping[str, Axes] = field(default_factory=dict)
    """The other tensors that every file of this layout has."""

    optional: Mapping[str, Axes] = field(default_factory=dict)
    """Tensors that a file may have."""

    subtracts_decoder_bias: bool = True
    normalisation: Normalisation = "none"

    trained_normalised: bool = False
    """Whether training, where `NORMALISED` is set, really saw normalised activations."""

    scales_by_decoder_norm: bool = False
    """Whether latents are multiplied by the length of their decoder row, and divided by it again in decoding."""

    classes: tuple[str, ...] = ()
    """Names of the class, or of its trainer, by which a configuration tells it from layouts of the same tensors."""

    def shapes(self) -> dict[str, Axes]:
        """Every tensor that a file must have, with its dimensions."""
        axes: dict[str, tuple[str, ...]] = {
            "W_enc": ("d_in", "d_sae"),
            "b_enc": ("d_sae",),
            "W_dec": ("d_sae", "d_in"),
            "b_dec": ("d_in",),
        }
        named = {name: axes[own][::-1] if is_linear(name) else axes[own] for own, name in self.weights.items()}
        return {**named, **self.others}

    def misfit(self, names: set[str]) -> int:
        """Tensors that are missing or unexpected."""
        return len(set(self.shapes()) ^ (names - set(self.optional)))

    def parameter(self, tensors: Mapping[str, Tensor], own: str) -> Tensor:
        """A parameter of SparseAutoencoder, float32."""
        tensor = tensors[self.weights[own]].float()
        return tensor.T.contiguous() if is_linear(self.weights[own]) else tensor.clone()


def is_linear(name: str) -> bool:
    """Whether a tensor is the matrix of a torch Linear."""
    return name.endswith(".weight")


_LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
_PLAIN = {"W_enc": "W_enc", "b_enc": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
_CHOSEN: dict[str, Axes] = {"k": (), "threshold": ()}

DECODE_GLM = Layout(
    "Decode-gLM BatchTopKSAE",
    "threshold",
    {**_LINEAR, "b_dec": "b_dec"},
    others={**_CHOSEN, RESCALED: ("d_sae",)},
    optional={NORMALISED: ()},
)

LAYOUTS = (
    Layout(
        "InterProt SparseAutoencoder",
        "topk",
        {"W_enc": "w_enc", "b_enc": "b_enc", "W_dec": "w_dec", "b_dec": "b_pre"},
        optional={"stats_last_nonzero": ("d_sae",)},
        normalisation="layer_norm",
    ),
    Layout(
        "dictionary_learning AutoEncoder, InterPLM ReLUSAE",
        "relu",
        {**_LINEAR, "b_dec": "bias"},
        optional=INTERPLM_EXTRAS,
        trained_normalised=True,
        classes=("AutoEncoder", "ReLUSAE", "ReLUTrainer"),
    ),
    Layout(
        "dictionary_learning AutoEncoderNew, InterPLM ReLUSAE_Tied",
        "relu",
        {**_LINEAR, "b_dec": "decoder.bias"},
        optional=INTERPLM_EXTRAS,
        subtracts_decoder_bias=False,
        trained_normalised=True,
        classes=("AutoEncoderNew", "ReLUSAE_Tied"),
    ),
    Layout(
        "dictionary_learning AutoEncoderTopK, InterPLM TopKSAE",
        "topk",
        {**_LINEAR, "b_dec": "b_dec"},
        others=_CHOSEN,
        optional=INTERPLM_EXTRAS,
        classes=("AutoEncoderTopK", "TopKSAE", "TopKTrainer"),
    ),
    Layout(
        "dictionary_learning and InterPLM BatchTopKSAE",
        "threshold",
        {**_LINEAR, "b_dec": "b_dec"},
        others=_CHOSEN,
        optional=INTERPLM_EXTRAS,
        classes=("BatchTopKSAE", "BatchTopKTrainer"),
    ),
    Layout(
        "dictionary_learning MatryoshkaBatchTopKSAE",
        "threshold",
        _PLAIN,
        others={**_CHOSEN, "group_sizes": None},
        classes=("MatryoshkaBatchTopKSAE",),
    ),
    Layout(
        "dictionary_learning JumpReluAutoEncoder",
        "threshold",
        _PLAIN,
        others={"threshold": ("d_sae",)},
        subtracts_decoder_bias=False,
        scales_by_decoder_norm=True,
        classes=("JumpReluAutoEncoder",),
    ),
    Layout(
        "InterPLM JumpReLUSAE",
        "threshold",
        {**_LINEAR, "b_dec": "decoder.bias"},
        others={"threshold": ("d_sae",)},
        optional=INTERPLM_EXTRAS,
        subtracts_decoder_bias=False,
        classes=("JumpReLUSAE", "JumpReLUTrainer"),
    ),
    Layout(
        "sparsify SparseCoder",
        "topk",
        {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"},
    ),
)


def layout_of(files: DictionaryFiles) -> list[Layout]:
    """The layouts that fit the names of the tensors best: several where the files do not tell them apart."""
    names = set(files.tensors)
    possible = [layout for layout in LAYOUTS if layout.weights["W_enc"] in names]
    misfits = [layout.misfit(names) for layout in possible]
    best = [layout for layout, misfit in zip(possible, misfits, strict=True) if misfit == min(misfits)]
    if len(best) > 1 and not files.configuration and files.weights.name == "checkpoint.pt" and RESCALED in names:
        return [DECODE_GLM]  # publishes its BatchTopK dictionaries under this name and without a configuration
    said = class_named(files)
    return [layout for layout in best if said in layout.classes] or best


def class_named(files: DictionaryFiles) -> str:
    """Name of the class, or of its trainer, in the configuration of dictionary_learning or InterPLM; empty for none."""
    trainer = files.configuration.get("trainer")
    if isinstance(trainer, dict):
        return str(trainer.get("dict_class", ""))
    trainer = files.configuration.get("trainer_cfg")
    if not isinstance(trainer, dict):
        return ""
    # InterPLM itself reads a configuration with auxk_alpha and without a trainer's name as BatchTopK.
    return str(trainer.get("trainer_name", "BatchTopKTrainer" if "auxk_alpha" in trainer else ""))


def threshold_of(layout: Layout, tensors: Mapping[str, Tensor], d_sae: int) -> Tensor:
    """Threshold of every latent; zero where the layout has none."""
    if layout.rule != "threshold":
        return torch.zeros(d_sae)
    return tensors["threshold"].float().expand(d_sae).clone()
