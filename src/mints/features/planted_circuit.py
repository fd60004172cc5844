"""A circuit written into a model's weights through two known latents, of known strength: what a tracer should find.

One neuron of a feed-forward layer reads an upstream latent a and writes the decoder row of a downstream latent b; the
behaviour is a linear read-out along that row. The truth is a → b → behaviour; everything else is a distractor. The
neuron's gate is the affine function of the layer's input that tells a's firing best, its linear half reads a constant.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.patching import ProbeLogit
from mints.errors import UsageError
from mints.features.autoencoder import SparseAutoencoder
from mints.features.circuit_sites import Site, clean_runs
from mints.features.feature_circuits import Setting
from mints.features.latent_ablation import ablate_nodes
from mints.features.latent_attribution import attribute_latents
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding

RIDGE_PENALTY = 1e-3
"""Penalty of the directions that the neuron reads, in units of the mean square of a dimension of its input."""

STEEPNESS = 6.0
"""Gate of the neuron on a token where a fires as on average; midway to the silent ones it is 0."""

UPSTREAM, DOWNSTREAM = (0.03, 0.2), (0.01, 0.1)
"""Share of tokens on which a and b fire: what a rare latent does is lost in the mean that the behaviour is."""

LEAST_SELECTIVITY = 0.7
"""Least share of the neuron's activation on tokens where a fires: of one that fires elsewhere a is not the cause."""

LEAST_DRIVEN = 0.5
"""Least share of the neuron's activation that goes when a is ablated: where others say the same, a is no cause."""

MOST_OF_A_VECTOR = 0.75
"""Largest share of a normalised vector that the neuron is made to fill; b is raised less where this binds."""

CHOICES = 4
"""Downstream latents that are looked at for each pair that is wanted."""


class PlantedPair(NamedTuple):
    """Two latents and the neuron that is to join them."""

    upstream: int
    downstream: int
    layer: int
    neuron: int
    """The one that contributes least to the layer's output."""

    gate: Float[Tensor, "d_model"]
    linear: Float[Tensor, "d_model"]
    writes: Float[Tensor, "d_model"]
    """What the neuron adds per unit of its activation, at strength 1."""

    selectivity: float
    """Share of the neuron's |activation| that falls on tokens where a fires."""


def planting_layer(sites: Sequence[Site]) -> int:
    """Layer whose feed-forward joins the lowest and the highest site: that of the highest.

    Raises UsageError where the highest site is not what a layer hands to the next one, or no layer lies between.
    """
    low, high = sites[0], sites[-1]
    if not high.is_output or high.layer <= low.layer:
        raise UsageError(
            f"a circuit is planted between a site and a later layer's hook_resid_post, not {low.name} and {high.name}"
        )
    return high.layer


class PlantingTokens(NamedTuple):
    """What the content tokens of training sequences say about latents and the layer between them."""

    upstream: Float[Tensor, "token latent"]
    downstream: Float[Tensor, "token latent"]
    read: Float[Tensor, "token d_model"]
    """Input of the layer's feed-forward."""

    post: Float[Tensor, "token d_mlp"]
    after: Float[Tensor, "token d_model"]
    """Values at the higher site."""

    spread: float
    """Mean standard deviation over dimensions of what the layer's last norm normalises; 1 in pre-norm models."""


def planting_tokens(setting: Setting, encodings: Sequence[Encoding]) -> PlantingTokens:
    """Run training sequences and keep what choosing and reading needs."""
    encoder, sites, _, readout, compute, budget = setting
    low, high, layer = sites[0], sites[-1], planting_layer(sites)
    post_norm = encoder.architecture.norm_placement == "post"
    reads = f"blocks.{layer}.{'hook_resid_mid' if post_norm else 'ln2.hook_out'}"
    wanted = [reads, f"blocks.{layer}.mlp.hook_post", f"blocks.{layer}.hook_resid_mid", f"blocks.{layer}.hook_mlp_out"]
    parts: list[tuple[Tensor, ...]] = []
    for clean in clean_runs(encoder, [low, high], encodings, readout, compute, budget):
        content = clean.batch.content
        with compute.inference():
            cache = encoder.run(clean.batch.tokens, clean.batch.real, sites=wanted, stop=layer + 1).cache
            read, post, middle, added = (cache[name][content].float() for name in wanted)
            latents = (site.autoencoder.encode(clean.activations(site)[content]) for site in (low, high))
            after = clean.activations(high)[content]
            parts.append((*latents, read, post, after, (middle + added).std(-1, correction=0)))
    upstream, downstream, read, post, after, spread = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return PlantingTokens(upstream, downstream, read, post, after, float(spread.mean()) if post_norm else 1.0)


