"""QK alignment and attention enrichment together against the bare forward pass on the same sequences.

    python benchmarks/attention_statistics_speed.py [--sequences 1000] [--repeats 15] [--threads 2]

The bare forward runs the same length-bucketed batches with fused attention and keeps nothing; the statistics are those
of CTCF's motif with 39 permutations of its columns. Token roles (scanning and matching) depend on the sequences alone:
they are prepared beforehand and reported apart. Sides take turns in one run; times are medians, and the ratio is that
of the medians. On a machine that is busy otherwise, threads wait for each other: ask for one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mints.analysis.attention_statistics import sum_attention
from mints.analysis.token_roles import AskedMotif, Assigned, assign_roles
from mints.data.motif_scores import motif_scorer, sites
from mints.data.motifs import load_motif
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.architecture import Architecture
from mints.models.attention_reading import read_attention
from mints.models.batching import batches
from mints.models.checkpoint import load_model
from mints.models.compute import resolve_compute
from mints.models.encoder import Encoder, randomly_initialised
from mints.models.tokenizers import Encoding

LENGTH = 200
"""Bases of a sequence."""

PERMUTED = 39

DNABERT2_117M = Architecture(
    4096, 768, 12, 12, 3072, "post", 1e-12, "alibi", "geglu", False, True, 3, True, 2
)  # fmt: skip


def sequences_with_sites(count: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Random sequences, and labels: every second one holds a site of CTCF's motif, drawn from its probabilities."""
    probabilities = load_motif("MA0139.1").probabilities(0.5)
    letters = rng.integers(0, 4, (count, LENGTH))
    for row in range(0, count, 2):
        start = rng.integers(0, LENGTH - len(probabilities))
        letters[row, start : start + len(probabilities)] = [rng.choice(4, p=share) for share in probabilities]
    sequences = ["".join("ACGT"[letter] for letter in row) for row in letters]
    return sequences, 1 - np.arange(count) % 2


def prepare(sequences: Sequence[str], encodings: Sequence[Encoding], labels: np.ndarray) -> Assigned:
    """Token roles of CTCF's motif and of its permutations."""
    scorer = motif_scorer(load_motif("MA0139.1"))
    threshold = scorer.threshold()
    motif = AskedMotif(scorer, lambda windows, label: sites(windows, scorer.width, threshold))
    return assign_roles(sequences, encodings, labels, motif, PERMUTED, np.random.default_rng(1))


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def compare(name: str, encoder: Encoder, encodings: Sequence[Encoding], assigned: Assigned, repeats: int) -> None:
    """Print seconds of the bare forward, of the pass that reads attention and of the whole, and their ratios."""
    encoder.fused_attention = True
    compute = resolve_compute("cpu", "fp32")
    size, pad_id = TOKENS_PER_BATCH["cpu"], encoder.architecture.pad_id

    def bare() -> None:
        with compute.inference():
            for batch in batches(encodings, pad_id, size):
                encoder.run(batch.tokens, batch.real)

    def reading() -> None:
        for batch in batches(encodings, pad_id, size):
            read_attention(encoder, batch, compute)

    def statistics_of_heads() -> None:
        sum_attention(encoder, encodings, assigned.roles, compute, size)

    sides = (bare, reading, statistics_of_heads)
    for side in sides:
        side()
    times = [[timed(side) for side in sides] for _ in range(repeats)]
    alone, read, whole = (statistics.median(column) for column in zip(*times, strict=True))
    tokens = sum(len(encoding.ids) for encoding in encodings)
    print(
        f"{name}: {len(encodings):,} sequences, {tokens:,} tokens: bare {alone:.3f} s ({tokens / alone:,.0f} tokens/s),"
        f" reading attention {read:.3f} s ({read / alone:.3f} x),"
        f" with all sums {whole:.3f} s ({whole / alone:.3f} x)"
    )


def main() -> None:
    """Measure both shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    embedded = load_model("mints:embedded_dnabert2")
    for name, encoder, count in (
        ("embedded", embedded.encoder, arguments.sequences),
        ("DNABERT-2-117M", randomly_initialised(DNABERT2_117M, 0), arguments.sequences // 30),
    ):
        sequences, labels = sequences_with_sites(count, np.random.default_rng(0))
        encodings = embedded.tokenizer.encode_many(sequences)
        started = time.perf_counter()
        assigned = prepare(sequences, encodings, labels)
        taken = (time.perf_counter() - started) / count
        print(
            f"token roles of {1 + PERMUTED} motifs: {taken * 1e3:.2f} ms per sequence, {assigned.support_tokens:,}"
            f" support tokens, {assigned.matched_tokens:,} matched"
        )
        compare(name, encoder, encodings, assigned, arguments.repeats)


if __name__ == "__main__":
    main()
