"""Which steps the genomic study has, and the pipeline of one configuration."""

from __future__ import annotations

from mints import __version__
from mints.config import Config
from mints.errors import UsageError
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import Step
from mints.studies.genomic.ingest import ingest
from mints.studies.genomic.linear_probes import linear_probes
from mints.studies.genomic.masked_token_loss import masked_token_loss
from mints.studies.genomic.pretraining import TOKENIZER_FILES, pretraining
from mints.studies.genomic.probe_controls import controls_step
from mints.studies.genomic.residual_cache import residual_cache
from mints.studies.genomic.simulate_genome import simulate_genome

ANALYSIS: tuple[Step, ...] = (
    simulate_genome,
    ingest,
    masked_token_loss,
    residual_cache,
    linear_probes,
    controls_step,
)
PRETRAINING: tuple[Step, ...] = (simulate_genome, pretraining)


def open_pipeline(config: Config, *, pretrain: bool = False, quiet: bool = False) -> Pipeline:
    """The study's pipeline in the configuration's results folder.

    Raises UsageError where there is nothing to ask about.
    """
    if not pretrain and not config.tasks:
        raise UsageError(
            "no task to analyse: choose a profile, or give --train (labelled sequences) or --peaks with --genome"
        )
    expand = {
        "task": [task.name for task in config.tasks],
        "tokenizer_file": TOKENIZER_FILES[config.pretraining.family],
    }
    steps = PRETRAINING if pretrain else ANALYSIS
    return Pipeline(steps, config, config.results, expand=expand, version=__version__, reporter=Reporter(quiet=quiet))
