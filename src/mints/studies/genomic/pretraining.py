"""Steps of `--pretrain`: a small masked-language model from any FASTA, saved under official names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from mints.config import Config
from mints.data.genome import Genome
from mints.data.sequences import reverse_complement
from mints.errors import UsageError
from mints.models.architecture import Architecture
from mints.models.checkpoint import save_model
from mints.models.compute import resolve_compute
from mints.models.encoder import Encoder, randomly_initialised
from mints.models.families import FAMILIES
from mints.models.masking import MaskedBatches, token_stream
from mints.models.pretraining import CurvePoint, Recipe, pretrain
from mints.models.tokenizers import FixedKmerTokenizer, Tokenizer, train_bpe
from mints.pipeline.run import Run
from mints.report import figures
from mints.studies.shared.fields import TOKENIZER_FILES
from mints.study_config import Pretraining

BPE_BASES, BPE_PIECE = 2_000_000, 200
"""A byte-pair vocabulary is trained on so many bases, in pieces of this length."""

HELDOUT_BATCHES, HELDOUT_BATCH = 8, 128
EVALUATIONS = 24
"""Rows of the training curve."""


def run_pretrain(run: Run) -> None:
    """Train tokenizer and model on the genomes, held-out chromosomes excluded, and save an official checkpoint."""
    recipe = run.config.pretraining
    rng = np.random.default_rng(recipe.seed)
    training_sequences, heldout_sequences = read_genomes(run.config)
    tokenizer = make_tokenizer(recipe, training_sequences, rng)
    streams = [
        token_stream(tokenizer, both_strands(sequences), rng) for sequences in (training_sequences, heldout_sequences)
    ]
    run.fact("training_tokens", len(streams[0]))
    run.fact("training_bases", 2 * sum(map(len, training_sequences)))
    encoder = randomly_initialised(architecture(recipe, tokenizer), recipe.seed)
    run.fact("parameters", sum(parameter.numel() for parameter in encoder.parameters()))
    training, heldout = (
        MaskedBatches(stream, tokenizer, context=recipe.context, share=recipe.masked_share, seed=recipe.seed + offset)
        for offset, stream in enumerate(streams)
    )
    every = max(1, recipe.steps // EVALUATIONS)
    plan = Recipe(recipe.steps, recipe.batch, recipe.learning_rate, evaluate_every=every, save_every=every)
    compute = resolve_compute(run.config.device, run.config.precision)
    run.fact("precision", compute.precision)
    batches = [heldout.draw(HELDOUT_BATCH, always_mask=True) for _ in range(HELDOUT_BATCHES)]
    curve = pretrain(
        encoder,
        training,
        batches,
        plan,
        compute,
        checkpoint=run.scratch("training_state.pt"),
        report=lambda point: run.message(describe(point)),
        track=lambda steps: run.track(steps, description="pretraining", unit="steps"),
    )
    save_checkpoint(run, encoder.cpu(), tokenizer)
    table = pd.DataFrame(curve)
    run.save("tables/training_curve.csv", table)
    run.figure("training_curve", figures.training_curve_figure(table))


def read_genomes(config: Config) -> tuple[list[str], list[str]]:
    """Training and held-out sequences of the recipe's genomes.

    Chromosomes named for test or validation are held out; a genome that has none of them gives the tail of each of its
    sequences.
    """
    paths = config.pretraining.genomes or ([] if config.genome is None else [Path(config.genome)])
    if not paths:
        raise UsageError("--pretrain needs a genome: give --genome or [pretraining] genomes = [...]")
    named = {*config.test_chromosomes, *config.validation_chromosomes}
    training: list[str] = []
    heldout: list[str] = []
    for path in paths:
        genome = Genome.open(path)
        whole = {name: genome.fetch(name, 0, length) for name, length in genome.lengths.items()}
        if named & set(whole) and set(whole) - named:
            training += [sequence for name, sequence in whole.items() if name not in named]
            heldout += [sequence for name, sequence in whole.items() if name in named]
        else:
            for sequence in whole.values():
                cut = round(len(sequence) * (1 - config.pretraining.heldout_share))
                training.append(sequence[:cut])
                heldout.append(sequence[cut:])
    return training, heldout


def make_tokenizer(recipe: Pretraining, sequences: Sequence[str], rng: np.random.Generator) -> Tokenizer:
    """The family's tokenizer; a byte-pair vocabulary is trained on random pieces of both strands."""
    if recipe.family == "nucleotide_transformer":
        return FixedKmerTokenizer.generate(recipe.kmer)
    return train_bpe(_pieces(sequences, rng), recipe.vocabulary)


def _pieces(sequences: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    lengths = np.array([len(sequence) for sequence in sequences], dtype=float)
    for chosen in rng.choice(len(sequences), size=BPE_BASES // BPE_PIECE, p=lengths / lengths.sum()):
        start = int(rng.integers(0, max(1, len(sequences[chosen]) - BPE_PIECE)))
        piece = sequences[chosen][start : start + BPE_PIECE]
        yield piece if rng.random() < 0.5 else reverse_complement(piece)


def both_strands(sequences: Sequence[str]) -> list[str]:
    """Every sequence and its reverse complement."""
    return [strand for sequence in sequences for strand in (sequence, reverse_complement(sequence))]


def architecture(recipe: Pretraining, tokenizer: Tokenizer) -> Architecture:
    """The recipe's shape with its family's conventions."""
    post_norm = recipe.family == "dnabert2"
    return Architecture(
        vocabulary_size=len(tokenizer.vocabulary),
        d_model=recipe.d_model,
        n_layers=recipe.layers,
        n_heads=recipe.heads,
        d_mlp=recipe.d_mlp,
        norm_placement="post" if post_norm else "pre",
        norm_epsilon=1e-12,
        position="alibi" if post_norm else "rotary",
        mlp="geglu" if post_norm else "swiglu",
        mlp_input_bias=False,
        mlp_output_bias=post_norm,
        pad_id=tokenizer.pad_id,
        embedding_norm=post_norm,
        token_types=2 if post_norm else 0,
        tied_head=True,
    )


def describe(point: CurvePoint) -> str:
    """One line of a training log."""
    return (
        f"step {point.step:,}: {point.tokens:,} tokens, loss {point.train_loss:.3f} in training,"
        f" {point.heldout_loss:.3f} held out (nats per hidden token)"
    )


def save_checkpoint(run: Run, encoder: Encoder, tokenizer: Tokenizer) -> None:
    """Write the checkpoint's files as artifacts of the run."""
    recipe = run.config.pretraining
    dtype = torch.float16 if recipe.weights_dtype == "float16" else torch.float32
    with TemporaryDirectory() as folder:
        save_model(Path(folder), encoder, tokenizer, FAMILIES[recipe.family], dtype)
        for name in ("config.json", "model.safetensors", *TOKENIZER_FILES[recipe.family]):
            with run.create(f"checkpoint/{name}") as temporary:
                shutil.copyfile(Path(folder) / name, temporary)
