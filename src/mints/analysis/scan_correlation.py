"""How well scores order the mutants of a deep mutational scan, with positions as the unit (docs/methods.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import crossed_weights, interval
from mints.analysis.metrics import resampled_auroc, scored
from mints.analysis.multiplicity import benjamini_hochberg
from mints.analysis.qk_alignment import bootstrap_p
from mints.analysis.rank_correlation import rank_correlations

FEWEST = 20
"""Fewest mutants of a kind for which a correlation is given."""

FEWEST_POSITIONS = 10
"""Fewest positions from which an interval can be drawn: below, resamples are the same few again and again."""

KINDS = ("all", "singles", "doubles", "higher")
"""Mutants by their number of substitutions."""

COLUMNS = (
    "target",
    "mutants",
    "score",
    "n",
    "positions",
    "spearman",
    "spearman_low",
    "spearman_high",
    "p",
    "q",
    "beyond_baseline",
    "beyond_baseline_low",
    "beyond_baseline_high",
    "auroc",
    "auroc_low",
    "auroc_high",
)


def scan_correlations(
    table: pd.DataFrame,
    positions: Sequence[Collection[int]],
    scores: Sequence[str],
    baseline: str,
    target: str,
    *,
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One row per kind of mutant and score: Spearman's correlation with the target, and AUROC for DMS_score_bin.

    table: columns mutations (number of substitutions), the target, DMS_score_bin (may be missing) and the scores.
    positions: those that each row changes. Positions are resampled, and a multiple mutant occurs as often as the
    product of its positions' draws; all scores share the resamples. `beyond_baseline`: less the correlation of that
    baseline. p: of a correlation of 0; q over the table. Kinds of fewer than `FEWEST` mutants are left out; those
    of fewer than `FEWEST_POSITIONS` positions have neither intervals nor p.
    """
    number = table["mutations"].to_numpy()
    of_kind = dict(zip(KINDS, (number > 0, number == 1, number == 2, number > 2), strict=True))
    rows: list[list[object]] = []
    for kind, chosen in of_kind.items():
        some = np.flatnonzero(chosen).tolist()
        if len(some) < FEWEST:
            continue
        units = [positions[row] for row in some]
        weights = np.concatenate([np.ones((1, len(some)), dtype=np.int64), crossed_weights(units, resamples, rng)])
        part, distinct = table.iloc[some], len(set().union(*units))
        measured = part[target].to_numpy()
        r = {score: rank_correlations(part[score].to_numpy(), measured, weights) for score in scores}
        for score in scores:
            figures = [*_whole(r[score], level), float(bootstrap_p(r[score][:, None])[0]), np.nan]
            figures += [*_whole(r[score] - r[baseline], level), *_auroc(part, score, weights, level)]
            rows.append([target, kind, score, len(some), distinct, *figures])
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    uncertain = [name for name in COLUMNS if name == "p" or name.endswith(("_low", "_high"))]
    found.loc[found["positions"] < FEWEST_POSITIONS, uncertain] = np.nan
    known = found["p"].notna()
    found.loc[known, "q"] = benjamini_hochberg(found.loc[known, "p"].to_numpy())
    return found


def _whole(values: Float[ndarray, "resample"], level: float) -> list[float]:
    """The figure itself, which is the first, and its interval."""
    low, high = interval(values[1:], level)
    return [float(values[0]), float(low), float(high)]


def _auroc(table: pd.DataFrame, score: str, weights: Int[ndarray, "resample row"], level: float) -> list[float]:
    known = table["DMS_score_bin"].notna().to_numpy()
    labels = table["DMS_score_bin"].to_numpy(dtype=float, na_value=np.nan)[known].astype(np.int64)
    if len(np.unique(labels)) < 2:
        return [np.nan] * 3
    return _whole(resampled_auroc(scored(labels, table[score].to_numpy()[known]), weights[:, known]), level)
