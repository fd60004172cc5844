"""Simulated proteins: plans made into residues, with paralogues and a few ambiguous letters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from mints.data.residues import RESIDUES, decode_residues
from mints.data.simulation.protein_families import DomainFamily, draw_families
from mints.data.simulation.protein_plans import Plan, Planner
from mints.data.simulation.residue_kinds import KINDS
from mints.protein_config import ProteinSimulation

PARALOGUES = 0.12
"""Share of proteins that descend from another one of the set."""

DIVERGENCE = (0.05, 0.25)
"""Share of a paralogue's positions that were drawn again."""

AMBIGUOUS_LETTERS = {"X": 0.006, "U": 0.001, "B": 0.001, "Z": 0.001}
"""Share of proteins in which one residue is written as this letter."""

CHUNK = 1 << 16
"""Residues that are drawn at once."""


class SimulatedProtein(NamedTuple):
    """One protein with its truth."""

    accession: str
    plan: Plan
    codes: UInt8[ndarray, "position"]
    """By `RESIDUES`, before letters are made ambiguous."""

    sequence: str
    ancestor: str
    """Accession of the protein that it is a paralogue of; empty for none."""


class SimulatedProteins(NamedTuple):
    """Families and proteins."""

    families: list[DomainFamily]
    proteins: list[SimulatedProtein]

    def features(self) -> pd.DataFrame:
        """Annotation as UniProt's tables have it: accession, feature, start_1based, end_incl, note."""
        rows = [(p.accession, f.feature, f.start + 1, f.end, f.note) for p in self.proteins for f in p.plan.features]
        return pd.DataFrame(rows, columns=["accession", "feature", "start_1based", "end_incl", "note"])

    def segments(self) -> pd.DataFrame:
        """What each stretch was drawn as, decoys included: accession, segment, start_1based, end_incl."""
        rows = [(p.accession, s.kind, s.start + 1, s.end) for p in self.proteins for s in p.plan.segments]
        return pd.DataFrame(rows, columns=["accession", "segment", "start_1based", "end_incl"])


def random_stream(simulation: ProteinSimulation, *key: int) -> np.random.Generator:
    """Random numbers of one purpose; no stream depends on how much another one was used."""
    return np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=key))


FAMILY_STREAM, PLANS, RESIDUE_STREAM, PARALOGUE_STREAM, LETTERS, SCANS = range(6)
"""First number of a stream's key."""


def simulate_proteins(simulation: ProteinSimulation) -> SimulatedProteins:
    """Families and proteins; the same for the same configuration. Families depend on the seed alone."""
    families = draw_families(random_stream(simulation, FAMILY_STREAM))
    planner = Planner(families, random_stream(simulation, PLANS))
    plans = [planner.draw() for _ in range(simulation.proteins)]
    ancestors = _paralogues(plans, random_stream(simulation, PARALOGUE_STREAM))
    drawn = draw_residues(families, plans, random_stream(simulation, RESIDUE_STREAM))
    again = draw_residues(families, plans, random_stream(simulation, RESIDUE_STREAM, 1))
    rng = random_stream(simulation, PARALOGUE_STREAM, 1)
    names = [f"SIM{number:05d}" for number in range(1, len(plans) + 1)]
    proteins = []
    for number, (plan, ancestor) in enumerate(zip(plans, ancestors, strict=True)):
        codes = drawn[number]
        if ancestor >= 0:
            codes = np.where(_changed(families, plan, rng), again[number], drawn[ancestor])
        proteins.append((names[number], plan, codes, names[ancestor] if ancestor >= 0 else ""))
    letters = random_stream(simulation, LETTERS)
    return SimulatedProteins(
        families, [SimulatedProtein(n, p, c, _with_ambiguity(c, letters), a) for n, p, c, a in proteins]
    )


def draw_residues(
    families: list[DomainFamily], plans: list[Plan], rng: np.random.Generator
) -> list[UInt8[ndarray, "position"]]:
    """Residues of every plan: each position by its own distribution, paired positions together."""
    row_of, table = _distributions(families)
    lengths = [len(plan) for plan in plans]
    rows = np.fromiter((row_of[position] for plan in plans for position in plan.positions), np.int64, sum(lengths))
    codes = np.concatenate([_draw(table, rows[at : at + CHUNK], rng) for at in range(0, len(rows), CHUNK)])
    starts = np.cumsum([0, *lengths])
    for number, family in enumerate(families):
        members = [start + d.start for plan, start in zip(plans, starts, strict=False) for d in plan.domains
                   if d.family == number]  # fmt: skip
        for pair in family.pairs:
            both = _draw(pair.joint.reshape(1, -1), np.zeros(len(members), dtype=np.int64), rng)
            at = np.array(members, dtype=np.int64)
            codes[at + pair.first], codes[at + pair.second] = np.divmod(both, len(RESIDUES))
    return [part.astype(np.uint8) for part in np.split(codes, starts[1:-1])]


def _distributions(
    families: list[DomainFamily],
) -> tuple[dict[tuple[str, int], int], Float[ndarray, "kind residue"]]:
    """Every distribution that a position may have, and its row by the position's name."""
    keys = [(kind, 0) for kind in KINDS]
    keys += [(family.name, position) for family in families for position in range(len(family.constraint))]
    table = np.concatenate([np.stack(list(KINDS.values())), *(family.profile for family in families)])
    return {key: row for row, key in enumerate(keys)}, table


def _draw(
    table: Float[ndarray, "kind outcome"], rows: Int[ndarray, "draw"], rng: np.random.Generator
) -> Int[ndarray, "draw"]:
    thresholds = table.cumsum(1)[:, :-1]
    outcome: Int[ndarray, "draw"] = (rng.random(len(rows))[:, None] >= thresholds[rows]).sum(1)
    return outcome


def _paralogues(plans: list[Plan], rng: np.random.Generator) -> list[int]:
    """Ancestor of each protein, -1 for none; a paralogue takes its ancestor's plan. Ancestors have none themselves."""
    ancestors = np.full(len(plans), -1)
    for number in np.flatnonzero(rng.random(len(plans)) < PARALOGUES):
        possible = np.flatnonzero(ancestors[:number] < 0)
        if len(possible):
            ancestors[number] = rng.choice(possible)
            plans[number] = plans[ancestors[number]]
    return [int(ancestor) for ancestor in ancestors]


def _changed(families: list[DomainFamily], plan: Plan, rng: np.random.Generator) -> Bool[ndarray, "position"]:
    """Which positions a paralogue has drawn again; paired ones together."""
    changed = rng.random(len(plan)) < rng.uniform(*DIVERGENCE)
    for domain in plan.domains:
        for pair in families[domain.family].pairs:
            changed[domain.start + pair.second] = changed[domain.start + pair.first]
    return changed


def _with_ambiguity(codes: UInt8[ndarray, "position"], rng: np.random.Generator) -> str:
    sequence = decode_residues(codes)
    draw, place = rng.random(), int(rng.integers(1, len(codes)))
    for letter, share in AMBIGUOUS_LETTERS.items():
        if draw < share:
            return sequence[:place] + letter + sequence[place + 1 :]
        draw -= share
    return sequence
