"""Families of simulated domains: what each position of a family prefers, and how likely that makes a sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from mints.data.residues import RESIDUES
from mints.data.simulation.residue_kinds import BACKGROUND, CATALYTIC, CORE, SURFACE, TURN, distribution

FAMILIES = 12
FOLDS = ("Helical", "Stranded", "Mixed")
LENGTHS = (60, 71)
"""Residues of a domain, up to one below the second number."""

HELIX_LENGTHS, STRAND_LENGTHS, TURN_LENGTHS = (10, 16), (5, 8), (3, 6)
HELIX_TURN = 100.0
"""Degrees of a helix per residue; the core lies on one side of it."""

CORE_SIDE = 0.25
"""Cosine of the angle to the core above which a residue of a helix belongs to it."""

SPREAD = {"core": 1.5, "surface": 0.9, "turn": 1.4, "invariant": 0.8}
"""Standard deviation of a position's own preferences, in nats, about what its kind of position prefers."""

OTHERS = {"core": 0.10, "surface": 0.25, "turn": 0.15, "invariant": 0.07}
"""Share of residues of other kinds at a position before its own preferences are drawn."""

INVARIANT_POSITIONS = (3, 6)
NEUTRAL_SHARE = {"element": 0.3, "turn": 0.3}
"""Share of outward positions, in elements and in turns, where every residue does equally well."""

INTACT = 0.92
"""Share of members that have both cysteines of a bond, or both charges of a bridge."""

BRIDGES = 2


class Pair(NamedTuple):
    """Two positions of a family that depend on each other."""

    first: int
    second: int
    kind: str
    """disulfide or salt_bridge."""

    joint: Float[ndarray, "residue residue"]
    """Probability of the two residues."""


class Element(NamedTuple):
    """A helix or strand of a domain, half-open."""

    kind: str
    """Helix or Beta strand."""

    start: int
    end: int


class DomainFamily(NamedTuple):
    """A family of domains of one length."""

    name: str
    elements: tuple[Element, ...]
    constraint: tuple[str, ...]
    """What holds each position: core, surface, turn, invariant, disulfide, salt_bridge, or neutral for nothing."""

    profile: Float[ndarray, "position residue"]
    """Probability of each residue at each position; of a paired one over all residues of its partner."""

    pairs: tuple[Pair, ...]

    def log_odds(self, members: UInt8[ndarray, "member position"]) -> Float[ndarray, "member"]:
        """Nats by which the family is likelier than the background to have these sequences."""
        paired = {position for pair in self.pairs for position in pair[:2]}
        single = np.array([position for position in range(len(self.constraint)) if position not in paired])
        scores = np.log(self.profile / BACKGROUND)
        total: Float[ndarray, "member"] = scores[single, members[:, single]].sum(1)
        for pair in self.pairs:
            total += np.log(pair.joint / np.outer(BACKGROUND, BACKGROUND))[
                members[:, pair.first], members[:, pair.second]
            ]
        return total


