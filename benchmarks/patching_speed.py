"""The sweep over all heads against a loop of one hooked forward pass per head and pair, on a DNABERT-2-117M shape.

    python benchmarks/patching_speed.py [--pairs 32] [--heads 12] [--cells 24] [--layer 11] [--precision auto]

A cell is one (pair, layer, head). The loop is what a user of forward hooks writes: batch 1, the whole depth, explicit
attention (a hub model whose patterns can be read) or fused; it is measured on a random subset of cells, the same in
every repetition, and the activations that it puts in are given to it for nothing. Ours are all pairs and `--heads` of
every layer's heads (their costs are equal), at several batch sizes; recordings of both sides are included, shared out
among all 144 heads. The share of the machine's measured rate of matrix products counts what the encoder says that it
computed. Sides take turns in one run; figures are medians of milliseconds per cell. The read-out is by
default that of the last layer, where the least can be left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from full_size import product_rate
from scipy.stats import spearmanr
from torch import Tensor

from mints.analysis.patching import PairTokens, ProbeLogit, Recording, record, sweep_heads
from mints.models.architecture import Architecture
from mints.models.batching import length_buckets, pad
from mints.models.compute import Compute, resolve_compute
from mints.models.encoder import Encoder, randomly_initialised
from mints.models.tokenizers import Encoding

DNABERT2_117M = Architecture(
    4096, 768, 12, 12, 3072, "post", 1e-12, "alibi", "geglu", False, True, 3, True, 2
)  # fmt: skip

SIZES = (512, 1024, 2048)
"""Tokens per batch that are tried."""


class Pairs(NamedTuple):
    """Clean sequences, and the same with a few tokens changed."""

    clean: list[Encoding]
    corrupted: list[Encoding]


class Cell(NamedTuple):
    """One patch of one pair."""

    pair: int
    layer: int
    head: int


def make_pairs(count: int, rng: np.random.Generator) -> Pairs:
    """Random pairs of about 64 tokens that differ in four of them."""
    pairs = Pairs([], [])
    for length in rng.normal(64, 6, count).clip(40, 90).astype(int):
        special = np.zeros(length, dtype=bool)
        special[[0, -1]] = True
        clean = rng.integers(5, DNABERT2_117M.vocabulary_size, length)
        corrupted = clean.copy()
        corrupted[length // 2 : length // 2 + 4] = rng.integers(5, DNABERT2_117M.vocabulary_size, 4)
        spans = np.zeros((length, 2), dtype=int)
        pairs.clean.append(Encoding(clean, spans, special))
        pairs.corrupted.append(Encoding(corrupted, spans, special))
    return pairs


def one(encoding: Encoding) -> PairTokens:
    """A batch of one sequence."""
    tokens = torch.from_numpy(encoding.ids)[None]
    return PairTokens(tokens, torch.ones_like(tokens, dtype=torch.bool), torch.from_numpy(~encoding.special)[None])


class Loop(NamedTuple):
    """One hooked forward pass per cell."""

    encoder: Encoder
    pairs: Pairs
    readout: ProbeLogit
    compute: Compute

    def given(self, pair: int) -> Recording:
        """Activations of the clean run."""
        return record(self.encoder, one(self.pairs.clean[pair]), self.readout, self.compute)

    def __call__(self, cells: Sequence[Cell], given: dict[int, Recording]) -> np.ndarray:
        """Read-out of every cell."""
        return np.array([self.patched(cell, given[cell.pair].z[cell.layer]) for cell in cells])

    def patched(self, cell: Cell, source: Tensor) -> float:
        """Read-out of the corrupted run with one head from the clean run."""
        site, read = f"blocks.{cell.layer}.attn.hook_z", f"blocks.{self.readout.layer}.hook_resid_post"

        def replace(z: Tensor) -> Tensor:
            z = z.clone()
            z[:, :, cell.head] = source[:, :, cell.head]
            return z

        batch = one(self.pairs.corrupted[cell.pair])
        with self.compute.inference():
            tokens = batch.tokens.to(self.compute.device)
            output = self.encoder.run(tokens, sites=[read], interventions={site: replace})
            return float(self.readout(self.encoder, output.cache[read], batch))


def batches(pairs: Pairs, size: int) -> Iterator[tuple[np.ndarray, PairTokens, PairTokens]]:
    """Both sides in length-bucketed batches."""
    for rows in length_buckets([len(encoding.ids) for encoding in pairs.clean], size):
        yield rows, *(PairTokens(*pad(side, rows, DNABERT2_117M.pad_id)[1:]) for side in pairs)


class Measured(NamedTuple):
    """One call of one side."""

    seconds: float
    """Per cell."""

    figures: np.ndarray
    """Read-outs."""

    rate: float
    """Floating-point operations a second, of the model's matrix products."""


