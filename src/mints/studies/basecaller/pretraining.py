"""Training of the small basecaller on simulated current, and its identity on reads that it has not seen."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from mints.analysis.read_identity import align_read
from mints.basecaller_config import BasecallerTraining
from mints.data.nanopore.current import R10_CURRENT, simulate_reads, training_chunks
from mints.data.nanopore.levels import KmerLevels
from mints.data.nanopore.normalisation import R10_NORMALISATION, Normalisation, normalise, scaling_of
from mints.errors import UsageError
from mints.models.basecaller import crf
from mints.models.basecaller.crf import Targets
from mints.models.basecaller.files import LoadedBasecaller, load_basecaller, save_basecaller
from mints.models.basecaller.model import Basecaller, randomly_initialised
from mints.models.basecaller.settings import BonitoConfig, parse_config
from mints.models.basecaller.training import Chunks, CurvePoint, train
from mints.models.compute import Compute, resolve_compute
from mints.models.optimisation import Recipe
from mints.pipeline.run import Run
from mints.report import training as figures
from mints.studies.basecaller.pore import simulated_levels

TRAINING, HELDOUT_CHUNKS, HELDOUT_READS = range(3)
"""Which random numbers are drawn: nothing held out is ever trained on."""

HELDOUT_BATCHES = 4
EVALUATIONS = 40
"""Rows of the training curve."""

FILES = ("config.toml", "weights_1.tar")


def run_pretrain_basecaller(run: Run) -> None:
    """Train, save in Bonito's layout, load what was saved, and call held-out reads with it."""
    recipe: BasecallerTraining = run.config.training
    if run.config.simulation is None:
        raise UsageError("--pretrain trains on simulated current: choose a profile with a [simulation]")
    levels = simulated_levels(run.config.simulation)
    compute = resolve_compute(run.config.device, run.config.precision)
    run.fact("precision", compute.precision)
    basecaller = randomly_initialised(bonito_config(recipe), recipe.seed, fused_attention=True)
    run.fact("parameters", sum(parameter.numel() for parameter in basecaller.parameters()))
    every = max(1, recipe.steps // EVALUATIONS)
    curve = train(
        basecaller,
        lambda step: draw_chunks(recipe, levels, (TRAINING, step)),
        [draw_chunks(recipe, levels, (HELDOUT_CHUNKS, batch)) for batch in range(HELDOUT_BATCHES)],
        Recipe(recipe.steps, recipe.batch, recipe.learning_rate, evaluate_every=every, save_every=every),
        compute,
        checkpoint=run.scratch("training_state.pt"),
        report=lambda point: run.message(describe(point)),
        track=lambda steps: run.track(steps, description="training", unit="steps"),
    )
    loaded = _save_and_load(run, basecaller.cpu())
    run.fact("weights_sha256", loaded.weights_sha256)
    identities = call_heldout_reads(loaded, recipe, levels, compute)
    total = identities[["matches", "mismatches", "insertions", "deletions"]].sum()
    run.fact("read_identity", float(total["matches"] / total.sum()))
    run.message(f"identity on {len(identities)} held-out reads {total['matches'] / total.sum():.1%}")
    run.save("tables/read_identity.csv", identities)
    table = pd.DataFrame(curve)
    run.save("tables/training_curve.csv", table)
    run.figure("training_curve", figures.basecaller_curve_figure(table))


def bonito_config(recipe: BasecallerTraining) -> BonitoConfig:
    """The recipe's shape in Bonito's grammar: stride 6 and twice as many scores, one per 3 samples.

    Deep-norm's constants are those of an encoder of so many layers (Wang et al. 2022): α = (2 n)^¼, β = (8 n)^−¼.
    """
    width, depth = recipe.d_model, recipe.layers
    shapes = [(1, 16, 5, 1), (16, 32, 9, 3), (32, width, 9, 2)]
    convolutions = [
        {
            "type": "convolution",
            "insize": insize,
            "size": size,
            "winlen": winlen,
            "stride": stride,
            "padding": winlen // 2,
            "activation": "swish",
            "norm": "batchnorm",
        }
        for insize, size, winlen, stride in shapes
    ]
    layer = {
        "d_model": width,
        "nhead": recipe.heads,
        "dim_feedforward": recipe.d_mlp,
        "deepnorm_alpha": round((2 * depth) ** 0.25, 7),
        "deepnorm_beta": round((8 * depth) ** -0.25, 7),
        "attn_window": recipe.attention_window,
    }
    crf_table = {
        "insize": width,
        "state_len": recipe.state_length,
        "bias": False,
        "scale": 5.0,
        "blank_score": 2.0,
        "permute": (1, 0, 2),
    }
    table = {
        "model": {
            "type": "seqdistmodel",
            "package": "bonito.transformer",
            "seqdist": {"state_len": recipe.state_length},
            "encoder": {
                "conv": {"sublayers": [*convolutions, {"type": "permute", "dims": (0, 2, 1)}]},
                "transformer_encoder": {"depth": depth, "layer": layer},
                "upsample": {"d_model": width, "scale_factor": 2},
                "crf": crf_table,
            },
        },
        "scaling": {"strategy": R10_NORMALISATION.strategy},
        "standardisation": {
            "standardise": R10_NORMALISATION.standardise,
            "mean": R10_NORMALISATION.mean,
            "stdev": R10_NORMALISATION.standard_deviation,
        },
        "run_info": {"sample_rate": R10_CURRENT.sample_rate},
    }
    return parse_config(table, "[training]")


def draw_chunks(recipe: BasecallerTraining, levels: KmerLevels, key: tuple[int, int]) -> Chunks:
    """A batch of simulated chunks, the same for the same key (kind of draw, number)."""
    rng = np.random.default_rng([recipe.seed, *key])
    drawn = next(training_chunks(rng, batch=recipe.batch, samples=recipe.samples, levels=levels))
    bases = torch.from_numpy(drawn.targets.astype(np.int64)) - 1  # Bonito counts them from 1 and pads with 0
    return Chunks(torch.from_numpy(drawn.signal), Targets(bases.clamp(min=0), torch.from_numpy(drawn.lengths)))


def call_heldout_reads(
    loaded: LoadedBasecaller, recipe: BasecallerTraining, levels: KmerLevels, compute: Compute
) -> pd.DataFrame:
    """One row per simulated read: its length, the columns of its alignment to the truth, and identity."""
    rng = np.random.default_rng([recipe.seed, HELDOUT_READS])
    reads = simulate_reads(rng, recipe.heldout_reads, levels=levels, bases=recipe.heldout_bases)
    basecaller = loaded.basecaller.to(compute.device)
    settings = Normalisation(**loaded.normalisation)
    assert basecaller.state_length is not None
    rows = []
    for number, read in enumerate(reads, start=1):
        signal = normalise(read.current, scaling_of(read.current, settings))
        with compute.inference():
            scores = basecaller(torch.from_numpy(signal)[None].to(compute.device)).float()
        (called,) = crf.decode(scores, basecaller.state_length)
        alignment = align_read(read.sequence, called.sequence)
        rows.append(
            {
                "read": f"heldout{number:03d}",
                "samples": len(signal),
                "true_bases": len(read.sequence),
                "called_bases": len(called.sequence),
                **alignment._asdict(),
                "identity": alignment.identity,
            }
        )
    return pd.DataFrame(rows)


def describe(point: CurvePoint) -> str:
    """One line of a training log."""
    return (
        f"step {point.step:,}: {point.bases:,} bases, loss {point.train_loss:.3f} in training,"
        f" {point.heldout_loss:.3f} held out (nats per base)"
    )


def _save_and_load(run: Run, basecaller: Basecaller) -> LoadedBasecaller:
    """Write the model's files as artifacts of the run; what is judged is what the files hold."""
    dtype = torch.float16 if run.config.training.weights_dtype == "float16" else torch.float32
    with TemporaryDirectory() as folder:
        save_basecaller(Path(folder), basecaller, dtype)
        for name in FILES:
            with run.create(f"checkpoint/{name}") as temporary:
                shutil.copyfile(Path(folder) / name, temporary)
        return load_basecaller(Path(folder))
