"""Circuits of latents: traced on one split, measured on another, and what tracing finds of planted ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from mints.analysis.bootstrap import Resamples
from mints.analysis.patching import Readout
from mints.errors import UsageError
from mints.features.circuit_curves import circuit_curves
from mints.features.circuit_sites import Site, in_order, measure_references
from mints.features.feature_circuits import Candidates, Sample, Setting, Trace, confirm, screen
from mints.features.feature_graph import Graph, clear_edges, make_graph, prune
from mints.features.planted_circuit import choose_pairs, planting_layer, planting_tokens
from mints.features.planted_recovery import Recovery, recover, recovery_table
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report import feature_circuits as figures
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.fields import PLANTED_ARTIFACTS
from mints.studies.shared.models import OpenModel

REFERENCES = 4
"""Training sequences for each that is traced: means are taken and planted neurons fitted on them."""

PLANTED_REFERENCES, PLANTED_TRACED = 4, 2
"""One in so many training sequences gives the means of a planted model; one in so many test sequences is traced."""

STRENGTHS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Strengths of planted circuits."""

PLANTED = 6
"""Circuits that are planted at each strength."""


def open_setting(run: Run, model: OpenModel, readout: Readout, reference: Sequence[Encoding]) -> Setting:
    """Dictionaries of all sites, the read-out, and the means of all nodes over training sequences."""
    sites = [
        Site(name, open_autoencoder(run, name).to(model.compute.device).requires_grad_(False))
        for name in run.config.features.sites
    ]
    sites = in_order(sites, model.encoder, readout)
    budget = run.config.tokens_per_batch
    means = measure_references(model.encoder, sites, reference, readout, model.compute, budget)
    return Setting(model.encoder, sites, means, readout, model.compute, budget)


class TracedCircuit(NamedTuple):
    """A circuit of one behaviour."""

    candidates: Candidates
    trace: Trace
    curves: pd.DataFrame

    def graph(self, sites: Sequence[Site], behaviour: str) -> Graph:
        """Edges whose interval lies on one side of 0, as far as they lie on a way to the behaviour."""
        names = [site.name for site in sites]
        return prune(make_graph(clear_edges(self.trace.edges), names, behaviour), {})


def trace_circuit(
    run: Run, setting: Setting, tracing: Sample, testing: Sample, resamples: Resamples, label: str = ""
) -> TracedCircuit:
    """Choose candidates on one sample; measure their edges and the circuits of the ranked nodes on another.

    label: goes before the names of the random numbers, where a step traces several circuits.
    """
    candidates = screen(setting, tracing)
    trace = confirm(setting, candidates, testing, resamples, run.rng(f"{label}matched"))
    curves = circuit_curves(setting, candidates.ranking, testing, resamples, run.rng(f"{label}random circuits"))
    return TracedCircuit(candidates, trace, curves)


def save_planted(run: Run, setting: Setting, reference: Sequence[Encoding], testing: Sequence[Encoding]) -> None:
    """Plant circuits of graded strength, and write what tracing finds of them."""
    trials = planted_trials(run, setting, reference, testing)
    detection = recovery_table(trials, run.config.probe_ci_level)
    tables: tuple[Any, ...] = trials, detection, figures.planted_figure(trials, detection)
    for name, value in zip(PLANTED_ARTIFACTS, tables, strict=True):
        run.save(name, value)


def planted_trials(
    run: Run, setting: Setting, reference: Sequence[Encoding], testing: Sequence[Encoding]
) -> pd.DataFrame:
    """One row per planted circuit and strength; empty, with a warning, where the sites allow none."""
    try:
        planting_layer(setting.sites)
    except UsageError as error:
        run.warn(f"no planted circuit: {error}")
        return pd.DataFrame(columns=list(Recovery._fields))
    tokens = planting_tokens(setting, reference)
    few = reference[::PLANTED_REFERENCES]
    pairs = choose_pairs(setting, tokens, few, PLANTED, run.rng("planted pairs"))
    if len(pairs) < PLANTED:
        run.warn(f"{len(pairs)} circuits could be planted, not {PLANTED}: too few latents that one neuron can read")
    trials = [(strength, pair) for strength in STRENGTHS for pair in pairs]
    rows = [
        recover(setting, pair, strength, few, testing[::PLANTED_TRACED])
        for strength, pair in run.track(trials, description="planted circuits", unit="circuits")
    ]
    return pd.DataFrame(rows, columns=list(Recovery._fields))
