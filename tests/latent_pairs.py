"""A small model, an autoencoder of its middle layer, and a pair of sequences that differ in two tokens."""

from types import SimpleNamespace

import numpy as np
import torch
from architectures import scattered
from patching_pairs import FP32, unit_weights

from mints.analysis.patching import ProbeLogit
from mints.features.above import Above, PairReadout
from mints.features.autoencoder import SparseAutoencoder

SITE = "blocks.1.hook_resid_post"
CLEAN = [2, 7, 12, 9, 21, 15, 8, 28, 4]
CHANGED = [3, 4]


def random_autoencoder(d_in, d_sae=60, rule="topk", k=5, **settings):
    """Weights of no meaning, far from zero."""
    autoencoder = SparseAutoencoder(d_in, d_sae, rule, k=k, **settings)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in autoencoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        autoencoder.scale.fill_(0.7)
    return autoencoder.requires_grad_(False)


def mirror_autoencoder(d_in):
    """A relu autoencoder without error: one latent for each sign of each dimension."""
    autoencoder = SparseAutoencoder(d_in, 2 * d_in, "relu")
    with torch.no_grad():
        autoencoder.W_enc.copy_(torch.cat([torch.eye(d_in), -torch.eye(d_in)], dim=1))
        autoencoder.W_dec.copy_(autoencoder.W_enc.T)
    return autoencoder.requires_grad_(False)


def make_case(architecture, site=SITE, probe_layer=2, autoencoder=None):
    """Both sides of the pair at the site, and what they are judged by."""
    rng = np.random.default_rng(4)
    encoder = scattered(architecture)
    clean = torch.tensor([CLEAN])
    corrupted = clean.clone()
    corrupted[0, CHANGED] = torch.tensor([17, 26])
    content = torch.ones(clean.shape, dtype=torch.bool)
    content[0, [0, -1]] = False
    probe = ProbeLogit(probe_layer, unit_weights(architecture, rng), 0.3)
    above = Above(encoder, site, FP32)
    runs = [above.record(ids) for ids in (clean, corrupted)]
    return SimpleNamespace(
        encoder=encoder,
        above=above,
        probe=probe,
        clean_ids=clean,
        corrupted_ids=corrupted,
        content=content,
        clean=runs[0],
        corrupted=runs[1],
        readout=PairReadout(probe, clean, corrupted, content),
        changed=(clean != corrupted)[0],
        autoencoder=autoencoder or random_autoencoder(runs[0].x.shape[2]),
    )


def full_pass(case, ids, interventions=None):
    """Read-outs of a whole forward pass, written out by hand."""
    site = f"blocks.{case.probe.layer}.hook_resid_post"
    with torch.no_grad():
        output = case.encoder.run(ids, sites=[site], interventions=interventions)
        log_p = case.encoder.logits(output.residual)[0].double().log_softmax(-1)
    stream = output.cache[site][0].double()
    clean, corrupted = case.clean_ids[0].tolist(), case.corrupted_ids[0].tolist()
    inner = range(1, len(clean) - 1)
    same = [place for place in inner if clean[place] == corrupted[place]]
    weights = case.probe.weights.double()
    return [
        float(stream[list(inner)].mean(0) @ weights) + 0.3,
        float(stream[same].mean(0) @ weights) + 0.3,
        sum(float(log_p[place, corrupted[place]] - log_p[place, clean[place]]) for place in CHANGED),
        sum(float(log_p[place, clean[place]]) for place in same),
    ]
