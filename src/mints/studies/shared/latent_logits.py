"""Part of a step: the tokens that latents' decoder rows promote and suppress, at tokens of held-out windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.bootstrap import cluster_weights
from mints.features.activations import Tokens, sites_activations
from mints.features.autoencoder import SparseAutoencoder
from mints.features.logit_effects import (
    HeadAt,
    LogitEffect,
    TokenChange,
    largest_random_change,
    logit_effect,
    reaches_the_head,
)
from mints.features.random_directions import redirected
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.studies.shared.models import OpenModel

LOGITS, POSITIONS, RANDOM_DIRECTIONS = 8, 200, 5
"""Tokens on either side that a decoder row moves most; positions over which that is a mean; draws of its null."""

NAMES = TokenChange._fields[1:]

DIGITS = 4
"""Significant digits of what is saved."""


class Windows(NamedTuple):
    """Windows of one split as tokens."""

    table: pd.DataFrame
    encodings: list[Encoding]
    tokens: Tokens

    def lengths(self) -> list[int]:
        """Letters of every window."""
        return [int(length) for length in self.table["sequence"].str.len()]


def logit_effects(
    run: Run,
    model: OpenModel,
    autoencoder: SparseAutoencoder,
    site: str,
    windows: Windows,
    clusters: Int[ndarray, "window"],
    doses: Mapping[int, float],
) -> dict[int, dict[str, Any]]:
    """Tokens that each latent's decoder row promotes and suppresses, at a token of each of some windows.

    doses: of every latent that is shown; its 99th percentile. Nothing where the model has no head, or where decoder
    rows are no directions of its residual stream.
    """
    if model.encoder.head is None or not reaches_the_head(site):
        return {}
    rng = run.rng(f"{site} positions")
    at = one_token_each(windows.tokens, POSITIONS, rng)
    last = f"blocks.{model.encoder.architecture.n_layers - 1}.hook_resid_post"
    residual, size = stream_at(run, model, autoencoder, (site, last), windows, at)
    here = clusters[windows.tokens.sequence[at]]
    weights = cluster_weights(here, run.config.probe_bootstrap_samples, run.rng(f"{site} resamples"))
    tokens = sorted(model.tokenizer.maskable_ids)
    head, level = HeadAt(model.encoder, residual), run.config.probe_ci_level
    found: dict[int, dict[str, Any]] = {}
    for latent, dose in doses.items():
        if not np.isfinite(dose):
            continue
        direction = autoencoder.W_dec[[latent]] * (dose * size)
        drawn = redirected(direction.expand(RANDOM_DIRECTIONS, -1).contiguous(), rng)
        own, *others = head.changes(torch.cat([direction, drawn]))
        sides = token_rows(logit_effect(own, tokens, weights, level, LOGITS), model.tokenizer.vocabulary)
        random = largest_random_change(np.stack(others), tokens)
        found[latent] = {"dose": rounded(dose), "random": rounded(random), **sides}
    return found


def one_token_each(tokens: Tokens, most: int, rng: np.random.Generator) -> Int[ndarray, "position"]:
    """One token of each of at most `most` windows, at random: rows that do not hang together."""
    order = rng.permutation(len(tokens.sequence))
    _, first = np.unique(tokens.sequence[order], return_index=True)
    return np.sort(order[first][rng.permutation(len(first))[:most]])


def stream_at(
    run: Run,
    model: OpenModel,
    autoencoder: SparseAutoencoder,
    sites: tuple[str, str],
    windows: Windows,
    at: Int[ndarray, "position"],
) -> tuple[Float[Tensor, "position d_model"], float]:
    """Residual stream at the second of two sites for some tokens, and the mean size of the first one's frame there."""
    sequences, row = np.unique(windows.tokens.sequence[at], return_inverse=True)
    part = Tokens(row, *(each[at] for each in windows.tokens[1:]))
    encodings = [windows.encodings[sequence] for sequence in sequences]
    settings = model.compute, run.config.tokens_per_batch
    streams, sizes, order = [], [], []
    for which, values in sites_activations(model.encoder, encodings, part, list(dict.fromkeys(sites)), *settings):
        order.append(which)
        streams.append(values[sites[1]])
        sizes.append(autoencoder.frame(values[sites[0]]).size.flatten())
    back = torch.from_numpy(np.argsort(np.concatenate(order), kind="stable")).to(model.compute.device)
    return torch.cat(streams)[back], float(torch.cat(sizes).double().mean())


def token_rows(effect: LogitEffect, vocabulary: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Both sides for the file, tokens as letters."""
    return {
        side: [
            {"token": vocabulary[each.token]}
            | {name: rounded(value) for name, value in zip(NAMES, each[1:], strict=True)}
            for each in rows
        ]
        for side, rows in zip(LogitEffect._fields, effect, strict=True)
    }


def rounded(value: float) -> float | None:
    """Few digits, and nothing where a figure is undefined."""
    return float(f"{float(value):.{DIGITS}g}") if math.isfinite(value) else None
