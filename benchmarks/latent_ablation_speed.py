"""Ablating every latent of a dictionary, batched from its site on, against one forward pass per latent.

    python benchmarks/latent_ablation_speed.py [--latents 64] [--repeats 3] [--threads 1]

The loop is what a user of interventions writes: the whole model once per latent, batch 1, that latent set to 0 at all
tokens. A kinder loop takes the run up at the site. Both are measured on a random subset of the *active* latents, the
same in every repetition; so is the batch, whose figures are compared with theirs. The last line adds what the batch
does for a whole dictionary: latents that are nowhere active change nothing, and are not run. Sides take turns in one
run; figures are medians of milliseconds per latent.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mints.analysis.patching import ProbeLogit
from mints.features.above import Above, PairReadout
from mints.features.autoencoder import SparseAutoencoder
from mints.features.intervention import change_latents, set_latents
from mints.features.latent_effects import Moves, ablations, effects_of_each
from mints.features.restart import Restart
from mints.models.architecture import Architecture
from mints.models.compute import Compute, resolve_compute
from mints.models.encoder import Encoder, randomly_initialised

TOKENS = 64


class Shape(NamedTuple):
    """A model, the site in its middle, and the dictionary there."""

    d_model: int
    layers: int
    vocabulary: int
    d_sae: int
    k: int

    def architecture(self) -> Architecture:
        """Of the DNABERT-2 family."""
        return Architecture(
            self.vocabulary, self.d_model, self.layers, 4, 2 * self.d_model, "post", 1e-12, "alibi", "geglu", False,
            True, 3, True, 2,
        )  # fmt: skip

    @property
    def site(self) -> str:
        """Residual stream after half of the layers."""
        return f"blocks.{self.layers // 2 - 1}.hook_resid_post"


SHAPES = {"shipped model": Shape(128, 4, 256, 1024, 16), "twice as wide": Shape(256, 6, 4096, 4096, 32)}


class Bench(NamedTuple):
    """One sequence, its dictionary, and the latents that are ablated."""

    shape: Shape
    encoder: Encoder
    compute: Compute
    autoencoder: SparseAutoencoder
    above: Above
    ids: Tensor
    run: Restart
    readout: PairReadout
    all_moves: Moves
    moves: Moves

    def loop(self) -> np.ndarray:
        """One whole forward pass per latent."""
        return self._one_by_one(whole=True)

    def loop_from_the_site(self) -> np.ndarray:
        """One pass through the layers above the site per latent."""
        return self._one_by_one(whole=False)

    def batch(self) -> np.ndarray:
        """The same latents, each a row."""
        return effects_of_each(self.above, self.run, self.moves, self.readout)

    def _one_by_one(self, *, whole: bool) -> np.ndarray:
        base = self.above.still(self.run, self.readout, 1).cpu().numpy()
        rows = []
        for latent in self.moves.latents:
            ablate = change_latents(self.autoencoder, set_latents(latent[None], 0.0))
            with self.compute.inference():
                if whole:
                    interventions = {self.shape.site: ablate}
                    output = self.encoder.run(self.ids, sites=self.readout.sites, interventions=interventions)
                    value = self.readout.of(self.encoder, output.cache, output.residual)
                else:
                    value = self.above.readouts(ablate(self.run.x), self.run, self.readout)
            rows.append(value.cpu().numpy() - base)
        return np.concatenate(rows)


def make_bench(shape: Shape, latents: int, compute: Compute) -> Bench:
    """A random model and dictionary; the second side of the pair changes two tokens."""
    encoder = randomly_initialised(shape.architecture(), 0).to(compute.device)
    encoder.fused_attention = True
    generator = torch.Generator().manual_seed(0)
    autoencoder = SparseAutoencoder(shape.d_model, shape.d_sae, "topk", k=shape.k)
    with torch.no_grad():
        autoencoder.W_dec.normal_(generator=generator)
        autoencoder.W_dec /= autoencoder.W_dec.norm(dim=1, keepdim=True)
        autoencoder.W_enc.copy_(autoencoder.W_dec.T)
    autoencoder = autoencoder.to(compute.device).requires_grad_(False)
    ids = torch.randint(5, shape.vocabulary, (1, TOKENS), generator=generator).to(compute.device)
    other = ids.clone()
    other[0, 30:32] = torch.tensor([9, 10])
    weights = torch.randn(shape.d_model, generator=generator) / shape.d_model**0.5
    content = torch.ones_like(ids, dtype=torch.bool)
    readout = PairReadout(ProbeLogit(shape.layers - 1, weights, 0.0), ids, other, content)
    above = Above(encoder, shape.site, compute)
    run = above.record(ids)
    every = ablations(autoencoder, run.x[0], torch.ones(TOKENS, dtype=torch.bool))
    chosen = torch.randperm(len(every.latents), generator=generator)[:latents].sort().values
    some = Moves(every.latents[chosen], every.amounts[:, chosen], every.directions[chosen])
    return Bench(shape, encoder, compute, autoencoder, above, ids, run, readout, every, some)


def main() -> None:
    """Measure both shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    compute = resolve_compute(arguments.device, "fp32")
    print(f"load before: {os.getloadavg()}")
    for name, shape in SHAPES.items():
        print(f"{name}: {shape}")
        compare(make_bench(shape, arguments.latents, compute), arguments.repeats)
    print(f"load after: {os.getloadavg()}")


def compare(bench: Bench, repeats: int) -> None:
    """Print milliseconds per latent of every side, the ratios, and how far the figures are from each other."""
    sides: dict[str, Callable[[], np.ndarray]] = {
        "one forward pass per latent": bench.loop,
        "one pass from the site per latent": bench.loop_from_the_site,
        "batched": bench.batch,
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    figures: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            figures[name] = side()
            seconds[name].append(1e3 * (time.perf_counter() - started) / len(bench.moves.latents))
    slow, quick = (statistics.median(seconds[name]) for name in ("one forward pass per latent", "batched"))
    expected = figures["one forward pass per latent"]
    for name, values in figures.items():
        middle, least, most = statistics.median(seconds[name]), min(seconds[name]), max(seconds[name])
        print(
            f"  {name}: {middle:.2f} ms per active latent ({least:.2f} to {most:.2f}), {slow / middle:.1f} x;"
            f" changes of the read-outs differ by up to {np.abs(values - expected).max():.1e}"
            f" where they are up to {np.abs(expected).max():.2f}"
        )
    active, d_sae = len(bench.all_moves.latents), bench.shape.d_sae
    print(f"  all {d_sae} latents, {active} active somewhere: {slow * d_sae / (quick * active):.1f} x a pass for each")


if __name__ == "__main__":
    main()
