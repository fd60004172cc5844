"""Which single substitutions of a scan are looked into: over the whole range of effects, the neutral ones included."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mints.data.deep_mutational_scan import Scan

STRATA = 5
"""Equal parts of the substitutions by their score, of each of which as many are drawn."""


def sample_mutations(scan: Scan, limit: int | None, rng: np.random.Generator) -> pd.DataFrame:
    """At most `limit` single substitutions, as many of each stratum, at as many positions as there are.

    Columns name, position (from 0), wild_type, mutant (residues), clean, corrupted (sequences), cluster (the position),
    stratum (0: lowest scores), DMS_score.
    """
    singles = scan.singles()
    scores = np.array([variant.score for variant in singles])
    stratum = scores.argsort(kind="stable").argsort(kind="stable") * STRATA // max(len(singles), 1)
    limit = len(singles) if limit is None else limit
    positions = np.array([variant.changes[0].position for variant in singles], dtype=np.int64)
    used = np.zeros(len(scan.wild_type), dtype=np.int64)
    drawn: list[int] = []
    for part in range(STRATA):
        left = rng.permutation(np.flatnonzero(stratum == part))
        for _ in range(min(len(left), limit // STRATA + (part < limit % STRATA))):
            first = int(np.argmin(used[positions[left]]))  # positions are the unit: no more of one than must be
            drawn.append(int(left[first]))
            used[positions[left[first]]] += 1
            left = np.delete(left, first)
    rows = []
    for index in sorted(drawn):
        (change,) = singles[index].changes
        row = {"name": singles[index].name, "position": change.position, "cluster": change.position}
        row |= {"wild_type": change.wild_type, "mutant": change.mutant, "clean": scan.wild_type}
        row |= {"corrupted": singles[index].of(scan.wild_type), "stratum": int(stratum[index])}
        rows.append(row | {"DMS_score": singles[index].score})
    columns = ["name", "position", "cluster", "wild_type", "mutant", "clean", "corrupted", "stratum", "DMS_score"]
    return pd.DataFrame(rows, columns=columns)
