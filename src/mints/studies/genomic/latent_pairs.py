"""Part of a step: latents exchanged between the clean and the corrupted sequence of every pair."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import spearmanr

from mints.analysis.bootstrap import Resamples
from mints.features.above import READOUTS, Above
from mints.features.integrated_gradients import (
    NODES,
    gauss_legendre,
)
from mints.features.latent_effects import (
    PairEffects,
    added,
    effects_of_sets,
    effects_of_values,
    matched_set,
    moves_between,
    patch_each,
)
from mints.features.latent_tables import DIRECTIONS, Sets, cumulative_sets, gather, latent_table, set_table
from mints.pipeline.run import Run
from mints.report.latents import latent_effects_figure
from mints.studies.genomic.traced_pairs import (
    PairRun,
    Traced,
    attribute_pair,
    attribution_table,
    halves,
    opened,
)
from mints.studies.shared.resampling import resamples_of

FEWEST = 8
"""Fewest pairs, on either side of the split, for which shares of their effect mean anything."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Latents of the sets that are moved together."""

DRAWS = 2
"""Matched sets that are drawn for every ranking."""

ASKED = ("probe", "substitution")
"""Read-outs by whose attributions latents are ranked."""

WHOLES = ("all latents", "error alone", "latents and error")

SANITY = (
    "largest change when a run is patched with itself",
    "largest distance from the clean run when latents and error are all patched",
    "largest distance between the layers above the site and a full pass",
)


class Ranking(NamedTuple):
    """Of every latent, over the pairs that rank."""

    attributed: dict[str, Float[ndarray, "latent"]]
    """Integrated gradients at the changed tokens, by read-out, in the direction of the pairs' effect."""

    estimated: dict[str, Float[ndarray, "latent"]]
    """Change times gradient, likewise."""

    length: Float[ndarray, "latent"]
    """Length of its move, summed."""

    frequency: Float[ndarray, "latent"]
    """Share of tokens at which it is active."""


class Patched(NamedTuple):
    """Everything that was patched, pair by pair."""

    singles: list[PairEffects]
    sets: dict[tuple[str, str], Float[ndarray, "pair set readout"]]
    """By tokens and direction."""

    totals: Float[ndarray, "pair readout"]
    """M_clean − M_corrupted."""

    sanity: dict[str, float]


def trace_pairs(run: Run, traced: Traced, question: str, limit: int) -> None:
    """Single latents, sets and integrated gradients over the pairs of the question, at most `limit` on either side."""
    pairs = run.load(f"counterfactuals/{question}_pairs.csv")
    ranking, reported = halves(pairs, limit, run.rng("halves"))
    if limit and min(len(ranking), len(reported)) < FEWEST:
        run.warn(f"question {question} has {len(pairs)} pairs, too few to trace latents with: at least {2 * FEWEST}")
        ranking, reported = pairs.iloc[:0], pairs.iloc[:0]
    rng, d_sae = run.rng("nulls"), traced.autoencoder.d_sae
    everything = Sets([WHOLES[0]], [d_sae], [np.arange(d_sae)])
    ranked = rank_latents(run, traced, ranking, rng)
    sets = {"changed tokens": make_sets(ranked, rng).joined(everything), "all tokens": everything}
    patched = patch_pairs(run, traced, reported, sets, rng)
    judge = resamples_of(run, reported["cluster"].to_numpy())
    effects = gather(patched.singles, ranked.frequency)
    singles = latent_table(effects, patched.totals, ranked.frequency, judge)
    cumulative = set_tables(sets, patched, judge)
    attributions = attribution_table(run, traced, reported, rng)
    for table in (singles, cumulative, attributions):
        table.insert(0, "site", traced.above.site)
    run.save("tables/latent_effects.csv", singles)
    run.save("tables/latent_sets.csv", cumulative)
    run.save("tables/integrated_gradients.csv", attributions)
    run.figure("latent_effects", latent_effects_figure(singles, cumulative, question=question.replace("_", " ")))
    run.fact("pairs", {"ranking": len(ranking), "reported": len(reported)})
    run.fact("latents tested", len(effects.latents))
    run.fact("sanity", patched.sanity)
    run.fact("rank correlation of change times gradient and exact patching", agreement(singles))


def rank_latents(run: Run, traced: Traced, pairs: pd.DataFrame, rng: np.random.Generator) -> Ranking:
    """How much of the pairs' effect each latent is estimated to carry at the changed tokens."""
    d_sae = traced.autoencoder.d_sae
    integrated, estimated = np.zeros((2, len(READOUTS), d_sae))
    length, active, tokens, effect = np.zeros(d_sae), np.zeros(d_sae), 0, np.zeros(len(READOUTS))
    for pair in opened(run, traced, pairs, "ranking latents"):
        changed = pair.where("changed tokens")
        found = attribute_pair(traced, pair, gauss_legendre(NODES), rng)
        integrated += found.at_changed[:, 0]
        effect += found.effect[:, 0]
        moves = moves_between(traced.autoencoder, pair.corrupted.x[0], pair.clean.x[0], changed)
        gradients = traced.above.gradients(pair.corrupted.x, pair.corrupted, pair.readout)[:, 0].float()
        latents = moves.latents.cpu().numpy()
        estimated[:, latents] += moves.estimates(gradients).T.cpu().numpy()
        length[latents] += moves.lengths().cpu().numpy()
        content = pair.readout.content[0]
        active += (added(traced.autoencoder, pair.clean.x[0][content]) > 0).sum(0).cpu().numpy()
        tokens += int(content.sum())
    sign = np.sign(effect)[:, None]
    attributed, by_gradient = (dict(zip(READOUTS, sign * scores, strict=True)) for scores in (integrated, estimated))
    return Ranking(attributed, by_gradient, length, active / max(tokens, 1))


