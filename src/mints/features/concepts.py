"""Which concepts a token carries, and which annotated region each of them is."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.features.activations import Tokens

Matrix = csr_array[Any, tuple[int, int]]


class ConceptLabels:
    """Concepts of tokens that stand in the order of the genome.

    A token carries a concept if its span shares at least one base with one of the concept's regions.
    """

    def __init__(self, names: list[str], regions: Matrix, concept_of: Int[ndarray, "region"]) -> None:
        """regions: 1 where a token overlaps a region (token × region). concept_of: the concept of each region."""
        self.names, self.regions, self.concept_of = names, regions, concept_of

    @cached_property
    def tokens(self) -> Matrix:
        """True where a token carries a concept (token × concept)."""
        which = (np.arange(len(self.concept_of)), self.concept_of)
        of_concept = csr_array(
            (np.ones(len(self.concept_of), dtype=np.int32), which), shape=(len(self.concept_of), len(self.names))
        )
        return csr_array(self.regions @ of_concept).astype(bool)

    @property
    def positives(self) -> Int[ndarray, "concept"]:
        """Tokens of each concept."""
        return np.bincount(self.tokens.indices, minlength=len(self.names))

    @property
    def region_counts(self) -> Int[ndarray, "concept"]:
        """Regions of each concept that have a token here."""
        present = np.bincount(self.regions.indices, minlength=len(self.concept_of)) > 0
        return np.bincount(self.concept_of[present], minlength=len(self.names))

    def of(self, concepts: Int[ndarray, "concept"]) -> ConceptLabels:
        """The same tokens with some of the concepts alone."""
        place = np.full(len(self.names), -1)
        place[concepts] = np.arange(len(concepts))
        kept = np.flatnonzero(place[self.concept_of] >= 0)
        names = [self.names[concept] for concept in concepts]
        return ConceptLabels(names, csr_array(self.regions[:, kept]), place[self.concept_of[kept]])


def shifted(carried: Matrix, by: int) -> Matrix:
    """Every token with the concepts of the token `by` places before it; the last ones' go to the first.

    Runs of tokens that carry a concept and the distances between them stay as they are, so that what is autocorrelated
    stays so.
    """
    return csr_array(carried[np.roll(np.arange(carried.shape[0]), by)])


def label_tokens(
    tokens: Tokens, windows: pd.DataFrame, places: pd.DataFrame, names: list[str] | None = None
) -> ConceptLabels:
    """Labels of the windows' tokens.

    windows: chromosome, start, end; row i is sequence i of the tokens. places: chromosome, start, end, concept, region
    (0-based, half-open; several rows may be one region). names: the concepts and their order; default those of the
    places, sorted. Raises ValueError where tokens of a chromosome are not in its order.
    """
    names = sorted(places["concept"].unique()) if names is None else names
    places = places[places["concept"].isin(names)]
    region, _ = pd.factorize(places["region"])
    n_regions = int(region.max()) + 1 if len(region) else 0
    concept_of = np.zeros(n_regions, dtype=np.int64)
    concept_of[region] = pd.Categorical(places["concept"], categories=names).codes
    offset = windows["start"].to_numpy(dtype=np.int64)[tokens.sequence]
    starts, ends = tokens.start + offset, tokens.end + offset
    chromosome = windows["chromosome"].to_numpy()[tokens.sequence]
    rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for name, here in places.groupby("chromosome", sort=False).indices.items():
        which = np.flatnonzero(chromosome == name)
        if (np.diff(starts[which]) < 0).any() or (np.diff(ends[which]) < 0).any():
            raise ValueError(f"tokens on {name} are not in the order of the sequence")
        begin = places["start"].to_numpy()[here]
        finish = places["end"].to_numpy()[here]
        # Of tokens in order, those that share a base with [begin, finish) follow one another.
        first = np.searchsorted(ends[which], begin, "right")
        last = np.searchsorted(starts[which], finish, "left")
        count = np.maximum(last - first, 0)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        rows.append(which[np.repeat(first, count) + within])
        columns.append(np.repeat(region[here], count))
    at = (np.concatenate(rows), np.concatenate(columns))
    entries = np.ones(len(at[0]), dtype=np.int32)
    matrix = csr_array((entries, at), shape=(len(tokens.ids), n_regions))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return ConceptLabels(names, matrix, concept_of)
