"""What latents are held against: columns of the same model, of an untrained one, and of the sequence alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from mints.features.activations import Tokens, latent_matrix, ordinary_tokens, sites_activations
from mints.features.columns import (
    Columns,
    DenseColumns,
    SparseColumns,
    principal_directions,
    random_directions,
    token_identity,
    word_identity,
)
from mints.features.concept_scores import Chosen, called_by, choose, f1_of_calling_everything
from mints.features.concepts import ConceptLabels, Matrix
from mints.models.encoder import Encoder
from mints.models.sites import site_names
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.studies.genomic.dictionaries import open_autoencoder
from mints.studies.genomic.feature_windows import genome_windows
from mints.studies.genomic.models import OpenModel


class Scene(NamedTuple):
    """What every site is scored with."""

    run: Run
    model: OpenModel
    untrained: Encoder


class Scored(Protocol):
    """Windows, tokens and labels of a split."""

    @property
    def windows(self) -> pd.DataFrame: ...
    @property
    def encodings(self) -> list[Encoding]: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def labels(self) -> ConceptLabels: ...


class Baseline(NamedTuple):
    """A baseline as validation chose it."""

    name: str
    chosen: Chosen
    called: Bool[ndarray, "token concept"]
    """On test."""


def baselines_of(scene: Scene, site: str, validation: Scored, test: Scored, width: int) -> Iterator[Baseline]:
    """Every baseline by the latents' own procedure: column and threshold from validation, calls on test.

    width: number of latents, and of random directions.
    """
    model, layer = scene.model, site.split(".")[1] if site.startswith("blocks.") else ""
    neurons = f"blocks.{layer}.mlp.hook_post"
    dense = [site] if neurons not in site_names(model.encoder.architecture) else [site, neurons]
    before, after = (activations_of(scene, dense, part.encodings, part.tokens) for part in (validation, test))
    rng = scene.run.rng(f"{site} random directions")
    directions = {
        "principal_components": principal_directions(training_activations(scene, site)),
        "random_directions": random_directions(before[site].shape[1], width, rng),
    }
    sides: dict[str, Callable[[Any, Any], Columns]] = {
        "dimensions": lambda part, values: DenseColumns(values[site]),
        "principal_components": lambda part, values: DenseColumns(values[site], directions["principal_components"]),
        "random_directions": lambda part, values: DenseColumns(
            values[site], directions["random_directions"], both_signs=False
        ),
        "token_identity": lambda part, values: SparseColumns(
            token_identity(part.tokens, len(model.tokenizer.vocabulary))
        ),
        "word_identity": lambda part, values: SparseColumns(
            word_identity(part.tokens, part.windows["sequence"].tolist())
        ),
        "untrained_latents": lambda part, values: SparseColumns(
            latents_of(scene, site, part.encodings, part.tokens, untrained=True)
        ),
    }
    if neurons in dense:
        sides = {"neurons": lambda part, values: DenseColumns(values[neurons]), **sides}
    for name, columns in sides.items():
        chosen = choose(columns(validation, before), validation.labels.tokens)
        yield Baseline(name, chosen, called_by(columns(test, after), chosen))
    yield every_token(validation.labels, test.labels)


def every_token(validation: ConceptLabels, test: ConceptLabels) -> Baseline:
    """The concept is called everywhere: what a frequent concept's F1 is worth."""
    n = len(validation.names)
    chosen = Chosen(np.zeros(n, dtype=np.int64), np.full(n, -np.inf), f1_of_calling_everything(validation))
    return Baseline("every_token", chosen, np.ones((test.tokens.shape[0], n), dtype=bool))


def latents_of(
    scene: Scene, site: str, encodings: Sequence[Encoding], tokens: Tokens, *, untrained: bool = False
) -> Matrix:
    """Active latents of the tokens, of the model or of the untrained one."""
    autoencoder = open_autoencoder(scene.run, site, untrained=untrained).to(scene.model.compute.device)
    encoder = scene.untrained if untrained else scene.model.encoder
    budget = scene.run.config.tokens_per_batch
    return latent_matrix(encoder, autoencoder, encodings, tokens, site, scene.model.compute, budget)


def activations_of(
    scene: Scene, sites: Sequence[str], encodings: Sequence[Encoding], tokens: Tokens
) -> dict[str, Float[ndarray, "token d"]]:
    """Activations of all tokens at some sites, in one pass."""
    gathered: dict[str, Float[ndarray, "token d"]] = {}
    model, budget = scene.model, scene.run.config.tokens_per_batch
    for which, values in sites_activations(model.encoder, encodings, tokens, sites, model.compute, budget):
        for site, part in values.items():
            if site not in gathered:
                gathered[site] = np.empty((len(tokens.ids), part.shape[1]), dtype=np.float32)
            gathered[site][which] = part.cpu().numpy()
    return gathered


def training_activations(scene: Scene, site: str) -> Float[ndarray, "token d"]:
    """Activations of training windows, from which the principal components come."""
    windows = genome_windows(scene.run, "train", scene.run.config.features.concept_windows)
    encodings = scene.model.tokenizer.encode_many(windows["sequence"].tolist())
    tokens = ordinary_tokens(encodings, scene.model.tokenizer)
    return activations_of(scene, [site], encodings, tokens)[site]
