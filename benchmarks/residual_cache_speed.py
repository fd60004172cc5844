"""Residual caching against the bare forward pass on the same sequences, and its memory against their number.

    python benchmarks/residual_cache_speed.py [--sequences 2000]

The bare forward runs the same length-bucketed batches through the layers and keeps nothing. Both alternate in one run;
the ratio is that of their median times. Memory is the peak of a child process that caches so many sequences.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from mints.models.activations import TOKENS_PER_BATCH, mean_residuals
from mints.models.architecture import Architecture
from mints.models.batching import batches
from mints.models.compute import resolve_compute
from mints.models.encoder import randomly_initialised
from mints.models.tokenizers import Encoding

SHAPES = {
    "embedded (4 layers, width 128)": (256, 128, 4, 4, 256),
    "DNABERT-2-117M (12 layers, width 768)": (4096, 768, 12, 12, 3072),
}


def architecture(vocabulary: int, width: int, layers: int, heads: int, d_mlp: int) -> Architecture:
    """A DNABERT-2-family shape."""
    return Architecture(
        vocabulary, width, layers, heads, d_mlp, "post", 1e-12, "alibi", "geglu", False, True, 3, True, 2
    )  # fmt: skip


def encodings(count: int, vocabulary: int) -> list[Encoding]:
    """Random sequences with the length distribution of 200 to 300 bases in byte pairs."""
    rng = np.random.default_rng(0)
    made = []
    for length in rng.normal(70, 9, count).clip(40, 110).astype(int):
        special = np.zeros(length, dtype=bool)
        special[[0, -1]] = True
        made.append(Encoding(rng.integers(5, vocabulary, length), np.zeros((length, 2), dtype=int), special))
    return made


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def compare(name: str, count: int) -> None:
    """Print tokens per second of both, their ratio and the padding."""
    shape = architecture(*SHAPES[name])
    encoder = randomly_initialised(shape, 0)
    compute = resolve_compute("cpu", "fp32")
    items = encodings(count, shape.vocabulary_size)
    tokens = sum(len(item.ids) for item in items)
    padded = sum(batch.tokens.numel() for batch in batches(items, shape.pad_id, TOKENS_PER_BATCH["cpu"]))

    def bare() -> None:
        with compute.inference():
            for batch in batches(items, shape.pad_id, TOKENS_PER_BATCH["cpu"]):
                encoder.run(batch.tokens, batch.real)

    def cached() -> None:
        mean_residuals(encoder, items, list(range(shape.n_layers)), compute)

    bare(), cached()
    times = [(timed(bare), timed(cached)) for _ in range(5)]
    bare_time, cached_time = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"{name}: bare {tokens / bare_time:,.0f} tokens/s, caching every layer {tokens / cached_time:,.0f} tokens/s,"
        f" ratio {bare_time / cached_time:.3f}; padding {padded / tokens - 1:.1%}"
    )


def peak_megabytes(count: int) -> float:
    """Peak memory of a fresh process that streams `count` sequences into a file, shard by shard."""
    command = [sys.executable, __file__, "--stream", str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def stream(count: int) -> None:
    """Cache `count` sequences shard by shard into one NPZ and print the peak memory in MB."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from mints.pipeline.artifacts import write_npz_rows
    from mints.studies.genomic.residual_cache import SHARD

    shape = architecture(*SHAPES["embedded (4 layers, width 128)"])
    encoder, compute = randomly_initialised(shape, 0), resolve_compute("cpu", "fp32")
    layers = list(range(shape.n_layers))
    shards = (
        mean_residuals(encoder, encodings(min(SHARD, count - start), shape.vocabulary_size), layers, compute)
        for start in range(0, count, SHARD)
    )
    with TemporaryDirectory() as folder:
        write_npz_rows(Path(folder) / "a.npz", {}, "residual", (count, len(layers), shape.d_model), shards)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Run the comparison, or one streamed pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=2000)
    parser.add_argument("--stream", type=int)
    arguments = parser.parse_args()
    if arguments.stream:
        stream(arguments.stream)
        return
    compare("embedded (4 layers, width 128)", arguments.sequences)
    compare("DNABERT-2-117M (12 layers, width 768)", max(64, arguments.sequences // 10))
    for count in (2048, 8192, 32768):
        print(f"{count:,} sequences streamed: peak {peak_megabytes(count):.0f} MB")


if __name__ == "__main__":
    main()
