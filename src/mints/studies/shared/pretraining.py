"""Pretraining of a small masked-language model, whatever it reads: the recipe's shape, its training, its checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from mints.models.architecture import Architecture
from mints.models.checkpoint import save_model
from mints.models.compute import resolve_compute
from mints.models.encoder import Encoder, randomly_initialised
from mints.models.families import FAMILIES
from mints.models.masking import BatchSource
from mints.models.optimisation import Recipe
from mints.models.pretraining import CurvePoint, pretrain
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run
from mints.report.training import training_curve_figure
from mints.studies.shared.fields import TOKENIZER_FILES
from mints.study_config import Pretraining

HELDOUT_BATCHES, HELDOUT_BATCH = 8, 128
EVALUATIONS = 24
"""Rows of the training curve."""


def train_and_save(run: Run, tokenizer: Tokenizer, training: BatchSource, heldout: BatchSource) -> Encoder:
    """Train the recipe's encoder, and write its checkpoint, its training curve and the figure of that."""
    recipe = run.config.pretraining
    encoder = randomly_initialised(architecture(recipe, tokenizer), recipe.seed)
    run.fact("parameters", sum(parameter.numel() for parameter in encoder.parameters()))
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
    run.figure("training_curve", training_curve_figure(table))
    return encoder


def architecture(recipe: Pretraining, tokenizer: Tokenizer) -> Architecture:
    """The recipe's shape with its family's conventions."""
    post_norm, protein = recipe.family == "dnabert2", recipe.family == "esm2"
    return Architecture(
        vocabulary_size=len(tokenizer.vocabulary),
        d_model=recipe.d_model,
        n_layers=recipe.layers,
        n_heads=recipe.heads,
        d_mlp=recipe.d_mlp,
        norm_placement="post" if post_norm else "pre",
        norm_epsilon=1e-5 if protein else 1e-12,
        position="alibi" if post_norm else "rotary",
        mlp="geglu" if post_norm else "gelu" if protein else "swiglu",
        mlp_input_bias=protein,
        mlp_output_bias=post_norm or protein,
        pad_id=tokenizer.pad_id,
        embedding_norm=post_norm,
        token_types=2 if post_norm else 0,
        token_dropout_mask_id=tokenizer.mask_id if protein else None,
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
