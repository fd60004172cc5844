"""Which steps the protein study has, and the pipeline of one configuration."""

from __future__ import annotations

from mints import __version__
from mints.errors import UsageError
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import Step
from mints.protein_config import ProteinConfig
from mints.studies.protein.steps.behaviour_probes import behaviour_probes
from mints.studies.protein.steps.concept_scoring import concept_scoring
from mints.studies.protein.steps.feature_circuits import feature_circuits
from mints.studies.protein.steps.ingest_proteins import ingest_proteins
from mints.studies.protein.steps.latent_dashboards import latent_dashboards
from mints.studies.protein.steps.pretrain import pretrain
from mints.studies.protein.steps.simulate_proteins import simulate_proteins
from mints.studies.protein.steps.sparse_autoencoders import sparse_autoencoders
from mints.studies.protein.steps.substitution_effects import substitution_effects
from mints.studies.protein.steps.substitution_latents import substitution_latents
from mints.studies.shared.dictionaries import sweep_folders
from mints.studies.shared.fields import TOKENIZER_FILES
from mints.studies.shared.report import report_step

FINDINGS: tuple[Step, ...] = (
    simulate_proteins,
    ingest_proteins,
    sparse_autoencoders,
    concept_scoring,
    substitution_effects,
    substitution_latents,
    behaviour_probes,
    feature_circuits,
    latent_dashboards,
)
ANALYSIS: tuple[Step, ...] = (*FINDINGS, report_step(FINDINGS))
PRETRAINING: tuple[Step, ...] = (simulate_proteins, ingest_proteins, pretrain)


def open_pipeline(config: ProteinConfig, *, pretraining: bool = False, quiet: bool = False) -> Pipeline:
    """The study's pipeline in the configuration's results folder.

    Raises UsageError where a model is to be pretrained on nothing, or is of a family that reads no proteins; and where
    latents are to be traced and some site has no dictionary.
    """
    if pretraining and config.proteins is None:
        raise UsageError("--pretrain needs proteins: give --proteins (FASTA)")
    if pretraining and config.pretraining.family != "esm2":
        raise UsageError(f"--pretraining.family: a model of proteins is of esm2 (given: {config.pretraining.family!r})")
    if not pretraining:
        _require_dictionaries(config)
    expand = {
        "site": config.features.sites,
        "dictionary": list(sweep_folders(config.features.k, config.features.expansion, config.features.seeds)),
        "tokenizer_file": TOKENIZER_FILES[config.pretraining.family],
        "scan": [scan.name for scan in config.scans],
        "behaviour": [behaviour.name for behaviour in config.behaviours],
    }
    steps = PRETRAINING if pretraining else ANALYSIS
    return Pipeline(steps, config, config.results, expand=expand, version=__version__, reporter=Reporter(quiet=quiet))


def _require_dictionaries(config: ProteinConfig) -> None:
    """Without proteins to train on, every site needs a dictionary that is given."""
    given = {ready.site for ready in config.features.ready}
    missing = [site for site in config.features.sites if site not in given]
    if config.scans and missing and config.proteins is None:
        raise UsageError(
            f"{missing[0]} has no dictionary: give --sae-dir with --layers, [[features.ready]] in a configuration file,"
            " or --proteins to train one on"
        )
