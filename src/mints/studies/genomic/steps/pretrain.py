"""Step of `--pretrain`: a small masked-language model from any FASTA, saved under official names."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step


@step(
    "pretrain",
    makes=[
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
        "checkpoint/{tokenizer_file}",
        "tables/training_curve.csv",
        "figures/training_curve.png",
    ],
    reads=["pretraining", "genome", "test_chromosomes", "validation_chromosomes", "device", "precision"],
    opens=["pretraining", "genome"],
)
def pretrain(run: Run) -> None:
    """Train tokenizer and model on the genomes, held-out chromosomes excluded, and save an official checkpoint."""
    from mints.studies.genomic.pretraining import run_pretrain

    run_pretrain(run)
