"""Training, validation and test rows: by chromosome, never with twins on two sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from mints.data.sequences import reverse_complement

SPLITS = ("train", "validation", "test")


def split_of(chromosomes: pd.Series, validation: Sequence[str], test: Sequence[str]) -> pd.Series:
    """The split that each chromosome belongs to; one that is named for both is for test."""
    splits = dict.fromkeys(validation, "validation") | dict.fromkeys(test, "test")
    return chromosomes.map(lambda name: splits.get(name, "train"))


def assign_clusters(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `cluster`: rows of one cluster share sequence, opposite strand or genomic bases.

    Clusters are numbered by their first row. They are the unit of every bootstrap.
    """
    links = [*_same_sequence(table["sequence"]), *_overlapping(table)]
    edges = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(table), len(table)))
    _, component = connected_components(graph, directed=False)
    return table.assign(cluster=pd.factorize(component)[0])


def carve_validation(
    table: pd.DataFrame, chromosomes: Sequence[str], share: float, rng: np.random.Generator
) -> pd.DataFrame:
    """The table with some training rows moved to validation.

    By chromosome where the rows have coordinates and any lies on `chromosomes`; otherwise a random `share` of the
    training clusters. Needs the column `cluster`.
    """
    training = table["split"] == "train"
    by_chromosome = training & table["chromosome"].isin(list(chromosomes))
    if by_chromosome.any() and not by_chromosome[training].all():
        moved = by_chromosome
    else:
        clusters = np.sort(table.loc[training, "cluster"].unique())
        chosen = rng.choice(clusters, size=max(1, round(share * len(clusters))), replace=False)
        moved = training & table["cluster"].isin(chosen)
    return table.assign(split=table["split"].mask(moved, "validation"))


def drop_leaked(table: pd.DataFrame) -> pd.DataFrame:
    """The table without training and validation rows whose cluster is in the test set, and without training rows whose
    cluster is in validation. Needs the column `cluster`.
    """
    clusters = {split: set(table.loc[table["split"] == split, "cluster"]) for split in ("validation", "test")}
    in_test = (table["split"] != "test") & table["cluster"].isin(clusters["test"])
    in_validation = (table["split"] == "train") & table["cluster"].isin(clusters["validation"])
    return table[~(in_test | in_validation)]


def _same_sequence(sequences: pd.Series) -> list[tuple[int, int]]:
    """Pairs of rows (first of its kind, row) that are the same double strand."""
    canonical = [min(sequence, reverse_complement(sequence)) for sequence in sequences]
    first: dict[str, int] = {}
    return [(first.setdefault(key, row), row) for row, key in enumerate(canonical)]


def _overlapping(table: pd.DataFrame) -> list[tuple[int, int]]:
    """Pairs of neighbouring rows that share bases on a chromosome."""
    placed = table.reset_index(drop=True)
    placed = placed[placed["chromosome"].notna() & placed["start"].notna()]
    pairs: list[tuple[int, int]] = []
    for _, rows in placed.groupby("chromosome", sort=True):
        ordered = rows.sort_values(["start", "end"], kind="stable")
        pairs += _chain(ordered.index.to_numpy(), ordered["start"].to_numpy(int), ordered["end"].to_numpy(int))
    return pairs


def _chain(rows: Int[ndarray, "row"], starts: Int[ndarray, "row"], ends: Int[ndarray, "row"]) -> list[tuple[int, int]]:
    reach = np.maximum.accumulate(ends)
    joined = np.flatnonzero(starts[1:] < reach[:-1])
    return [(int(rows[place]), int(rows[place + 1])) for place in joined]
