"""A small model with random dictionaries at two sites, and an ablation of it that shares no code with the package's."""

from typing import NamedTuple

import numpy as np
import torch
from architectures import POST, PRE, scattered

from mints.analysis.patching import ProbeLogit
from mints.features.autoencoder import SparseAutoencoder
from mints.features.circuit_sites import Site, measure_references
from mints.features.contrast import Contrast
from mints.features.feature_circuits import Sample, Setting
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")
D_SAE = 30


def random_autoencoder(d_in, seed, rule="threshold", **settings):
    autoencoder = SparseAutoencoder(d_in, D_SAE, rule, **settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in autoencoder.parameters():
            parameter.normal_(generator=generator)
        autoencoder.scale.fill_(0.7)
        if rule == "threshold":
            autoencoder.threshold.uniform_(0.5, 3.0, generator=generator)
    return autoencoder.requires_grad_(False)


def random_encodings(count, rng, vocabulary=30):
    """A special token, letters, a special token; lengths differ, so that batches have pads."""
    encodings = []
    for length in rng.integers(6, 11, size=count):
        ids = rng.integers(5, vocabulary, size=length)
        special = np.zeros(length, dtype=bool)
        special[[0, -1]] = True
        encodings.append(Encoding(ids, np.zeros((length, 2), dtype=np.int64), special))
    return encodings


class Scene(NamedTuple):
    setting: Setting
    sample: Sample
    encodings: list


def make_scene(architecture=POST, names=("blocks.0.hook_resid_post", "blocks.1.hook_resid_post"), layer=2, **rule):
    rng = np.random.default_rng(1)
    encoder = scattered(architecture).requires_grad_(False)
    width = {"mlp.hook_post": architecture.d_mlp}
    sites = [
        Site(name, random_autoencoder(width.get(name.split(".", 2)[2], architecture.d_model), seed, **rule))
        for seed, name in enumerate(names)
    ]
    weights = torch.from_numpy(rng.normal(size=architecture.d_model)).float()
    readout = ProbeLogit(layer, weights, 0.3)
    references = measure_references(encoder, sites, random_encodings(12, rng), readout, FP32, 40)
    encodings = random_encodings(8, rng)
    sample = Sample(encodings, Contrast.of_labels(np.array([1, 0] * 4)))
    return Scene(Setting(encoder, sites, references, readout, FP32, 40), sample, encodings)


def kinds():
    return [
        {"architecture": POST},
        {"architecture": PRE},
        {"architecture": POST, "names": ("blocks.0.mlp.hook_post", "blocks.0.hook_resid_post")},
        {"architecture": PRE, "names": ("blocks.1.attn.hook_z", "blocks.2.hook_mlp_out")},
        {"architecture": POST, "rule": "topk", "k": 5},
        {"architecture": PRE, "names": ("blocks.0.hook_resid_post", "blocks.2.hook_resid_post")},
    ]


def pre_activations_by_hand(autoencoder, x):
    return (x * 0.7 - autoencoder.b_dec) @ autoencoder.W_enc + autoencoder.b_enc


def latents_by_hand(autoencoder, x):
    pre = pre_activations_by_hand(autoencoder, x)
    kept = pre > autoencoder.threshold
    if autoencoder.k is not None:
        kept = torch.zeros_like(pre, dtype=torch.bool)
        for place in np.ndindex(*pre.shape[:-1]):
            kept[place][pre[place].argsort(descending=True)[: autoencoder.k]] = True
    return torch.where(kept & (pre > 0), pre, torch.zeros(()))


def run_by_hand(scene, encoding, site=None, change=None):
    """Read-out and every site's latents of one sequence, with plain torch hooks on whole layers.

    change: takes the latents of `site` (token × latent) and gives others; both sites must be outputs of layers.
    """
    encoder, sites, _, readout, _, _ = scene.setting
    seen, handles = {}, []
    content = torch.from_numpy(~encoding.special)

    def hook(place):
        def intervene(module, inputs, output):
            x = output[0]
            if place is site:
                latents = latents_by_hand(place.autoencoder, x)
                difference = (change(latents) - latents) * content[:, None]
                x = x + difference @ place.autoencoder.W_dec / 0.7
            seen[place.name] = latents_by_hand(place.autoencoder, x)[content]
            return x[None]

        return intervene

    def last(module, inputs, output):
        seen["end"] = output[0]

    for place in sites:
        handles.append(encoder.blocks[place.layer].register_forward_hook(hook(place)))
    handles.append(encoder.blocks[readout.layer].register_forward_hook(last))
    encoder(torch.from_numpy(encoding.ids)[None])
    for handle in handles:
        handle.remove()
    figure = float(seen["end"][content].double().mean(0) @ readout.weights.double() + 0.3)
    return figure, seen
