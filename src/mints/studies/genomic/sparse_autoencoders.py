"""Step: sparse autoencoders of the sites that the feature suite looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.features.autoencoder import SparseAutoencoder
from mints.features.training import CurvePoint
from mints.models.encoder import randomly_initialised
from mints.pipeline.run import Run
from mints.report.dictionaries import sweep_figure, training_figure
from mints.studies.genomic.dictionaries import UNTRAINED, save_autoencoder
from mints.studies.genomic.dictionary_evaluation import Result, evaluate, open_held_out, seed_table
from mints.studies.genomic.dictionary_training import Dictionary, dictionaries, train_dictionaries, training_steps
from mints.studies.genomic.feature_windows import Split
from mints.studies.genomic.models import open_model

COLUMNS = [
    "encoder",
    "site",
    "kind",
    "k",
    "expansion",
    "latents",
    "seed",
    "training_tokens",
    "split",
    "tokens",
    "variance_explained",
    "l0",
    "dead",
    "dense",
    *(f"recovered_of_{ablation}{end}" for ablation in ("zero", "mean") for end in ("", "_low", "_high")),
    "loss",
    "loss_reconstructed",
    "loss_zero",
    "loss_mean",
]


def run_sparse_autoencoders(run: Run) -> None:
    """Train sparse autoencoders on the activations of every site, of the model and of an untrained twin."""
    model = open_model(run)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True
    held_out = [open_held_out(run, model, split) for split in ("validation", "test")]
    finished: dict[Dictionary, SparseAutoencoder] = {}
    results: dict[Dictionary, dict[Split, Result]] = {}
    curves = []
    for name, encoder in (("model", model.encoder), (UNTRAINED, untrained)):
        trainers = train_dictionaries(run, model, encoder, dictionaries(run.config.features, name), name)
        finished |= {dictionary: trainer.finished() for dictionary, trainer in trainers.items()}
        curves += [curve_table(dictionary, trainer.curve) for dictionary, trainer in trainers.items()]
        for dictionary in trainers:
            results[dictionary] = {}
        for part in held_out:
            found = evaluate(run, model, encoder, {name: finished[name] for name in trainers}, part)
            for dictionary, result in found.items():
                results[dictionary][part.split] = result
    for dictionary, autoencoder in finished.items():
        save_autoencoder(run, dictionary.folder, autoencoder, metadata(run, dictionary, results[dictionary]))
    table = result_table(run, results)
    curve = pd.concat(curves, ignore_index=True)
    run.save("tables/sparse_autoencoders.csv", table)
    run.save("tables/sparse_autoencoder_training.csv", curve)
    alive = {dictionary: of_split["test"].reconstruction.frequency > 0 for dictionary, of_split in results.items()}
    run.save("tables/sparse_autoencoder_seeds.csv", seed_table(finished, alive))
    run.figure("sparse_autoencoder_sweep", sweep_figure(table))
    run.figure("sparse_autoencoder_training", training_figure(curve))


def curve_table(dictionary: Dictionary, curve: list[CurvePoint]) -> pd.DataFrame:
    """A training curve with the dictionary's columns before it."""
    return pd.DataFrame([dictionary.facts() | point._asdict() for point in curve])


def result_table(run: Run, results: Mapping[Dictionary, Mapping[Split, Result]]) -> pd.DataFrame:
    """One row per dictionary and held-out split."""
    steps = training_steps(run.config.features)
    common = {"kind": run.config.features.kind, "training_tokens": steps * run.config.features.batch}
    rows: list[dict[str, Any]] = []
    for dictionary, of_split in results.items():
        for split, (found, losses) in of_split.items():
            row = dictionary.facts() | common | {"split": split, "latents": len(found.frequency)}
            rows.append(row | found._asdict() | losses)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def metadata(run: Run, dictionary: Dictionary, result: Mapping[Split, Result]) -> dict[str, Any]:
    """What the files say of where an autoencoder comes from."""
    features = run.config.features
    return {
        "model_name": run.config.model_name,
        "hook_name": dictionary.site,
        "encoder": dictionary.encoder,
        "kind": features.kind,
        "k": dictionary.k,
        "expansion": dictionary.expansion,
        "seed": dictionary.seed,
        "training_tokens": training_steps(features) * features.batch,
        "window": features.window,
        "l0": result["validation"].reconstruction.l0,
    }
