"""Where latents are steered: a hidden token inside a motif site, its neighbours, and a token far away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from mints.models.tokenizers import Encoding, Tokenizer

FAR = 12
"""Fewest tokens between the hidden token and the far one."""

REST = 4
"""Other hidden tokens of the same sequence, whose loss says what steering does to the rest."""

POSITIONS = ("hidden", "neighbours", "far")
"""Where a latent is steered; the read-out is always at the hidden token."""


class SteeringSites(NamedTuple):
    """Sequences with a hidden token inside a motif site, and the places that steering and its read-out need.

    Places are indices into the encodings, special tokens counted.
    """

    given: Int[ndarray, "site"]
    """Which of the sequences that were given."""

    encodings: list[Encoding]
    """With the hidden tokens replaced by the mask."""

    hidden: Int[ndarray, "site"]
    target: Int[ndarray, "site"]
    """Token that stood at the hidden place."""

    substitutes: list[Int[ndarray, "substitute"]]
    """Tokens as long as the target that differ from it in one base of the motif site."""

    left: Int[ndarray, "site"]
    right: Int[ndarray, "site"]
    far: Int[ndarray, "site"]
    rest: Int[ndarray, "site rest"]
    rest_truth: Int[ndarray, "site rest"]
    """Tokens that stood at the other hidden places."""

    def places(self, position: str) -> Int[ndarray, "site place"]:
        """Where each sequence is steered."""
        if position == "neighbours":
            return np.stack([self.left, self.right], axis=1)
        return (self.hidden if position == "hidden" else self.far)[:, None]


def steering_sites(
    encodings: Sequence[Encoding],
    motif: Int[ndarray, "sequence 2"],
    core: Int[ndarray, "sequence"],
    tokenizer: Tokenizer,
    rng: np.random.Generator,
) -> SteeringSites:
    """One site per sequence, those left out where there is no room for it.

    motif: half-open bases of each sequence's motif site. core: base whose token is hidden. Left out are sequences
    where that token or a neighbour is no ordinary token, or where fewer than `REST` + 1 ordinary tokens lie outside
    the motif and at least `FAR` tokens away.
    """
    ordinary = np.zeros(len(tokenizer.vocabulary), dtype=bool)
    ordinary[sorted(tokenizer.maskable_ids)] = True
    rows = [_site(encoding, motif[row], int(core[row]), ordinary, rng) for row, encoding in enumerate(encodings)]
    kept = [row for row, places in enumerate(rows) if places is not None]
    places = np.array([rows[row] for row in kept], dtype=np.int64).reshape(len(kept), 2 + REST)
    hidden, far, rest = places[:, 0], places[:, 1], places[:, 2:]
    chosen = [encodings[row] for row in kept]
    target = np.array([encoding.ids[place] for encoding, place in zip(chosen, hidden, strict=True)], dtype=np.int64)
    truth = [encoding.ids[other] for encoding, other in zip(chosen, rest, strict=True)]
    starts = [encoding.spans[place, 0] for encoding, place in zip(chosen, hidden, strict=True)]
    return SteeringSites(
        given=np.array(kept, dtype=np.int64),
        encodings=[
            _masked(encoding, [place, *other], tokenizer.mask_id)
            for encoding, place, other in zip(chosen, hidden, rest, strict=True)
        ],
        hidden=hidden,
        target=target,
        substitutes=[
            substitutes(tokenizer, int(token), motif[row] - start)
            for token, row, start in zip(target, kept, starts, strict=True)
        ],
        left=hidden - 1,
        right=hidden + 1,
        far=far,
        rest=rest,
        rest_truth=np.array(truth, dtype=np.int64).reshape(len(kept), REST),
    )


def substitutes(tokenizer: Tokenizer, token: int, inside: Int[ndarray, "2"]) -> Int[ndarray, "substitute"]:
    """Tokens that differ from `token` in one base, at a place in the half-open range `inside` of its bases."""
    letters = tokenizer.vocabulary[token]
    places = range(max(int(inside[0]), 0), min(int(inside[1]), len(letters)))
    words = (letters[:place] + base + letters[place + 1 :] for place in places for base in "ACGT")
    known = {tokenizer.id_of[word] for word in words if word in tokenizer.id_of and word != letters}
    return np.array(sorted(known), dtype=np.int64)


def _site(
    encoding: Encoding,
    motif: Int[ndarray, "2"],
    core: int,
    ordinary: ndarray,
    rng: np.random.Generator,
) -> list[int] | None:
    """Hidden place, far place and the rest; None where there is no room."""
    usable = ordinary[encoding.ids] & ~encoding.special
    start, end = encoding.spans.T
    at = np.flatnonzero((start <= core) & (core < end) & ~encoding.special)
    if len(at) == 0 or not usable[at[0] - 1 : at[0] + 2].all():
        return None
    hidden = int(at[0])
    outside = (end <= motif[0]) | (start >= motif[1])
    away = np.flatnonzero(usable & outside & (np.abs(np.arange(len(start)) - hidden) >= FAR))
    if len(away) < 1 + REST:
        return None
    return [hidden, *(int(place) for place in rng.choice(away, 1 + REST, replace=False))]


def _masked(encoding: Encoding, places: list[int], mask_id: int) -> Encoding:
    ids = encoding.ids.copy()
    ids[places] = mask_id
    return encoding._replace(ids=ids)
