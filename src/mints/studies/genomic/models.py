"""How the genomic steps open the model, and which layers and variants they look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mints.config import Config
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
    config = run.config
    compute = resolve_compute(config.device, config.precision)
    loaded = load_model(str(config.model_files or config.model), config.family)
    run.fact("model_family", loaded.family.name)
    run.fact("model_weights_sha256", loaded.weights_sha256)
    run.fact("device", compute.device.type)
    run.fact("precision", compute.precision)
    compute.work.warn = run.warn
    run.account("model_work", compute.work.facts)
    return OpenModel(loaded.encoder.to(compute.device), loaded.tokenizer, compute)


def probed_layers(config: Config, n_layers: int) -> Sequence[int]:
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
