"""Step: does the model predict hidden tokens better than counting tokens does?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mints.analysis.bootstrap import interval
from mints.analysis.masked_tokens import fit_floors, neighbours
from mints.data.genome import Genome
from mints.locations import here
from mints.models.masking import MaskedBatches, token_stream
from mints.models.pretraining import batch_losses
from mints.pipeline.run import Run
from mints.report import figures
from mints.studies.genomic.models import OpenModel, open_model

CONTEXT = 62
"""Tokens of a window; shorter where the sequences are."""

BATCH = 64
SHARES = {"15% hidden": 0.15, "one token hidden": 0.0}
"""Share of a window's tokens that is hidden; 0 hides exactly one."""

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
        table = pd.DataFrame(columns=["masking", "predictor", "loss", "low", "high", "tokens"])
    else:
        corpus = read_corpus(run)
        run.fact("corpus", corpus.origin)
        table = pd.DataFrame(measure(run, model, corpus))
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


def measure(run: Run, model: OpenModel, corpus: Corpus) -> list[dict[str, object]]:
    """One row per masking and predictor: mean loss in nats per hidden token, with a bootstrap interval over windows."""
    training, heldout = (token_stream(model.tokenizer, part) for part in (corpus.training, corpus.heldout))
    floors = fit_floors(training, len(model.tokenizer.vocabulary))
    context = min(CONTEXT, len(heldout) - 1)
    rows: list[dict[str, object]] = []
    for masking, share in SHARES.items():
        drawn = MaskedBatches(heldout, model.tokenizer, context=context, share=share, seed=run.config.seed)
        per_batch = BATCH * drawn.masked_per_window
        losses: dict[str, list[np.ndarray]] = {"model": [], "unigram": [], "two-sided token bigram": []}
        for _ in range(max(1, run.config.max_masked_tokens // per_batch)):
            batch = drawn.draw(BATCH, always_mask=True)
            truth = batch.truth.numpy()
            left, right = neighbours(batch.tokens.numpy(), batch.chosen.numpy(), sorted(model.tokenizer.special_ids))
            losses["model"].append(batch_losses(model.encoder, batch, model.compute).numpy())
            losses["unigram"].append(floors.unigram_losses(truth))
            losses["two-sided token bigram"].append(floors.bigram_losses(left, truth, right))
        rows += _rows(masking, {name: np.concatenate(parts) for name, parts in losses.items()}, drawn, run)
    return rows


def _rows(masking: str, losses: dict[str, np.ndarray], drawn: MaskedBatches, run: Run) -> Iterable[dict[str, object]]:
    """Interval of each mean, resampling windows: the hidden tokens of one window are dependent."""
    windows = len(losses["model"]) // drawn.masked_per_window
    rng = run.rng(masking)
    weights = rng.multinomial(windows, np.full(windows, 1 / windows), size=run.config.probe_bootstrap_samples)
    for predictor, values in losses.items():
        means = values.reshape(windows, drawn.masked_per_window).mean(axis=1)
        low, high = interval(weights @ means / windows, run.config.probe_ci_level)
        yield {
            "masking": masking,
            "predictor": predictor,
            "loss": values.mean(),
            "low": low,
            "high": high,
            "tokens": len(values),
        }


def _whole(genome: Genome, names: Sequence[str], most: int) -> list[str]:
    sequences: list[str] = []
    for name in names:
        room = most - sum(map(len, sequences))
        if room > 0:
            sequences.append(genome.fetch(name, 0, min(room, genome.lengths[name])))
    return sequences


def _sequences(tables: Sequence[pd.DataFrame], split: str) -> list[str]:
    return [sequence for table in tables for sequence in table.loc[table["split"] == split, "sequence"]]
