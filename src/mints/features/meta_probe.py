"""A meta-latent's direction as a fixed probe of a concept, beside latents, means and a trained probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.analysis.logistic import fit_path
from mints.features.columns import DenseColumns, SparseColumns
from mints.features.concept_scores import choose
from mints.features.concepts import ConceptLabels, Matrix
from mints.features.direction_probe import Contestant

META, META_SEED = "meta-latent, fixed direction", "meta-latent, on z-scored activations"
LATENT, LATENT_DIRECTION = "single latent, its activation", "single latent, its decoder row"
CHILDREN, DIFFERENCE = "mean of the meta-latent's children", "difference of means"
LOGISTIC, RANDOM = "logistic probe, trained", "best of as many random directions"
"""Names of the probes. The second is what a published evaluation did: a direction of the raw activations is put to
activations that were standardised dimension by dimension, where it is another direction."""

MOST_FITTED, MOST_COMPARED = 20_000, 10_000
"""Most training tokens on which the logistic probe is fitted, and most validation tokens on which directions are
compared with each other: every second or third token, and so on, where there are more."""


class SplitTokens(NamedTuple):
    """Tokens of the windows of one split."""

    activations: Float[ndarray, "token d_in"]
    """In the frame of the autoencoder."""

    latents: Matrix
    labels: ConceptLabels
    window: Int[ndarray, "token"]


class Directions(NamedTuple):
    """What fixed probes are chosen from."""

    meta: Float[ndarray, "meta_latent d_in"]
    children: list[Int[ndarray, "child"]]
    """Latents of each meta-latent, the strongest first."""

    decoder: Float[ndarray, "latent d_in"]
    """Unit rows of the dictionary."""

    random: Float[ndarray, "meta_latent d_in"]


def supported(
    splits: Sequence[SplitTokens], fewest_tokens: int, fewest_windows: int, most: int
) -> Int[ndarray, "concept"]:
    """Concepts with enough positive tokens and windows, and not more than half of the tokens, in every split.

    At most `most` of them: those with most tokens in validation, the second split.
    """
    enough = np.ones(len(splits[0].labels.names), dtype=bool)
    for split in splits:
        carried = split.labels.tokens.tocoo()
        tokens, total = split.labels.positives, len(split.window)
        pairs = np.unique(np.stack([carried.col, split.window[carried.row]]), axis=1)
        windows = np.bincount(pairs[0], minlength=len(enough))
        enough &= (tokens >= fewest_tokens) & (tokens <= total / 2) & (windows >= fewest_windows)
    order = np.argsort(-splits[1].labels.positives, kind="stable")
    return np.sort(order[enough[order]][:most])


def contestants(
    train: SplitTokens,
    validation: SplitTokens,
    test: SplitTokens,
    concepts: Int[ndarray, "concept"],
    directions: Directions,
    penalties: Sequence[float],
) -> list[list[Contestant]]:
    """Every probe of every concept: fitted on train, chosen on validation by its F1; test is scored, not looked at.

    penalties: of the logistic probe.
    """
    known = [csr_array(split.labels.tokens[:, concepts]) for split in (train, validation)]
    thin = _thinned(len(validation.window), MOST_COMPARED)
    some, of_some = validation.activations[thin], csr_array(known[1][thin])
    by_meta, by_random, by_row = (
        choose(DenseColumns(some, of_kind.T, both_signs=False), of_some).column
        for of_kind in (directions.meta, directions.random, directions.decoder)
    )
    by_latent = choose(SparseColumns(validation.latents), known[1]).column
    mean, spread = train.activations.mean(0, dtype=float), train.activations.std(0, dtype=float)
    found = []
    for place, (meta, random, row, latent) in enumerate(zip(by_meta, by_random, by_row, by_latent, strict=True)):
        truth, heldout_truth = (labels[:, [place]].toarray()[:, 0] for labels in known)
        difference = train.activations[truth].mean(0, dtype=float) - train.activations[~truth].mean(0, dtype=float)
        family = directions.decoder[directions.children[meta]]
        vectors = [
            (META, meta, directions.meta[meta]),
            (META_SEED, meta, directions.meta[meta] / np.where(spread > 0, spread, 1.0)),  # the mean is in the bias
            (LATENT_DIRECTION, row, directions.decoder[row]),
            (CHILDREN, meta, family.mean(0) if len(family) else np.zeros(len(mean))),
            (DIFFERENCE, -1, difference),
            (LOGISTIC, -1, _trained(train.activations, truth, validation.activations, heldout_truth, penalties)),
            (RANDOM, random, directions.random[random]),
        ]
        probes = [
            Contestant(name, int(chosen), (validation.activations - mean) @ vector, (test.activations - mean) @ vector)
            for name, chosen, vector in vectors
        ]
        columns = (split.latents[:, [latent]].toarray()[:, 0] for split in (validation, test))
        found.append([*probes[:2], Contestant(LATENT, int(latent), *columns), *probes[2:]])
    return found


def _trained(
    x: Float[ndarray, "token d_in"],
    truth: Bool[ndarray, "token"],
    heldout: Float[ndarray, "heldout d_in"],
    heldout_truth: Bool[ndarray, "heldout"],
    penalties: Sequence[float],
) -> Float[ndarray, "d_in"]:
    """Weights of the logistic regression whose penalty is best on validation; ties go to the stronger."""
    thin = _thinned(len(x), MOST_FITTED)
    models = fit_path(x[thin], truth[thin].astype(int), sorted(penalties))
    scores = np.stack([model.logits(heldout) for model in models], axis=1)
    best = choose(DenseColumns(scores, both_signs=False), csr_array(heldout_truth[:, None])).column[0]
    return models[int(best)].weights


def _thinned(count: int, most: int) -> slice:
    return slice(None, None, max(1, -(-count // most)))
