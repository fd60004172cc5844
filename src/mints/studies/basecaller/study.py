"""Which steps the basecaller study has, and the pipeline of one configuration."""

from __future__ import annotations

from mints import __version__
from mints.basecaller_config import BasecallerConfig
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import Step
from mints.studies.basecaller.steps.basecaller_calibration import basecaller_calibration
from mints.studies.basecaller.steps.basecaller_patching import basecaller_patching
from mints.studies.basecaller.steps.ingest_signal import ingest_signal
from mints.studies.basecaller.steps.pretrain_basecaller import pretrain_basecaller
from mints.studies.basecaller.steps.read_identity import read_identity
from mints.studies.basecaller.steps.signal_pairs import signal_pairs
from mints.studies.basecaller.steps.simulate_signal import simulate_signal
from mints.studies.shared.report import report_step

FINDINGS: tuple[Step, ...] = (
    simulate_signal,
    ingest_signal,
    read_identity,
    signal_pairs,
    basecaller_patching,
    basecaller_calibration,
)
ANALYSIS: tuple[Step, ...] = (*FINDINGS, report_step(FINDINGS))
PRETRAINING: tuple[Step, ...] = (pretrain_basecaller,)


def open_pipeline(config: BasecallerConfig, *, pretraining: bool = False, quiet: bool = False) -> Pipeline:
    """The study's pipeline in the configuration's results folder."""
    steps = PRETRAINING if pretraining else ANALYSIS
    return Pipeline(steps, config, config.results, expand={}, version=__version__, reporter=Reporter(quiet=quiet))
