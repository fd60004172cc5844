"""Step: does the model predict hidden tokens better than counting tokens does?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.masked_tokens import fit_floors, loss_rows, neighbours
from mints.data.genome import Genome
from mints.locations import here
from mints.models.masking import MaskedBatch, MaskedBatches, token_stream
from mints.models.pretraining import batch_losses
from mints.models.tokenizers import OverlappingKmerTokenizer, Tokenizer
from mints.pipeline.run import Run
from mints.report import figures
from mints.studies.shared.models import OpenModel, open_model

CONTEXT = 62
"""Tokens of a window; shorter where the sequences are."""

BATCH = 64
SHARES = {"15% hidden": 0.15, "one token hidden": 0.0}
"""Share of a window's tokens that is hidden; 0 hides exactly one."""

UNIGRAM = "unigram"

COLUMNS = [
    "masking",
    "predictor",
    "loss",
    "low",
    "high",
    "tokens",
    "bases",
    "bits_per_base",
    "bits_per_base_low",
    "bits_per_base_high",
    "gain",
    "gain_low",
    "gain_high",
]

FLOOR_BASES = 30_000_000
"""Most bases on which the token statistics are counted."""


class Corpus(NamedTuple):
    """Where token statistics are counted, and where all losses are measured."""

    training: list[str]
    heldout: list[str]
    origin: str


def run_masked_token_loss(run: Run) -> None:
    """Compare the model's masked-token loss with the unigram and two-sided bigram floors on held-out sequence."""
    model = open_model(run)
    if model.encoder.head is None:
        run.warn("the checkpoint has no masked-language head: its masked-token loss was not measured")
        table = pd.DataFrame(columns=COLUMNS)
    else:
        corpus = read_corpus(run)
        run.fact("corpus", corpus.origin)
        table = measure(run, model, corpus)
    run.save("tables/masked_token_loss.csv", table)
    run.figure("masked_token_loss", figures.masked_token_loss_figure(table))


def read_corpus(run: Run) -> Corpus:
    """The genome's training and held-out chromosomes; the tasks' sequences where there is no such genome."""
    config = run.config
    if config.genome is not None:
        genome = Genome.open(here(config.genome))
        heldout = [
            name for name in genome.lengths if name in (*config.test_chromosomes, *config.validation_chromosomes)
        ]
        training = [name for name in genome.lengths if name not in heldout]
        if heldout and training:
            return Corpus(_whole(genome, training, FLOOR_BASES), _whole(genome, heldout, FLOOR_BASES), "genome")
    tables = [run.load(f"tasks/{task.name}.parquet") for task in config.tasks]
    parts = {split: _sequences(tables, split) for split in ("train", "test")}
    return Corpus(parts["train"], parts["test"], "task sequences")


def measure(run: Run, model: OpenModel, corpus: Corpus) -> pd.DataFrame:
    """One row per masking and predictor: losses per hidden token and per base (see `loss_rows`)."""
    training, heldout = (token_stream(model.tokenizer, part) for part in (corpus.training, corpus.heldout))
    floors = fit_floors(training, len(model.tokenizer.vocabulary))
    special = sorted(model.tokenizer.special_ids)
    rows: list[dict[str, object]] = []
    for masking, share in SHARES.items():
        batches = hidden_batches(run, model, heldout, share)
        losses: dict[str, list[np.ndarray]] = {"model": [], UNIGRAM: [], "two-sided token bigram": []}
        for batch in batches:
            truth = batch.truth.numpy()
            left, right = neighbours(batch.tokens.numpy(), batch.chosen.numpy(), special)
            losses["model"].append(batch_losses(model.encoder, batch, model.compute).numpy())
            losses[UNIGRAM].append(floors.unigram_losses(truth))
            losses["two-sided token bigram"].append(floors.bigram_losses(left, truth, right))
        bases = token_bases(model.tokenizer)[np.concatenate([batch.truth.numpy() for batch in batches])]
        windows = len(batches) * BATCH
        by_window = {name: np.concatenate(parts).reshape(windows, -1) for name, parts in losses.items()}
        weights = run.rng(masking).multinomial(
            windows, np.full(windows, 1 / windows), size=run.config.probe_bootstrap_samples
        )
        found = loss_rows(by_window, bases.reshape(windows, -1), weights, run.config.probe_ci_level, reference=UNIGRAM)
        rows += [{"masking": masking} | row for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def hidden_batches(run: Run, model: OpenModel, heldout: ndarray, share: float) -> list[MaskedBatch]:
    """Windows of held-out tokens with a share of them hidden: the same ones whenever they are asked for.

    heldout: a stream of tokens.
    """
    context = min(CONTEXT, len(heldout) - 1)
    drawn = MaskedBatches(heldout, model.tokenizer, context=context, share=share, seed=run.config.seed)
    count = max(1, run.config.max_masked_tokens // (BATCH * drawn.masked_per_window))
    return [drawn.draw(BATCH, always_mask=True) for _ in range(count)]


def token_bases(tokenizer: Tokenizer) -> Float[ndarray, "token"]:
    """Bases that each token of the vocabulary stands for; NaN where tokens overlap, and a base has no token of its own.

    Only ordinary tokens are ever hidden, and these are spelt by their bases.
    """
    if isinstance(tokenizer, OverlappingKmerTokenizer):
        return np.full(len(tokenizer.vocabulary), np.nan)
    return np.array([len(token) for token in tokenizer.vocabulary], dtype=float)


def _whole(genome: Genome, names: Sequence[str], most: int) -> list[str]:
    sequences: list[str] = []
    for name in names:
        room = most - sum(map(len, sequences))
        if room > 0:
            sequences.append(genome.fetch(name, 0, min(room, genome.lengths[name])))
    return sequences


def _sequences(tables: Sequence[pd.DataFrame], split: str) -> list[str]:
    return [sequence for table in tables for sequence in table.loc[table["split"] == split, "sequence"]]