def make_sets(ranked: Ranking, rng: np.random.Generator) -> Sets:
    """The first latents of every ranking, and latents matched to them."""
    d_sae = len(ranked.length)
    sizes = [size for size in SIZES if 2 * size <= d_sae]
    sets = cumulative_sets("change", np.argsort(-ranked.length, kind="stable"), sizes)
    for readout in ASKED:
        for method, scores in (
            ("integrated gradients", ranked.attributed),
            ("change times gradient", ranked.estimated),
        ):
            order = np.argsort(-scores[readout], kind="stable")
            sets = sets.joined(cumulative_sets(f"{method}, {readout}", order, sizes))
        first = np.argsort(-ranked.attributed[readout], kind="stable")
        for size in sizes * DRAWS:
            drawn = matched_set(first[:size], ranked.length, ranked.frequency, rng)
            sets = sets.joined(Sets([f"matched latents, {readout}"], [size], [drawn]))
    return sets


def patch_pairs(
    run: Run, traced: Traced, pairs: pd.DataFrame, sets: Mapping[str, Sets], rng: np.random.Generator
) -> Patched:
    """Single latents, sets and wholes, both ways, over all pairs."""
    singles: list[PairEffects] = []
    totals: list[Float[ndarray, "readout"]] = []
    changes: dict[tuple[str, str], list[Float[ndarray, "set readout"]]] = {
        side: [] for side in product(sets, DIRECTIONS)
    }
    largest = dict.fromkeys(SANITY, 0.0)
    above, autoencoder = traced.above, traced.autoencoder
    for pair in opened(run, traced, pairs, "patching latents"):
        changed = pair.where("changed tokens")
        singles.append(patch_each(above, autoencoder, pair.clean, pair.corrupted, changed, pair.readout, rng))
        totals.append(effects_of_values(above, pair.corrupted, pair.clean.x, pair.readout)[0])
        for (tokens, direction), found in changes.items():
            found.append(patch_sets(traced, pair, sets[tokens], tokens, direction))
        largest = {name: max(largest[name], value) for name, value in sanity(above, pair).items()}
    stacked = {
        (tokens, direction): np.array(found).reshape(-1, len(sets[tokens].size) + len(WHOLES[1:]), len(READOUTS))
        for (tokens, direction), found in changes.items()
    }
    return Patched(singles, stacked, np.array(totals).reshape(-1, len(READOUTS)), largest)


def set_tables(sets: Mapping[str, Sets], patched: Patched, judge: Resamples) -> pd.DataFrame:
    """One row per tokens, direction, read-out and set; the error alone and the whole value are rows like sets."""
    nobody = np.zeros(0, dtype=np.int64)
    tables = []
    for (tokens, direction), changes in patched.sets.items():
        rows = sets[tokens].joined(Sets(list(WHOLES[1:]), [0, 0], [nobody, nobody]))
        table = set_table(rows, changes, patched.totals, judge)
        table.insert(0, "direction", direction)
        table.insert(0, "tokens", tokens)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def patch_sets(traced: Traced, pair: PairRun, sets: Sets, tokens: str, direction: str) -> Float[ndarray, "set readout"]:
    """What every set, the error alone and the whole value at these tokens restore or take away."""
    base, source, sign = pair.corrupted, pair.clean, 1
    if direction == "noising":
        base, source, sign = source, base, -1
    where = pair.where(tokens)
    moves = moves_between(traced.autoencoder, base.x[0], source.x[0], where)
    whole = torch.where(where[:, None], source.x[0], base.x[0])
    error = whole - moves.amounts @ moves.directions
    by_set = effects_of_sets(traced.above, base, moves, sets.members, pair.readout)
    wholes = effects_of_values(traced.above, base, torch.stack([error, whole]), pair.readout)
    return sign * np.concatenate([by_set, wholes])


def sanity(above: Above, pair: PairRun) -> dict[str, float]:
    """What must be exactly 0: a run patched with itself, with the other run's whole value, and not taken up anew."""
    clean, corrupted, readout = pair
    itself = effects_of_values(above, corrupted, corrupted.x, readout)
    other = above.changes(corrupted, clean.x, readout, above.still(clean, readout, 1)).cpu().numpy()
    reads = f"blocks.{readout.probe.layer}.hook_resid_post"
    with torch.no_grad(), above.compute.autocast():
        output = above.encoder.run(readout.clean, sites=[reads])
        whole = readout.of(above.encoder, output.cache[reads], output.residual)
    anew = (above.still(clean, readout, 1) - whole).cpu().numpy()
    return dict(zip(SANITY, (float(np.abs(part).max()) for part in (itself, other, anew)), strict=True))


def agreement(singles: pd.DataFrame) -> dict[str, float]:
    """Spearman correlation over latents of estimated and exact shares, by read-out."""
    exact = singles[singles["direction"] == "denoising"]
    by_readout = exact.groupby("readout", sort=False)[["estimate", "change"]]
    return {str(name): float(spearmanr(rows["estimate"], rows["change"]).statistic) for name, rows in by_readout}
