"""What the evidence stack could have seen: detection of planted heads, and false alarms where nothing was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from mints.analysis.multiplicity import clopper_pearson

CRITERIA = {
    "alignment": ("aligned",),
    "alignment relative to ceiling": ("aligned_relative",),
    "enrichment": ("enriched",),
    "restoration": ("restored",),
    "registered stack": ("aligned", "enriched", "restored"),
    "ceiling-relative stack": ("aligned_relative", "enriched", "restored"),
}
"""Columns of the evidence table that a criterion needs together. The ceiling-relative ones are exploratory."""


class Sensitivity(NamedTuple):
    """What can be said about a negative result of one criterion."""

    criterion: str
    strength: float | None
    """Least planted strength from which on the detection rate is at least `power`; None where none is."""

    power: float
    rate_at_largest: float
    statement: str


Criteria = Mapping[str, Sequence[str]]


def meets(evidence: pd.DataFrame, criterion: str, criteria: Criteria = CRITERIA) -> pd.Series:
    """Whether each row of an evidence table meets a criterion."""
    return evidence[list(criteria[criterion])].all(axis=1)


def detection_table(planted: pd.DataFrame, level: float, criteria: Criteria = CRITERIA) -> pd.DataFrame:
    """Detection rate by criterion and strength, with exact intervals.

    planted: one row per planted head, with its strength and the columns that the criteria name.
    """
    rows = []
    for criterion in criteria:
        for strength, part in planted.groupby("strength"):
            found = int(meets(part, criterion, criteria).sum())
            low, high = clopper_pearson(found, len(part), level)
            row = {"criterion": criterion, "strength": strength, "planted": len(part), "detected": found}
            rows.append(row | {"rate": found / len(part), "low": low, "high": high})
    return pd.DataFrame(rows)


def false_positive_table(nulls: pd.DataFrame, level: float, criteria: Criteria = CRITERIA) -> pd.DataFrame:
    """False-positive rate by null and criterion; `upper` is the one-sided exact bound at `level`.

    nulls: one row per head and replicate, with the name of its null and the columns that the criteria name.
    """
    rows = []
    for null, part in nulls.groupby("null", sort=False):
        for criterion in criteria:
            positives, tests = int(meets(part, criterion, criteria).sum()), len(part)
            _, upper = clopper_pearson(positives, tests, 2 * level - 1)
            row = {"null": null, "criterion": criterion, "replicates": part["replicate"].nunique(), "tests": tests}
            rows.append(row | {"positives": positives, "rate": positives / tests, "upper": upper})
    return pd.DataFrame(rows)


def sensitivities(detection: pd.DataFrame, power: float) -> list[Sensitivity]:
    """The sentence that accompanies a negative result of each criterion."""
    result = []
    for criterion, part in detection.groupby("criterion", sort=False):
        ordered = part.sort_values("strength", ascending=False)
        enough = ordered[ordered["rate"].ge(power).cummin()]
        weakest, strongest = None if enough.empty else enough.iloc[-1], ordered.iloc[0]
        strength = None if weakest is None else float(weakest["strength"])
        statement = _statement(weakest, strongest, power)
        result.append(Sensitivity(str(criterion), strength, power, float(strongest["rate"]), statement))
    return result


def _statement(weakest: pd.Series | None, strongest: pd.Series, power: float) -> str:
    if weakest is not None:
        return (
            f"planted detectors of strength {weakest['strength']:g} and more were found in at least {power:.0%} of"
            f" cases ({weakest['detected']:g} of {weakest['planted']:g}, interval from {weakest['low']:.0%}): a"
            " negative result speaks against such heads, and says nothing about weaker ones"
        )
    found, planted = int(strongest["detected"]), int(strongest["planted"])
    worth = "is weak evidence against a detector" if 2 * found > planted else "says little"
    return (
        f"even at the largest planted strength, {strongest['strength']:g}, {found} of {planted} detectors were found,"
        f" fewer than {power:.0%}: a negative result of this criterion {worth}"
    )
