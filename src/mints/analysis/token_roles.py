"""Which tokens support a motif, and which are their matched background: for one motif and its permutations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from mints.analysis.background import Balance, balance, match_background
from mints.analysis.token_table import best_windows, site_places, token_motif, token_table
from mints.data.motif_scores import MotifScorer, Windows, motif_scorer, permuted
from mints.models.tokenizers import Encoding


class AskedMotif(NamedTuple):
    """A motif and its sites in a sequence, given the sequence's scored windows and its label."""

    scorer: MotifScorer
    sites: Callable[[Windows, int], Int[ndarray, "site 2"]]

    def permuted(self, rng: np.random.Generator) -> MotifScorer:
        """A scorer of the same columns in another order."""
        scorer = self.scorer
        return motif_scorer(permuted(scorer.motif, rng), pseudocount=scorer.pseudocount, background=scorer.background)


class TokenRoles(NamedTuple):
    """What the statistics need to know about the content tokens of some sequences, flat and in their order.

    The first motif is the one in question; the others are its permutations.
    """

    sequence: Int[ndarray, "token"]
    position: Int[ndarray, "token"]
    bits: Float[ndarray, "token motif"]
    """Motif scores; −inf at tokens that no window overlaps, which take no part."""

    support: Bool[ndarray, "token motif"]
    """Support tokens that have a match."""

    background: Bool[ndarray, "token motif"]
    """Their matches."""

    inner: Bool[ndarray, "token"]
    """No window that could overlap the token is cut off by the sequence's end."""

    positive: Bool[ndarray, "sequence"]


class Assigned(NamedTuple):
    """Roles, and how well the background of the motif in question is matched."""

    roles: TokenRoles
    support_tokens: int
    matched_tokens: int
    balance: list[Balance]


def assign_roles(
    sequences: Sequence[str],
    encodings: Sequence[Encoding],
    labels: Int[ndarray, "sequence"],
    motif: AskedMotif,
    permutations: int,
    rng: np.random.Generator,
) -> Assigned:
    """Score every token for the motif and for its permutations, and match the support tokens of each.

    The sites of a permuted motif are its best windows, as many as the motif has: a null of fewer tokens would be
    noisier than what it is a null for.
    """
    tokens = token_table(sequences, encodings)
    shape = len(tokens.sequence), 1 + permutations
    bits, support, background = np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape, bool)
    of_question: tuple[int, int, list[Balance]] = (0, 0, [])
    n_sites = 0
    for place, scorer in enumerate((motif.scorer, *(motif.permuted(rng) for _ in range(permutations)))):
        windows = scorer.windows(sequences)
        if place == 0:
            found = site_places([motif.sites(*pair) for pair in zip(windows, labels.tolist(), strict=True)])
            n_sites = len(found.start)
        else:
            found = best_windows(windows, n_sites)
        scored = token_motif(scorer, windows, found, tokens)
        matched = match_background(tokens, scored.support, np.isfinite(scored.bits), rng)
        bits[:, place] = scored.bits
        support[matched.support, place] = background[matched.background, place] = True
        if place == 0:
            of_question = int(scored.support.sum()), len(matched.support), balance(tokens, matched)
    inner = tokens.to_end - tokens.length / 2 >= motif.scorer.width - 1
    roles = TokenRoles(tokens.sequence, tokens.position, bits, support, background, inner, labels == 1)
    return Assigned(roles, *of_question)


def part_of(roles: TokenRoles, start: int, stop: int) -> TokenRoles:
    """Roles of the sequences [start, stop), counted from start."""
    first, last = np.searchsorted(roles.sequence, [start, stop])
    tokens = slice(first, last)
    return TokenRoles(
        roles.sequence[tokens] - start,
        roles.position[tokens],
        roles.bits[tokens],
        roles.support[tokens],
        roles.background[tokens],
        roles.inner[tokens],
        roles.positive[start:stop],
    )
