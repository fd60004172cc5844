"""One row per concept: its best latent beside every baseline, its null, and what earlier systems would report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.concept_scores import F1, Chosen, PairScores, WindowCounts, f1_of
from mints.features.concepts import ConceptLabels

LEAST_REGIONS, LEAST_TOKENS = 5, 20
"""Support on validation without which a concept is not scored; and so many tokens must be without it."""

SIGNIFICANT = 0.05
"""Largest q at which a concept is above the null."""

ABOVE_ALL = "above every baseline"
ABOVE_NULL = "above the null, not above every baseline"
NOT_FOUND = "not above the null"
NONE_FOUND = "no latent tells a concept better than every baseline does"
NOT_SCORED = f"not scored: fewer than {LEAST_REGIONS} regions, or than {LEAST_TOKENS} tokens with or without it"
NOT_IN_TEST = "not judged: no token of it in the test windows"


class Contender(NamedTuple):
    """The latents, or a baseline: what validation chose of its columns, and what that does on test."""

    name: str
    chosen: Chosen
    counts: WindowCounts


def is_supported(labels: ConceptLabels) -> Bool[ndarray, "concept"]:
    """Whether a concept occurs often enough, and not nearly everywhere, to be scored."""
    tokens, without = labels.positives, labels.tokens.shape[0] - labels.positives
    return (labels.region_counts >= LEAST_REGIONS) & (tokens >= LEAST_TOKENS) & (without >= LEAST_TOKENS)


def baseline_table(
    names: Sequence[str],
    latents: Contender,
    baselines: Sequence[Contender],
    weights: Int[ndarray, "resample window"],
    level: float,
) -> pd.DataFrame:
    """One row per concept and baseline, with F1 on test and the paired difference of the latent's.

    weights: of windows, by clusters. Columns concept, baseline, column, validation_f1, f1, f1_low, f1_high, difference
    (latent − baseline), difference_low, difference_high.
    """
    own = f1_of(latents.counts, weights)
    tables = []
    for baseline in baselines:
        other = f1_of(baseline.counts, weights)
        table = pd.DataFrame({"concept": list(names), "baseline": baseline.name, "column": baseline.chosen.column})
        table["validation_f1"] = baseline.chosen.f1
        table["f1"] = other.value
        table["f1_low"], table["f1_high"] = interval(other.resampled, level)
        table["difference"] = own.value - other.value
        table["difference_low"], table["difference_high"] = interval(own.resampled - other.resampled, level)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def latent_table(labels: ConceptLabels, latents: Contender, pairs: PairScores, own: F1, level: float) -> pd.DataFrame:
    """One row per concept: the chosen latent on test. labels: of test."""
    concepts = np.arange(len(labels.names))
    at = (latents.chosen.column, concepts)
    regions, found = labels.region_counts, pairs.test_regions[at]
    precision, region_recall = pairs.test.precision[at], np.where(regions > 0, found / np.maximum(regions, 1), np.nan)
    both = precision + region_recall
    table = pd.DataFrame({"concept": labels.names, "latent": latents.chosen.column})
    table["threshold"], table["validation_f1"] = latents.chosen.threshold.astype(float), latents.chosen.f1
    table["f1"] = own.value
    table["f1_low"], table["f1_high"] = interval(own.resampled, level)
    table["precision"], table["recall"] = precision, pairs.test.recall[at]
    table["region_recall"] = region_recall
    table["region_f1"] = np.divide(2 * precision * region_recall, both, out=np.zeros(len(both)), where=both > 0)
    table["auroc"], table["average_precision"] = pairs.test_ranks.auroc[at], pairs.test_ranks.average_precision[at]
    return table


def null_table(observed: Float[ndarray, "concept"], null: Float[ndarray, "shift concept"]) -> pd.DataFrame:
    """null_mean, null_p95, p (rank among the shifts, Phipson & Smyth 2010) and q over the concepts.

    A concept that test does not have has no p; the others' q do not count it.
    """
    p = (1 + (null >= observed).sum(axis=0)) / (1 + len(null))
    judged = ~np.isnan(observed)
    q = np.full(len(observed), np.nan)
    q[judged] = benjamini_hochberg(p[judged])
    columns = {"null_mean": null.mean(axis=0), "null_p95": np.quantile(null, 0.95, axis=0)}
    return pd.DataFrame({**columns, "p": np.where(judged, p, np.nan), "q": q})


def verdicts(scores: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """best_baseline (by validation), its paired difference, and the verdict, for every row of `scores`.

    A latent is above every baseline where the interval of the paired difference lies above 0 for each of them, and its
    F1 above the null (q ≤ 0.05).
    """
    best = baselines.loc[baselines.groupby("concept", sort=False)["validation_f1"].idxmax()].set_index("concept")
    least = baselines.groupby("concept", sort=False)["difference_low"].min()
    rows: list[dict[str, Any]] = []
    for concept, f1, q in zip(scores["concept"], scores["f1"], scores["q"], strict=True):
        chosen = best.loc[concept]
        if np.isnan(f1):
            verdict = NOT_IN_TEST
        elif not q <= SIGNIFICANT:
            verdict = NOT_FOUND
        else:
            verdict = ABOVE_ALL if least[concept] > 0 else ABOVE_NULL
        differences = {name: chosen[name] for name in ("difference", "difference_low", "difference_high")}
        rows.append({"best_baseline": chosen["baseline"], **differences, "verdict": verdict})
    return pd.DataFrame(rows, index=scores.index)


def support_table(validation: ConceptLabels, test: ConceptLabels) -> pd.DataFrame:
    """One row per concept that the annotation knows: how often it occurs, and whether it is scored."""
    return pd.DataFrame(
        {
            "concept": validation.names,
            "validation_tokens": validation.positives,
            "validation_regions": validation.region_counts,
            "test_tokens": test.positives,
            "test_regions": test.region_counts,
            "base_rate": test.positives / max(1, test.tokens.shape[0]),
            "scored": is_supported(validation),
        }
    )


def summary_table(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per site: how many concepts there are, are scored, and come to each verdict; and what follows, in words.

    scores: site, concept, scored, f1, verdict.
    """
    rows: list[dict[str, Any]] = []
    for site, table in scores.groupby("site", sort=False):
        judged = table[table["f1"].notna()].sort_values("f1", ascending=False, kind="stable")
        above = judged[judged["verdict"] == ABOVE_ALL]
        told = [f"{concept} ({f1:.2f})" for concept, f1 in zip(above["concept"], above["f1"], strict=True)]
        rows.append(
            {
                "site": site,
                "concepts": len(table),
                "scored": int(table["scored"].sum()),
                "judged": len(judged),
                "above_the_null": int((judged["verdict"] != NOT_FOUND).sum()),
                "above_every_baseline": len(above),
                "statement": f"told better than by every baseline (F1): {', '.join(told)}" if told else NONE_FOUND,
            }
        )
    return pd.DataFrame(rows)


def pair_arrays(pairs: PairScores, names: Sequence[str], regions: Int[ndarray, "concept"]) -> dict[str, ndarray]:
    """All pairs for a file: from the counts every figure can be made again."""
    return {
        "concepts": np.array(list(names)),
        "threshold": pairs.threshold.astype(np.float32),
        "validation_true_positives": pairs.validation.true_positives.astype(np.int32),
        "validation_called": pairs.validation.called.astype(np.int32),
        "validation_positives": pairs.validation.positives.astype(np.int32),
        "test_true_positives": pairs.test.true_positives.astype(np.int32),
        "test_called": pairs.test.called.astype(np.int32),
        "test_positives": pairs.test.positives.astype(np.int32),
        "test_regions_found": pairs.test_regions.astype(np.int32),
        "test_regions": regions.astype(np.int32),
        "test_auroc": pairs.test_ranks.auroc.astype(np.float32),
        "test_average_precision": pairs.test_ranks.average_precision.astype(np.float32),
    }
