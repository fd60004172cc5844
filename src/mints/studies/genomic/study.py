"""Which steps the genomic study has, and the pipeline of one configuration."""

from __future__ import annotations

from mints import __version__
from mints.config import Config
from mints.data.motifs import load_motif
from mints.errors import UsageError
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import Step
from mints.studies.genomic.fields import TOKENIZER_FILES
from mints.studies.genomic.steps.ingest import ingest
from mints.studies.genomic.steps.linear_probes import linear_probes
from mints.studies.genomic.steps.masked_token_loss import masked_token_loss
from mints.studies.genomic.steps.pretrain import pretrain
from mints.studies.genomic.steps.probe_controls import probe_controls
from mints.studies.genomic.steps.residual_cache import residual_cache
from mints.studies.genomic.steps.simulate_genome import simulate_genome

ANALYSIS: tuple[Step, ...] = (
    simulate_genome,
    ingest,
    masked_token_loss,
    residual_cache,
    linear_probes,
    probe_controls,
)
PRETRAINING: tuple[Step, ...] = (simulate_genome, pretrain)


def open_pipeline(config: Config, *, pretraining: bool = False, quiet: bool = False) -> Pipeline:
    """The study's pipeline in the configuration's results folder.

    Raises UsageError where there is nothing to ask about, and MintsError for a motif that is not known, before any
    work is done.
    """
    load_motif(config.motif)
    if not pretraining and not config.tasks:
        raise UsageError(
            "no task to analyse: choose a profile, or give --train (labelled sequences) or --peaks with --genome"
        )
    expand = {
        "task": [task.name for task in config.tasks],
        "tokenizer_file": TOKENIZER_FILES[config.pretraining.family],
    }
    steps = PRETRAINING if pretraining else ANALYSIS
    return Pipeline(steps, config, config.results, expand=expand, version=__version__, reporter=Reporter(quiet=quiet))
