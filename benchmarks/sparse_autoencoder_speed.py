"""Training of a BatchTopK autoencoder: this package against SAELens's trainer and dictionary_learning's algorithm.

    python benchmarks/sparse_autoencoder_speed.py [--d-in 512] [--width 4096] [--k 32] [--steps 40] [--threads 2]

All see the same batches of the same sparse sums of known directions, with the same learning rates, and take turns of a
few steps, so that what else the machine does meets all alike. SAELens's trainer (left out where it is not installed)
runs with its own defaults; dictionary_learning cannot be installed beside today's torch, and its BatchTopK step is
written here from its published description: dense scatter and decode, batch-wide top k, removal of the gradient along
decoder rows, clipping of the gradient's norm, Adam, decoder rows of norm 1. The error is that of held-out tokens with
the k · tokens largest latents of a batch, as a share of their variance. Everybody calls a latent dead after the same
share of the run.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mints.features.training import COOL_DOWN, DEAD_AFTER, WARM_UP, Recipe, Trainer, pace

TURN = 4
"""Steps that one side takes before the next one's turn."""


class Side(NamedTuple):
    """One implementation."""

    name: str
    train: Callable[[Tensor], object]
    reconstruct: Callable[[Tensor], Tensor]


class SparseSums:
    """Sums of few of many fixed directions whose frequencies follow a power law, with noise and a mean.

    seed: unlike those of the weights, which would otherwise begin as the directions themselves.
    """

    def __init__(self, d_in: int, directions: int, active: float, seed: int = 20_251) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.directions = functional.normalize(torch.randn(directions, d_in, generator=self.generator), dim=1)
        frequency = torch.arange(1, directions + 1).float() ** -0.6
        self.frequency = (frequency * active / frequency.sum()).clamp(max=0.5)
        self.mean = 0.05 * torch.randn(d_in, generator=self.generator)

    def draw(self, tokens: int) -> Float[Tensor, "token d_in"]:
        """Activations with a mean length near √d_in."""
        on = torch.rand(tokens, len(self.directions), generator=self.generator) < self.frequency
        strength = 1 + torch.rand(on.shape, generator=self.generator)
        noise = torch.randn(tokens, self.directions.shape[1], generator=self.generator)
        x = (on * strength) @ self.directions + 0.05 * noise + self.mean
        return x * math.sqrt(x.shape[1]) / x.norm(dim=1).mean()


def here(recipe: Recipe, first: Tensor) -> Side:
    """The trainer of this package."""
    trainer = Trainer(recipe, first)

    def reconstruct(x: Tensor) -> Tensor:
        scaled = x * trainer.autoencoder.scale
        with torch.no_grad():
            return (trainer.autoencoder.outcome(scaled, None).error + scaled) / trainer.autoencoder.scale

    return Side("mints", trainer.train, reconstruct)


