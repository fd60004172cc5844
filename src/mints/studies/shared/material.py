"""The sequences of a study, as the feature steps see them: what differs between genomes and proteins is told here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.features.activations import Tokens
from mints.features.concepts import Matrix

Split = Literal["train", "validation", "test"]


class Material(NamedTuple):
    """Sequences to learn from, to choose on, and to report on."""

    training: Callable[[], Sequence[str]]
    """What autoencoders learn from."""

    windows: Callable[[Split, int], pd.DataFrame]
    """At most so many windows of a split, the same in every step; columns chromosome, start, end, sequence.

    A chromosome is whatever annotation refers to: of proteins, the accession.
    """

    lengths: Callable[[], Mapping[str, int]]
    """Length of everything that annotation may refer to, by name."""

    near_copies: Callable[[Sequence[str], Sequence[str]], Bool[ndarray, "second"]]
    """Which of the second sequences are near copies of the first ones."""

    clusters: Callable[[Sequence[str]], Int[ndarray, "sequence"]]
    """Cluster of each sequence: near copies are one."""

    sequence_columns: Callable[[Tokens, Sequence[str]], dict[str, Matrix]]
    """Further baselines that need no model, by name: columns over the tokens of these windows."""
