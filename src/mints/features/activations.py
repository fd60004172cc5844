"""Token-level activations of a site, and the latents that an autoencoder finds in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import csr_array, vstack
from torch import Tensor

from mints.features.autoencoder import SparseAutoencoder
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding, Tokenizer


class Tokens(NamedTuple):
    """Tokens that an analysis looks at, in the order of their sequences."""

    sequence: Int[ndarray, "token"]
    """Index of the sequence among those given."""

    place: Int[ndarray, "token"]
    """Index of the token in its encoding, special tokens counted."""

    start: Int[ndarray, "token"]
    end: Int[ndarray, "token"]
    """Half-open nucleotides of the sequence."""

    ids: Int[ndarray, "token"]


def ordinary_tokens(encodings: Sequence[Encoding], tokenizer: Tokenizer) -> Tokens:
    """Every token that stands for known letters alone: no pad, no special token, no N."""
    ordinary = np.zeros(len(tokenizer.vocabulary), dtype=bool)
    ordinary[sorted(tokenizer.maskable_ids)] = True
    places = [np.flatnonzero(ordinary[encoding.ids] & ~encoding.special) for encoding in encodings]
    spans = [encoding.spans[place] for encoding, place in zip(encodings, places, strict=True)]
    ids = [encoding.ids[place] for encoding, place in zip(encodings, places, strict=True)]
    stacked = np.concatenate([*spans, np.zeros((0, 2), dtype=np.int64)])
    return Tokens(
        sequence=np.repeat(np.arange(len(encodings)), [len(place) for place in places]),
        place=np.concatenate([*places, np.zeros(0, dtype=np.int64)]),
        start=stacked[:, 0],
        end=stacked[:, 1],
        ids=np.concatenate([*ids, np.zeros(0, dtype=np.int64)]),
    )


class SiteBatch(NamedTuple):
    """Activations of some of the tokens."""

    tokens: Int[ndarray, "token"]
    """Indices into the `Tokens` that were asked for."""

    activations: Float[Tensor, "token d_in"]
    """Float32, on the device."""


class SitesBatch(NamedTuple):
    """Activations of some of the tokens at several sites."""

    tokens: Int[ndarray, "token"]
    """Indices into the `Tokens` that were asked for."""

    activations: dict[str, Float[Tensor, "token d_site"]]
    """By site; float32, on the device."""


def sites_activations(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    tokens: Tokens,
    sites: Sequence[str],
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Iterator[SitesBatch]:
    """The activations of `tokens` at several sites in one pass: longest sequences first, memory that of one batch.

    The values of a site that has heads lie side by side, head by head. Layers above the last site are not run. Raises
    UsageError for a site that the model does not have.
    """
    layers = [int(site.split(".")[1]) + 1 if site.startswith("blocks.") else None for site in sites]
    stop = None if None in layers else max(layer for layer in layers if layer is not None)
    bounds = np.searchsorted(tokens.sequence, np.arange(len(encodings) + 1))

    def read(rows: Int[ndarray, "batch"]) -> SitesBatch:
        batch = pad(encodings, rows, encoder.architecture.pad_id)
        chosen = [np.arange(bounds[row], bounds[row + 1]) for row in rows]
        which = np.concatenate(chosen)
        row = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(part) for part in chosen]))
        place = torch.from_numpy(tokens.place[which])
        ids, real = batch.tokens.to(compute.device), batch.real.to(compute.device)
        cache = encoder.run(ids, real, sites=sites, stop=stop).cache
        return SitesBatch(which, {site: cache[site].flatten(2)[row, place].float() for site in sites})

    budget = tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    with compute.inference():
        for _, result in in_batches(read, token_counts(encodings), budget, compute):
            yield result


def site_activations(
    encoder: Encoder,
    encodings: Sequence[Encoding],
    tokens: Tokens,
    site: str,
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> Iterator[SiteBatch]:
    """The activations of `tokens` at one site; otherwise as `sites_activations`."""
    for which, activations in sites_activations(encoder, encodings, tokens, [site], compute, tokens_per_batch):
        yield SiteBatch(which, activations[site])


def latent_matrix(
    encoder: Encoder,
    autoencoder: SparseAutoencoder,
    encodings: Sequence[Encoding],
    tokens: Tokens,
    site: str,
    compute: Compute,
    tokens_per_batch: int | None = None,
) -> csr_array[Any, tuple[int, int]]:
    """Active latents of every token: float32, one row a token in the order of `tokens`, one column a latent."""
    parts, order = [], []
    for which, activations in site_activations(encoder, encodings, tokens, site, compute, tokens_per_batch):
        offsets, latents, values = (part.cpu().numpy() for part in autoencoder.active(activations))
        parts.append(csr_array((values, latents, offsets), shape=(len(which), autoencoder.d_sae)))
        order.append(which)
    if not parts:
        return csr_array(np.zeros((0, autoencoder.d_sae), dtype=np.float32))
    place = np.empty(len(tokens.ids), dtype=np.int64)
    place[np.concatenate(order)] = np.arange(len(place))
    rows: Any = csr_array(vstack(parts))[place]
    return csr_array(rows, shape=(len(place), autoencoder.d_sae))
