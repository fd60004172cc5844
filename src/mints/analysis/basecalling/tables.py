"""Tables of a basecaller's patching: what each component restores, in all pairs, by stratum, and between the groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.stats import norm

from mints.analysis.basecalling.sweep import GRANULARITIES, MEASURES, Patched, Swept
from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.analysis.patching_tables import restoration_rows
from mints.analysis.qk_alignment import bootstrap_p
from mints.data.nanopore.pairs import GROUPS

NULLS = ("other_corrupted", "other_site", "unrelated")
"""Fields of a sweep that should restore nothing."""

STRATIFIERS = ("base", "run_length", "corruption")
EXACT = "the scores are read from it: exact by construction"
POWER = 0.8
SIGNIFICANT = 0.05


class Judges(NamedTuple):
    """Resamples of the pairs: by read, and for the nulls by reads that lend each other activations as well."""

    own: Resamples
    other_corrupted: Resamples
    unrelated: Resamples


class View(NamedTuple):
    """Changes that one kind of patch makes, and what they are measured against; for one measure."""

    patch: str
    direction: str
    change: Float[ndarray, "pair layer component"]
    maximum: Float[ndarray, "pair layer component"]
    effect: Float[ndarray, "pair"]


def views(swept: Swept, measure: int) -> Iterator[View]:
    """Denoising and noising, at the run (all components) and of the whole chunk (whole components)."""
    effect, whole = swept.clean[:, measure] - swept.corrupted[:, measure], len(GRANULARITIES)
    for patch, denoised, noised, cells in (
        ("run", swept.denoised, swept.noised, None),
        ("chunk", swept.denoised_chunk, swept.noised_chunk, whole),
    ):
        gained = _gained(swept, denoised, measure)
        lost = swept.clean[:, None, None, measure] - noised.measures[..., measure]
        yield View(patch, "denoising", gained[:, :, :cells], denoised.maximum[:, :, :cells], effect)
        yield View(patch, "noising", lost[:, :, :cells], noised.maximum[:, :, :cells], effect)


def _gained(swept: Swept, patched: Patched, measure: int) -> Float[ndarray, "pair layer component"]:
    gained: Float[ndarray, "pair layer component"] = (
        patched.measures[..., measure] - swept.corrupted[:, None, None, measure]
    )
    return gained


def groups_of(pairs: pd.DataFrame) -> dict[str, Bool[ndarray, "pair"]]:
    """Rows of all pairs, and of each group."""
    everyone = {"all": np.ones(len(pairs), dtype=bool)}
    return everyone | {group: pairs["group"].to_numpy() == group for group in GROUPS}


def component_table(swept: Swept, pairs: pd.DataFrame, judges: Judges, threshold: float) -> pd.DataFrame:
    """One row per measure, patch, direction, group and component; nulls beside denoising at the run.

    pairs: one row per pair with its group. threshold: the registered lower bound of a restoration.
    """
    tables = []
    for number, measure in enumerate(MEASURES):
        for view in views(swept, number):
            for group, rows in groups_of(pairs).items():
                columns = _rows(view, rows, judges.own)
                if view.patch == "run" and view.direction == "denoising":
                    columns |= _null_columns(swept, number, view, rows, judges)
                labels = {"measure": measure, "patch": view.patch, "direction": view.direction, "group": group}
                tables.append(pd.DataFrame(labels | columns))
    table = pd.concat(tables, ignore_index=True)
    last = table["layer"].max()
    table["flag"] = np.where((table["granularity"] == "layer") & (table["layer"] == last), EXACT, "")
    table["overshoot"] = table["pm_low"] > 1
    beyond = np.logical_and.reduce([table[f"beyond_{null}_low"] > 0 for null in NULLS])
    table["restores"] = (table["pm_low"] > 0) & (table["q"] <= SIGNIFICANT) & beyond
    table["passes"] = table["restores"] & (table["pm_low"] >= threshold)
    return table


def _rows(view: View, rows: Bool[ndarray, "pair"], judge: Resamples) -> dict[str, ndarray]:
    """Columns of the components' restoration over these pairs."""
    table = restoration_rows(view.change[rows], view.effect[rows], part(judge, rows))
    cell = table.pop("head").to_numpy()
    whole = len(GRANULARITIES)
    names = np.array([*GRANULARITIES, "head"])[np.minimum(cell, whole)]
    layer = table.pop("layer").to_numpy()
    columns = {"granularity": names, "layer": layer, "head": np.where(cell < whole, -1, cell - whole)}
    columns["maximum_seed"] = _mean_of_defined(view.maximum[rows]).ravel()
    deviation = (table["pm_high"] - table["pm_low"]) / (2 * norm.ppf((1 + judge.level) / 2))
    columns["least_visible"] = ((norm.ppf((1 + judge.level) / 2) + norm.ppf(POWER)) * deviation).to_numpy()
    return columns | {str(name): values.to_numpy() for name, values in table.items()}