def run_loop(loop: Loop, cells: Sequence[Cell], given: dict[int, Recording]) -> Measured:
    """Time the loop over some cells."""
    work = loop.compute.work
    before, started = work.floating_point_operations, time.perf_counter()
    figures = loop(cells, given)
    seconds = time.perf_counter() - started
    return Measured(seconds / len(cells), figures, (work.floating_point_operations - before) / seconds)


def run_sweep(
    encoder: Encoder, pairs: Pairs, readout: ProbeLogit, compute: Compute, size: int, heads: Sequence[tuple[int, int]]
) -> Measured:
    """Time the sweep of these heads; figures (pair, layer, head). Recordings are shared out among all heads."""
    figures = np.full((len(pairs.clean), DNABERT2_117M.n_layers, DNABERT2_117M.n_heads), np.nan)
    recording, sweeping, before = 0.0, 0.0, compute.work.floating_point_operations
    for rows, clean, corrupted in batches(pairs, size):
        started = time.perf_counter()
        source, base = (record(encoder, batch, readout, compute) for batch in (clean, corrupted))
        recorded = time.perf_counter()
        figures[rows] = sweep_heads(encoder, base, source, readout, compute, heads)
        recording, sweeping = recording + recorded - started, sweeping + time.perf_counter() - recorded
    per_pair = recording / (DNABERT2_117M.n_layers * DNABERT2_117M.n_heads) + sweeping / len(heads)
    rate = (compute.work.floating_point_operations - before) / (recording + sweeping)
    return Measured(per_pair / len(pairs.clean), figures, rate)


class Bench(NamedTuple):
    """What is patched, and the sides that take turns."""

    pairs: Pairs
    readout: ProbeLogit
    heads: list[tuple[int, int]]
    cells: list[Cell]
    sizes: Sequence[int]

    def loops(self, compute: Compute) -> dict[str, Callable[[], Measured]]:
        """The loops, with what they put in."""
        sides: dict[str, Callable[[], Measured]] = {}
        for kind, encoder in encoders(compute).items():
            loop = Loop(encoder, self.pairs, self.readout, compute)
            given = {cell.pair: loop.given(cell.pair) for cell in self.cells}
            sides[f"loop, {kind}"] = partial(run_loop, loop, self.cells, given)
        return sides

    def sweeps(self, compute: Compute) -> dict[str, Callable[[], Measured]]:
        """The sweeps of both kinds of attention and all batch sizes."""
        return {
            f"sweep, {kind}, {size} tokens": partial(
                run_sweep, encoder, self.pairs, self.readout, compute, size, self.heads
            )
            for kind, encoder in encoders(compute).items()
            for size in self.sizes
        }


def encoders(compute: Compute) -> dict[str, Encoder]:
    """The same model with both kinds of attention."""
    explicit, fused = (randomly_initialised(DNABERT2_117M, 0).to(compute.device) for _ in range(2))
    fused.fused_attention = True
    return {"explicit": explicit, "fused": fused}


