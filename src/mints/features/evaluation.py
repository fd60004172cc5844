"""How well an autoencoder stands for its site: reconstruction, activity of its latents, and loss recovered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.bootstrap import interval
from mints.features.activations import ordinary_tokens
from mints.features.autoencoder import SparseAutoencoder
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.masking import masked_losses
from mints.models.sites import Intervention
from mints.models.tokenizers import Encoding, Tokenizer

DENSE = 0.1
"""A latent is dense that is active in more than this share of the tokens."""

ORIGINAL, ZERO, MEAN = "original", "zero", "mean"
"""What may stand at a site beside a reconstruction: its own values, nothing, or its mean."""


class Reconstruction(NamedTuple):
    """How an autoencoder reconstructs, and how active its latents are, over many tokens."""

    tokens: int
    variance_explained: float
    """1 − Σ‖x − x̂‖² / Σ‖x − mean(x)‖², in float64."""

    l0: float
    """Active latents per token."""

    dead: float
    """Share of the latents that are never active."""

    dense: float
    """Share of the latents that are active in more than `DENSE` of the tokens."""

    frequency: Float[ndarray, "latent"]
    """Share of the tokens in which each latent is active."""


class ReconstructionSums:
    """Sums over batches of tokens from which a `Reconstruction` follows, in float64."""

    def __init__(self, autoencoder: SparseAutoencoder) -> None:
        self.autoencoder = autoencoder
        device, d_in = autoencoder.W_dec.device, autoencoder.d_in
        self.tokens = 0
        self.errors = torch.zeros((), dtype=torch.float64, device=device)
        self.squares = torch.zeros((), dtype=torch.float64, device=device)
        self.total: Float[Tensor, "d_in"] = torch.zeros(d_in, dtype=torch.float64, device=device)
        self.active = torch.zeros(autoencoder.d_sae, dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(self, x: Float[Tensor, "token d_in"]) -> None:
        """Count a batch."""
        latents, output = self.autoencoder(x)
        exact = x.double()
        self.tokens += len(x)
        self.errors += (exact - output.double()).square().sum()
        self.squares += exact.square().sum()
        self.total += exact.sum(0)
        self.active += (latents > 0).sum(0)

    def result(self) -> Reconstruction:
        """What was seen. Raises ValueError where there was no token."""
        if not self.tokens:
            raise ValueError("an autoencoder cannot be measured on no token")
        frequency = self.active.double().cpu().numpy() / self.tokens
        variance = float(self.squares - self.total.square().sum() / self.tokens)
        return Reconstruction(
            self.tokens,
            1 - float(self.errors) / variance,
            float(self.active.sum()) / self.tokens,
            float((frequency == 0).mean()),
            float((frequency > DENSE).mean()),
            frequency,
        )


def reconstruction(
    autoencoder: SparseAutoencoder, activations: Iterable[Float[Tensor, "token d_in"]]
) -> Reconstruction:
    """Measure an autoencoder on batches of tokens, one in memory at a time. Raises ValueError where there is none."""
    sums = ReconstructionSums(autoencoder)
    for x in activations:
        sums.add(x)
    return sums.result()


class HiddenTokens(NamedTuple):
    """Tokens of some sequences that the model does not see and has to predict."""

    sequence: Int[ndarray, "hidden"]
    place: Int[ndarray, "hidden"]
    """Index of the token in its encoding."""


def hide(encodings: Sequence[Encoding], tokenizer: Tokenizer, share: float, rng: np.random.Generator) -> HiddenTokens:
    """A share of every sequence's ordinary tokens, and at least one where it has any, by sequence."""
    tokens = ordinary_tokens(encodings, tokenizer)
    counts = np.bincount(tokens.sequence, minlength=len(encodings))
    wanted = np.where(counts > 0, np.maximum(1, np.round(share * counts)), 0)
    order = np.lexsort((rng.random(len(tokens.ids)), tokens.sequence))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.sort(order[rank < np.repeat(wanted, counts)])
    return HiddenTokens(tokens.sequence[chosen], tokens.place[chosen])


