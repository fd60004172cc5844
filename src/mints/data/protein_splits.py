"""Training, validation and test proteins: whole clusters of like sequences, never on two sides."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from mints.data.splits import SPLITS
from mints.errors import MintsError


def split_clusters(
    clusters: pd.Series, reserved: Collection[int], validation_share: float, test_share: float, rng: np.random.Generator
) -> pd.Series:
    """Split of each row: random shares of the clusters for validation and test, the reserved clusters for test too.

    Reserved clusters are drawn like the others, so that those which fell to another split only add to the test set.
    Raises MintsError where a split would be empty.
    """
    order = rng.permutation(np.sort(clusters.unique()))
    validation, test = (round(share * len(order)) for share in (validation_share, test_share))
    split = dict.fromkeys(order, "train")
    split |= dict.fromkeys(order[:test], "test") | dict.fromkeys(order[test : test + validation], "validation")
    split |= dict.fromkeys(reserved, "test")
    empty = set(SPLITS) - set(split.values())
    if empty:
        raise MintsError(
            f"{len(order)} clusters of like proteins leave none for {', '.join(sorted(empty))}: give more proteins, or"
            " other --validation-share and --test-share"
        )
    return clusters.map(split)


def describe_proteins(table: pd.DataFrame) -> pd.DataFrame:
    """Proteins, clusters and residues of each split, and the proteins of its largest cluster."""
    rows = []
    for split in SPLITS:
        part = table[table["split"] == split]
        lengths = part["sequence"].str.len()
        rows.append({
            "split": split,
            "proteins": len(part),
            "clusters": part["cluster"].nunique(),
            "residues": int(lengths.sum()),
            "median_length": float(lengths.median()),
            "largest_cluster": int(part["cluster"].value_counts().max()),
        })  # fmt: skip
    return pd.DataFrame(rows)