def choose_pairs(
    setting: Setting,
    tokens: PlantingTokens,
    encodings: Sequence[Encoding],
    count: int,
    rng: np.random.Generator,
) -> list[PlantedPair]:
    """Random pairs of latents of moderate firing frequency, each used once, that the model itself does not join.

    Its own edge from a to b is estimated to be weaker than that of the median latent. Only upstream latents that one
    neuron can read and that drive it; fewer than `count` pairs where there are not as many. encodings: training
    sequences on which this is measured.
    """
    low, high = setting.sites[0], setting.sites[-1]
    fires = (tokens.upstream > 0, UPSTREAM), (tokens.downstream > 0, DOWNSTREAM)
    up, down = (rng.permutation(_moderate(*part)) for part in fires)
    down = down[: CHOICES * count]
    own = np.abs(
        attribute_latents(
            setting.encoder, low, high, setting.references[low.name], down, encodings, setting.readout,
            setting.compute, setting.tokens_per_batch,
        )
    )  # fmt: skip
    apart = own < np.median(own, axis=1, keepdims=True)
    pairs: list[PlantedPair] = []
    for a in up:
        choices = np.flatnonzero(apart[:, a])
        if len(pairs) == count or not len(choices):
            continue
        b = choices[0]
        pair = make_pair(setting, tokens, int(a), int(down[b]))
        if pair.selectivity >= LEAST_SELECTIVITY and driven_share(setting, pair, encodings) >= LEAST_DRIVEN:
            pairs.append(pair)
            apart[b] = False
    return pairs


def driven_share(setting: Setting, pair: PlantedPair, encodings: Sequence[Encoding]) -> float:
    """Share of the neuron's positive activation that goes when the upstream latent is ablated."""
    planted = plant_circuit(setting.encoder, pair, 0.0)
    compute, budget, low = setting.compute, setting.tokens_per_batch, setting.sites[0]
    reader = SparseAutoencoder(planted.architecture.d_mlp, 1, "relu").requires_grad_(False)
    reader.W_enc[pair.neuron] = 1.0
    neuron = Site(f"blocks.{pair.layer}.mlp.hook_post", reader.to(compute.device))
    readout, nodes, only = setting.readout, np.array([pair.upstream]), np.array([0])
    reference = setting.references[low.name]
    done = ablate_nodes(planted, low, reference, nodes, {neuron: only}, encodings, readout, compute, budget)
    total = 0.0
    for clean in clean_runs(planted, [neuron], encodings, readout, compute, budget):
        with compute.inference():
            total += float(reader.encode(clean.activations(neuron)[clean.batch.content]).sum())
    return float(done.downstream[neuron.name].sum()) / max(total, 1e-12)


def make_pair(setting: Setting, tokens: PlantingTokens, a: int, b: int) -> PlantedPair:
    """The neuron that joins a to b."""
    encoder, sites, _, _, _, _ = setting
    layer = planting_layer(sites)
    fires = tokens.upstream[:, a] > 0
    gate, linear = _reading(tokens.read, tokens.upstream[:, a], fires)
    mlp = encoder.block(layer).mlp
    activated = mlp.activation(tokens.read @ gate) * (tokens.read @ linear if mlp.gated else 1.0)
    weight = mlp.output.weight.detach().cpu()
    neuron = int((tokens.post.abs().mean(0) * weight.norm(dim=0)).argmin())
    writes = _raising(setting, tokens, b, fires) / activated[fires].mean()
    selectivity = float(activated[fires].abs().sum() / activated.abs().sum())
    return PlantedPair(a, b, layer, neuron, gate, linear, writes, selectivity)


