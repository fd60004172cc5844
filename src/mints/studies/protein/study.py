"""Which steps the protein study has, and the pipeline of one configuration."""

from __future__ import annotations

from mints import __version__
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import Step
from mints.protein_config import ProteinConfig
from mints.studies.shared.dictionaries import sweep_folders

ANALYSIS: tuple[Step, ...] = ()
PRETRAINING: tuple[Step, ...] = ()


def open_pipeline(config: ProteinConfig, *, pretraining: bool = False, quiet: bool = False) -> Pipeline:
    """The study's pipeline in the configuration's results folder."""
    expand = {
        "site": config.features.sites,
        "dictionary": list(sweep_folders(config.features.k, config.features.expansion, config.features.seeds)),
        "scan": [scan.name for scan in config.scans],
    }
    steps = PRETRAINING if pretraining else ANALYSIS
    return Pipeline(steps, config, config.results, expand=expand, version=__version__, reporter=Reporter(quiet=quiet))