def part(judge: Resamples, rows: Bool[ndarray, "pair"]) -> Resamples:
    """The resamples of some of the pairs."""
    return Resamples(judge.weights[:, rows], judge.level)


def _mean_of_defined(values: Float[ndarray, "pair layer component"]) -> Float[ndarray, "layer component"]:
    defined = np.isfinite(values)
    count = defined.sum(0)
    total = np.where(defined, values, 0.0).sum(0)
    mean: Float[ndarray, "layer component"] = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _null_columns(
    swept: Swept, measure: int, view: View, rows: Bool[ndarray, "pair"], judges: Judges
) -> dict[str, ndarray]:
    """What the nulls restore, and the interval of what is restored beyond each.

    Each null is also judged as the components are, against the other two: `_above_zero` and `_restores` should hold
    for none.
    """
    effect = view.effect[rows]
    of_null = {null: part(getattr(judges, null, judges.own), rows) for null in NULLS}
    gained = {null: _gained(swept, getattr(swept, null), measure)[rows] for null in NULLS}
    other_clean = _gained(swept, swept.other_clean, measure)[rows]
    columns = {"other_clean": restoration_rows(other_clean, effect, part(judges.own, rows))["pm"].to_numpy()}
    for null, judge in of_null.items():
        # Both are shares of one effect: their difference is the share that the difference of the changes makes.
        beyond = restoration_rows(view.change[rows] - gained[null], effect, judge)
        columns[f"beyond_{null}_low"] = beyond["pm_low"].to_numpy()
        columns[f"beyond_{null}_high"] = beyond["pm_high"].to_numpy()
        own = restoration_rows(gained[null], effect, judge)
        above_zero = ((own["pm_low"] > 0) & (own["q"] <= SIGNIFICANT)).to_numpy()
        lows = [
            restoration_rows(gained[null] - gained[other], effect, of_null[other])["pm_low"].to_numpy()
            for other in NULLS
            if other != null
        ]
        columns |= {null: own["pm"].to_numpy(), f"{null}_above_zero": above_zero}
        columns[f"{null}_restores"] = above_zero & (np.min(lows, axis=0) > 0)
    return columns


def strata_table(swept: Swept, pairs: pd.DataFrame, judge: Resamples) -> pd.DataFrame:
    """Denoising at the run by base, run length and corruption, within each group; whole components alone."""
    tables = []
    for number, measure in enumerate(MEASURES):
        view = next(views(swept, number))
        whole = view._replace(
            change=view.change[:, :, : len(GRANULARITIES)], maximum=view.maximum[:, :, : len(GRANULARITIES)]
        )
        for stratifier in STRATIFIERS:
            for (group, value), part_of in pairs.groupby(["group", stratifier], sort=True):
                rows = pairs.index.isin(part_of.index)
                labels = {"measure": measure, "stratifier": stratifier, "stratum": str(value), "group": group}
                tables.append(pd.DataFrame(labels | _rows(whole, rows, judge)))
    return pd.concat(tables, ignore_index=True)


