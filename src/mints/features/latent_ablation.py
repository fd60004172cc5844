"""Exact ablation of many latents at once: one row per latent and sequence, from the latent's layer upwards.

A latent is ablated by bringing it to its reference mean at every content token where it is active; the dictionary's
error stays. A sequence in which it is nowhere active is not run: nothing would change there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.patching import Readout
from mints.features.circuit_names import ERROR
from mints.features.circuit_sites import (
    CleanRun,
    LatentReader,
    Reference,
    Site,
    clean_runs,
    content_mask,
    resume,
)
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding


class Ablations(NamedTuple):
    """What the nodes of one site hold up: the unaltered run minus the run with the node ablated, by sequence.

    Positive: the node supports the behaviour, or excites the downstream latent.
    """

    behaviour: Float[ndarray, "node sequence"]
    downstream: dict[str, Float[ndarray, "node sequence target"]]
    """By later site: change of each target latent, summed over content tokens."""

    magnitude: dict[str, Float[ndarray, "node target"]]
    """By later site: sum over all tokens of the change's absolute value."""

    firings: Int[ndarray, "node sequence"]
    """Content tokens on which the node is ablated."""


def ablate_nodes(
    encoder: Encoder,
    site: Site,
    reference: Reference,
    nodes: Int[ndarray, "node"],
    targets: Mapping[Site, Int[ndarray, "target"]],
    encodings: Sequence[Encoding],
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Ablations:
    """Ablate every node of a site, each alone, in every sequence.

    nodes: latents, or `ERROR` for the site's error node. targets: latents of later sites that are watched.
    """
    shape = (len(nodes), len(encodings))
    result = Ablations(
        np.zeros(shape),
        {other.name: np.zeros((*shape, len(watched))) for other, watched in targets.items()},
        {other.name: np.zeros((len(nodes), len(watched))) for other, watched in targets.items()},
        np.zeros(shape, dtype=np.int64),
    )
    device = compute.device
    readers = {
        other: LatentReader(other.autoencoder, torch.from_numpy(watched).to(device))
        for other, watched in targets.items()
    }
    for clean in clean_runs(encoder, [site, *targets], encodings, readout, compute, tokens_per_batch):
        _ablate_batch(encoder, site, reference, nodes, readers, clean, readout, compute, tokens_per_batch, result)
    return result


def _ablate_batch(
    encoder: Encoder,
    site: Site,
    reference: Reference,
    nodes: Int[ndarray, "node"],
    readers: Mapping[Site, LatentReader],
    clean: CleanRun,
    readout: Readout,
    compute: Compute,
    tokens_per_batch: int | None,
    result: Ablations,
) -> None:
    """Fill in the sequences of one batch."""
    with compute.inference():
        displace, firings = node_displacements(site, reference, nodes, clean, compute)
        before = {other: reader(clean.activations(other)) for other, reader in readers.items()}
    result.firings[:, clean.rows] = firings
    node, sequence = np.nonzero(firings)
    content = content_mask(clean)

    def run(rows: Int[ndarray, "row"]) -> tuple[ndarray, dict[str, ndarray], dict[str, ndarray]]:
        which, where = torch.from_numpy(node[rows]).to(compute.device), torch.from_numpy(sequence[rows])
        where = where.to(compute.device)
        with compute.inference():
            resumed = resume(encoder, clean, site, where, displace(which, where), readout, list(readers))
            changes = {
                other.name: (before[other][where] - reader(resumed.activations[other.name])) * content[where]
                for other, reader in readers.items()
            }
            summed = {name: change.sum(1, dtype=torch.float64).cpu().numpy() for name, change in changes.items()}
            size = {name: change.abs().sum(1, dtype=torch.float64).cpu().numpy() for name, change in changes.items()}
            return (clean.readout[where] - resumed.readout).double().cpu().numpy(), summed, size

    length = clean.batch.tokens.shape[1]
    budget = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    for rows, (behaviour, summed, size) in in_batches(run, [length] * len(node), budget, compute):
        at = (node[rows], clean.rows[sequence[rows]])
        result.behaviour[at] = behaviour
        for name in summed:
            result.downstream[name][at] = summed[name]
            np.add.at(result.magnitude[name], node[rows], size[name])


Displace = Callable[[Int[Tensor, "row"], Int[Tensor, "row"]], Float[Tensor, "row pos d_in"]]
"""Takes the place of a node among the nodes and a sequence, row by row; gives what ablation adds to the site."""


def node_displacements(
    site: Site, reference: Reference, nodes: Int[ndarray, "node"], clean: CleanRun, compute: Compute
) -> tuple[Displace, Int[ndarray, "node sequence"]]:
    """What ablating each node adds to a batch's activations, and on how many tokens of each sequence it does."""
    autoencoder, x = site.autoencoder, clean.activations(site)
    content = content_mask(clean)
    latents = torch.from_numpy(np.where(nodes == ERROR, 0, nodes)).to(compute.device)
    is_error = torch.from_numpy(nodes == ERROR).to(compute.device)
    values = LatentReader(autoencoder, latents)(x)
    active = (values > 0) & content
    amount = (reference.mean[latents] - values) * active
    counts = torch.where(is_error, content.sum(1), active.sum(1)).T.cpu().numpy()
    size, rows = autoencoder.frame(x).size, autoencoder.W_dec[latents]
    missing = (reference.error - (x - autoencoder(x).output)) * content if bool(is_error.any()) else None

    def displace(node: Int[Tensor, "row"], sequence: Int[Tensor, "row"]) -> Float[Tensor, "row pos d_in"]:
        moved = amount[sequence, :, node][..., None] * rows[node][:, None, :] * size[sequence]
        if missing is None:
            return moved
        return torch.where(is_error[node][:, None, None], missing[sequence], moved)

    return displace, counts
