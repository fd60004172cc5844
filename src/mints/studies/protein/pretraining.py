"""Step of `--pretrain`: a small ESM-2-family model from a set of proteins, saved under official names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mints.analysis.bootstrap import cluster_weights
from mints.analysis.masked_tokens import (
    SMOOTHING,
    TokenFloors,
    composition_losses,
    fit_floors,
    neighbours,
    unit_loss_rows,
)
from mints.models.compute import Compute, resolve_compute
from mints.models.encoder import Encoder
from mints.models.masking import MaskedBatch, MaskedSequences
from mints.models.pretraining import batch_losses
from mints.models.tokenizers import ResidueTokenizer, Tokenizer
from mints.pipeline.run import Run
from mints.studies.shared.pretraining import train_and_save

BATCH = 64
MODEL, UNIGRAM, COMPOSITION, NEIGHBOURS = "model", "unigram", "composition of the protein", "two neighbours"


def run_pretrain(run: Run) -> None:
    """Train a model on the training clusters of proteins, and hold its loss on test clusters against counts."""
    proteins = run.load("proteins/proteins.parquet")
    tokenizer = ResidueTokenizer.generate()
    training, validation, test = (
        masked_proteins(run, proteins, tokenizer, split) for split in ("train", "validation", "test")
    )
    run.fact("training_residues", sum(map(len, training.sequences)))
    encoder = train_and_save(run, tokenizer, training, validation)
    compute = resolve_compute("cpu", "fp32")
    floors = fit_floors(
        np.concatenate([sequence.numpy() for sequence in training.sequences]), len(tokenizer.vocabulary)
    )
    smoothing = choose_smoothing(validation, floors, tokenizer)
    losses, numbers = heldout_losses(encoder, test, floors, smoothing, tokenizer, compute)
    tested = proteins[proteins["split"] == "test"]
    weights = cluster_weights(tested["cluster"].to_numpy(), run.config.probe_bootstrap_samples, run.rng("test loss"))
    rows = unit_loss_rows(losses, numbers, weights, run.config.probe_ci_level, reference=UNIGRAM)
    run.save("tables/pretraining_loss.csv", pd.DataFrame(rows))


def masked_proteins(run: Run, proteins: pd.DataFrame, tokenizer: Tokenizer, split: str) -> MaskedSequences:
    """Masked batches of the proteins of one split."""
    recipe = run.config.pretraining
    sequences = proteins.loc[proteins["split"] == split, "sequence"].tolist()
    seed = recipe.seed + ("train", "validation", "test").index(split)
    encodings = tokenizer.encode_many(sequences)
    return MaskedSequences(encodings, tokenizer, context=recipe.context, share=recipe.masked_share, seed=seed)


def choose_smoothing(validation: MaskedSequences, floors: TokenFloors, tokenizer: Tokenizer) -> float:
    """Pseudo-residues with which a protein's composition predicts best."""
    batches = [batch for _, batch in validation.once(BATCH)]
    losses = [sum(_composition(batch, floors, each, tokenizer).sum() for batch in batches) for each in SMOOTHING]
    return SMOOTHING[int(np.argmin(losses))]


def heldout_losses(
    encoder: Encoder,
    test: MaskedSequences,
    floors: TokenFloors,
    smoothing: float,
    tokenizer: Tokenizer,
    compute: Compute,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Loss of each predictor at each hidden residue of the test proteins, and the number of its protein."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (MODEL, UNIGRAM, COMPOSITION, NEIGHBOURS)}
    numbers: list[np.ndarray] = []
    for rows, batch in test.once(BATCH):
        truth = batch.truth.numpy()
        left, right = neighbours(batch.tokens.numpy(), batch.chosen.numpy(), silent(tokenizer))
        parts[MODEL].append(batch_losses(encoder, batch, compute).double().numpy())
        parts[UNIGRAM].append(floors.unigram_losses(truth))
        parts[COMPOSITION].append(_composition(batch, floors, smoothing, tokenizer))
        parts[NEIGHBOURS].append(floors.bigram_losses(left, truth, right))
        numbers.append(rows[batch.chosen.numpy() // batch.tokens.shape[1]])
    return {name: np.concatenate(values) for name, values in parts.items()}, np.concatenate(numbers)


def silent(tokenizer: Tokenizer) -> Sequence[int]:
    """Tokens that say nothing about what is hidden."""
    return sorted(tokenizer.special_ids)


def _composition(batch: MaskedBatch, floors: TokenFloors, smoothing: float, tokenizer: Tokenizer) -> np.ndarray:
    return composition_losses(
        batch.tokens.numpy(), batch.chosen.numpy(), batch.truth.numpy(), silent(tokenizer), floors.unigram, smoothing
    )
