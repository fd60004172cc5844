"""Simulated deep mutational scans: substitutions of a family's member whose effect is known exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from mints.data.residues import RESIDUES, decode_residues
from mints.data.simulation.protein_families import FOLDS, DomainFamily
from mints.data.simulation.proteins import SCANS, SimulatedProtein, SimulatedProteins, random_stream
from mints.errors import UsageError
from mints.protein_config import ProteinSimulation

MEASURED = 0.97
"""Share of the single substitutions that a scan has measured."""

DOUBLES = 400
"""Double mutants of a scan."""

AT_PAIRS = 0.25
"""Share of these that change both positions of a pair of the family."""

STABILITY_RANGE = 4.0
"""Nats below which a domain is unfolded whatever else befalls it: measured effects level off there."""

NOISE = 0.4
"""Standard deviation of the measurement."""


class Scan(NamedTuple):
    """A scan of one domain."""

    name: str
    accession: str
    """Protein of the set whose domain was scanned."""

    family: str
    start: int
    """0-based place of the domain in that protein."""

    measured: pd.DataFrame
    """ProteinGym's columns: mutant (`A13C`, of doubles `A13C:D20K`), mutated_sequence, DMS_score, DMS_score_bin."""

    truth: pd.DataFrame
    """mutant; constraint: of its positions, of doubles `core:surface`; effect: change of the family's log-odds in nats,
    negative where it does harm; additive_effect: sum of its single substitutions' effects; epistasis: the difference.
    """


def simulate_scans(simulation: ProteinSimulation, world: SimulatedProteins) -> list[Scan]:
    """A scan of the first family of each fold. Raises UsageError where no soluble protein has such a domain."""
    return [_simulate_scan(world, number, random_stream(simulation, SCANS, number)) for number in range(len(FOLDS))]


def _simulate_scan(world: SimulatedProteins, number: int, rng: np.random.Generator) -> Scan:
    family = world.families[number]
    protein, start = _wild_type(world, number)
    codes = protein.codes[start : start + len(family.constraint)]
    changes = [*_singles(codes, rng), *_doubles(codes, family, rng)]
    mutants = np.stack([_mutated(codes, change) for change in changes])
    effect = family.log_odds(mutants) - family.log_odds(codes[None])
    single = dict(zip(_every_single(codes), _single_effects(codes, family), strict=True))
    additive = np.array([sum(single[part] for part in change) for change in changes])
    score = STABILITY_RANGE * np.tanh(effect / STABILITY_RANGE) + rng.normal(0, NOISE, len(effect))
    names = [":".join(f"{RESIDUES[codes[at]]}{at + 1}{RESIDUES[to]}" for at, to in change) for change in changes]
    measured = pd.DataFrame({
        "mutant": names,
        "mutated_sequence": [decode_residues(mutant) for mutant in mutants],
        "DMS_score": score,
        "DMS_score_bin": (score > np.median(score)).astype(int),
    })  # fmt: skip
    truth = pd.DataFrame({
        "mutant": names,
        "constraint": [":".join(family.constraint[at] for at, _ in change) for change in changes],
        "effect": effect,
        "additive_effect": additive,
        "epistasis": effect - additive,
    })  # fmt: skip
    name = f"{family.name.split()[0].upper()}{family.name.split()[1]}_SIM"
    return Scan(name, protein.accession, family.name, start, measured, truth)


def _wild_type(world: SimulatedProteins, number: int) -> tuple[SimulatedProtein, int]:
    """Of the family's members in soluble proteins the likeliest, and where it starts: what is scanned is stable.

    A paralogue and its ancestor are left aside, so that the member has no near copy.
    """
    ancestors = {protein.ancestor for protein in world.proteins}
    family = world.families[number]
    members = [
        (protein, domain.start)
        for protein in world.proteins
        for domain in protein.plan.domains
        if domain.family == number and protein.plan.kind == "soluble" and not protein.ancestor
        if protein.accession not in ancestors and protein.sequence == decode_residues(protein.codes)
    ]
    if not members:
        raise UsageError(
            f"simulation.proteins is {len(world.proteins)}: none is a soluble protein with a domain of the family"
            f" {family.name}, which a simulated scan needs"
        )
    codes = np.stack([protein.codes[start : start + len(family.constraint)] for protein, start in members])
    return members[int(family.log_odds(codes).argmax())]


Change = tuple[tuple[int, int], ...]
"""Positions and the codes that they change to."""


def _every_single(codes: UInt8[ndarray, "position"]) -> list[tuple[int, int]]:
    return [(at, to) for at in range(len(codes)) for to in range(len(RESIDUES)) if to != codes[at]]


def _single_effects(codes: UInt8[ndarray, "position"], family: DomainFamily) -> Float[ndarray, "single"]:
    mutants = np.stack([_mutated(codes, (change,)) for change in _every_single(codes)])
    effects: Float[ndarray, "single"] = family.log_odds(mutants) - family.log_odds(codes[None])
    return effects


def _singles(codes: UInt8[ndarray, "position"], rng: np.random.Generator) -> list[Change]:
    return [(change,) for change in _every_single(codes) if rng.random() < MEASURED]


def _doubles(codes: UInt8[ndarray, "position"], family: DomainFamily, rng: np.random.Generator) -> list[Change]:
    """Different double mutants, some at the two positions of a pair."""
    doubles: dict[Change, None] = {}
    while len(doubles) < DOUBLES:
        at = rng.choice(len(codes), size=2, replace=False)
        if rng.random() < AT_PAIRS:
            at = np.array(family.pairs[rng.integers(len(family.pairs))][:2])
        doubles[tuple((int(place), _other(codes, place, rng)) for place in np.sort(at))] = None
    return list(doubles)


def _other(codes: UInt8[ndarray, "position"], place: int, rng: np.random.Generator) -> int:
    return int((codes[place] + rng.integers(1, len(RESIDUES))) % len(RESIDUES))


def _mutated(codes: UInt8[ndarray, "position"], change: Change) -> Int[ndarray, "position"]:
    mutant = codes.copy()
    for at, to in change:
        mutant[at] = to
    return mutant
