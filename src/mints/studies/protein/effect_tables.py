"""Part of a step: the pieces of work, put together in a fixed order into tables of proteins and of all proteins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import rankdata

from mints.analysis.bootstrap import Resamples
from mints.features.effect_relation import relation_table
from mints.features.latent_tables import Sets, gather, latent_table
from mints.features.packed_effects import joined_patches, unpacked_patches
from mints.features.pair_patching import (
    CHANGED,
    EVERYTHING,
    WHOLES,
    Beside,
    Patched,
    own_rankings,
    rows_of,
    set_tables,
)
from mints.features.substitution_readout import CONTEXTS
from mints.features.traced_pairs import ATTRIBUTION_COLUMNS
from mints.studies.protein.traced_mutations import DISPLACEMENTS, OWN_SIZES

ALL = "all proteins"

NULLS = ("random", "elsewhere")

COMPARED = ("wild_type_marginal", "masked_marginal", "blosum62")
"""Scores of the same mutations that are held against the measured ones beside the effects of latents."""

Judge = Callable[[Int[ndarray, "row"]], Resamples]
"""Resamples of rows by their clusters."""


class Outcome(NamedTuple):
    """What came of one piece in one context."""

    protein: str
    reported: pd.DataFrame
    """Its mutations on which latents are reported, with the scores of the whole protein (`COMPARED`)."""

    patched: Patched
    sets: dict[str, Sets]
    frequency: Float[ndarray, "d_sae"]
    attributions: pd.DataFrame


def outcome_of(protein: str, reported: pd.DataFrame, arrays: Mapping[str, ndarray], context: str) -> Outcome:
    """One context of a piece's arrays."""
    own = {name.removeprefix(f"{context}/"): part for name, part in arrays.items() if name.startswith(f"{context}/")}
    patched, sets = unpacked_patches(own)
    attributions = pd.DataFrame({name: own[f"attributions/{name}"] for name in ATTRIBUTION_COLUMNS})
    return Outcome(protein, reported, patched, sets, own["frequency"], attributions)


class SiteTables(NamedTuple):
    """What a site's outcomes say."""

    latent_effects: pd.DataFrame
    latent_sets: pd.DataFrame
    integrated_gradients: pd.DataFrame
    latent_dms: pd.DataFrame


def site_tables(outcomes: Mapping[str, Sequence[Outcome]], judge: Judge) -> SiteTables:
    """Tables of one site. outcomes: by context, one of each protein."""
    parts: list[SiteTables] = []
    for context, of_context in outcomes.items():
        groups = {outcome.protein: [outcome] for outcome in of_context}
        groups |= {ALL: list(of_context)} if len(of_context) > 1 else {}
        for protein, group in groups.items():
            parts.append(_with_protein(protein, _tables(group, CONTEXTS[context], judge, alone=protein != ALL)))
    return SiteTables(*(pd.concat(column, ignore_index=True) for column in zip(*parts, strict=True)))


def _with_protein(protein: str, tables: SiteTables) -> SiteTables:
    for table in tables:
        table.insert(0, "protein", protein)
    return tables


def _tables(group: Sequence[Outcome], readouts: Sequence[str], judge: Judge, *, alone: bool) -> SiteTables:
    patched = joined_patches([outcome.patched for outcome in group])
    frequency = np.mean([outcome.frequency for outcome in group], axis=0)
    resamples = judge(clusters_of([outcome.reported["position"].to_numpy() for outcome in group]))
    effects = gather(patched.singles, frequency, readouts, NULLS)
    singles = latent_table(effects, patched.totals, frequency, resamples)
    sets = set_tables(group[0].sets, patched, resamples, readouts, beside_sets(readouts))
    attributions = group[0].attributions.copy() if alone else group[0].attributions.iloc[:0].copy()
    return SiteTables(singles, sets, attributions, _relations(group, readouts, resamples))


def beside_sets(readouts: Sequence[str]) -> Beside:
    """What a piece has patched beside the sets."""
    return Beside(DISPLACEMENTS, tuple(own_rankings(readouts)), OWN_SIZES)


def clusters_of(positions: Sequence[Int[ndarray, "row"]]) -> Int[ndarray, "row"]:
    """Numbers of the positions of several proteins, each its own."""
    pairs = [(protein, int(position)) for protein, own in enumerate(positions) for position in own]
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([numbers[pair] for pair in pairs], dtype=np.int64)


def _relations(group: Sequence[Outcome], readouts: Sequence[str], resamples: Resamples) -> pd.DataFrame:
    """Correlation of every effect with the measured score; of several proteins, ranks are taken within each."""
    ranked = [{name: within(values) for name, values in _quantities(each, readouts).items()} for each in group]
    together = {name: np.concatenate([each[name] for each in ranked]) for name in ranked[0]}
    measured = together.pop("DMS_score")
    tables = []
    for readout in readouts:
        own = {name.split("/")[1]: part for name, part in together.items() if name.startswith(f"{readout}/")}
        table = relation_table(own, measured, together["blosum62"], resamples)
        table.insert(0, "readout", readout)
        tables.append(table)
    if "substitution" in readouts:  # once, and not in every context
        beside = {name: together[name] for name in COMPARED}
        table = relation_table(beside, measured, together["blosum62"], resamples)
        table.insert(0, "readout", "score of the mutant")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def within(values: Float[ndarray, "row"]) -> Float[ndarray, "row"]:
    """Ranks from 0 to 1."""
    return (rankdata(values) - 0.5) / max(len(values), 1)


def _quantities(outcome: Outcome, readouts: Sequence[str]) -> dict[str, Float[ndarray, "row"]]:
    """Of every reported mutation: what is restored in the mutant by each means, by read-out."""
    patched, rows = outcome.patched, rows_of(outcome.sets, CHANGED, beside_sets(readouts))
    changes = patched.sets[CHANGED, "denoising"]
    quantities = {name: outcome.reported[name].to_numpy(dtype=float) for name in ("DMS_score", *COMPARED)}
    for place, readout in enumerate(readouts):
        quantities[f"{readout}/whole effect"] = patched.totals[:, place]
        for name in (EVERYTHING, *WHOLES, *DISPLACEMENTS):
            quantities[f"{readout}/{name}"] = changes[:, rows.ranking.index(name), place]
        quantities[f"{readout}/largest latent"] = np.array(
            [np.abs(pair.denoised[:, place]).max(initial=0) for pair in patched.singles]
        )
        quantities[f"{readout}/largest random direction"] = np.array(
            [np.abs(pair.nulls["random"][0][:, place]).max(initial=0) for pair in patched.singles]
        )
    return quantities
