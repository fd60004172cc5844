"""Tables of activation patching: restoration by component, direction and place, with intervals and nulls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from mints.analysis.bootstrap import Resamples
from mints.analysis.multiplicity import benjamini_hochberg
from mints.analysis.patching import COMPONENTS
from mints.analysis.patching_sweep import Denoising, Sweep
from mints.analysis.restoration import restoration

INPUT_FLAG = "restores the input, proves nothing"


def head_rows(sweep: Sweep, with_control: Bool[ndarray, "pair"], judge: Resamples, threshold: float) -> pd.DataFrame:
    """One row per direction and head, with nulls beside the denoising ones."""
    denoising = sweep.denoising
    effect = denoising.clean - denoising.corrupted
    denoised = denoising_rows(denoising, with_control, judge)
    denoised["attribution"] = restoration_rows(sweep.estimated_heads, effect, judge)["pm"]
    noised = restoration_rows(denoising.clean[:, None, None] - sweep.noised_heads, effect, judge)
    denoised.insert(0, "direction", "denoising")
    noised.insert(0, "direction", "noising")
    table = pd.concat([denoised, noised], ignore_index=True)
    table["passes"] = table["pm_low"] >= threshold
    return table


def denoising_rows(denoising: Denoising, with_control: Bool[ndarray, "pair"], judge: Resamples) -> pd.DataFrame:
    """One row per head: restoration, and the same for another pair's activation and for control edits."""
    effect = denoising.clean - denoising.corrupted
    base = denoising.corrupted[:, None, None]
    table = restoration_rows(denoising.heads - base, effect, judge)
    nulls = {
        "other_pair": denoising.partner_heads - base,
        "other_corrupted": denoising.motifless_heads - base,
        "control": (denoising.control_heads - denoising.control[:, None, None]) * with_control[:, None, None],
    }
    for null, change in nulls.items():
        table[null] = restoration_rows(change, effect, judge)["pm"]
        # Both are shares of one effect: their difference is the share that the difference of the changes makes.
        beyond = restoration_rows(denoising.heads - base - change, effect, judge)
        table[f"beyond_{null}_low"], table[f"beyond_{null}_high"] = beyond["pm_low"], beyond["pm_high"]
    table["overshoot"] = table["pm_low"] > 1
    return table


def restoration_rows(
    change: Float[ndarray, "pair layer cell"], effect: Float[ndarray, "pair"], judge: Resamples
) -> pd.DataFrame:
    n_layers, n_cells = change.shape[1:]
    cells = restoration(change.reshape(len(change), n_layers * n_cells), effect, judge.weights, judge.level)
    place = np.arange(n_layers * n_cells)
    table = pd.DataFrame({"layer": place // n_cells, "head": place % n_cells} | cells._asdict())
    table["q"] = benjamini_hochberg(cells.p)
    return table


def component_rows(sweep: Sweep, judge: Resamples) -> pd.DataFrame:
    """One row per direction, layer and component; the residual stream is the layer's input."""
    clean, corrupted = sweep.denoising.clean, sweep.denoising.corrupted
    changes = {
        "denoising": sweep.denoised_components - corrupted[:, None, None],
        "noising": clean[:, None, None] - sweep.noised_components,
    }
    tables = []
    for direction, change in changes.items():
        table = restoration_rows(change, clean - corrupted, judge)
        table.insert(0, "granularity", np.array(COMPONENTS)[table.pop("head")])
        table.insert(0, "direction", direction)
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    table["flag"] = np.where((table["granularity"] == "residual") & (table["layer"] == 0), INPUT_FLAG, "")
    return table


def window_rows(sweep: Sweep, windows: Sequence[tuple[int, int]], judge: Resamples) -> pd.DataFrame:
    """One row per layer and nucleotide window."""
    clean, corrupted = sweep.denoising.clean, sweep.denoising.corrupted
    table = restoration_rows(sweep.windows - corrupted[:, None, None], clean - corrupted, judge)
    window = np.array(windows)[table.pop("head")]
    table.insert(1, "start", window[:, 0])
    table.insert(2, "end", window[:, 1])
    return table
