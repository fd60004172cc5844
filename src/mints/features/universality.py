"""Are the latents that matter in many sequences detectors of the residue or k-mer that stands there?

A case is one substitution; a latent is important in it or not. A latent that matters for sequence after sequence may
know something general, or only which token it sits on: then the identity of the wild type predicts its importance
(docs/methods.md, Universality of latents).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

KEPT_FROM = 0.5
"""Share of a sequence's cases in which a latent has to be important to be kept for that sequence."""

WIDESPREAD = 0.5
"""Usual share of the sequences in which a latent has to be important, in some case, to be asked about."""


class Universality(NamedTuple):
    """Of each latent that was asked about."""

    latents: Int[ndarray, "latent"]
    cases: Float[ndarray, "latent"]
    """Share of the cases in which it is important."""

    sequences: Float[ndarray, "latent"]
    """Share of the sequences in which it is important in some case."""

    sequences_expected: Float[ndarray, "latent"]
    """The same where its importance is dealt out anew over all cases: what its commonness alone gives."""

    kept: Int[ndarray, "latent"]
    """Sequences in at least half of whose cases it is important: a published rule, for comparison."""

    identity: Int[ndarray, "latent"]
    """Identity that predicts its importance best on the sequences where it is looked for."""

    f1_found: Float[ndarray, "latent"]
    """F1 of "the wild type is this identity" there."""

    f1: Float[ndarray, "latent"]
    """On the other sequences; NaN where the latent is important in no case of theirs."""

    f1_expected: Float[ndarray, "latent"]
    """Mean of the same with identities dealt out anew over the cases, and the best one looked for again."""

    p: Float[ndarray, "latent"]
    """Share of those dealings whose F1 reaches the latent's, itself counted (Phipson & Smyth 2010)."""


def important(attributions: Float[ndarray, "case latent"], count: int = 20) -> Bool[ndarray, "case latent"]:
    """The `count` latents of every case with the largest absolute attributions; never one of attribution 0."""
    sizes = np.abs(attributions)
    count = min(count, sizes.shape[1])
    least = -np.partition(-sizes, count - 1, axis=1)[:, [count - 1]]
    among: Bool[ndarray, "case latent"] = (sizes >= least) & (sizes > 0)
    return among


def share_of_cases(
    importance: Bool[ndarray, "case latent"], sequence: Int[ndarray, "case"]
) -> Float[ndarray, "sequence latent"]:
    """Share of each sequence's cases in which each latent is important."""
    cases = np.eye(int(sequence.max(initial=-1)) + 1)[sequence]  # case × sequence
    shares: Float[ndarray, "sequence latent"] = cases.T @ importance / np.maximum(cases.sum(0), 1)[:, None]
    return shares


def universality(
    importance: Bool[ndarray, "case latent"],
    sequence: Int[ndarray, "case"],
    identity: Int[ndarray, "case"],
    found_on: Bool[ndarray, "sequence"],
    *,
    permutations: int,
    rng: np.random.Generator,
    widespread: float = WIDESPREAD,
) -> Universality:
    """Latents that matter in at least a share `widespread` of the sequences, and how well identity says when.

    sequence: index of each case's sequence, 0 to n − 1. identity: letter, token or k-mer, as numbers from 0. found_on:
    the sequences on which the best identity of every latent is looked for; it is judged on the others. Identities are
    dealt out anew within either part, so that they keep their frequencies.
    """
    shares = share_of_cases(importance, sequence)
    latents = np.flatnonzero((shares > 0).mean(0) >= widespread) if len(shares) else np.zeros(0, dtype=np.int64)
    if not len(latents):
        return Universality(latents, *np.zeros((9, 0)))._replace(identity=latents, kept=latents)
    chosen, shares, there = importance[:, latents], shares[:, latents], found_on[sequence]
    best, found, judged = _best_identity(chosen, identity, there)
    by_chance, f1 = np.zeros((2, permutations, len(latents)))
    for turn in range(permutations):
        by_chance[turn] = (share_of_cases(chosen[rng.permutation(len(chosen))], sequence) > 0).mean(0)
        dealt = identity.copy()
        for part in (there, ~there):
            dealt[part] = rng.permutation(identity[part])
        f1[turn] = _best_identity(chosen, dealt, there)[2]
    undefined = np.isnan(judged)
    p = (1 + (np.nan_to_num(f1) >= np.nan_to_num(judged)).sum(0)) / (1 + permutations)
    return Universality(
        latents,
        chosen.mean(0),
        (shares > 0).mean(0),
        by_chance.mean(0),
        (shares >= KEPT_FROM).sum(0),
        best,
        found,
        judged,
        np.where(undefined, np.nan, np.nan_to_num(f1).mean(0)),
        np.where(undefined, np.nan, p),
    )


def _best_identity(
    importance: Bool[ndarray, "case latent"], identity: Int[ndarray, "case"], there: Bool[ndarray, "case"]
) -> tuple[Int[ndarray, "latent"], Float[ndarray, "latent"], Float[ndarray, "latent"]]:
    """Best identity of every latent on the cases `there`, its F1 there, and its F1 on the others."""
    count = int(identity.max()) + 1
    found = _f1(importance[there], identity[there], count)
    best = found.argmax(axis=0)
    column = np.arange(importance.shape[1])
    judged = _f1(importance[~there], identity[~there], count)[best, column]
    matters = importance[~there].any(0)
    return best, found[best, column], np.where(matters, judged, np.nan)


def _f1(
    importance: Bool[ndarray, "case latent"], identity: Int[ndarray, "case"], count: int
) -> Float[ndarray, "identity latent"]:
    """F1 of "the identity is X" as a prediction of importance: 2·both / (X + important); 0 where neither occurs."""
    cases = np.eye(count)[identity]  # case × identity
    both = cases.T @ importance
    either = cases.sum(0)[:, None] + importance.sum(0)[None, :]
    f1: Float[ndarray, "identity latent"] = np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)
    return f1
