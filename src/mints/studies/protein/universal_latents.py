"""Part of a step: are the latents that lead in many mutations detectors of the residue that stands there?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.substitution_readout import CONTEXTS
from mints.features.universality import WIDESPREAD, universality
from mints.studies.protein.effect_tables import clusters_of

PERMUTATIONS = 200

AT_POSITIONS = 0.1
"""Share of the positions at which a latent has to lead to be asked about: no residue stands at half of them."""


def universality_table(
    results: Mapping[str, Mapping[str, ndarray]], mutations: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> pd.DataFrame:
    """One row per read-out, unit, kind of identity and latent that leads in several units.

    results: arrays of one site's pieces, by protein. Units are proteins, where there are several, and positions: the
    best identity of every latent is looked for on half of them, and judged on the others.
    """
    cases = pd.concat([mutations[name] for name in results], ignore_index=True)
    proteins = np.repeat(np.arange(len(results)), [len(mutations[name]) for name in results])
    positions = clusters_of([mutations[name]["position"].to_numpy() for name in results])
    units = {"protein": (proteins, WIDESPREAD), "position": (positions, AT_POSITIONS)}
    if len(results) == 1:
        del units["protein"]
    kinds = {"wild type": cases["wild_type"], "mutant": cases["mutant"]}
    tables = []
    for context, readouts in CONTEXTS.items():
        leading = np.concatenate([arrays[f"{context}/leading"] for arrays in results.values()], axis=1)
        for place, readout in enumerate(readouts):
            for unit, (sequence, share) in units.items():
                for kind, names in kinds.items():
                    table = _of_identity(leading[place], sequence, names.to_numpy(), share, rng)
                    for column, value in (("identity_kind", kind), ("unit", unit), ("readout", readout)):
                        table.insert(0, column, value)
                    tables.append(table)
    return pd.concat(tables, ignore_index=True).rename(columns={"latents": "latent", "sequences": "units"})


def _of_identity(
    leading: Bool[ndarray, "case latent"],
    sequence: ndarray,
    names: ndarray,
    share: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    labels, identity = np.unique(names.astype(str), return_inverse=True)
    count = int(sequence.max()) + 1
    found_on = np.isin(np.arange(count), rng.permutation(count)[: count // 2])
    result = universality(leading, sequence, identity, found_on, permutations=PERMUTATIONS, rng=rng, widespread=share)
    table = pd.DataFrame(result._asdict() | {"identity": labels[result.identity]})
    table["q"] = benjamini_hochberg(table["p"].fillna(1.0).to_numpy())
    return table