def draw_families(rng: np.random.Generator) -> list[DomainFamily]:
    """`FAMILIES` families, folds in turn."""
    return [_draw_family(rng, FOLDS[number % len(FOLDS)], number // len(FOLDS) + 1) for number in range(FAMILIES)]


def _draw_family(rng: np.random.Generator, fold: str, number: int) -> DomainFamily:
    length = int(rng.integers(*LENGTHS))
    elements, inward = _architecture(rng, fold, length)
    constraint = _constraints(rng, length, elements, inward)
    pairs = _pairs(rng, constraint, elements, bonded=number % 2 == 1)
    profile = np.stack([_preference(rng, kind) for kind in constraint])
    for pair in pairs:
        constraint[pair.first] = constraint[pair.second] = pair.kind
        profile[pair.first], profile[pair.second] = pair.joint.sum(1), pair.joint.sum(0)
    return DomainFamily(f"{fold} {number}", elements, tuple(constraint), profile, tuple(pairs))


def _architecture(
    rng: np.random.Generator, fold: str, length: int
) -> tuple[tuple[Element, ...], Float[ndarray, "position"]]:
    """Elements with turns between them, and how far each residue points to the core (-1 to 1; 0 in turns)."""
    elements: list[Element] = []
    inward = np.zeros(length)
    at, helical = 2, fold == "Helical"
    while (end := at + int(rng.integers(*(HELIX_LENGTHS if helical else STRAND_LENGTHS)))) <= length - 2:
        turn = HELIX_TURN if helical else 180.0
        inward[at:end] = np.cos(np.deg2rad(turn * np.arange(end - at)) + rng.uniform(0, 2 * np.pi) * helical)
        elements.append(Element("Helix" if helical else "Beta strand", at, end))
        at, helical = end + int(rng.integers(*TURN_LENGTHS)), helical != (fold == "Mixed")
    return tuple(elements), inward


def _constraints(
    rng: np.random.Generator, length: int, elements: tuple[Element, ...], inward: Float[ndarray, "position"]
) -> list[str]:
    kinds = np.where(rng.random(length) < NEUTRAL_SHARE["turn"], "neutral", "turn").astype(object)
    for element in elements:
        outward = np.where(rng.random(element.end - element.start) < NEUTRAL_SHARE["element"], "neutral", "surface")
        kinds[element.start : element.end] = outward
    kinds[inward > CORE_SIDE] = "core"
    open_positions = np.flatnonzero(kinds != "core")
    kinds[rng.choice(open_positions, size=rng.integers(*INVARIANT_POSITIONS), replace=False)] = "invariant"
    return [str(kind) for kind in kinds]


def _pairs(
    rng: np.random.Generator, constraint: list[str], elements: tuple[Element, ...], *, bonded: bool
) -> list[Pair]:
    """Salt bridges one turn of a helix, or two places of a strand, apart; a disulfide bond between two elements."""
    pairs: list[Pair] = []
    taken: set[int] = set()
    reach = [
        (place, place + (4 if e.kind == "Helix" else 2), e.end) for e in elements for place in range(e.start, e.end)
    ]
    bridgeable = [(a, b) for a, b, end in reach if b < end and {constraint[a], constraint[b]} <= {"surface", "neutral"}]
    for chosen in rng.permutation(len(bridgeable)):
        first, second = bridgeable[chosen]
        if len(pairs) < BRIDGES and not taken & {first, second}:
            pairs.append(Pair(first, second, "salt_bridge", _bridge()))
            taken |= {first, second}
    if bonded:
        core = [[p for p in range(e.start, e.end) if constraint[p] == "core"] for e in elements]
        first, second = (int(rng.choice(places)) for places in (core[0], core[-1]))
        pairs.append(Pair(first, second, "disulfide", _bond()))
    return pairs


def _bond() -> Float[ndarray, "residue residue"]:
    cysteine = distribution({"C": 1})
    # One cysteine alone does no better than none.
    other = distribution({"A": 3, "V": 3, "S": 3, "T": 2, "L": 2}, rest=0.3)
    return INTACT * np.outer(cysteine, cysteine) + (1 - INTACT) * np.outer(other, other)


def _bridge() -> Float[ndarray, "residue residue"]:
    positive, negative = distribution({"K": 1, "R": 1}), distribution({"E": 3, "D": 2})
    other = distribution(SURFACE, rest=0.5)
    either_way = (np.outer(positive, negative) + np.outer(negative, positive)) / 2
    return INTACT * either_way + (1 - INTACT) * np.outer(other, other)


def _preference(rng: np.random.Generator, kind: str) -> Float[ndarray, "residue"]:
    """What a position of this kind prefers in one family."""
    if kind == "neutral":
        return BACKGROUND.copy()
    if kind == "invariant":
        favourite = RESIDUES[rng.choice(len(RESIDUES), p=distribution(CATALYTIC))]
        usual = distribution({favourite: 1}, rest=OTHERS[kind])
    else:
        usual = distribution({"core": CORE, "surface": SURFACE, "turn": TURN}[kind], rest=OTHERS[kind])
    own: Float[ndarray, "residue"] = usual * np.exp(rng.normal(0, SPREAD[kind], len(RESIDUES)))
    own /= own.sum()
    return own
