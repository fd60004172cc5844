"""Activation patching: what one component's activation, taken from another run, restores of the read-out.

A recording keeps what every component put into one run. A patch takes up the base run at the component's layer, with
the component's value from the source run, and runs only what lies above: that costs a share of a forward pass, and
gives what hooking a full forward pass would give.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from mints.models.compute import Compute
from mints.models.encoder import Encoder, EncoderOutput
from mints.models.sites import Intervention


class PatchBatch(Protocol):
    """Sequences, or chunks of signal, that are patched together; base and source share its shape."""

    @property
    def real(self) -> Bool[Tensor, "pair pos"]:
        """False at pads."""
        ...


Batch = TypeVar("Batch", bound=PatchBatch)
BatchRead = TypeVar("BatchRead", bound=PatchBatch, contravariant=True)


class PairTokens(NamedTuple):
    """A batch of tokenized sequences."""

    tokens: Int[Tensor, "pair pos"]
    real: Bool[Tensor, "pair pos"]
    """False at pads."""

    content: Bool[Tensor, "pair pos"]
    """False at pads and special tokens."""


class BatchReadout(Protocol[BatchRead]):
    """The figure, or the figures, that a patch is judged by."""

    @property
    def layer(self) -> int:
        """Layer whose output it reads; layers above it cannot matter."""
        ...

    def __call__(
        self, encoder: Encoder, residual: Float[Tensor, "pair pos d_model"], batch: BatchRead
    ) -> Float[Tensor, "pair *figure"]:
        """Figures of every sequence, from `blocks.{layer}.hook_resid_post`."""
        ...


Readout = BatchReadout[PairTokens]


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


class BatchRecording(NamedTuple, Generic[Batch]):
    """One run of a batch, layer by layer up to the read-out."""

    batch: Batch
    residual: list[Float[Tensor, "pair pos d_model"]]
    """`hook_resid_pre` of each layer."""

    z: list[Float[Tensor, "pair pos head d_head"]]
    attention: list[Float[Tensor, "pair pos d_model"]]
    """`hook_attn_out`."""

    mlp: list[Float[Tensor, "pair pos d_model"]]
    """`hook_mlp_out`."""

    after: list[Float[Tensor, "pair pos d_model"]]
    """`hook_resid_post`."""

    readout: Float[Tensor, "pair *figure"]


Recording = BatchRecording[PairTokens]

RECORDED = ("hook_resid_pre", "attn.hook_z", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
"""Sites of a recording, in the order of its fields."""


def record(encoder: Encoder, batch: PairTokens, readout: Readout, compute: Compute) -> Recording:
    """Run a batch up to the read-out and keep every component's value."""
    with compute.inference():
        tokens, real = batch.tokens.to(compute.device), batch.real.to(compute.device)
        output = encoder.run(tokens, real, sites=sum(_recorded(readout.layer), []), stop=readout.layer + 1)
        return _recording(encoder, output, batch, readout)


def record_from(
    encoder: Encoder,
    residual: Float[Tensor, "pair pos d_model"],
    batch: Batch,
    readout: BatchReadout[Batch],
    compute: Compute,
) -> BatchRecording[Batch]:
    """The same of what did not come from tokens. residual: the first layer's input."""
    with compute.inference():
        sites, real = sum(_recorded(readout.layer), []), batch.real.to(compute.device)
        output = encoder.run_from(0, residual.to(compute.device), real, sites=sites, stop=readout.layer + 1)
        return _recording(encoder, output, batch, readout)


def _recorded(last: int) -> list[list[str]]:
    return [[f"blocks.{layer}.{site}" for layer in range(last + 1)] for site in RECORDED]


def _recording(
    encoder: Encoder, output: EncoderOutput, batch: Batch, readout: BatchReadout[Batch]
) -> BatchRecording[Batch]:
    kinds = _recorded(readout.layer)
    residual, z, attention, mlp, after = ([output.cache[site] for site in of_kind] for of_kind in kinds)
    return BatchRecording(batch, residual, z, attention, mlp, after, readout(encoder, after[-1], batch))


def taken_at(
    positions: Bool[Tensor, "pair pos"] | None, source: Float[Tensor, "pair pos *rest"], base: Tensor
) -> Float[Tensor, "pair pos *rest"]:
    """The source's values at these positions, the base's at all others. None means all."""
    if positions is None:
        return source
    return torch.where(positions.to(base.device).view(*positions.shape, *[1] * (base.ndim - 2)), source, base)


