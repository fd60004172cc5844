"""Attribution patching: what patching every head would do, estimated from one gradient."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from mints.analysis.patching import Readout, Recording
from mints.models.compute import Compute
from mints.models.encoder import Encoder


def attribute_heads(
    encoder: Encoder, base: Recording, source: Recording, readout: Readout, compute: Compute
) -> Float[ndarray, "pair layer head"]:
    """First-order estimate of `sweep_heads` minus the base read-out, from one gradient (Nanda 2023).

    change ≈ Σ ∂M/∂z · (z_source − z_base), the gradient being taken in the base run.
    """
    held: list[Tensor] = []

    def hold(value: Tensor) -> Tensor:
        value = value if value.requires_grad else value.detach().requires_grad_()
        value.retain_grad()
        held.append(value)
        return value

    site = f"blocks.{readout.layer}.hook_resid_post"
    with torch.enable_grad(), compute.autocast():
        tokens, real = base.batch.tokens.to(compute.device), base.batch.real.to(compute.device)
        output = encoder.run(
            tokens, real, sites=[site], interventions={"blocks.*.attn.hook_z": hold}, stop=readout.layer + 1
        )
        gradients = torch.autograd.grad(readout(encoder, output.cache[site], base.batch).sum(), held)
    estimates = np.zeros((*base.readout.shape, encoder.architecture.n_layers, encoder.architecture.n_heads))
    for layer, gradient in enumerate(gradients):
        change = (gradient.double() * (source.z[layer] - base.z[layer]).double()).sum((1, 3))
        estimates[:, layer] = change.cpu().numpy()
    return estimates