def comparison_table(swept: Swept, pairs: pd.DataFrame, judge: Resamples) -> pd.DataFrame:
    """Homopolymer less other, both over the strata that both have, each of which weighs the same.

    A stratum is a base, a run length and a corruption. Within a group a pair weighs one over its stratum's pairs.
    """
    weights = equal_strata(pairs)
    shared = weights > 0
    tables = []
    for number, measure in enumerate(MEASURES):
        for view in views(swept, number):
            figures = {
                group: _weighted(view, np.where(rows, weights, 0.0), judge)
                for group, rows in groups_of(pairs).items()
                if group != "all"
            }
            first, second = (figures[group] for group in GROUPS)
            columns = _difference_columns(first, second, judge.level)
            cells = first.shape[1] // view.change.shape[1]
            place = np.arange(first.shape[1])
            cell, whole = place % cells, len(GRANULARITIES)
            labels: dict[str, object] = {
                "measure": measure,
                "patch": view.patch,
                "direction": view.direction,
                "granularity": np.array([*GRANULARITIES, "head"])[np.minimum(cell, whole)],
                "layer": place // cells,
                "head": np.where(cell < whole, -1, cell - whole),
                "strata": len(pairs.loc[shared, list(STRATIFIERS)].drop_duplicates()),
                "pairs": int(shared.sum()),
            }
            tables.append(pd.DataFrame(labels | columns))
    return pd.concat(tables, ignore_index=True)


def equal_strata(pairs: pd.DataFrame) -> Float[ndarray, "pair"]:
    """Weight of every pair by which all strata of its group weigh the same; 0 in strata that a group lacks."""
    size = pairs.groupby(["group", *STRATIFIERS])["group"].transform("size").to_numpy(dtype=float)
    groups = pairs.groupby(list(STRATIFIERS))["group"].transform("nunique").to_numpy()
    return np.where(groups == len(GROUPS), 1 / size, 0.0)


def _weighted(view: View, weights: Float[ndarray, "pair"], judge: Resamples) -> Float[ndarray, "resample cell"]:
    """Ratio of weighted sums in the data and in every resample."""
    whole = np.concatenate([np.ones((1, len(weights))), judge.weights]) * weights
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Float[ndarray, "resample cell"] = (whole @ view.change.reshape(len(weights), -1)) / (
            whole @ view.effect
        )[:, None]
    return ratio


def _difference_columns(
    first: Float[ndarray, "resample cell"], second: Float[ndarray, "resample cell"], level: float
) -> dict[str, ndarray]:
    difference = first - second
    low, high = interval(difference[1:], level)
    p = bootstrap_p(difference)
    names = [f"pm_{group}" for group in GROUPS]
    columns = dict(zip(names, (first[0], second[0]), strict=True))
    return columns | {"difference": difference[0], "low": low, "high": high, "p": p, "q": benjamini_hochberg(p)}


KEYS = ("measure", "patch", "direction", "group", "granularity", "layer", "head")
"""Columns that name a row of a component table."""


def summary_table(validation: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """The strongest component of every granularity, chosen on validation pairs and reported on test pairs.

    Both are component tables. A layer that the scores are read from is no candidate.
    """
    denoised = validation[(validation["patch"] == "run") & (validation["direction"] == "denoising")]
    candidates = denoised[(denoised["flag"] == "") & denoised["pm"].notna()]
    families = candidates.groupby(["measure", "group", "granularity"], sort=False)["pm"]
    best = candidates.loc[families.idxmax(), [*KEYS, "pm"]].rename(columns={"pm": "pm_validation"})
    chosen = best.merge(test, on=list(KEYS), how="left", validate="one_to_one")
    return chosen.assign(statement=[_statement(row) for _, row in chosen.iterrows()])


def _statement(row: pd.Series) -> str:
    nulls = max(float(row[null]) for null in NULLS)
    seen = f"a component that restores {row['least_visible']:.2f} would have been seen in {POWER:.0%} of cases"
    verdict = "restores beyond all nulls" if row["restores"] else "not told from its nulls"
    return f"{verdict} (largest null {nulls:.2f}); {seen}"


def pair_columns(swept: Swept, alternatives: Sequence[str]) -> dict[str, ndarray]:
    """What every pair's clean and corrupted run read, for the table of pairs."""
    columns: dict[str, ndarray] = {"alternative": np.array(alternatives)}
    for number, measure in enumerate(MEASURES):
        columns[f"{measure}_clean"] = swept.clean[:, number]
        columns[f"{measure}_corrupted"] = swept.corrupted[:, number]
    return columns
