"""Step: what substitutions do, through which latents, and whether those know more than the token they sit on."""

from __future__ import annotations

import numpy as np
import torch

from mints.analysis.patching import ProbeLogit
from mints.errors import MintsError
from mints.features.above import Above
from mints.pipeline.run import Run
from mints.studies.genomic.dictionaries import open_autoencoder
from mints.studies.genomic.latent_pairs import trace_pairs
from mints.studies.genomic.models import open_model
from mints.studies.genomic.questions import feature_question
from mints.studies.genomic.substitution_effects import trace_substitutions
from mints.studies.genomic.traced_pairs import Traced


def run_feature_causality(run: Run) -> None:
    """Exchange latents between clean and corrupted sequences, one by one and in sets; score every substitution."""
    model, site = open_model(run), run.config.features.sites[-1]
    asked = feature_question(run.config)
    autoencoder = open_autoencoder(run, site).to(model.compute.device).requires_grad_(False)
    above, probe = Above(model.encoder, site, model.compute), probe_above(run, asked.task, site)
    traced = Traced(model.tokenizer, autoencoder, above, probe)
    limit = run.config.features.substitution_sites
    if model.encoder.head is None:
        run.warn("the checkpoint has no masked-language head: substitutions and latents were not measured")
        limit = 0
    trace_pairs(run, traced, asked.name, limit)
    trace_substitutions(run, traced, asked, limit)


def probe_above(run: Run, task: str, site: str) -> ProbeLogit:
    """The task's probe at the layer that validation chose; where that ends below the site, the next one above it.

    Raises MintsError where no probed layer lies above the site.
    """
    probe, lowest = run.load(f"probes/{task}.npz"), int(site.split(".")[1])
    probed = sorted(int(name.split("_")[1]) for name in probe if name.endswith("_weights"))
    chosen = int(probe["chosen_layer"])
    layers = [layer for layer in probed if layer >= lowest]
    if not layers:
        raise MintsError(f"no probed layer lies above {site}: add one to probe_layers, or decompose a lower site")
    layer = chosen if chosen in layers else layers[0]
    if layer != chosen:
        run.warn(f"validation chose the probe of {task} at layer {chosen}, below {site}: layer {layer}'s is used")
    weights = torch.from_numpy(probe[f"layer_{layer}_weights"].astype(np.float32))
    return ProbeLogit(layer, weights, float(probe[f"layer_{layer}_bias"]))
