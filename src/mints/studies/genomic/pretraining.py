"""Steps of `--pretrain`: a small masked-language model from any genome, saved under official names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mints.config import Config
from mints.data.genome import Genome
from mints.data.sequences import reverse_complement
from mints.errors import UsageError
from mints.models.masking import MaskedBatches, token_stream
from mints.models.tokenizers import FixedKmerTokenizer, Tokenizer, train_bpe
from mints.pipeline.run import Run
from mints.studies.shared.pretraining import train_and_save
from mints.study_config import Pretraining

BPE_BASES, BPE_PIECE = 2_000_000, 200
"""A byte-pair vocabulary is trained on so many bases, in pieces of this length."""


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
    training, heldout = (
        MaskedBatches(stream, tokenizer, context=recipe.context, share=recipe.masked_share, seed=recipe.seed + offset)
        for offset, stream in enumerate(streams)
    )
    train_and_save(run, tokenizer, training, heldout)


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
