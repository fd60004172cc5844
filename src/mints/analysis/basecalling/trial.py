"""One planted head, patched and judged as the sweep judges every head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.basecalling.planting import SEQUENCE
from mints.analysis.basecalling.sweep import Chunks, ScoreReadout, open_recording
from mints.analysis.basecalling.tables import Judges
from mints.analysis.bootstrap import Resamples
from mints.analysis.patching import patch_head
from mints.analysis.restoration import restoration
from mints.models.basecaller import Basecaller
from mints.models.compute import Compute

CRITERIA = {"restoration above 0": ("above_zero",), "restoration beyond its nulls": ("restores",)}
"""What is asked of a head: that its interval lies above 0, with a small p; and that it exceeds each null as well."""


class Changes(NamedTuple):
    """What patching one head changes of the sequences' log-odds, and the effect that it is measured against."""

    effect: Float[ndarray, "pair"]
    own: Float[ndarray, "pair"]
    other_corrupted: Float[ndarray, "pair"]
    other_site: Float[ndarray, "pair"]
    unrelated: Float[ndarray, "pair"]


def patch_one_head(basecaller: Basecaller, chunks: Chunks, layer: int, head: int, compute: Compute) -> Changes:
    """Denoise one head at the run, and the same for its nulls."""
    sides = (chunks.clean, chunks.corrupted, chunks.other_corrupted, chunks.unrelated)
    clean, corrupted, other, unrelated = (open_recording(basecaller, side, chunks.question, compute) for side in sides)
    run, elsewhere = torch.from_numpy(chunks.run), torch.from_numpy(chunks.elsewhere)
    readout, start = ScoreReadout(basecaller), corrupted.readout[:, SEQUENCE]
    patches = ((clean, run), (other, run), (clean, elsewhere), (unrelated, run))
    patched = (
        patch_head(basecaller.encoder, corrupted, source, layer, head, readout, compute, where)[:, SEQUENCE]
        for source, where in patches
    )
    return Changes(
        (clean.readout[:, SEQUENCE] - start).cpu().numpy(), *((value - start).cpu().numpy() for value in patched)
    )


def judge_head(changes: Changes, judges: Judges, heads: int) -> dict[str, float | bool]:
    """Row of a planted head: its restoration, and whether it meets the criteria of the component table.

    heads: of the model; the p-value of the one head that was patched is multiplied by it (Bonferroni), which is
    stricter than the q-value of a whole sweep.
    """

    def figures(change: Float[ndarray, "pair"], judge: Resamples) -> tuple[float, float, float, float]:
        found = restoration(change[:, None], changes.effect, judge.weights, judge.level)
        return float(found.pm[0]), float(found.pm_low[0]), float(found.pm_high[0]), float(found.p[0])

    pm, low, high, p = figures(changes.own, judges.own)
    beyond = {
        "other_corrupted": figures(changes.own - changes.other_corrupted, judges.other_corrupted)[1],
        "other_site": figures(changes.own - changes.other_site, judges.own)[1],
        "unrelated": figures(changes.own - changes.unrelated, judges.unrelated)[1],
    }
    above_zero = low > 0 and p * heads <= 0.05
    row: dict[str, float | bool] = {"pm": pm, "pm_low": low, "pm_high": high, "p": p}
    row |= {f"beyond_{null}_low": value for null, value in beyond.items()}
    return row | {"above_zero": above_zero, "restores": above_zero and min(beyond.values()) > 0}