def patch_head(
    encoder: Encoder,
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    layer: int,
    head: int,
    readout: BatchReadout[Batch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[Tensor, "pair *figure"]:
    """Read-out of the base run with one head's `hook_z` taken from the source run, at all positions or at some.

    The attention output is linear in z: the head's difference through its columns of the output matrix is all that
    changes.
    """
    if layer > readout.layer:
        return base.readout
    d_head = encoder.architecture.d_head
    columns = encoder.block(layer).attn.output.weight[:, head * d_head : (head + 1) * d_head]
    with compute.inference():
        own = base.z[layer][:, :, head]
        change = functional.linear(taken_at(positions, source.z[layer][:, :, head], own) - own, columns)
        return _go_on(encoder, base, layer, readout, base.residual[layer], base.attention[layer] + change)


def patch_attention(
    encoder: Encoder,
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    layer: int,
    readout: BatchReadout[Batch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[Tensor, "pair *figure"]:
    """Read-out of the base run with a layer's whole attention output taken from the source run."""
    if layer > readout.layer:
        return base.readout
    with compute.inference():
        attended = taken_at(positions, source.attention[layer], base.attention[layer])
        return _go_on(encoder, base, layer, readout, base.residual[layer], attended)


def patch_mlp(
    encoder: Encoder,
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    layer: int,
    readout: BatchReadout[Batch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[Tensor, "pair *figure"]:
    """Read-out of the base run with a layer's feed-forward output taken from the source run."""
    if layer > readout.layer:
        return base.readout
    taken = {f"blocks.{layer}.hook_mlp_out": lambda value: taken_at(positions, source.mlp[layer], value)}
    with compute.inference():
        return _go_on(encoder, base, layer, readout, base.residual[layer], base.attention[layer], taken)


def patch_residual(
    encoder: Encoder,
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    layer: int,
    readout: BatchReadout[Batch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[Tensor, "pair *figure"]:
    """Read-out of the base run with `blocks.{layer}.hook_resid_pre` taken from the source run.

    positions: tokens where it is taken; default all. Layer 0 restores the input itself, which proves nothing.
    """
    if layer > readout.layer:
        return base.readout
    with compute.inference():
        residual = taken_at(positions, source.residual[layer], base.residual[layer])
        return _go_on(encoder, base, layer, readout, residual, None)


def patch_layer(
    encoder: Encoder,
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    layer: int,
    readout: BatchReadout[Batch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[Tensor, "pair *figure"]:
    """Read-out of the base run with `blocks.{layer}.hook_resid_post` taken from the source run.

    Of the layer that is read out, at all positions, this is the source's own read-out.
    """
    if layer != readout.layer:
        return patch_residual(encoder, base, source, layer + 1, readout, compute, positions)
    with compute.inference():
        return readout(encoder, taken_at(positions, source.after[layer], base.after[layer]), base.batch)


def _go_on(
    encoder: Encoder,
    base: BatchRecording[Batch],
    layer: int,
    readout: BatchReadout[Batch],
    residual: Float[Tensor, "pair pos d_model"],
    attended: Float[Tensor, "pair pos d_model"] | None,
    interventions: Mapping[str, Intervention] | None = None,
) -> Float[Tensor, "pair *figure"]:
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
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    readout: BatchReadout[Batch],
    compute: Compute,
    heads: Collection[tuple[int, int]],
    positions: Bool[Tensor, "pair pos"] | None = None,
) -> Float[ndarray, "pair layer head *figure"]:
    """Read-out of the base run with each of these heads in turn taken from the source run; NaN for the others."""
    architecture, (pairs, *figures) = encoder.architecture, base.readout.shape
    patched = np.full((pairs, architecture.n_layers, architecture.n_heads, *figures), np.nan)
    for layer, head in heads:
        value = patch_head(encoder, base, source, layer, head, readout, compute, positions)
        patched[:, layer, head] = value.cpu().numpy()
    return patched


COMPONENTS = ("residual", "attention", "mlp")


class ComponentPatch(Protocol):
    """`patch_residual`, `patch_layer`, `patch_attention` or `patch_mlp`."""

    def __call__(
        self,
        encoder: Encoder,
        base: BatchRecording[Batch],
        source: BatchRecording[Batch],
        layer: int,
        readout: BatchReadout[Batch],
        compute: Compute,
        positions: Bool[Tensor, "pair pos"] | None = None,
    ) -> Float[Tensor, "pair *figure"]:
        """Read-out of the base run with one component of a layer taken from the source run."""
        ...


def sweep_components(
    encoder: Encoder,
    base: BatchRecording[Batch],
    source: BatchRecording[Batch],
    readout: BatchReadout[Batch],
    compute: Compute,
    positions: Bool[Tensor, "pair pos"] | None = None,
    patches: Sequence[ComponentPatch] = (patch_residual, patch_attention, patch_mlp),
) -> Float[ndarray, "pair layer component *figure"]:
    """Read-out of the base run with each of these components of each layer in turn; default those of `COMPONENTS`."""
    layers = range(encoder.architecture.n_layers)
    cells = [
        torch.stack([patch(encoder, base, source, layer, readout, compute, positions) for patch in patches], dim=1)
        for layer in layers
    ]
    return torch.stack(cells, dim=1).cpu().numpy()