def make_bench(arguments: argparse.Namespace) -> Bench:
    """Pairs, a probe, the heads that are swept and the cells that are looped over."""
    rng = np.random.default_rng(0)
    pairs = make_pairs(arguments.pairs, rng)
    weights = torch.from_numpy(rng.normal(size=DNABERT2_117M.d_model) / DNABERT2_117M.d_model**0.5)
    n_layers, n_heads = DNABERT2_117M.n_layers, DNABERT2_117M.n_heads
    heads = [(layer, int(head)) for layer in range(n_layers) for head in rng.permutation(n_heads)[: arguments.heads]]
    # Every layer equally often: that of a cell does not matter to the loop, but it does to the figures.
    layers = np.arange(arguments.cells) % n_layers
    places = layers * arguments.heads + rng.integers(arguments.heads, size=arguments.cells)
    cells = [Cell(int(rng.integers(arguments.pairs)), *heads[place]) for place in places]
    return Bench(pairs, ProbeLogit(arguments.layer, weights, 0.0), heads, cells, arguments.sizes)


def compare(bench: Bench, compute: Compute, repeats: int) -> None:
    """Print seconds per cell of every side, the ratios, and how far the figures are from the loop's."""
    loops, sweeps = bench.loops(compute), bench.sweeps(compute)
    seconds: dict[str, list[float]] = {name: [] for name in loops | sweeps}
    rates: dict[str, list[float]] = {name: [] for name in loops | sweeps}
    possible: list[float] = []
    figures: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        for name, side in (loops | sweeps).items():
            measured = side()
            figures[name] = measured.figures
            seconds[name].append(1e3 * measured.seconds)
            rates[name].append(measured.rate)
        possible.append(product_rate(compute))
    plain, quick = (statistics.median(seconds[name]) for name in loops)
    expected = figures[next(iter(loops))]
    for name, values in figures.items():
        here = values if name in loops else np.array([values[cell] for cell in bench.cells])
        middle, least, most = statistics.median(seconds[name]), min(seconds[name]), max(seconds[name])
        print(
            f"{name}: {middle:.1f} ms per cell ({least:.1f} to {most:.1f}), {plain / middle:.2f} x the explicit loop,"
            f" {quick / middle:.2f} x the fused one, {statistics.median(rates[name]) / statistics.median(possible):.0%}"
            f" of the rate of products; read-outs differ by up to {np.abs(here - expected).max():.1e}"
        )


def compare_precision(bench: Bench, compute: Compute) -> None:
    """Print how far the changes of the read-out are from float32's."""
    changes = []
    for precision in ("fp32", compute.precision):
        chosen = resolve_compute(compute.device.type, precision)
        encoder = encoders(chosen)["fused"]
        bases = np.zeros(len(bench.pairs.clean))
        for rows, _, corrupted in batches(bench.pairs, bench.sizes[0]):
            bases[rows] = record(encoder, corrupted, bench.readout, chosen).readout.cpu()
        patched = run_sweep(encoder, bench.pairs, bench.readout, chosen, bench.sizes[0], bench.heads)
        changes.append(patched.figures - bases[:, None, None])
    exact, rounded = (change[:, *zip(*bench.heads, strict=True)] for change in changes)
    error = rounded - exact
    print(
        f"{compute.precision} against fp32, changes of the read-out: largest error {np.abs(error).max():.1e}, root mean"
        f" square {np.sqrt((error**2).mean()):.1e} where the changes' own is {np.sqrt((exact**2).mean()):.1e};"
        f" rank correlation {spearmanr(exact.ravel(), rounded.ravel()).statistic:.4f}"
    )


def main() -> None:
    """Measure, and where the precision is not float32 say how far its figures are from float32's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--heads", type=int, default=12, help="heads of every layer")
    parser.add_argument("--layer", type=int, default=DNABERT2_117M.n_layers - 1, help="layer of the read-out")
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    compute = resolve_compute(arguments.device, arguments.precision)
    print(f"precision {arguments.precision} is {compute.precision} here; load before: {os.getloadavg()}")
    bench = make_bench(arguments)
    compare(bench, compute, arguments.repeats)
    if compute.precision != "fp32":
        compare_precision(bench, compute)
    print(f"load after: {os.getloadavg()}")


if __name__ == "__main__":
    main()
