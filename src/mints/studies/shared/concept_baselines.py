"""What latents are held against: columns of the same model, of an untrained one, and of the sequence alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

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
    token_identity,
)
from mints.features.concept_scores import Chosen, called_by, choose, f1_of_calling_everything
from mints.features.concepts import ConceptLabels, Matrix
from mints.features.random_directions import random_directions
from mints.models.encoder import Encoder
from mints.models.sites import site_names
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.material import Material
from mints.studies.shared.models import OpenModel


class Scene(NamedTuple):
    """What every site is scored with."""

    run: Run
    material: Material
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
    for candidates in (of_activations(scene, site, validation, test, width), of_words(scene, site, validation, test)):
        for name, chosen_on, reported_on in candidates:
            chosen = choose(chosen_on, validation.labels.tokens)
            yield Baseline(name, chosen, called_by(reported_on, chosen))
    yield every_token(validation.labels, test.labels)


class Candidates(NamedTuple):
    """Columns of a baseline on both splits."""

    name: str
    validation: Columns
    test: Columns


def of_activations(scene: Scene, site: str, validation: Scored, test: Scored, width: int) -> Iterator[Candidates]:
    """Neurons of the site's layer, the site's dimensions and principal components, and random directions there."""
    neurons = f"blocks.{site.split('.')[1]}.mlp.hook_post" if site.startswith("blocks.") else ""
    has_neurons = neurons in site_names(scene.model.encoder.architecture)
    sites = list(dict.fromkeys([site, neurons] if has_neurons else [site]))
    values = [activations_of(scene, sites, part.encodings, part.tokens) for part in (validation, test)]
    components = principal_directions(training_activations(scene, site))
    drawn = random_directions(len(components), width, scene.run.rng(f"{site} random directions")).astype(np.float32)
    kinds = {
        "dimensions": (site, None, True),
        "principal_components": (site, components, True),
        "random_directions": (site, drawn, False),
    }
    if has_neurons:
        kinds = {"neurons": (neurons, None, True), **kinds}
    for name, (where, directions, both) in kinds.items():
        yield Candidates(name, *(DenseColumns(each[where], directions, both_signs=both) for each in values))


def of_words(scene: Scene, site: str, validation: Scored, test: Scored) -> Iterator[Candidates]:
    """Identity of the token, what else the sequence tells, and latents of an untrained model, which knows no more."""
    vocabulary = len(scene.model.tokenizer.vocabulary)

    def known(part: Scored) -> dict[str, Matrix]:
        told = scene.material.sequence_columns(part.tokens, part.windows["sequence"].tolist())
        untrained = latents_of(scene, site, part.encodings, part.tokens, untrained=True)
        return {"token_identity": token_identity(part.tokens, vocabulary), **told, "untrained_latents": untrained}

    chosen_on, reported_on = known(validation), known(test)
    for name, columns in chosen_on.items():
        yield Candidates(name, SparseColumns(columns), SparseColumns(reported_on[name]))


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
    windows = scene.material.windows("train", scene.run.config.features.concept_windows)
    encodings = scene.model.tokenizer.encode_many(windows["sequence"].tolist())
    tokens = ordinary_tokens(encodings, scene.model.tokenizer)
    return activations_of(scene, [site], encodings, tokens)[site]
