"""What the dictionaries of a run are worth on held-out windows, and what a seed decides."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from mints.features.activations import Tokens, ordinary_tokens, sites_activations
from mints.features.autoencoder import SparseAutoencoder
from mints.features.evaluation import (
    MEAN,
    ORIGINAL,
    ZERO,
    HiddenTokens,
    Reconstruction,
    ReconstructionSums,
    hidden_losses,
    hide,
    loss_recovered,
    mean_ablation,
    splice,
    zero_ablation,
)
from mints.features.twins import TWIN, twins
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.studies.shared.dictionaries import UNTRAINED
from mints.studies.shared.dictionary_training import Dictionary
from mints.studies.shared.material import Material, Split
from mints.studies.shared.models import OpenModel

WINDOWS = 128
"""Held-out windows of each split."""

HIDDEN_SHARE = 0.15
"""Share of a window's tokens whose loss is measured."""


SEED_COLUMNS = [
    "site",
    "k",
    "expansion",
    "first_seed",
    "second_seed",
    "first_alive",
    "second_alive",
    "least_cosine",
    "twins",
    "twin_share",
]


class HeldOut(NamedTuple):
    """Windows of one split, the tokens that are hidden in them, and resamples of the windows."""

    split: Split
    encodings: list[Encoding]
    tokens: Tokens
    hidden: HiddenTokens
    weights: Int[ndarray, "resample window"]


def open_held_out(run: Run, model: OpenModel, material: Material, split: Split) -> HeldOut:
    """Windows of a held-out split."""
    windows = material.windows(split, WINDOWS)
    encodings = model.tokenizer.encode_many(windows["sequence"].tolist())
    hidden = hide(encodings, model.tokenizer, HIDDEN_SHARE, run.rng(f"{split} hidden tokens"))
    count = len(encodings)
    weights = run.rng(f"{split} resamples").multinomial(
        count, np.full(count, 1 / count), size=run.config.probe_bootstrap_samples
    )
    return HeldOut(split, encodings, ordinary_tokens(encodings, model.tokenizer), hidden, weights)


class Result(NamedTuple):
    """What one dictionary is worth on one split."""

    reconstruction: Reconstruction
    losses: dict[str, float]
    """See `loss_columns`; empty where the model has no head, and for an untrained encoder."""


def evaluate(
    run: Run,
    model: OpenModel,
    encoder: Encoder,
    finished: Mapping[Dictionary, SparseAutoencoder],
    held_out: HeldOut,
) -> dict[Dictionary, Result]:
    """Reconstruction, activity and loss recovered of every dictionary.

    The loss of an untrained encoder is not measured: it predicts nothing that could be lost.
    """
    sums = {dictionary: ReconstructionSums(autoencoder) for dictionary, autoencoder in finished.items()}
    sites = list(dict.fromkeys(dictionary.site for dictionary in finished))
    settings = model.compute, run.config.tokens_per_batch
    for batch in sites_activations(encoder, held_out.encodings, held_out.tokens, sites, *settings):
        for dictionary, added in sums.items():
            added.add(batch.activations[dictionary.site])
    results = {}
    for site in sites:
        of_site = [dictionary for dictionary in finished if dictionary.site == site]
        mean = sums[of_site[0]].total / sums[of_site[0]].tokens
        trained = {d.folder: splice(finished[d]) for d in of_site if d.encoder != UNTRAINED}
        losses = {}
        if trained and encoder.head is not None:
            substitutes = {ZERO: zero_ablation(), MEAN: mean_ablation(mean.float()), **trained}
            losses = hidden_losses(
                encoder, held_out.encodings, model.tokenizer, held_out.hidden, site, substitutes, *settings
            )
        for dictionary in of_site:
            results[dictionary] = Result(sums[dictionary].result(), loss_columns(run, losses, dictionary, held_out))
    return results


def loss_columns(
    run: Run, losses: Mapping[str, Float[ndarray, "hidden"]], dictionary: Dictionary, held_out: HeldOut
) -> dict[str, float]:
    """Mean losses in nats, and the share that is recovered of each ablation's, with intervals over windows."""
    if dictionary.folder not in losses:
        return {}
    columns = {
        "loss": float(losses[ORIGINAL].mean()),
        "loss_reconstructed": float(losses[dictionary.folder].mean()),
    }
    for ablation in (ZERO, MEAN):
        columns[f"loss_{ablation}"] = float(losses[ablation].mean())
        recovered = loss_recovered(
            losses,
            dictionary.folder,
            ablation,
            held_out.hidden.sequence,
            held_out.weights,
            run.config.probe_ci_level,
        )
        name = f"recovered_of_{ablation}"
        columns |= dict(zip((name, f"{name}_low", f"{name}_high"), recovered, strict=True))
    return columns


def seed_table(
    finished: Mapping[Dictionary, SparseAutoencoder], alive: Mapping[Dictionary, Bool[ndarray, "latent"]]
) -> pd.DataFrame:
    """Latents that two dictionaries have in common which differ in their seed alone, pair by pair.

    alive: which latents are active at all on held-out windows; the others have no twin.
    """
    rows = []
    for one, other in combinations([d for d in finished if d.encoder != UNTRAINED], 2):
        if (one.site, one.k, one.expansion) != (other.site, other.k, other.expansion):
            continue
        living = [torch.from_numpy(alive[d]).to(finished[d].W_dec.device) for d in (one, other)]
        pairs = twins(finished[one].W_dec[living[0]], finished[other].W_dec[living[1]])
        counts = [int(mask.sum()) for mask in living]
        share = len(pairs.first) / max(1, min(counts))
        rows.append((one.site, one.k, one.expansion, one.seed, other.seed, *counts, TWIN, len(pairs.first), share))
    return pd.DataFrame(rows, columns=SEED_COLUMNS)
