"""Which steps the genomic study has, and the pipeline of one configuration."""

from __future__ import annotations

from mints import __version__
from mints.config import Config
from mints.data.motifs import load_motif
from mints.errors import UsageError
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import Step
from mints.studies.genomic.questions import feature_question
from mints.studies.genomic.steps.attention_enrichment import attention_enrichment
from mints.studies.genomic.steps.calibration import calibration
from mints.studies.genomic.steps.circuit_export import circuit_export
from mints.studies.genomic.steps.concept_scoring import concept_scoring
from mints.studies.genomic.steps.corpus_audit import corpus_audit
from mints.studies.genomic.steps.counterfactuals import counterfactuals
from mints.studies.genomic.steps.cross_model import cross_model_tokenization_comparison
from mints.studies.genomic.steps.distributed_feature_search import distributed_feature_search
from mints.studies.genomic.steps.evidence import evidence
from mints.studies.genomic.steps.feature_causality import feature_causality
from mints.studies.genomic.steps.feature_circuits import feature_circuits
from mints.studies.genomic.steps.head_examples import head_examples
from mints.studies.genomic.steps.ingest import ingest
from mints.studies.genomic.steps.latent_dashboards import latent_dashboards
from mints.studies.genomic.steps.linear_probes import linear_probes
from mints.studies.genomic.steps.masked_token_loss import masked_token_loss
from mints.studies.genomic.steps.meta_sae import meta_sae
from mints.studies.genomic.steps.motif_scoring import motif_scoring
from mints.studies.genomic.steps.pretrain import pretrain
from mints.studies.genomic.steps.probe_controls import probe_controls
from mints.studies.genomic.steps.qk_alignment import qk_alignment
from mints.studies.genomic.steps.residual_cache import residual_cache
from mints.studies.genomic.steps.simulate_genome import simulate_genome
from mints.studies.genomic.steps.sparse_autoencoders import sparse_autoencoders
from mints.studies.genomic.steps.steering import steering
from mints.studies.genomic.steps.systematic_causal_intervention import systematic_causal_intervention
from mints.studies.shared.dictionaries import sweep_folders
from mints.studies.shared.fields import TOKENIZER_FILES
from mints.studies.shared.report import report_step

FINDINGS: tuple[Step, ...] = (
    simulate_genome,
    ingest,
    corpus_audit,
    masked_token_loss,
    residual_cache,
    linear_probes,
    probe_controls,
    circuit_export,
    motif_scoring,
    qk_alignment,
    attention_enrichment,
    counterfactuals,
    systematic_causal_intervention,
    evidence,
    head_examples,
    calibration,
    sparse_autoencoders,
    distributed_feature_search,
    concept_scoring,
    feature_causality,
    feature_circuits,
    steering,
    meta_sae,
    latent_dashboards,
    cross_model_tokenization_comparison,
)
ANALYSIS: tuple[Step, ...] = (*FINDINGS, report_step(FINDINGS))
PRETRAINING: tuple[Step, ...] = (simulate_genome, pretrain)


def open_pipeline(config: Config, *, pretraining: bool = False, quiet: bool = False) -> Pipeline:
    """The study's pipeline in the configuration's results folder.

    Raises UsageError where there is nothing to ask about, and MintsError for a motif that is not known, before any
    work is done.
    """
    for motif in (config.motif, *(question.motif for question in config.motif_questions if question.motif)):
        load_motif(motif)
    if pretraining and config.pretraining.family == "esm2":
        raise UsageError("--pretraining.family: a model of DNA is of dnabert2 or nucleotide_transformer, not of esm2")
    if not pretraining and not config.tasks:
        raise UsageError(
            "no task to analyse: choose a profile, or give --train (labelled sequences) or --peaks with --genome"
        )
    expand = {
        "task": [task.name for task in config.tasks],
        "question": [question.name for question in config.motif_questions],
        "asked_task": list(dict.fromkeys(question.task for question in config.motif_questions)),
        "edited": [question.name for question in config.motif_questions if question.edit is not None],
        "natural": [question.name for question in config.motif_questions if question.variants is not None],
        "audited": [f"{config.audited_task}_l{config.audited_layer}h{config.audited_head}"],
        "calibrated": [config.calibration_question],
        "calibrated_task": [q.task for q in config.motif_questions if q.name == config.calibration_question],
        "compared": [compared.name for compared in config.compared_models],
        "dumped": [question.name for question in config.motif_questions if config.token_dump],
        "feature_question": [feature_question(config).name] if config.motif_questions else [],
        "feature_task": [feature_question(config).task] if config.motif_questions else [],
        "site": config.features.sites if config.genome is not None else [],
        "dictionary": list(sweep_folders(config.features.k, config.features.expansion, config.features.seeds)),
        "tokenizer_file": TOKENIZER_FILES[config.pretraining.family],
    }
    steps = PRETRAINING if pretraining else ANALYSIS
    return Pipeline(steps, config, config.results, expand=expand, version=__version__, reporter=Reporter(quiet=quiet))
