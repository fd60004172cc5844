"""Step: does any latent follow the motif from sequence to sequence, better than what needs no autoencoder?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32
from numpy import ndarray

from mints.analysis.bootstrap import cluster_weights
from mints.features.activations import Tokens, latent_matrix, ordinary_tokens
from mints.features.autoencoder import SparseAutoencoder
from mints.features.motif_alignment import (
    Draws,
    MotifScores,
    Units,
    best_units,
    both_signs,
    margin,
    permutations_within,
    principal_components,
)
from mints.features.pooling import largest_projections, sequence_maxima, sequence_means
from mints.features.random_directions import random_directions
from mints.features.training import Recipe, Trainer
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report.feature_search import search_figure, top_latents_figure
from mints.studies.genomic.questions import asked_sequences, open_question
from mints.studies.genomic.steps.distributed_feature_search import STREAMS
from mints.studies.shared.dictionaries import open_autoencoder, save_autoencoder
from mints.studies.shared.models import OpenModel, open_model

D_SAE, K, BATCH = 512, 32, 128
"""Dictionary of sequence means: latents, active ones per sequence, and sequences of a training step."""

COMPONENTS = 64
"""Principal components among which the best is looked for."""

PERMUTATIONS = 1000
SHOWN = 10
LATENTS = "latents"
"""Name of a set of units that an autoencoder found; the other sets are its baselines."""


class Scene(NamedTuple):
    """Sequences of one question with what is known of them."""

    table: pd.DataFrame
    bits: Float[ndarray, "sequence"]
    scores: MotifScores
    draws: Draws

    def split(self, values: Float32[ndarray, "sequence unit"]) -> Units:
        """Rows of the held-out splits."""
        split = self.table["split"].to_numpy()
        return Units(values[split == "validation"], values[split == "test"])


class Tokenised(NamedTuple):
    """A question's sequences as tokens."""

    encodings: list[Encoding]
    tokens: Tokens


def run_distributed_feature_search(run: Run) -> None:
    """Rank latents, neurons, components and directions by how they follow each motif over sequences."""
    model = open_model(run)
    summaries, facts = [], {}
    for asked in run.config.motif_questions:
        scene = open_scene(run, asked)
        top, summary, facts[asked.name] = search(run, model, asked.name, scene)
        run.save(f"distributed_features/{asked.name}_sae_feature_alignment_top10.csv", overall(top))
        for stream in STREAMS:
            shown = top[(top["stream"] == stream) & (top["units"] == LATENTS)]
            run.figure(f"{asked.name}_{stream}_sae_top10_alignment", top_latents_figure(shown, asked.name, stream))
        summaries.append(summary)
    result = pd.concat(summaries, ignore_index=True)
    run.save("tables/distributed_feature_search.csv", result)
    run.save("tables/distributed_feature_search.json", facts)
    run.figure("distributed_feature_search", search_figure(result))


def overall(top: pd.DataFrame) -> pd.DataFrame:
    """The best latents of all streams together, by what validation says."""
    latents = top[top["units"] == LATENTS]
    best = latents.sort_values("validation_r", ascending=False, kind="stable").head(SHOWN)
    return best.drop(columns="units").rename(columns={"unit": "latent"})


def open_scene(run: Run, asked: Any) -> Scene:
    """The question's sequences that have a score; one that is nowhere without N has none."""
    question = open_question(asked, run.load(f"tasks/{asked.task}.parquet"))
    table = asked_sequences(run, asked, run.config.max_feature_search_sequences)
    scanned = question.best_windows(table["sequence"].tolist())
    bits = np.array([windows.max(initial=-np.inf) for windows in scanned], dtype=float)
    table, bits = table[np.isfinite(bits)].reset_index(drop=True), bits[np.isfinite(bits)]
    split, rng = table["split"].to_numpy(), run.rng(f"{asked.name} draws")
    test = table[split == "test"]
    labels = test["label"].to_numpy(dtype=np.int64)
    draws = Draws(
        cluster_weights(test["cluster"].to_numpy(), run.config.probe_bootstrap_samples, rng),
        permutations_within(labels, PERMUTATIONS, rng),
    )
    scores = MotifScores(bits[split == "validation"], bits[split == "test"], labels)
    return Scene(table, bits, scores, draws)


