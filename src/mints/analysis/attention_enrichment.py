"""Attention enrichment: is a motif's token attended to more than its match? (docs/methods.md, Attention enrichment)"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mints.analysis.bootstrap import interval
from mints.analysis.head_sums import HeadSums, PermutedSums, enrichment
from mints.analysis.multiplicity import benjamini_hochberg, holm
from mints.analysis.qk_alignment import bootstrap_p, largest, rank_p


def enrichment_table(sums: HeadSums, permuted: PermutedSums, n_heads: int, *, level: float) -> pd.DataFrame:
    """One row per layer and head.

    sums: resampled, the data first. `rho` is the ratio of mean attention received, support over matched background;
    `rho_position` what position alone gives, and `beyond_position` their ratio with its own paired interval; `null_rho`
    the largest ratio over the permuted motifs and `p_permuted` its rank p-value.
    """
    rho, alone = enrichment(sums.received), enrichment(sums.received_by_position)
    low, high = interval(rho[1:], level)
    beyond_low, beyond_high = interval(rho[1:] / alone[1:], level)
    null = enrichment(permuted.received)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = bootstrap_p(np.log(rho))
    heads = np.arange(rho.shape[1])
    return pd.DataFrame(
        {
            "layer": heads // n_heads,
            "head": heads % n_heads,
            "rho": rho[0],
            "rho_low": low,
            "rho_high": high,
            "p": p,
            "q": benjamini_hochberg(p),
            "p_holm": holm(p),
            "n_support": int(sums.received.support_n[0, 0]),
            "n_background": int(sums.received.background_n[0, 0]),
            "rho_position": alone[0],
            "beyond_position": rho[0] / alone[0],
            "beyond_position_low": beyond_low,
            "beyond_position_high": beyond_high,
            "null_rho": largest(null),
            "p_permuted": rank_p(rho[0], null),
        }
    )
