"""How steps open the model, and which layers and variants they look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mints.errors import UsageError
from mints.models.checkpoint import load_model
from mints.models.compute import Compute, resolve_compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run

ALL_LAYERS_UP_TO = 6
"""Models of so few layers are probed in all of them."""


class OpenModel(NamedTuple):
    """The model of a run, on its device."""

    encoder: Encoder
    tokenizer: Tokenizer
    compute: Compute


def open_model(run: Run) -> OpenModel:
    """Load the configured checkpoint and record what it is and where it runs."""
    return open_checkpoint(run, run.config, "model")


def open_checkpoint(run: Run, section: Any, label: str) -> OpenModel:
    """Load the checkpoint that a section of the configuration names; label: of its facts in the manifest."""
    compute = resolve_compute(run.config.device, run.config.precision)
    loaded = load_model(str(section.model_files or section.model), section.family)
    run.fact(f"{label}_family", loaded.family.name)
    run.fact(f"{label}_weights_sha256", loaded.weights_sha256)
    run.fact("device", compute.device.type)
    run.fact("precision", compute.precision)
    compute.work.warn = run.warn
    run.account(f"{label}_work", compute.work.facts)
    loaded.encoder.fused_attention = True  # wherever a step does not ask for the patterns themselves
    return OpenModel(loaded.encoder.to(compute.device), loaded.tokenizer, compute)


def probed_layers(config: Any, n_layers: int) -> Sequence[int]:
    """Layers whose residual stream is cached, by the configuration or by the model's depth.

    Raises UsageError for a layer that the model does not have, or a fixed layer that is not among the probed ones.
    """
    default = list(range(n_layers)) if n_layers <= ALL_LAYERS_UP_TO else [0, (n_layers - 1) // 2, n_layers - 1]
    layers = sorted(set(config.probe_layers or default))
    too_high = [layer for layer in layers if layer >= n_layers]
    if too_high:
        raise UsageError(f"probe layer {too_high[0]} does not exist: the model has layers 0 to {n_layers - 1}")
    if config.probe_layer is not None and config.probe_layer not in layers:
        raise UsageError(f"--probe-layer {config.probe_layer} is not among the probed layers {layers}")
    return layers