def search(
    run: Run, model: OpenModel, question: str, scene: Scene
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Best units of every stream and set, each stream's best latent against its baselines, and facts."""
    last = model.encoder.architecture.n_layers - 1
    sites = dict(zip(STREAMS, (f"blocks.{last}.hook_resid_post", f"blocks.{last}.mlp.hook_post"), strict=True))
    encodings = model.tokenizer.encode_many(scene.table["sequence"].tolist())
    tokens = ordinary_tokens(encodings, model.tokenizer)
    settings = model.compute, run.config.tokens_per_batch
    all_sites = list(dict.fromkeys([*sites.values(), *run.config.features.sites]))
    means = sequence_means(model.encoder, encodings, tokens, all_sites, *settings)
    by_stream = {stream: means[site] for stream, site in sites.items()}
    arrays = {stream: values.astype(np.float16) for stream, values in by_stream.items()}
    run.save(f"distributed_features/{question}_residual_mlp_activations.npz", arrays)
    facts: dict[str, Any] = {}
    tops, summaries = [], []
    for stream, values in by_stream.items():
        autoencoder, facts[stream] = train(run, scene, values, stream)
        folder = f"distributed_features/{question}_{stream}_sae"
        save_autoencoder(run, folder, autoencoder, {"model_name": run.config.model_name, "hook_name": sites[stream]})
        with torch.inference_mode():
            latents = autoencoder.encode(torch.from_numpy(values)).numpy()
        directions = directions_of(scene, values, run.rng(f"{question} {stream} directions"))
        sets = {LATENTS: latents} | {name: both_signs(values @ columns) for name, columns in directions.items()}
        top, summary = compare(run, scene, sets, question, stream)
        tops.append(top)
        summaries.append(summary)
    for site in run.config.features.sites:
        rng = run.rng(f"{question} {site} directions")
        sets = token_level_sets(run, model, scene, Tokenised(encodings, tokens), site, means[site], rng)
        top, summary = compare(run, scene, sets, question, site)
        tops.append(top)
        summaries.append(summary)
    same_shape = by_stream["residual"].shape == by_stream["mlp"].shape
    shapes = {stream: list(values.shape) for stream, values in by_stream.items()}
    facts |= {"sites": sites, "shapes": shapes, "residual_mlp_same_shape": same_shape}
    return pd.concat(tops, ignore_index=True), pd.concat(summaries, ignore_index=True), facts


def token_level_sets(
    run: Run,
    model: OpenModel,
    scene: Scene,
    tokenised: Tokenised,
    site: str,
    means: Float32[ndarray, "sequence d"],
    rng: np.random.Generator,
) -> dict[str, Float32[ndarray, "sequence unit"]]:
    """Each latent's largest value among a sequence's tokens; directions by their mean and by their largest value."""
    where = tokenised.encodings, tokenised.tokens, site
    settings = model.compute, run.config.tokens_per_batch
    autoencoder = open_autoencoder(run, site).to(model.compute.device)
    matrix = latent_matrix(model.encoder, autoencoder, *where, *settings)
    sets = {LATENTS: sequence_maxima(matrix, tokenised.tokens, len(tokenised.encodings))}
    directions = directions_of(scene, means, rng)
    columns = both_signs(np.concatenate(list(directions.values()), axis=1))
    upwards, downwards = np.split(largest_projections(model.encoder, *where, columns, *settings), 2, axis=1)
    ends = np.cumsum([part.shape[1] for part in directions.values()])
    for (name, part), end in zip(directions.items(), ends, strict=True):
        own = slice(end - part.shape[1], end)
        sets[name] = np.concatenate([both_signs(means @ part), upwards[:, own], downwards[:, own]], axis=1)
    return sets


def train(
    run: Run, scene: Scene, values: Float32[ndarray, "sequence d"], stream: str
) -> tuple[SparseAutoencoder, dict[str, Any]]:
    """An autoencoder of the training sequences' means, and what it explains of the test sequences'."""
    train_rows = torch.from_numpy(values[(scene.table["split"] == "train").to_numpy()])
    test_rows = torch.from_numpy(values[(scene.table["split"] == "test").to_numpy()])
    batch = min(BATCH, len(train_rows))
    steps = run.config.sae_epochs * (len(train_rows) // batch)
    features = run.config.features
    recipe = Recipe("batch_topk", K, D_SAE, steps, batch, features.learning_rate, features.seed)
    trainer = Trainer(recipe, train_rows)
    rng = run.rng(f"{stream} order")
    for _ in range(run.config.sae_epochs):
        order = torch.from_numpy(rng.permutation(len(train_rows)))
        for start in range(0, len(order) - batch + 1, batch):
            trainer.train(train_rows[order[start : start + batch]])
    autoencoder = trainer.finished()
    with torch.inference_mode():
        latents, output = autoencoder(test_rows)
    error, spread = (test_rows - output).double(), (test_rows - test_rows.mean(0)).double()
    explained = 1 - float(error.square().sum() / spread.square().sum())
    active = float((latents > 0).sum(1).double().mean())
    facts = {"training_sequences": len(train_rows), "steps": steps, "d_sae": D_SAE}
    return autoencoder, facts | {"variance_explained": explained, "l0": active}


def directions_of(
    scene: Scene, values: Float32[ndarray, "sequence d"], rng: np.random.Generator
) -> dict[str, Float32[ndarray, "d direction"]]:
    """What an autoencoder has to beat: the site's own dimensions, principal components, random directions."""
    d = values.shape[1]
    return {
        "neurons": np.eye(d, dtype=np.float32),
        "principal components": principal_components(values[(scene.table["split"] == "train").to_numpy()], COMPONENTS),
        "random directions": random_directions(d, D_SAE, rng).astype(np.float32),
    }


def compare(
    run: Run, scene: Scene, sets: dict[str, Float32[ndarray, "sequence unit"]], question: str, stream: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Best units of each set, and one row per set: its best unit, and the best latent's lead over it."""
    level = run.config.probe_ci_level
    units = {name: scene.split(values) for name, values in sets.items()}
    ranked = {
        name: best_units(of_set, scene.scores, scene.draws, count=SHOWN, level=level) for name, of_set in units.items()
    }
    best = {name: units[name].test[:, table["unit"].iloc[0]] for name, table in ranked.items()}
    others = {name: values for name, values in best.items() if name != LATENTS}
    leads = margin(best[LATENTS], others, scene.scores.test, scene.draws.weights, level)
    top = pd.concat([table.assign(units=name) for name, table in ranked.items()], ignore_index=True)
    first = pd.concat([table.head(1).assign(units=name) for name, table in ranked.items()], ignore_index=True)
    renamed = leads.rename(columns={"baseline": "units", "low": "lead_low", "high": "lead_high", "difference": "lead"})
    summary = first.merge(renamed, on="units", how="left")
    for table in (top, summary):
        table.insert(0, "stream", stream)
        table.insert(0, "question", question)
    summary.insert(2, "test_sequences", len(scene.scores.test))
    return top, summary
