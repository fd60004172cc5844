"""Activation patching: what one component's activation, taken from another run, restores of the read-out.

A recording keeps what every component put into one run. A patch takes up the base run at the component's layer, with
the component's value from the source run, and runs only what lies above: that costs a share of a forward pass, and
gives what hooking a full forward pass would give.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.sites import Intervention


class PairTokens(NamedTuple):
    """A batch of sequences that are patched together; base and source share its shape."""

    tokens: Int[Tensor, "pair pos"]
    real: Bool[Tensor, "pair pos"]
    """False at pads."""

    content: Bool[Tensor, "pair pos"]
    """False at pads and special tokens."""


class Readout(Protocol):
    """The figure that a patch is judged by."""

    @property
    def layer(self) -> int:
        """Layer whose output it reads; layers above it cannot matter."""
        ...

    def __call__(
        self, encoder: Encoder, residual: Float[Tensor, "pair pos d_model"], batch: PairTokens
    ) -> Float[Tensor, "pair"]:
        """Figure of every sequence, from `blocks.{layer}.hook_resid_post`."""
        ...


class ProbeLogit(NamedTuple):
    """Logit of a linear probe on the mean residual vector."""

    layer: int
    weights: Float[Tensor, "d_model"]
    bias: float

    def __call__(
        self, encoder: Encoder, residual: Float[Tensor, "pair pos d_model"], batch: PairTokens
    ) -> Float[Tensor, "pair"]:
        """The mean is over content tokens, as the probe's own vectors were."""
        content = batch.content.to(residual.device)
        share = content.double() / content.sum(1, keepdim=True).clamp(min=1)
        mean = torch.bmm(share[:, None, :], residual.double())[:, 0]
        return mean @ self.weights.to(residual.device).double() + self.bias


class Recording(NamedTuple):
    """One run of a batch, layer by layer up to the read-out."""

    batch: PairTokens
    residual: list[Float[Tensor, "pair pos d_model"]]
    """`hook_resid_pre` of each layer."""

    z: list[Float[Tensor, "pair pos head d_head"]]
    attention: list[Float[Tensor, "pair pos d_model"]]
    """`hook_attn_out`."""

    mlp: list[Float[Tensor, "pair pos d_model"]]
    """`hook_mlp_out`."""

    after: list[Float[Tensor, "pair pos d_model"]]
    """`hook_resid_post`."""

    readout: Float[Tensor, "pair"]


RECORDED = ("hook_resid_pre", "attn.hook_z", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
"""Sites of a recording, in the order of its fields."""


def record(encoder: Encoder, batch: PairTokens, readout: Readout, compute: Compute) -> Recording:
    """Run a batch up to the read-out and keep every component's value."""
    layers = range(readout.layer + 1)
    sites = [[f"blocks.{layer}.{site}" for layer in layers] for site in RECORDED]
    with compute.inference():
        tokens, real = batch.tokens.to(compute.device), batch.real.to(compute.device)
        output = encoder.run(tokens, real, sites=sum(sites, []), stop=readout.layer + 1)
        residual, z, attention, mlp, after = ([output.cache[site] for site in of_kind] for of_kind in sites)
        return Recording(batch, residual, z, attention, mlp, after, readout(encoder, after[-1], batch))


def patch_head(
    encoder: Encoder, base: Recording, source: Recording, layer: int, head: int, readout: Readout, compute: Compute
) -> Float[Tensor, "pair"]:
    """Read-out of the base run with one head's `hook_z` taken from the source run.

    The attention output is linear in z: the head's difference through its columns of the output matrix is all that
    changes.
    """
    if layer > readout.layer:
        return base.readout
    d_head = encoder.architecture.d_head
    columns = encoder.block(layer).attn.output.weight[:, head * d_head : (head + 1) * d_head]
    with compute.inference():
        change = functional.linear(source.z[layer][:, :, head] - base.z[layer][:, :, head], columns)
        return _go_on(encoder, base, layer, readout, base.residual[layer], base.attention[layer] + change)


def patch_attention(
    encoder: Encoder, base: Recording, source: Recording, layer: int, readout: Readout, compute: Compute
) -> Float[Tensor, "pair"]:
    """Read-out of the base run with a layer's whole attention output taken from the source run."""
    if layer > readout.layer:
        return base.readout
    with compute.inference():
        return _go_on(encoder, base, layer, readout, base.residual[layer], source.attention[layer])


def patch_mlp(
    encoder: Encoder, base: Recording, source: Recording, layer: int, readout: Readout, compute: Compute
) -> Float[Tensor, "pair"]:
    """Read-out of the base run with a layer's feed-forward output taken from the source run."""
    if layer > readout.layer:
        return base.readout
    taken = {f"blocks.{layer}.hook_mlp_out": lambda value: source.mlp[layer]}
    with compute.inference():
        return _go_on(encoder, base, layer, readout, base.residual[layer], base.attention[layer], taken)


def patch_residual(
    encoder: Encoder,
    base: Recording,
    source: Recording,
    layer: int,
    readout: Readout,
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[Tensor, "pair"]:
    """Read-out of the base run with `blocks.{layer}.hook_resid_pre` taken from the source run.

    positions: tokens where it is taken; default all. Layer 0 restores the input itself, which proves nothing.
    """
    if layer > readout.layer:
        return base.readout
    with compute.inference():
        residual = source.residual[layer]
        if positions is not None:
            residual = torch.where(positions.to(compute.device)[..., None], residual, base.residual[layer])
        return _go_on(encoder, base, layer, readout, residual, None)


def _go_on(
    encoder: Encoder,
    base: Recording,
    layer: int,
    readout: Readout,
    residual: Float[Tensor, "pair pos d_model"],
    attended: Float[Tensor, "pair pos d_model"] | None,
    interventions: Mapping[str, Intervention] | None = None,
) -> Float[Tensor, "pair"]:
    site = f"blocks.{readout.layer}.hook_resid_post"
    real = base.batch.real.to(residual.device)
    output = encoder.run_from(
        layer, residual, real, sites=[site], interventions=interventions, stop=readout.layer + 1, attended=attended
    )
    return readout(encoder, output.cache[site], base.batch)


def heads_of(encoder: Encoder) -> list[tuple[int, int]]:
    """Every (layer, head) of a model."""
    return list(product(range(encoder.architecture.n_layers), range(encoder.architecture.n_heads)))


def sweep_heads(
    encoder: Encoder,
    base: Recording,
    source: Recording,
    readout: Readout,
    compute: Compute,
    heads: Collection[tuple[int, int]],
) -> Float[ndarray, "pair layer head"]:
    """Read-out of the base run with each of these heads in turn taken from the source run; NaN for the others."""
    architecture = encoder.architecture
    patched = np.full((len(base.batch.tokens), architecture.n_layers, architecture.n_heads), np.nan)
    for layer, head in heads:
        patched[:, layer, head] = patch_head(encoder, base, source, layer, head, readout, compute).cpu().numpy()
    return patched


COMPONENTS = ("residual", "attention", "mlp")


def sweep_components(
    encoder: Encoder, base: Recording, source: Recording, readout: Readout, compute: Compute
) -> Float[ndarray, "pair layer component"]:
    """Read-out of the base run with each layer's input, attention output and feed-forward output in turn."""
    patches = (patch_residual, patch_attention, patch_mlp)
    layers = range(encoder.architecture.n_layers)
    cells = [[patch(encoder, base, source, layer, readout, compute) for patch in patches] for layer in layers]
    return torch.stack([torch.stack(row, dim=-1) for row in cells], dim=1).cpu().numpy()


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
