"""What a masked language model makes of the mutants of a deep mutational scan (docs/methods.md, Mutational scans)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.substitution_baselines import BASELINES
from mints.data.deep_mutational_scan import Scan
from mints.data.residues import RESIDUES
from mints.errors import MintsError
from mints.features.substitution import (
    Substitutions,
    joint_masked_marginals,
    masked_marginals,
    token_changes,
    wild_type_marginals,
)
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Tokenizer


class EverySubstitution(NamedTuple):
    """Scores of all nineteen substitutions at the places that a scan changes."""

    position: Int[ndarray, "change"]
    letter: list[str]
    wild_type_marginal: Float[ndarray, "change"]
    masked_marginal: Float[ndarray, "change"]


MODEL_SCORES = ("wild_type_marginal", "masked_marginal", "joint_masked_marginal", "position_mean")
"""Sums over a mutant's changes but the third, for which all its places are hidden at once. `position_mean`: masked
marginals of the other eighteen substitutions at each place; what it leaves of the masked marginal is about the residue.
"""


def score_scan(
    encoder: Encoder, tokenizer: Tokenizer, scan: Scan, compute: Compute
) -> tuple[pd.DataFrame, EverySubstitution]:
    """One row per variant with `MODEL_SCORES` in nats, the wild type the base; and the scores behind them.

    Raises MintsError where a residue is no token of the model.
    """
    positions = sorted({change.position for variant in scan.variants for change in variant.changes})
    asked = [(at, letter) for at in positions for letter in RESIDUES if letter != scan.wild_type[at]]
    place, letters = np.array([at for at, _ in asked]), [letter for _, letter in asked]
    encodings = tokenizer.encode_many([scan.wild_type])
    given = Substitutions(np.zeros(len(asked), dtype=np.int64), place, letters)
    changes = token_changes([scan.wild_type], encodings, given, tokenizer)
    if len(changes.kept) < len(asked):
        raise MintsError("the model's tokens are no single residues: it cannot score a deep mutational scan")
    wild = wild_type_marginals(encoder, encodings, changes, compute)
    masked = masked_marginals(encoder, encodings, changes, tokenizer.mask_id, compute)
    index = {change: row for row, change in enumerate(asked)}
    groups = [np.array([index[change.position, change.mutant] for change in v.changes]) for v in scan.variants]
    joint = joint_masked_marginals(encoder, encodings, changes, groups, tokenizer.mask_id, compute)
    scores = pd.DataFrame(
        {
            "wild_type_marginal": sums(wild, groups),
            "masked_marginal": sums(masked, groups),
            "joint_masked_marginal": joint,
            "position_mean": sums(_mean_of_others(masked, place), groups),
        }
    )
    return scores, EverySubstitution(place, letters, wild, masked)


def sums(values: Float[ndarray, "change"], groups: list[Int[ndarray, "member"]]) -> Float[ndarray, "group"]:
    """Sum of each group's values."""
    return np.array([values[group].sum() for group in groups])


def _mean_of_others(values: Float[ndarray, "change"], place: Int[ndarray, "change"]) -> Float[ndarray, "change"]:
    """Mean over the other substitutions at the same place."""
    _, at = np.unique(place, return_inverse=True)
    total, count = np.bincount(at, values), np.bincount(at)
    others: Float[ndarray, "change"] = (total[at] - values) / (count[at] - 1)
    return others


def baseline_scores(scan: Scan) -> pd.DataFrame:
    """One row per variant with what needs no model: sums over its changes of every baseline."""
    columns = {
        name: [sum(score(c.wild_type, c.mutant) for c in variant.changes) for variant in scan.variants]
        for name, score in BASELINES.items()
    }
    return pd.DataFrame(columns)


def variant_table(scan: Scan) -> pd.DataFrame:
    """One row per variant: its name, number of substitutions, first position (from 1), and what was measured."""
    return pd.DataFrame(
        {
            "mutant": [variant.name for variant in scan.variants],
            "mutations": [len(variant.changes) for variant in scan.variants],
            "position": [variant.changes[0].position + 1 for variant in scan.variants],
            "DMS_score": [variant.score for variant in scan.variants],
            "DMS_score_bin": pd.array([variant.functional for variant in scan.variants], dtype="Int64"),
        }
    )
