"""Dictionaries of other libraries as autoencoders: their tensors checked, their arithmetic kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mints.errors import MintsError
from mints.features.autoencoder import SparseAutoencoder
from mints.features.file_names import WEIGHTS
from mints.features.layouts import LAYOUTS, NORMALISED, RESCALED, Layout, layout_of, threshold_of
from mints.features.saelens import from_saelens
from mints.models.dictionary_files import DictionaryFiles

DEFAULT_K = 32
"""Latents per token of a file that does not say it, as the mutation-effect study reads those of InterProt."""

K_IN_NAME = re.compile(r"_k(\d+)(?![\d])")
"""How InterProt's training names its files: `esm2_plm1280_l24_sae4096_k64_auxk640`."""

FACTS = {"lm_name": "model_name", "layer": "layer", "submodule_name": "submodule_name"}
"""Fields of dictionary_learning's configuration → metadata."""


class ReadDictionary(NamedTuple):
    """An autoencoder that was trained elsewhere."""

    autoencoder: SparseAutoencoder

    metadata: dict[str, Any]
    """Plain values: `format`, and what the files say of the training (k, model_name, layer …)."""

    remarks: list[str]
    """What its user should know, a sentence each."""


def from_published(files: DictionaryFiles, k: int | None = None) -> ReadDictionary:
    """The autoencoder of a dictionary of SAELens, dictionary_learning, InterPLM, Decode-gLM, InterProt or sparsify.

    The layout is recognised by the names of the tensors, and by the configuration where two share their names
    (docs/methods.md, Dictionaries of other libraries). k: latents per token of a TopK dictionary whose files do not say
    it. Raises MintsError for an unknown layout, for tensors that are missing, unexpected, misshapen or not finite, for
    a threshold that was never learnt, and for a k that contradicts the files.
    """
    if files.weights.name == WEIGHTS or "architecture" in files.configuration:
        return _of_saelens(files)
    layout, (d_in, d_sae) = recognise(files)
    said = _k_said(layout, files)
    if k is not None and said is not None and k != said:
        raise MintsError(f"{files.weights} was trained with k = {said}, not {k}")
    kept = k or said or (DEFAULT_K if layout.rule == "topk" else None)
    if kept is not None and not 1 <= kept <= d_sae:
        raise MintsError(f"{files.weights}: k is {kept}, and there are {d_sae} latents")
    _require_threshold(layout, files)
    autoencoder = SparseAutoencoder(
        d_in,
        d_sae,
        layout.rule,
        k=kept if layout.rule == "topk" else None,
        subtracts_decoder_bias=layout.subtracts_decoder_bias,
        normalisation="unit_norm" if layout.trained_normalised and _is_set(files) else layout.normalisation,
    )
    autoencoder.load_state_dict(_parameters(layout, files.tensors, d_sae), strict=False)
    metadata = {"format": layout.name} | _training(files) | ({} if kept is None else {"k": kept})
    remarks = list(_remarks(layout, files, assumed=k is None and said is None and layout.rule == "topk"))
    return ReadDictionary(autoencoder.requires_grad_(False), metadata, remarks)


def _of_saelens(files: DictionaryFiles) -> ReadDictionary:
    arrays = {name: tensor.float().numpy() for name, tensor in files.tensors.items()}
    if (factor := arrays.get("scaling_factor")) is not None and (factor == 1).all():
        del arrays["scaling_factor"]  # 3.x wrote it although it did nothing
    try:
        configuration = _as_of_six(files.configuration)
        autoencoder = from_saelens(configuration, arrays)
    except (MintsError, ValueError) as error:
        raise MintsError(f"{files.weights}: {error}") from None
    metadata = {"format": f"SAELens {configuration['architecture']}", **configuration["metadata"]}
    return ReadDictionary(autoencoder, metadata, [])


