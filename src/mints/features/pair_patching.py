"""Latents exchanged between the two runs of many pairs: one by one, in sets, and together with the error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import spearmanr
from torch import Tensor

from mints.analysis.bootstrap import Resamples
from mints.features.above import Above, SiteReadout
from mints.features.latent_effects import (
    Moves,
    PairEffects,
    effects_of_sets,
    effects_of_values,
    matched_set,
    moves_between,
    patch_each,
)
from mints.features.latent_tables import DIRECTIONS, Sets, cumulative_sets, set_table
from mints.features.restart import Restart
from mints.features.traced_pairs import PairRun, Ranking, Traced

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Latents of the sets that are moved together."""

DRAWS = 2
"""Matched sets that are drawn for every ranking."""

EVERYTHING = "all latents"
WHOLES = ("error alone", "latents and error")

SANITY = (
    "largest change when a run is patched with itself",
    "largest distance from the clean run when latents and error are all patched",
    "largest distance between the layers above the site and a full pass",
)


CHANGED = "changed tokens"


class Displacements(NamedTuple):
    """Ways from the corrupted run to the clean one that are no latents'."""

    names: tuple[str, ...]
    of: Callable[[PairRun], Sequence[Float[Tensor, "pos d_in"]]]
    """One for each name: what is added to the corrupted run's value at the site, or taken from the clean one's."""


NONE = Displacements((), lambda pair: [])

IN_THE_PAIR = ("change in the pair", "random order in the pair")
"""Rankings of the latents of each pair by itself: by the length of the move, and its null."""


class Beside(NamedTuple):
    """What stands beside the sets of all pairs, at the changed tokens."""

    displacements: tuple[str, ...] = ()
    own_rankings: tuple[str, ...] = ()
    own_sizes: tuple[int, ...] = ()


NOTHING_BESIDE = Beside()


class Patched(NamedTuple):
    """Everything that was patched, pair by pair."""

    singles: list[PairEffects]
    sets: dict[tuple[str, str], Float[ndarray, "pair set readout"]]
    """By tokens and direction; after the sets the two `WHOLES`, and at the changed tokens the displacements."""

    totals: Float[ndarray, "pair readout"]
    """M_clean − M_corrupted."""

    sanity: dict[str, float]


def ranked_sets(
    ranked: Ranking, asked: Sequence[str], rng: np.random.Generator, sizes: Sequence[int] = SIZES
) -> dict[str, Sets]:
    """By the tokens at which they are moved: the first latents of every ranking, latents matched to them, and all.

    asked: read-outs by whose attributions latents are ranked.
    """
    d_sae = len(ranked.length)
    sizes = [size for size in sizes if 2 * size <= d_sae]
    sets = cumulative_sets("change", np.argsort(-ranked.length, kind="stable"), sizes)
    for readout in asked:
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
    everything = Sets([EVERYTHING], [d_sae], [np.arange(d_sae)])
    return {CHANGED: sets.joined(everything), "all tokens": everything}


def patch_pairs(
    traced: Traced,
    pairs: Iterable[PairRun],
    sets: Mapping[str, Sets],
    rng: np.random.Generator,
    displacements: Displacements = NONE,
    own_sizes: Sequence[int] = (),
) -> Patched:
    """Single latents, sets and wholes, both ways, over all pairs.

    displacements: other ways from the corrupted run to the clean one, to be held against the latents. own_sizes: of the
    sets that are made of each pair's own latents (`own_sets`).
    """
    beside = Beside(displacements.names, tuple(own_rankings(traced.asked)) if own_sizes else (), tuple(own_sizes))
    singles: list[PairEffects] = []
    totals: list[Float[ndarray, "readout"]] = []
    changes: dict[tuple[str, str], list[Float[ndarray, "set readout"]]] = {
        side: [] for side in product(sets, DIRECTIONS)
    }
    largest = dict.fromkeys(SANITY, 0.0)
    above, autoencoder, width = traced.above, traced.autoencoder, len(traced.readouts)
    for pair in pairs:
        changed = pair.where(CHANGED)
        singles.append(
            patch_each(above, autoencoder, pair.clean, pair.corrupted, changed, pair.readout, rng, pair.shift)
        )
        totals.append(effects_of_values(above, pair.corrupted, pair.clean.x, pair.readout)[0])
        for (tokens, direction), found in changes.items():
            others, sizes = (displacements.of(pair), own_sizes) if tokens == CHANGED else ([], ())
            found.append(patch_sets(traced, pair, sets[tokens], tokens, direction, rng, others, sizes))
        largest = {name: max(largest[name], value) for name, value in sanity(above, pair).items()}
    stacked = {
        (tokens, direction): np.array(found).reshape(-1, len(rows_of(sets, tokens, beside).size), width)
        for (tokens, direction), found in changes.items()
    }
    return Patched(singles, stacked, np.array(totals).reshape(-1, width), largest)


