"""What a head does on single tokens and sequences: the statistics of alignment and enrichment, taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray

from mints.analysis.token_roles import TokenRoles
from mints.models.attention_reading import read_attention
from mints.models.batching import in_batches, pad, token_counts
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding


class TokenReadings(NamedTuple):
    """Every content token of some sequences, flat and in their order; layers and heads are flattened."""

    key_scores: Float32[ndarray, "token head"]
    received: Float32[ndarray, "token head"]
    """Mean attention over all real tokens' queries."""


def read_tokens(
    encoder: Encoder, encodings: Sequence[Encoding], compute: Compute, tokens_per_batch: int
) -> TokenReadings:
    """Key score and attention received of every token and head, as the alignment's pass sums them."""
    content = [np.flatnonzero(~encoding.special) for encoding in encodings]
    first = np.cumsum([0, *map(len, content)])
    shape = int(first[-1]), encoder.architecture.n_layers * encoder.architecture.n_heads
    flat = TokenReadings(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def read(rows: Int[ndarray, "batch"]) -> list[ndarray]:
        reading = read_attention(encoder, pad(encodings, rows, encoder.architecture.pad_id), compute)
        return [part.float().cpu().numpy() for part in reading]

    for rows, parts in in_batches(read, token_counts(encodings), tokens_per_batch, compute):
        for whole, part in zip(flat, parts, strict=True):
            for place, row in enumerate(rows):
                whole[first[row] : first[row + 1]] = part[place, content[row]]
    return flat


def read_patterns(
    encoder: Encoder, encoding: Encoding, heads: Sequence[tuple[int, int]], compute: Compute
) -> Float32[ndarray, "chosen query key"]:
    """Attention of some heads, given by layer and head, between the content tokens of one sequence.

    What is missing from 1 in a row goes to the special tokens.
    """
    content = np.flatnonzero(~encoding.special)
    sites = sorted({f"blocks.{layer}.attn.hook_pattern" for layer, _ in heads})
    with compute.inference():
        tokens = torch.from_numpy(encoding.ids)[None].to(compute.device)
        cache = encoder.run(tokens, torch.ones_like(tokens, dtype=torch.bool), sites=sites).cache
    chosen = [cache[f"blocks.{layer}.attn.hook_pattern"][0, head].float().cpu().numpy() for layer, head in heads]
    return np.stack(chosen)[:, content][:, :, content]


def centred(values: Float[ndarray, "token column"], sequence: Int[ndarray, "token"]) -> Float[ndarray, "token column"]:
    """Values minus their mean within each sequence."""
    known, place = np.unique(sequence, return_inverse=True)
    sums = np.zeros((len(known), values.shape[1]))
    np.add.at(sums, place, values)
    return values - (sums / np.bincount(place)[:, None])[place]


def sample_table(readings: TokenReadings, roles: TokenRoles, n_heads: int) -> pd.DataFrame:
    """Correlation r and ratio ρ of every head on these tokens alone, with what they are made of.

    `slope`: of the key score on the motif score, both centred within sequence; `support_mean`, `background_mean`: the
    attention whose ratio is `rho`. NaN where a side is constant or has no tokens (docs/methods.md, QK alignment,
    Attention enrichment).
    """
    scored = scored_tokens(roles)
    x = centred(readings.key_scores[scored].astype(float), roles.sequence[scored])
    y = centred(roles.bits[scored, :1].astype(float), roles.sequence[scored])
    support, background = (roles.support[:, 0] & scored, roles.background[:, 0] & scored)
    inside, outside = _mean(readings.received[support]), _mean(readings.received[background])
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (x * y).sum(0) / np.sqrt((x**2).sum(0) * (y**2).sum(0))
        slope = (x * y).sum(0) / (y**2).sum(0)
        rho = inside / outside
    layer, head = np.divmod(np.arange(x.shape[1]), n_heads)
    counts = {"tokens": int(scored.sum()), "support_tokens": int(support.sum())}
    columns = {"r": r, "slope": slope, "support_mean": inside, "background_mean": outside, "rho": rho}
    return pd.DataFrame({"layer": layer, "head": head} | counts | columns)


def received_counts(readings: TokenReadings, roles: TokenRoles, n_heads: int, *, bins: int) -> pd.DataFrame:
    """How many support and background tokens receive how much attention, in equal steps of its logarithm.

    One row per head and bin [low, high), the last one closed; each head has bins from its own smallest to its own
    largest value. Empty where no support token has a match.
    """
    scored = scored_tokens(roles)
    support, background = (roles.support[:, 0] & scored, roles.background[:, 0] & scored)
    parts = []
    for place in range(readings.received.shape[1] if support.any() else 0):
        inside, outside = (np.log(readings.received[mask, place].astype(float)) for mask in (support, background))
        edges = np.histogram_bin_edges(np.concatenate([inside, outside]), bins)
        counts = {"support": np.histogram(inside, edges)[0], "background": np.histogram(outside, edges)[0]}
        layer, head = divmod(place, n_heads)
        steps = {"layer": layer, "head": head, "low": np.exp(edges[:-1]), "high": np.exp(edges[1:])}
        parts.append(pd.DataFrame(steps | counts))
    columns = ["layer", "head", "low", "high", "support", "background"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def scored_tokens(roles: TokenRoles) -> Bool[ndarray, "token"]:
    """Tokens that some window of the motif in question overlaps: those that take part."""
    scored: Bool[ndarray, "token"] = np.isfinite(roles.bits[:, 0])
    return scored


def _mean(values: Float[ndarray, "token head"]) -> Float[ndarray, "head"]:
    return values.mean(0, dtype=float) if len(values) else np.full(values.shape[1], np.nan)