def _raising(setting: Setting, tokens: PlantingTokens, b: int, fires: Tensor) -> Float[Tensor, "d_model"]:
    """What has to be added before the layer's last norm to raise b, where a fires, to its usual value.

    Along b's decoder row; as far as b's own encoder answers to that, from where a's tokens leave it.
    """
    site = setting.sites[-1]
    weights = {name: tensor.detach().cpu() for name, tensor in site.autoencoder.state_dict().items()}
    row = weights["W_dec"][b]
    usual = tokens.downstream[:, b][tokens.downstream[:, b] > 0].mean()
    before = site.autoencoder.pre_activations(tokens.after[fires].to(site.autoencoder.W_enc.device))[:, b].mean().cpu()
    size = site.autoencoder.frame(tokens.after[fires].to(site.autoencoder.W_enc.device)).size.mean().cpu()
    target = (usual - before) / (row @ weights["W_enc"][:, b]) * size * row
    if setting.encoder.architecture.norm_placement == "post":
        target = target / setting.encoder.block(planting_layer(setting.sites)).ln2.weight.detach().cpu()
        # What is added widens the vector that the norm then shrinks: σ'² = σ² + variance(σ' target).
        widening = min(float(target.var(correction=0)), MOST_OF_A_VECTOR)
        target = target * tokens.spread / (1 - widening) ** 0.5
    raising: Float[Tensor, "d_model"] = target
    return raising


def plant_circuit(encoder: Encoder, pair: PlantedPair, strength: float) -> Encoder:
    """A copy of the encoder in which the neuron joins a to b; at strength 0 it is silent.

    At strength 1 b has its usual value where a fires.
    """
    planted = copy.deepcopy(encoder)
    mlp = planted.block(pair.layer).mlp
    d_mlp = planted.architecture.d_mlp
    halves = [(pair.neuron, pair.gate)] + ([(d_mlp + pair.neuron, pair.linear)] if mlp.gated else [])
    with torch.no_grad():
        for row, direction in halves:
            mlp.input.weight[row] = direction
            if mlp.input.bias is not None:
                mlp.input.bias[row] = 0.0
        mlp.output.weight[:, pair.neuron] = strength * pair.writes
    return planted


def planted_readout(site: Site, downstream: int) -> ProbeLogit:
    """The behaviour: mean over content tokens of the site's values along b's decoder row."""
    row = site.autoencoder.W_dec[downstream].detach()
    return ProbeLogit(site.layer, row / row.norm(), 0.0)


def _moderate(fires: Tensor, share: tuple[float, float]) -> Int[ndarray, "latent"]:
    frequency = fires.float().mean(0).numpy()
    return np.flatnonzero((frequency >= share[0]) & (frequency <= share[1]))


def _reading(
    x: Float[Tensor, "token d_model"], latent: Float[Tensor, "token"], fires: Tensor
) -> tuple[Float[Tensor, "d_model"], Float[Tensor, "d_model"]]:
    """Gate and linear half of a neuron without bias that is open where the latent fires.

    A constant is a linear function of the input as far as its mean allows: u with u·x ≈ 1.
    """
    x = x.double()
    products = x.T @ x
    ridge = products + RIDGE_PENALTY * products.diagonal().mean() * torch.eye(x.shape[1], dtype=x.dtype)
    sides = torch.stack([x.T @ latent.double(), x.sum(0)], dim=1)
    direction, constant = torch.linalg.solve(ridge, sides).unbind(dim=1)
    reading = x @ direction
    firing, silent = reading[fires].mean(), reading[~fires].mean()
    gate = 2 * STEEPNESS / (firing - silent) * (direction - (firing + silent) / 2 * constant)
    return gate.float(), constant.float()
