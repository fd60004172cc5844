"""Part of a step: latents exchanged between the clean and the corrupted sequence of every pair."""

from __future__ import annotations

import pandas as pd

from mints.features.latent_tables import gather, latent_table
from mints.features.pair_patching import agreement, patch_pairs, ranked_sets, set_tables
from mints.features.traced_pairs import attribution_table, halves, rank_latents
from mints.pipeline.run import Run
from mints.report.latents import latent_effects_figure
from mints.studies.genomic.traced_pairs import TracedProbe, opened
from mints.studies.shared.resampling import resamples_of

FEWEST = 8
"""Fewest pairs, on either side of the split, for which shares of their effect mean anything."""


def trace_pairs(run: Run, traced: TracedProbe, question: str, limit: int) -> None:
    """Single latents, sets and integrated gradients over the pairs of the question, at most `limit` on either side."""
    pairs: pd.DataFrame = run.load(f"counterfactuals/{question}_pairs.csv")
    ranking, reported = halves(pairs, limit, run.rng("halves"))
    if limit and min(len(ranking), len(reported)) < FEWEST:
        run.warn(f"question {question} has {len(pairs)} pairs, too few to trace latents with: at least {2 * FEWEST}")
        ranking, reported = pairs.iloc[:0], pairs.iloc[:0]
    rng, latents = run.rng("nulls"), traced.latents
    ranked = rank_latents(latents, opened(run, traced, ranking, "ranking latents"), rng)
    sets = ranked_sets(ranked, latents.asked, rng)
    patched = patch_pairs(latents, opened(run, traced, reported, "patching latents"), sets, rng)
    judge = resamples_of(run, reported["cluster"].to_numpy())
    effects = gather(patched.singles, ranked.frequency, latents.readouts)
    singles = latent_table(effects, patched.totals, ranked.frequency, judge)
    cumulative = set_tables(sets, patched, judge, latents.readouts)
    attributions = attribution_table(latents, opened(run, traced, reported, "integrated gradients"), rng)
    for table in (singles, cumulative, attributions):
        table.insert(0, "site", latents.above.site)
    run.save("tables/latent_effects.csv", singles)
    run.save("tables/latent_sets.csv", cumulative)
    run.save("tables/integrated_gradients.csv", attributions)
    run.figure("latent_effects", latent_effects_figure(singles, cumulative, question=question.replace("_", " ")))
    run.fact("pairs", {"ranking": len(ranking), "reported": len(reported)})
    run.fact("latents tested", len(effects.latents))
    run.fact("sanity", patched.sanity)
    run.fact("rank correlation of change times gradient and exact patching", agreement(singles))
