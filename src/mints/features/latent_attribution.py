"""First-order estimates of what ablating each latent would change: one gradient for all latents of all sites.

    change ≈ Σ (latent − mean) · ∂M/∂latent over tokens where the latent is active,    ∂M/∂latent = size · W_dec · ∂M/∂x

The estimate is exact where the read-out is linear in the site's activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.patching import Readout
from mints.features.circuit_sites import CleanRun, Reference, Site, clean_runs, content_mask
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding


class Attribution(NamedTuple):
    """Estimates for the nodes of one site."""

    latents: Float[ndarray, "d_sae"]
    error: float


def attribute_behaviour(
    encoder: Encoder,
    sites: Sequence[Site],
    references: Mapping[str, Reference],
    encodings: Sequence[Encoding],
    readout: Readout,
    weights: Float[ndarray, "sequence"],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> dict[str, Attribution]:
    """Estimated change of Σ weight · read-out, for every latent and error node of every site.

    sites: in the order of the run. weights: of each sequence's read-out.
    """
    estimates = {site.name: np.zeros(site.autoencoder.d_sae + 1) for site in sites}
    for clean in clean_runs(encoder, sites, encodings, readout, compute, tokens_per_batch):
        held, figure = _held_run(encoder, sites, clean, readout, compute)
        weight = torch.from_numpy(weights[clean.rows]).to(figure)
        gradients = torch.autograd.grad(figure, held, grad_outputs=weight)
        for site, gradient in zip(sites, gradients, strict=True):
            estimates[site.name] += _estimate(site, references[site.name], clean, gradient, compute)
    return {name: Attribution(values[:-1], float(values[-1])) for name, values in estimates.items()}


def attribute_latents(
    encoder: Encoder,
    upstream: Site,
    downstream: Site,
    reference: Reference,
    targets: Int[ndarray, "target"],
    encodings: Sequence[Encoding],
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Float[ndarray, "target d_sae"]:
    """Estimated change of each target latent, summed over tokens, per token on which the upstream latent is active."""
    estimates = np.zeros((len(targets), upstream.autoencoder.d_sae + 1))
    firings = np.zeros(upstream.autoencoder.d_sae)
    latents = torch.from_numpy(targets).to(compute.device)
    for clean in clean_runs(encoder, [upstream, downstream], encodings, readout, compute, tokens_per_batch):
        held, _ = _held_run(encoder, [upstream, downstream], clean, readout, compute)
        with torch.enable_grad():
            values = downstream.autoencoder.encode(held[1].flatten(2))[..., latents]
            summed = (values * content_mask(clean)).sum((0, 1))
            for place in range(len(targets)):
                (gradient,) = torch.autograd.grad(summed[place], held[:1], retain_graph=True)
                estimates[place] += _estimate(upstream, reference, clean, gradient, compute)
        with compute.inference():
            active = upstream.autoencoder.encode(clean.activations(upstream)) > 0
            firings += (active & content_mask(clean)).sum((0, 1)).cpu().numpy()
    return estimates[:, :-1] / np.maximum(firings, 1)


def _held_run(
    encoder: Encoder, sites: Sequence[Site], clean: CleanRun, readout: Readout, compute: Compute
) -> tuple[list[Tensor], Float[Tensor, "sequence"]]:
    """The run of a batch once more, with the sites' values held as places to differentiate by."""
    held: list[Tensor] = []

    def hold(value: Tensor) -> Tensor:
        # Nothing below the first site needs a gradient.
        value = value if held else value.detach().requires_grad_()
        held.append(value)
        return value

    last = f"blocks.{readout.layer}.hook_resid_post"
    interventions = {site.name: hold for site in sites}
    with torch.enable_grad(), compute.autocast():
        output = encoder.run(
            clean.batch.tokens, clean.batch.real, sites=[last], interventions=interventions, stop=readout.layer + 1
        )
        return held, readout(encoder, output.cache[last], clean.batch)


def _estimate(
    site: Site, reference: Reference, clean: CleanRun, gradient: Tensor, compute: Compute
) -> Float[ndarray, "d_sae+1"]:
    """Estimates of a site's latents, summed over the batch, and that of its error node at the end."""
    autoencoder, content = site.autoencoder, clean.batch.content
    with compute.inference():
        x, by_x = clean.activations(site)[content], gradient.flatten(2)[content].float()
        latents, output = autoencoder(x)
        by_latent = (by_x * autoencoder.frame(x).size) @ autoencoder.W_dec.T
        above = (latents - reference.mean) * (latents > 0)
        of_latents = (above * by_latent).sum(0, dtype=torch.float64)
        of_error = ((x - output - reference.error) * by_x).sum(dtype=torch.float64)
        return torch.cat([of_latents, of_error[None]]).cpu().numpy()
