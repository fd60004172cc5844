"""Autoencoders in the format of SAELens: what `cfg.json` and `sae_weights.safetensors` hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from mints.errors import MintsError
from mints.features.autoencoder import Normalisation, Rule, SparseAutoencoder

VERSION = "6.54.12"
"""Version of SAELens whose fields these are; without one, SAELens reads a file as older than 6.0."""

ARCHITECTURES: dict[Rule, str] = {"relu": "standard", "topk": "topk", "threshold": "jumprelu"}
NORMALISATIONS: dict[Normalisation, str] = {
    "none": "none",
    "layer_norm": "layer_norm",
    "unit_norm": "constant_norm_rescale",
}


def to_saelens(
    autoencoder: SparseAutoencoder, metadata: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, ndarray]]:
    """Configuration and tensors of an autoencoder as SAELens 6 reads them.

    The scale s is folded into the weights (W_enc · s, W_dec / s, b_dec / s), which leaves pre-activations, thresholds
    and latents as they are. A dictionary trained with BatchTopK has a threshold, and so is a `jumprelu`.
    metadata: plain values; `hook_name` names the site, and one that ends in `hook_z` has heads, which lie side by side.
    """
    scale = autoencoder.scale.double().cpu()
    weights = {name: tensor.detach().double().cpu() for name, tensor in autoencoder.state_dict().items()}
    tensors = {
        "W_enc": weights["W_enc"] * scale,
        "b_enc": weights["b_enc"],
        "W_dec": weights["W_dec"] / scale,
        "b_dec": weights["b_dec"] / scale,
    }
    if autoencoder.rule == "threshold":
        tensors["threshold"] = weights["threshold"]
    configuration: dict[str, Any] = {
        "architecture": ARCHITECTURES[autoencoder.rule],
        "d_in": autoencoder.d_in,
        "d_sae": autoencoder.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": autoencoder.subtracts_decoder_bias,
        "normalize_activations": NORMALISATIONS[autoencoder.normalisation],
        "reshape_activations": "hook_z" if str(metadata.get("hook_name", "")).endswith("hook_z") else "none",
    }
    if autoencoder.rule == "topk":
        configuration |= {"k": autoencoder.k, "rescale_acts_by_decoder_norm": False}
    configuration["metadata"] = {
        "sae_lens_version": VERSION,
        "sae_lens_training_version": None,
        **metadata,
        "activation_scale": float(autoencoder.scale),
    }
    return configuration, {name: tensor.float().numpy() for name, tensor in tensors.items()}


def from_saelens(configuration: Mapping[str, Any], tensors: Mapping[str, ndarray]) -> SparseAutoencoder:
    """The autoencoder of a configuration and tensors of SAELens; its scale is 1, since theirs is in the weights.

    Raises MintsError for an architecture or normalisation that this package does not have, and for tensors that are
    missing, unexpected or misshapen.
    """
    rules = {name: rule for rule, name in ARCHITECTURES.items()}
    normalisations = {name: own for own, name in NORMALISATIONS.items()}
    architecture, d_in, d_sae = (_field(configuration, name) for name in ("architecture", "d_in", "d_sae"))
    normalisation = configuration.get("normalize_activations", "none")
    if architecture not in rules:
        raise MintsError(f"SAELens architecture {architecture!r} cannot be read: there are {', '.join(rules)}")
    if normalisation not in normalisations:
        raise MintsError(f"SAELens normalisation {normalisation!r} cannot be read: {', '.join(normalisations)}")
    autoencoder = SparseAutoencoder(
        d_in,
        d_sae,
        rules[architecture],
        k=_field(configuration, "k") if architecture == "topk" else None,
        subtracts_decoder_bias=bool(configuration.get("apply_b_dec_to_input", True)),
        normalisation=normalisations[normalisation],
    )
    weights = _checked(autoencoder, tensors)
    if configuration.get("rescale_acts_by_decoder_norm"):
        weights = _decoder_norms_folded(weights)
    autoencoder.load_state_dict(weights, strict=False)
    return autoencoder.requires_grad_(False)


def _field(configuration: Mapping[str, Any], name: str) -> Any:
    if name not in configuration:
        raise MintsError(f"the SAELens configuration has no {name!r}")
    return configuration[name]


def _checked(autoencoder: SparseAutoencoder, tensors: Mapping[str, ndarray]) -> dict[str, torch.Tensor]:
    wanted = {name: tuple(parameter.shape) for name, parameter in autoencoder.named_parameters()}
    if autoencoder.rule == "threshold":
        wanted["threshold"] = (autoencoder.d_sae,)
    missing, unexpected = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or unexpected:
        parts = [("missing", missing), ("unexpected", unexpected)]
        said = ", ".join(f"{what}: {' '.join(names)}" for what, names in parts if names)
        raise MintsError(f"the SAELens weights are not those of this architecture; {said}")
    for name, shape in wanted.items():
        if tensors[name].shape != shape:
            raise MintsError(f"{name} of the SAELens weights has shape {tensors[name].shape}, not {shape}")
    return {name: torch.from_numpy(np.asarray(tensors[name], dtype=np.float32)) for name in wanted}


def _decoder_norms_folded(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights that give directly what SAELens gives by multiplying each latent by its decoder row's norm."""
    norms = weights["W_dec"].norm(dim=1).clamp(min=1e-8)
    folded = {
        "W_enc": weights["W_enc"] * norms,
        "b_enc": weights["b_enc"] * norms,
        "W_dec": weights["W_dec"] / norms[:, None],
    }
    return weights | folded