def saelens(recipe: Recipe, first: Tensor) -> Side:
    """SAELens's trainer, step by step as its `fit` does."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(recipe.seed)
    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=first.shape[1], d_sae=recipe.d_sae, k=recipe.k))
    configuration = SAETrainerConfig(
        total_training_samples=recipe.steps * recipe.batch,
        train_batch_size_samples=recipe.batch,
        lr=recipe.learning_rate,
        lr_end=0.0,
        lr_warm_up_steps=round(WARM_UP * recipe.steps),
        lr_decay_steps=round(COOL_DOWN * recipe.steps),
        dead_feature_window=round(DEAD_AFTER * recipe.steps),
    )
    trainer = SAETrainer(cfg=configuration, sae=sae, data_provider=iter([]))

    def train(x: Tensor) -> None:
        trainer.step(x)
        trainer.n_training_steps += 1

    @torch.no_grad()
    def reconstruct(x: Tensor) -> Tensor:
        output: Tensor = sae.decode(sae.encode_with_hidden_pre(x)[0])
        return output

    return Side("SAELens", train, reconstruct)


class PublishedBatchTopK(nn.Module):
    """dictionary_learning's BatchTopK autoencoder and the loss of its trainer."""

    def __init__(self, d_in: int, d_sae: int, k: int, seed: int, first: Tensor) -> None:
        super().__init__()
        self.k = k
        self.encoder, self.decoder = nn.Linear(d_in, d_sae), nn.Linear(d_sae, d_in, bias=False)
        self.b_dec = nn.Parameter(first.mean(0))
        rows = torch.randn(d_in, d_sae, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.decoder.weight.copy_(functional.normalize(rows, dim=0))
            self.encoder.weight.copy_(self.decoder.weight.T)
            self.encoder.bias.zero_()
        self.silent = torch.zeros(d_sae, dtype=torch.long)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Active latents, and all that are above zero."""
        positive = functional.relu(self.encoder(x - self.b_dec))
        kept = positive.flatten().topk(self.k * len(x), sorted=False, dim=-1)
        flat = torch.zeros_like(positive).flatten().scatter_(-1, kept.indices, kept.values)
        return flat.reshape(positive.shape), positive

    def decode(self, latents: Tensor) -> Tensor:
        """Reconstruction."""
        output: Tensor = self.decoder(latents) + self.b_dec
        return output

    def auxiliary_loss(self, residual: Tensor, positive: Tensor, dead_after: float) -> Tensor:
        """The dead latents' reconstruction of the residual, in units of its variance."""
        dead = self.silent >= dead_after
        count = min(residual.shape[1] // 2, int(dead.sum()))
        if count == 0:
            return residual.new_zeros(())
        kept = torch.where(dead[None], positive, -torch.inf).topk(count, sorted=False)
        latents = torch.zeros_like(positive).scatter_(-1, kept.indices, kept.values)
        left = (residual - self.decoder(latents)).pow(2).sum(-1).mean()
        return left / (residual - residual.mean(0)).pow(2).sum(-1).mean()


def dictionary_learning(recipe: Recipe, first: Tensor) -> Side:
    """The step of dictionary_learning's BatchTopK trainer, activations scaled to a mean square length of 1."""
    dead_after = DEAD_AFTER * recipe.steps * recipe.batch
    unit = 1 / float(first.square().sum(1).mean()) ** 0.5
    module = PublishedBatchTopK(first.shape[1], recipe.d_sae, recipe.k, recipe.seed, unit * first)
    optimiser = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.999))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: pace(step, recipe.steps))
    threshold, losses = -1.0, []

    def train(x: Tensor) -> None:
        nonlocal threshold
        x = unit * x
        latents, positive = module.encode(x)
        output = module.decode(latents)
        residual = x - output
        fired = (latents.sum(0) > 0).detach()
        module.silent += len(x)
        module.silent[fired] = 0
        auxiliary = module.auxiliary_loss(residual.detach(), positive, dead_after)
        loss = residual.pow(2).sum(-1).mean() + auxiliary / 32
        with torch.no_grad():
            smallest = float(latents[latents > 0].min())
            threshold = smallest if threshold < 0 else 0.999 * threshold + 0.001 * smallest
        losses.append(loss.item())
        loss.backward()
        weight = module.decoder.weight
        with torch.no_grad():
            rows = weight / weight.norm(dim=0, keepdim=True)
            weight.grad -= (weight.grad * rows).sum(0, keepdim=True) * rows
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        scheduler.step()
        with torch.no_grad():
            weight.div_(weight.norm(dim=0, keepdim=True))

    @torch.no_grad()
    def reconstruct(x: Tensor) -> Tensor:
        return module.decode(module.encode(unit * x)[0]) / unit

    return Side("dictionary_learning's algorithm", train, reconstruct)


def unexplained(side: Side, held_out: Float[Tensor, "token d_in"], batch: int) -> float:
    """Squared error as a share of the variance."""
    errors = sum(float((side.reconstruct(x) - x).double().square().sum()) for x in held_out.split(batch))
    return errors / float((held_out - held_out.mean(0)).double().square().sum())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("d-in", 512), ("width", 4096), ("k", 32), ("steps", 40), ("batch", 2048), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--run-steps", type=int, default=400, help="steps of the run whose first --steps are taken")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = SparseSums(given.d_in, 2 * given.d_in, active=given.k / 2)
    batches = [data.draw(given.batch) for _ in range(given.steps)]
    held_out = data.draw(4 * given.batch)
    shape = given.k, given.width
    recipe = Recipe("batch_topk", *shape, given.run_steps, given.batch, given.learning_rate, seed=0)
    makers = [here, *([saelens] if find_spec("sae_lens") else []), dictionary_learning]
    sides = [make(recipe, batches[0]) for make in makers]
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for start in range(0, given.steps, TURN):
        for side in sides:
            for x in batches[start : start + TURN]:
                begin = perf_counter()
                side.train(x)
                seconds[side.name].append(perf_counter() - begin)
    ours = float(np.median(seconds[sides[0].name]))
    print(f"{given.steps} steps of {given.batch} tokens, {given.d_in} → {given.width}, k {given.k}: medians")
    for side in sides:
        median = float(np.median(seconds[side.name]))
        rate, error = given.batch / median, unexplained(side, held_out, given.batch)
        print(f"{side.name:32s} {rate:8,.0f} tokens/s {median / ours:5.2f}× the time {error:8.4f} of the variance left")


if __name__ == "__main__":
    main()