def _as_of_six(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of SAELens before 6.0, whose activation function stood beside the architecture, as of today."""
    now = {"architecture": "standard", "metadata": {}, **configuration}
    activation = now.get("activation_fn", now.get("activation_fn_str", "relu"))
    if activation == "topk":
        now |= {"architecture": "topk", "k": now.get("activation_fn_kwargs", {}).get("k")}
    elif activation != "relu":
        raise MintsError(f"SAELens activation {activation!r} cannot be read: there are relu and topk")
    if not now.get("normalize_activations"):
        now["normalize_activations"] = "none"
    site = now.get("hook_name", now.get("hook_point"))
    return now | {"metadata": ({} if site is None else {"hook_name": site}) | now["metadata"]}


def recognise(files: DictionaryFiles) -> tuple[Layout, tuple[int, int]]:
    """Layout, d_in and d_sae. Raises MintsError naming what does not fit, or what would tell two layouts apart."""
    found = layout_of(files)
    if not found:
        raise MintsError(
            f"{files.weights} is no dictionary that can be read: it has {', '.join(sorted(files.tensors)[:8])};"
            f" there are SAELens, {'; '.join(layout.name for layout in LAYOUTS)}"
        )
    sizes = _check(found[0], files)
    if len(found) > 1:
        raise MintsError(
            f"{files.weights} may be {' or '.join(layout.name for layout in found)}, which share their tensors:"
            " put the config.json or config.yaml of its training beside it"
        )
    return found[0], sizes


def _check(layout: Layout, files: DictionaryFiles) -> tuple[int, int]:
    tensors, shapes = files.tensors, layout.shapes()
    missing = sorted(set(shapes) - set(tensors))
    unexpected = sorted(set(tensors) - set(shapes) - set(layout.optional))
    if missing or unexpected:
        parts = (("missing", missing), ("unexpected", unexpected))
        said = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
        raise MintsError(f"{files.weights} does not hold the tensors of {layout.name}; {said}")
    encoder = layout.weights["W_enc"]
    if tensors[encoder].ndim != 2:
        raise MintsError(f"{files.weights}: {encoder} has shape {tuple(tensors[encoder].shape)}, not two dimensions")
    d_in, d_sae = layout.parameter(tensors, "W_enc").shape
    sizes = {"d_in": d_in, "d_sae": d_sae}
    for name, axes in {**shapes, **layout.optional}.items():
        if name not in tensors:
            continue
        wanted = None if axes is None else tuple(sizes[axis] for axis in axes)
        if wanted is not None and tuple(tensors[name].shape) != wanted:
            raise MintsError(f"{files.weights}: {name} has shape {tuple(tensors[name].shape)}, not {wanted}")
        if not torch.isfinite(tensors[name].float()).all():
            raise MintsError(f"{files.weights}: {name} has values that are not finite")
    return d_in, d_sae


def _k_said(layout: Layout, files: DictionaryFiles) -> int | None:
    """Latents per token by the tensors, the configuration or the name of the file; None where none says it."""
    if "k" in layout.others:
        return int(files.tensors["k"])
    if layout.rule != "topk":
        return None
    named = K_IN_NAME.search(files.weights.stem)
    said = files.configuration.get("k", int(named[1]) if named else None)
    return said if isinstance(said, int) else None


def _require_threshold(layout: Layout, files: DictionaryFiles) -> None:
    """Raise MintsError where a threshold for all latents still has the mark of one that no step has set."""
    if layout.rule == "threshold" and "k" in layout.others and files.tensors["threshold"] < 0:
        raise MintsError(
            f"{files.weights}: its threshold was never learnt ({float(files.tensors['threshold']):g}):"
            " training ended before the first update, and every positive latent would be let through"
        )


def _is_set(files: DictionaryFiles) -> bool:
    return NORMALISED in files.tensors and bool(files.tensors[NORMALISED])


def _remarks(layout: Layout, files: DictionaryFiles, *, assumed: bool) -> Iterator[str]:
    if assumed:
        yield f"the files do not say how many latents a token has: the {DEFAULT_K} largest are kept"
    if _is_set(files) and not layout.trained_normalised:
        yield f"{NORMALISED} is set, but training did not apply it: activations are encoded as they are"
    rescaled = files.tensors.get(RESCALED)
    if rescaled is not None and not torch.equal(rescaled.float(), torch.ones(len(rescaled))):
        yield f"{RESCALED} is not applied: latents have the size that they had in training"


def _parameters(layout: Layout, tensors: Mapping[str, Tensor], d_sae: int) -> dict[str, Tensor]:
    """Parameters and threshold; decoder norms, where the layout applies them to latents, become part of the weights."""
    own = {name: layout.parameter(tensors, name) for name in layout.weights}
    own["threshold"] = threshold_of(layout, tensors, d_sae)
    if layout.scales_by_decoder_norm:
        norms = own["W_dec"].norm(dim=1)
        for name in ("W_enc", "b_enc", "threshold"):
            own[name] = own[name] * norms
        own["W_dec"] = own["W_dec"] / torch.where(norms > 0, norms, 1)[:, None]
    return own


def _training(files: DictionaryFiles) -> dict[str, Any]:
    trainer = files.configuration.get("trainer")
    if not isinstance(trainer, dict):
        return {}
    return {name: trainer[field] for field, name in FACTS.items() if trainer.get(field) is not None}
