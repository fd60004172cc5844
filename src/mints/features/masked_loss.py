"""What ablating a latent costs the model's own task: the loss at hidden tokens, sequence by sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.circuit_names import ERROR
from mints.features.circuit_sites import LatentReader, Reference, Site
from mints.features.contrast import Contrast
from mints.features.evaluation import ORIGINAL, HiddenTokens, hidden_losses
from mints.features.feature_circuits import Sample, Setting
from mints.models.sites import Intervention
from mints.models.tokenizers import Tokenizer


class LossChanges(NamedTuple):
    """Mean loss at the hidden tokens of every sequence, in nats."""

    whole: Float[ndarray, "sequence"]
    """Of the unaltered model."""

    changes: Float[ndarray, "node sequence"]
    """With a node ablated, minus the whole: positive where the node is needed."""


def ablated_losses(
    setting: Setting,
    site: Site,
    nodes: Int[ndarray, "node"],
    sample: Sample,
    tokenizer: Tokenizer,
    hidden: HiddenTokens,
) -> LossChanges:
    """Ablate every node, each alone, at the content tokens of every sequence, some of whose tokens are hidden.

    nodes: latents, brought to their reference means where they are active, or `ERROR`. hidden: at least one token of
    every sequence. Latents are read off the run with hidden tokens.
    """
    reference = setting.references[site.name]
    substitutes = {str(node): _ablating(site, reference, int(node)) for node in nodes}
    losses = hidden_losses(
        setting.encoder, sample.encodings, tokenizer, hidden, site.name, substitutes, setting.compute,
        setting.tokens_per_batch,
    )  # fmt: skip
    counts = np.bincount(hidden.sequence, minlength=len(sample.encodings))
    means = {name: np.bincount(hidden.sequence, of, minlength=len(counts)) / counts for name, of in losses.items()}
    changes = [means[str(node)] - means[ORIGINAL] for node in nodes]
    return LossChanges(means[ORIGINAL], np.array(changes).reshape(len(nodes), len(counts)))


def _ablating(site: Site, reference: Reference, node: int) -> Intervention:
    """What a site's values (token × d_in) become when one node is ablated."""
    autoencoder = site.autoencoder
    if node == ERROR:
        return lambda x: autoencoder(x).output + reference.error
    reader = LatentReader(autoencoder, torch.tensor([node], device=reference.mean.device))

    def ablate(x: Float[torch.Tensor, "token d_in"]) -> Float[torch.Tensor, "token d_in"]:
        value = reader(x)
        moved = (reference.mean[node] - value) * (value > 0) * autoencoder.frame(x).size
        return x + moved * autoencoder.W_dec[node]

    return ablate


def loss_table(
    site: str,
    nodes: Int[ndarray, "node"],
    own: LossChanges,
    null: LossChanges,
    contrast: Contrast,
    resamples: Resamples,
) -> pd.DataFrame:
    """One row per node: what its ablation costs the positive sequences, the negative ones, and the difference.

    null: of latents that match the nodes. Columns site, latent, loss, delta_loss, low, high (positive sequences),
    delta_loss_decoys, difference, difference_low, difference_high, null (root mean square of the matched latents'
    delta_loss), p (share of matched latents whose |delta_loss| is as large). An error node has no p: none matches.
    """
    sides = [Contrast(side, np.zeros_like(side)) for side in (contrast.positive, contrast.negative)]
    positive, negative = (side.of(own.changes) for side in sides)
    drawn = [side.resampled(own.changes, resamples.weights).T for side in sides]
    low, high = interval(drawn[0], resamples.level)
    difference_low, difference_high = interval(drawn[0] - drawn[1], resamples.level)
    chance = np.sort(np.abs(sides[0].of(null.changes)))
    p = (1 + len(chance) - np.searchsorted(chance, np.abs(positive), side="left")) / (1 + len(chance))
    return pd.DataFrame(
        {
            "site": site, "latent": nodes, "loss": sides[0].of(own.whole), "delta_loss": positive, "low": low,
            "high": high, "loss_decoys": sides[1].of(own.whole), "delta_loss_decoys": negative,
            "difference": positive - negative, "difference_low": difference_low, "difference_high": difference_high,
            "null": float(np.sqrt(np.square(chance).mean())) if len(chance) else np.nan,
            "p": np.where(nodes == ERROR, np.nan, p),
        }
    )  # fmt: skip


def with_q(table: pd.DataFrame) -> pd.DataFrame:
    """The table with q (Benjamini–Hochberg) over all its latents."""
    tested = table["p"].notna().to_numpy()
    q = np.full(len(table), np.nan)
    q[tested] = benjamini_hochberg(table["p"].to_numpy()[tested])
    return table.assign(q=q)
