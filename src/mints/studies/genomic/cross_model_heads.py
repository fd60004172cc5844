"""Alignment and enrichment of every compared model, on the same sequences and resamples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from mints.analysis.head_comparison import HeadFigures, head_differences, head_summary, head_table
from mints.models.encoder import randomly_initialised
from mints.pipeline.run import Run
from mints.studies.genomic.attention_enrichment import enrichment_of
from mints.studies.genomic.contestants import Contestant
from mints.studies.genomic.evidence import thresholds_of
from mints.studies.genomic.qk_alignment import Scene, measure, open_scene

COMPARED_VARIANTS = ("model", "random_initialisation")


class HeadComparison(NamedTuple):
    """All heads, the best of each model, and their differences; empty where no motif is asked about."""

    table: pd.DataFrame
    summary: pd.DataFrame
    differences: pd.DataFrame


def compare_heads(run: Run, contestants: Sequence[Contestant]) -> HeadComparison:
    """Every motif question to every model."""
    config = run.config
    tables, summaries, differences = [], [], []
    for asked in config.motif_questions:
        scene = open_scene(run, asked, cap_of(config))
        is_known = len(scene.table) == len(open_scene(run, asked, config.max_qk_alignment_sequences).table)
        figures = {
            each.name: known_figures(run, asked.name)
            if each.is_own and is_known
            else measured_figures(run, scene, each)
            for each in contestants
        }
        for name, of_model in figures.items():
            named = {"question": asked.name, "model": name}
            table = head_table(of_model, thresholds_of(config.registered))
            tables.append(table.assign(**named)[[*named, *table.columns]])
            summaries.append(named | {"sequences": len(scene.table)} | head_summary(table))
        differences += [{"question": asked.name} | row for row in head_differences(figures, config.probe_ci_level)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["question", "model"])
    return HeadComparison(
        table,
        pd.DataFrame(summaries, columns=None if summaries else ["question", "model"]),
        pd.DataFrame(differences, columns=None if differences else ["question", "measure"]),
    )


def cap_of(config: Any) -> int | None:
    """The smaller of the two caps: the comparison never takes more sequences than the alignment itself."""
    caps = [config.max_cross_model_qk_alignment_sequences, config.max_qk_alignment_sequences]
    return min((cap for cap in caps if cap is not None), default=None)


def known_figures(run: Run, question: str) -> HeadFigures:
    """The run's own model on the sequences that the alignment took."""
    alignment = run.load(f"qk_alignment/{question}_qk_alignment.csv")
    enrichment = run.load(f"enrichment/{question}_qk_alignment_matched_attention_enrichment.csv")
    sums = run.load(f"qk_alignment/{question}_model_sums.npz")
    return HeadFigures(_compared(alignment), _compared(enrichment), sums)


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["variant"].isin(COMPARED_VARIANTS)]


def measured_figures(run: Run, scene: Scene, contestant: Contestant) -> HeadFigures:
    """A model and its untrained twin on the scene's sequences."""
    encoder, _, compute = contestant.model
    untrained = randomly_initialised(encoder.architecture, run.config.seed).to(compute.device)
    passes = {
        variant: measure(
            run,
            scene,
            contestant.model,
            encoder if variant == "model" else untrained,
            variant,
            contestant.name,
        )
        for variant in COMPARED_VARIANTS
    }
    level = run.config.probe_ci_level
    return HeadFigures(
        pd.concat([each.table for each in passes.values()], ignore_index=True),
        pd.concat([enrichment_of(each.sums, name, level) for name, each in passes.items()], ignore_index=True),
        passes["model"].sums,
    )
