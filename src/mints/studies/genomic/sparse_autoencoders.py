"""Step: sparse autoencoders of the sites that the feature suite looks at."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pandas as pd

from mints.data.genome import Genome
from mints.features.stream import BEGINNING, ActivationStream
from mints.features.training import BatchTopKTrainer, Recipe
from mints.locations import here
from mints.models.encoder import randomly_initialised
from mints.pipeline.run import Run
from mints.studies.genomic.dictionaries import save_autoencoder, site_folder
from mints.studies.genomic.feature_windows import Tiles, split_stretches
from mints.studies.genomic.models import open_model


def run_sparse_autoencoders(run: Run) -> None:
    """Train sparse autoencoders on the activations of every site, of the model and of an untrained twin."""
    features, model = run.config.features, open_model(run)
    genome = Genome.open(here(run.config.genome))
    stretches = split_stretches(genome.lengths, run.config.validation_chromosomes, run.config.test_chromosomes)
    corpus = Tiles(genome, stretches["train"], features.window)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True
    steps = max(1, features.training_tokens // features.batch)
    rows: list[dict[str, Any]] = []
    for name, encoder in (("model", model.encoder), ("random_initialisation", untrained)):
        stream = ActivationStream(
            encoder,
            model.tokenizer,
            corpus,
            features.sites,
            model.compute,
            seed=features.seed,
            tokens_per_batch=run.config.tokens_per_batch,
        )
        first = stream.chunk(BEGINNING).activations
        trainers = {}
        for site in features.sites:
            d_sae = features.expansion[0] * first[site].shape[1]
            recipe = Recipe(features.k[0], d_sae, steps, features.learning_rate, features.seed)
            trainers[site] = BatchTopKTrainer(recipe, first[site])
        batches = islice(stream.batches(features.batch), steps)
        for batch, _ in run.track(batches, total=steps, description=f"sparse autoencoders, {name}", unit="steps"):
            losses = {site: trainer.train(batch[site]) for site, trainer in trainers.items()}
        for site, trainer in trainers.items():
            facts = {"site": site, "encoder": name, "k": features.k[0], "expansion": features.expansion[0]}
            rows.append(facts | {"tokens": steps * features.batch, "loss": losses[site]})
            metadata = {"model_name": run.config.model_name, "hook_name": site, "encoder": name}
            folder = site_folder(site, untrained=name != "model")
            save_autoencoder(run, folder, trainer.finished(), metadata)
    run.save("tables/sparse_autoencoders.csv", pd.DataFrame(rows))
