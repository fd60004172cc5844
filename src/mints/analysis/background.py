"""Background tokens: like the support tokens in everything but the motif (docs/methods.md, Attention enrichment)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree

from mints.analysis.token_table import TokenTable

GC_CALIPER = 0.1
"""Largest difference in GC content of the neighbourhoods (5 bases of 50)."""

END_CALIPER = 10.0
"""Largest difference in the distance to the sequence's end, in bases."""

NEIGHBOURS = 16
"""Candidates that are looked at for each support token in a round."""

COVARIATES = ("length", "gc", "to_end")


class MatchedTokens(NamedTuple):
    """Support tokens and their background tokens, one to one; both are rows of the token table."""

    support: Int[ndarray, "pair"]
    background: Int[ndarray, "pair"]


class Balance(NamedTuple):
    """How alike the two sets are."""

    covariate: str
    support_mean: float
    background_mean: float
    standardised_difference: float
    """Difference of the means over the pooled standard deviation; below 0.1 in size counts as balanced."""


def match_background(
    tokens: TokenTable, support: Bool[ndarray, "token"], usable: Bool[ndarray, "token"], rng: np.random.Generator
) -> MatchedTokens:
    """A background token for every support token that has one: of the same length in bases, nearest in GC and place.

    Matching is without replacement, within both calipers, in random order. usable: tokens that may take part at all.
    A support token without a match within the calipers is left out.
    """
    pairs: list[tuple[Int[ndarray, "pair"], Int[ndarray, "pair"]]] = []
    place = np.column_stack([tokens.gc / GC_CALIPER, tokens.to_end / END_CALIPER])
    for length in np.unique(tokens.length[support & usable]):
        of_length = usable & (tokens.length == length)
        wanted = rng.permutation(np.flatnonzero(of_length & support))
        pool = np.flatnonzero(of_length & ~support)
        pairs.append(_match(place, wanted, pool))
    if not pairs:
        return MatchedTokens(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return MatchedTokens(*(np.concatenate(side) for side in zip(*pairs, strict=True)))


def _match(
    place: Float[ndarray, "token covariate"], wanted: Int[ndarray, "support"], pool: Int[ndarray, "candidate"]
) -> tuple[Int[ndarray, "pair"], Int[ndarray, "pair"]]:
    """Greedy nearest neighbours, in rounds: who finds all of its candidates taken asks again among those left."""
    matched: list[tuple[int, int]] = []
    while len(wanted) and len(pool):
        tree = cKDTree(place[pool])
        k = min(NEIGHBOURS, len(pool))
        _, nearest = tree.query(place[wanted], k=[*range(1, k + 1)], p=np.inf, distance_upper_bound=1 + 1e-9)
        free = np.ones(len(pool) + 1, dtype=bool)
        free[-1] = False  # the index that the tree gives where nobody is within the calipers
        again = []
        for row, candidates in zip(wanted.tolist(), np.asarray(nearest).tolist(), strict=True):
            chosen = next((c for c in candidates if free[c]), None)
            if chosen is not None:
                free[chosen] = False
                matched.append((row, int(pool[chosen])))
            elif candidates[-1] < len(pool):
                again.append(row)  # all of its candidates were taken, and there are more behind them
        pool, wanted = pool[free[:-1]], np.array(again, dtype=np.int64)
    support, background = np.array(matched, dtype=np.int64).reshape(-1, 2).T
    return support, background


def balance(tokens: TokenTable, matched: MatchedTokens) -> list[Balance]:
    """Standardised mean difference of every covariate."""
    rows = []
    for covariate in COVARIATES:
        values = getattr(tokens, covariate).astype(float)
        inside, outside = values[matched.support], values[matched.background]
        spread = np.sqrt((inside.var() + outside.var()) / 2) if len(inside) else np.nan
        gap = inside.mean() - outside.mean() if len(inside) else np.nan
        standardised = 0.0 if gap == 0 else gap / spread
        means = (inside.mean(), outside.mean()) if len(inside) else (np.nan, np.nan)
        rows.append(Balance(covariate, float(means[0]), float(means[1]), float(standardised)))
    return rows
