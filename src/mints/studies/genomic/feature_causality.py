"""Step: what substitutions do, through which latents, and whether those know more than the token they sit on."""

from __future__ import annotations

from mints.features.above import READOUTS, Above
from mints.features.traced_pairs import Traced
from mints.pipeline.run import Run
from mints.studies.genomic.latent_pairs import trace_pairs
from mints.studies.genomic.probe_readouts import probe_readout
from mints.studies.genomic.questions import feature_question
from mints.studies.genomic.substitution_effects import trace_substitutions
from mints.studies.genomic.traced_pairs import ASKED, TracedProbe
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.models import open_model


def run_feature_causality(run: Run) -> None:
    """Exchange latents between clean and corrupted sequences, one by one and in sets; score every substitution."""
    model, site = open_model(run), run.config.features.sites[-1]
    asked = feature_question(run.config)
    autoencoder = open_autoencoder(run, site).to(model.compute.device).requires_grad_(False)
    above, probe = Above(model.encoder, site, model.compute), probe_readout(run, asked.task, [site])
    traced = TracedProbe(model.tokenizer, Traced(above, autoencoder, READOUTS, ASKED), probe)
    limit = run.config.features.substitution_sites
    if model.encoder.head is None:
        run.warn("the checkpoint has no masked-language head: substitutions and latents were not measured")
        limit = 0
    trace_pairs(run, traced, asked.name, limit)
    trace_substitutions(run, traced, asked, limit)