def hidden_losses(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    tokenizer: Tokenizer,
    hidden: HiddenTokens,
    site: str,
    substitutes: Mapping[str, Intervention],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> dict[str, Float[ndarray, "hidden"]]:
    """Loss in nats of every hidden token, with the site's own values and with each substitute's in their place.

    Result by name, `ORIGINAL` among them, in the order of `hidden`. A substitute takes and gives (token, d_site): it
    replaces the values of all tokens but pads and special ones, hidden tokens among them, whose activations no
    dictionary has seen in training. The layers below the site are run once for all.
    """
    edges = np.searchsorted(hidden.sequence, np.arange(len(encodings) + 1))
    layer = encoder.architecture.n_layers if site.startswith("ln_final") else 0
    layer = int(site.split(".")[1]) if site.startswith("blocks.") else layer

    def read(rows: Int[ndarray, "batch"]) -> tuple[Int[ndarray, "hidden"], dict[str, Tensor]]:
        batch = pad(encodings, rows, encoder.architecture.pad_id)
        which = np.concatenate([np.arange(edges[row], edges[row + 1]) for row in rows])
        row = torch.from_numpy(np.repeat(np.arange(len(rows)), edges[rows + 1] - edges[rows]))
        place = torch.from_numpy(hidden.place[which])
        truth = batch.tokens[row, place].to(compute.device)
        batch.tokens[row, place] = tokenizer.mask_id
        ids, real, content = (part.to(compute.device) for part in (batch.tokens, batch.real, batch.content))
        below = encoder.run(ids, real, stop=layer).residual
        losses = {}
        for name in (ORIGINAL, *substitutes):
            changed = {} if name == ORIGINAL else {site: in_place_of(substitutes[name], content)}
            if site == "hook_embed":
                residual = encoder.run(ids, real, interventions=changed).residual
            else:
                residual = encoder.run_from(layer, below, real, interventions=changed).residual
            losses[name] = masked_losses(encoder.logits(residual[row, place]), truth).cpu()
        return which, losses

    found = {name: np.empty(len(hidden.place)) for name in (ORIGINAL, *substitutes)}
    budget = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    with compute.inference():
        for _, (which, losses) in in_batches(read, token_counts(encodings), budget, compute):
            for name, values in losses.items():
                found[name][which] = values.numpy()
    return found


def in_place_of(substitute: Intervention, content: Bool[Tensor, "batch pos"]) -> Intervention:
    """Intervention that substitutes the values of the content tokens; heads lie side by side for the substitute."""

    def intervene(x: Float[Tensor, "batch pos ..."]) -> Float[Tensor, "batch pos ..."]:
        changed = x.clone()
        values = x[content]
        changed[content] = substitute(values.flatten(1).float()).to(x.dtype).view_as(values)
        return changed

    return intervene


def mean_ablation(mean: Float[Tensor, "d_site"]) -> Intervention:
    """Substitute that puts the mean in the place of every token's values."""
    return lambda x: mean.expand_as(x)


def zero_ablation() -> Intervention:
    """Substitute that puts zeros in the place of every token's values."""
    return torch.zeros_like


def splice(autoencoder: SparseAutoencoder) -> Intervention:
    """Substitute that puts the reconstruction in the place of every token's values."""

    def reconstruct(x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        output: Tensor = autoencoder(x).output
        return output

    return reconstruct


class Recovered(NamedTuple):
    """Share of an ablation's loss that a reconstruction gives back, with its interval; not clipped."""

    value: float
    low: float
    high: float


def loss_recovered(
    losses: Mapping[str, Float[ndarray, "hidden"]],
    name: str,
    ablation: str,
    sequence: Int[ndarray, "hidden"],
    weights: Int[ndarray, "resample sequence"],
    level: float,
) -> Recovered:
    """(ablated − reconstructed) / (ablated − original) of the summed losses.

    name, ablation: keys of `losses`. weights: resamples of the sequences, which are the unit. NaN where the ablation
    does not change the loss.
    """
    count = weights.shape[1]
    given_back = np.bincount(sequence, losses[ablation] - losses[name], minlength=count)
    lost = np.bincount(sequence, losses[ablation] - losses[ORIGINAL], minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = given_back.sum() / lost.sum()
        low, high = interval((weights @ given_back) / (weights @ lost), level)
    return Recovered(float(value), float(low), float(high))
