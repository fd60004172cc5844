"""Sparse autoencoders of the sites that the feature suite looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.features.autoencoder import SparseAutoencoder
from mints.features.formats import ReadDictionary
from mints.features.training import CurvePoint
from mints.models.encoder import randomly_initialised
from mints.pipeline.run import Run
from mints.report.dictionaries import sweep_figure, training_figure
from mints.studies.shared.dictionaries import UNTRAINED, save_autoencoder, site_folder
from mints.studies.shared.dictionary_evaluation import Result, evaluate, open_held_out, seed_table
from mints.studies.shared.dictionary_training import Dictionary, dictionaries, train_dictionaries, training_steps
from mints.studies.shared.material import Material, Split
from mints.studies.shared.models import open_model
from mints.studies.shared.ready_dictionaries import ready_autoencoders

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


def run_sparse_autoencoders(run: Run, material: Material) -> None:
    """Train sparse autoencoders on the activations of every site, of the model and of an untrained twin."""
    model = open_model(run)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True
    held_out = [open_held_out(run, model, material, split) for split in ("validation", "test")]
    finished: dict[Dictionary, SparseAutoencoder] = {}
    results: dict[Dictionary, dict[Split, Result]] = {}
    curves = []
    ready = ready_autoencoders(run, model)
    corpus = material.training()
    for name, encoder in (("model", model.encoder), (UNTRAINED, untrained)):
        wanted = dictionaries(run.config.features, name)
        given = {each: ready[each.site].autoencoder for each in wanted if is_given(each, ready)}
        to_train = [dictionary for dictionary in wanted if dictionary not in given]
        trainers = train_dictionaries(run, model, encoder, corpus, to_train, name) if to_train else {}
        curves += [curve_table(dictionary, trainer.curve) for dictionary, trainer in trainers.items()]
        here = given | {dictionary: trainer.finished() for dictionary, trainer in trainers.items()}
        finished |= here
        for part in held_out:
            for dictionary, result in evaluate(run, model, encoder, here, part).items():
                results.setdefault(dictionary, {})[part.split] = result
    for dictionary, autoencoder in finished.items():
        is_ready = is_given(dictionary, ready)
        origin = ready[dictionary.site].metadata if is_ready else training_facts(run, dictionary)
        facts = metadata(run, dictionary, results[dictionary])
        save_autoencoder(run, dictionary.folder, autoencoder, origin | facts)
    table = result_table(run, results, ready)
    curve = pd.concat(curves, ignore_index=True)
    run.save("tables/sparse_autoencoders.csv", table)
    run.save("tables/sparse_autoencoder_training.csv", curve)
    alive = {dictionary: of_split["test"].reconstruction.frequency > 0 for dictionary, of_split in results.items()}
    run.save("tables/sparse_autoencoder_seeds.csv", seed_table(finished, alive))
    run.figure("sparse_autoencoder_sweep", sweep_figure(table))
    run.figure("sparse_autoencoder_training", training_figure(curve))


def is_given(dictionary: Dictionary, ready: Mapping[str, ReadDictionary]) -> bool:
    """Whether the configuration gives this one: that which later steps use of a site, not those of the sweep."""
    return dictionary.site in ready and dictionary.folder == site_folder(dictionary.site)


def curve_table(dictionary: Dictionary, curve: list[CurvePoint]) -> pd.DataFrame:
    """A training curve with the dictionary's columns before it."""
    return pd.DataFrame([dictionary.facts() | point._asdict() for point in curve])


def result_table(
    run: Run, results: Mapping[Dictionary, Mapping[Split, Result]], ready: Mapping[str, ReadDictionary]
) -> pd.DataFrame:
    """One row per dictionary and held-out split."""
    features = run.config.features
    trained = {"kind": features.kind, "training_tokens": training_steps(features) * features.batch}
    rows: list[dict[str, Any]] = []
    for dictionary, of_split in results.items():
        origin = trained
        if is_given(dictionary, ready):
            autoencoder, said, _ = ready[dictionary.site]
            expansion = autoencoder.d_sae / autoencoder.d_in
            origin = {"kind": said["format"], "k": said.get("k"), "expansion": expansion, "seed": None}
        for split, (found, losses) in of_split.items():
            row = dictionary.facts() | origin | {"split": split, "latents": len(found.frequency)}
            rows.append(row | found._asdict() | losses)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def metadata(run: Run, dictionary: Dictionary, result: Mapping[Split, Result]) -> dict[str, Any]:
    """What the files say of where an autoencoder belongs, and how many latents a token has there."""
    return {
        "model_name": run.config.model_name,
        "hook_name": dictionary.site,
        "encoder": dictionary.encoder,
        "l0": result["validation"].reconstruction.l0,
    }


def training_facts(run: Run, dictionary: Dictionary) -> dict[str, Any]:
    """What the files say of how an autoencoder was trained."""
    features = run.config.features
    return {
        "kind": features.kind,
        "k": dictionary.k,
        "expansion": dictionary.expansion,
        "seed": dictionary.seed,
        "training_tokens": training_steps(features) * features.batch,
        "window": features.window,
    }
