"""Calibration of a basecaller's patching: what heads of known strength are found, and what is where there is none."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import Block, Claim, Missing, Text, Tone, View, table_block
from mints.report.page.panels import capital
from mints.report.page.saved import Saved
from mints.report.page.views.calibration import alarms_chart, detection_chart, sentence

DETECTION, ALARMS, SENSITIVITY, PLANTED = (
    "tables/basecaller_calibration.csv",
    "tables/basecaller_calibration_nulls.csv",
    "tables/basecaller_sensitivity.csv",
    "calibration/planted_heads.csv",
)
STRICTEST = "restoration beyond its nulls"
"""The criterion that conclusions use."""

FEW = 0.05
"""False positives that a criterion may have."""


def basecaller_calibration(saved: Saved) -> View:
    """Detection by strength, false positives, and what a negative result is worth."""
    detection, alarms, sensitivity, planted = (saved.table(name) for name in (DETECTION, ALARMS, SENSITIVITY, PLANTED))
    blocks: list[Block] = []
    if sensitivity.empty:
        blocks.append(Missing("what each negative result is worth", saved.advice(SENSITIVITY)))
    else:
        blocks.append(Text([sentence(row) for row in sensitivity.to_dict("records")]))
    if detection.empty:
        blocks.append(Missing("the detection rates", saved.advice(DETECTION)))
    else:
        blocks.append(detection_chart(detection, DETECTION))
    if alarms.empty:
        blocks.append(Missing("the false positives", saved.advice(ALARMS)))
    else:
        blocks.append(alarms_chart(alarms, ALARMS, "Own heads: with a null's activations, held against the others."))
    tables = (
        (detection, "Detection of planted heads", DETECTION),
        (alarms, "False positives", ALARMS),
        (planted, "Every planted head", PLANTED),
    )
    blocks += [table_block(table, title, name) for table, title, name in tables if not table.empty]
    question = (
        "How much of the repeat count must a head carry, written into a copy of the model's weights, to be found; and"
        " how often is a head found where there is nothing to find?"
    )
    return View("calibration", "Calibration", question, blocks, claims(sensitivity, alarms))


def claims(sensitivity: pd.DataFrame, alarms: pd.DataFrame) -> list[Claim]:
    """What could have been seen, and what is seen where there is nothing."""
    made = []
    if not sensitivity.empty:
        told = " ".join(sentence(row) for row in sensitivity.to_dict("records"))
        made.append(Claim("What could this have seen?", told, "open"))
    strict = alarms[alarms["criterion"] == STRICTEST] if len(alarms) else alarms
    if not strict.empty:
        told = "; ".join(
            f"{row['null']}: {row['positives']} of {row['tests']:,} (at most {row['upper']:.0%})"
            for row in strict.to_dict("records")
        )
        weaker = "".join(
            f" {capital(str(criterion))}: {rows['positives'].sum()} of {rows['tests'].sum():,} tests."
            for criterion, rows in alarms[alarms["criterion"] != STRICTEST].groupby("criterion", sort=False)
        )
        text = f"{capital(STRICTEST)}, with one-sided 95% bounds: {told}.{weaker}"
        tone: Tone = "yes" if strict["positives"].any() else "no" if (strict["upper"] <= FEW).all() else "open"
        made.append(Claim("Is a head found where there is nothing to find?", text, tone))
    return made