def rows_of(sets: Mapping[str, Sets], tokens: str, beside: Beside) -> Sets:
    """The sets at these tokens, each pair's own, and what is no set as if it were one of no latents."""
    changed = tokens == CHANGED
    own = list(product(beside.own_rankings, beside.own_sizes)) if changed else []
    names = [*WHOLES, *(beside.displacements if changed else ())]
    ranking, size = [name for name, _ in own] + names, [number for _, number in own] + [0] * len(names)
    nobody: Int[ndarray, "member"] = np.zeros(0, dtype=np.int64)
    return sets[tokens].joined(Sets(ranking, size, [nobody] * len(ranking)))


def own_rankings(asked: Sequence[str]) -> list[str]:
    """Names of the rankings of `own_sets`."""
    return [*IN_THE_PAIR, *(f"change times gradient in the pair, {readout}" for readout in asked)]


def own_sets(
    traced: Traced, base: Restart, moves: Moves, readout: SiteReadout, sizes: Sequence[int], rng: np.random.Generator
) -> list[Int[ndarray, "member"]]:
    """The first of a pair's own latents, by every one of `own_rankings` and of every size.

    None of the rankings has seen what a patch does: estimates are those of the gradient in the base run, by size.
    """
    gradients = traced.above.gradients(base.x, base, readout, traced.asked)[:, 0].float()
    estimates = moves.estimates(gradients).abs().T.cpu().numpy()
    latents = moves.latents.cpu().numpy()
    scores = [moves.lengths().cpu().numpy(), rng.permutation(len(latents)), *estimates]
    return [latents[np.argsort(-of_one, kind="stable")[:size]] for of_one in scores for size in sizes]


def patch_sets(
    traced: Traced,
    pair: PairRun,
    sets: Sets,
    tokens: str,
    direction: str,
    rng: np.random.Generator,
    displacements: Sequence[Float[Tensor, "pos d_in"]] = (),
    own_sizes: Sequence[int] = (),
) -> Float[ndarray, "set readout"]:
    """What every row of `rows_of` at these tokens restores or takes away."""
    base, source, sign = pair.corrupted, pair.clean, 1
    if direction == "noising":
        base, source, sign = source, base, -1
    where = pair.where(tokens)
    moves = moves_between(traced.autoencoder, base.x[0], source.x[0], where)
    own = own_sets(traced, base, moves, pair.readout, own_sizes, rng) if own_sizes else []
    whole = torch.where(where[:, None], source.x[0], base.x[0])
    error = whole - moves.amounts @ moves.directions
    by_set = effects_of_sets(traced.above, base, moves, [*sets.members, *own], pair.readout)
    values = [error, whole, *(base.x[0] + sign * displacement for displacement in displacements)]
    wholes = effects_of_values(traced.above, base, torch.stack(values), pair.readout)
    return sign * np.concatenate([by_set, wholes])


def sanity(above: Above, pair: PairRun) -> dict[str, float]:
    """What must be exactly 0: a run patched with itself, with the other run's whole value, and not taken up anew."""
    clean, corrupted, readout = pair.clean, pair.corrupted, pair.readout
    itself = effects_of_values(above, corrupted, corrupted.x, readout)
    other = above.changes(corrupted, clean.x, readout, above.still(clean, readout, 1)).cpu().numpy()
    with torch.no_grad(), above.compute.autocast():
        output = above.encoder.run(readout.clean, sites=readout.sites)
        whole = readout.of(above.encoder, output.cache, output.residual)
    anew = (above.still(clean, readout, 1) - whole).cpu().numpy()
    return dict(zip(SANITY, (float(np.abs(part).max()) for part in (itself, other, anew)), strict=True))


def set_tables(
    sets: Mapping[str, Sets],
    patched: Patched,
    judge: Resamples,
    readouts: Sequence[str],
    beside: Beside = NOTHING_BESIDE,
) -> pd.DataFrame:
    """One row per tokens, direction, read-out and set; what stands beside the sets has rows like theirs."""
    tables = []
    for (tokens, direction), changes in patched.sets.items():
        rows = rows_of(sets, tokens, beside)
        table = set_table(rows, changes, patched.totals, judge, readouts)
        table.insert(0, "direction", direction)
        table.insert(0, "tokens", tokens)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def agreement(singles: pd.DataFrame) -> dict[str, float]:
    """Spearman correlation over latents of estimated and exact shares, by read-out."""
    exact = singles[singles["direction"] == "denoising"]
    by_readout = exact.groupby("readout", sort=False)[["estimate", "change"]]
    return {str(name): float(spearmanr(rows["estimate"], rows["change"]).statistic) for name, rows in by_readout}
