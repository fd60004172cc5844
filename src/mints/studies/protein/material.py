"""Proteins as the feature steps see them: whole, each in the split of its cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.data.hydropathy import KYTE_DOOLITTLE, WIDTHS, windowed_hydropathy
from mints.errors import UsageError
from mints.features.activations import Tokens
from mints.features.columns import word_identity
from mints.features.concepts import Matrix
from mints.pipeline.run import Run
from mints.studies.protein.fields import PROTEINS
from mints.studies.shared.material import Material, Split

DRAWN_BY = "proteins"
"""Random numbers of the proteins are drawn under this name, so that every step sees the same ones."""

RESIDUE_WORDS = (2, 3)
"""Lengths of the words at a residue whose identity is a baseline, beside that of the residue itself."""


def protein_material(run: Run) -> Material:
    """Whole proteins; the step needs `PROTEINS` and reads seed."""
    table: pd.DataFrame = run.load(PROTEINS)
    cluster = dict(zip(table["sequence"], table["cluster"], strict=True))

    def clusters(sequences: Sequence[str]) -> Int[ndarray, "sequence"]:
        return np.array([cluster[sequence] for sequence in sequences], dtype=np.int64)

    def near_copies(first: Sequence[str], second: Sequence[str]) -> Bool[ndarray, "second"]:
        return np.isin(clusters(second), clusters(first))

    return Material(
        training=lambda: table.loc[table["split"] == "train", "sequence"].tolist(),
        windows=lambda split, count: drawn_proteins(run, table, split, count),
        lengths=lambda: dict(zip(table["accession"], table["sequence"].str.len(), strict=True)),
        near_copies=near_copies,
        clusters=clusters,
        sequence_columns=sequence_columns,
    )


def drawn_proteins(run: Run, table: pd.DataFrame, split: Split, count: int) -> pd.DataFrame:
    """At most `count` proteins of a split, in the order of the table: chromosome (accession), start, end, sequence.

    Those of a smaller count are among those of a larger one. Raises UsageError where the split has none.
    """
    rows = table[table["split"] == split]
    if rows.empty:
        raise UsageError(f"no protein is left for {split}: give more proteins, or other shares of the splits")
    order = run.rng(f"{split} proteins", DRAWN_BY).permutation(len(rows))
    chosen = rows.iloc[np.sort(order[:count])]
    return pd.DataFrame(
        {
            "chromosome": chosen["accession"].to_numpy(), "start": 0, "end": chosen["sequence"].str.len().to_numpy(),
            "sequence": chosen["sequence"].to_numpy(),
        }
    )  # fmt: skip


def sequence_columns(tokens: Tokens, sequences: Sequence[str]) -> dict[str, Matrix]:
    """Baselines that need no model: words of residues, and hydropathy averaged over windows, of either sign."""
    words = word_identity(tokens, sequences, "".join(sorted(KYTE_DOOLITTLE)), RESIDUE_WORDS)
    return {"word_identity": words, "hydropathy": hydropathy_columns(tokens, sequences)}


def hydropathy_columns(tokens: Tokens, sequences: Sequence[str]) -> Matrix:
    """One column per width of the window, high where residues are hydrophobic, and one, high where they are not.

    Values are distances from the end of the scale, so that none is negative. tokens: of one residue each.
    """
    offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    place = offsets[tokens.sequence] + tokens.start
    least, most = min(KYTE_DOOLITTLE.values()), max(KYTE_DOOLITTLE.values())
    columns = []
    for width in WIDTHS:
        means = np.concatenate([*(windowed_hydropathy(sequence, width) for sequence in sequences), np.zeros(0)])[place]
        columns += [means - least, most - means]
    return csr_array(np.stack(columns, axis=1).astype(np.float32))
