"""Plans of simulated proteins: which kind of position follows which, and what that is called in an annotation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mints.data.simulation.protein_families import DomainFamily

SIGNAL_N, SIGNAL_H, SIGNAL_C = (2, 6), (8, 14), (5, 8)
"""Residues of a signal peptide's regions, up to one below the second number; the start is not counted."""

MATURE_START = 2
"""Residues after the cleavage site that are still of its pattern."""

MEMBRANE_SPAN = (19, 24)
BELT = 3
"""Residues at either end of a transmembrane helix that lie between the lipids' heads."""

FLANK = (4, 7)
"""Residues next to a membrane that have the charge of their side."""

SPANS = (2, 6)
"""Helices of a protein with several."""

INSIDE_FIRST = 0.7
"""Share of these whose N-terminus is in the cytoplasm."""

LOOP, TAIL, LINKER = (3, 12), (5, 20), (4, 16)
BURIED = (18, 24)
"""Residues of the hydrophobic helix within some soluble proteins."""

BURIED_POLAR = 5
"""Of such a helix every residue so far from the last polar one is polar."""

ARCHITECTURES = {
    "soluble": 0.32,
    "secreted": 0.18,
    "single_pass": 0.13,
    "anchored": 0.09,
    "multi_pass": 0.15,
    "buried_helix": 0.10,
    "disordered": 0.03,
}
"""Kinds of protein and their shares. Anchored ones (a hydrophobic N-terminus that is not cleaved) and buried helices
are what signal peptides and transmembrane helices can be taken for.
"""

TWO_DOMAINS = 0.4
"""Share of soluble proteins with a second domain."""


class Feature(NamedTuple):
    """A row of a UniProt table."""

    feature: str
    start: int
    end: int
    """0-based, half-open."""

    note: str


class Segment(NamedTuple):
    """A stretch of a protein by what it was drawn as, which no annotation need tell."""

    kind: str
    start: int
    end: int


class PlacedDomain(NamedTuple):
    """A domain of a protein."""

    family: int
    start: int


class Plan:
    """A protein before its residues are drawn."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.positions: list[tuple[str, int]] = []
        """Of each residue what its distribution is: a name of `KINDS` and 0, or a family's name and a position."""

        self.features: list[Feature] = []
        self.segments: list[Segment] = []
        self.domains: list[PlacedDomain] = []
        self.mature = 0
        """Where the protein begins once its signal peptide is cut off."""

    def __len__(self) -> int:
        return len(self.positions)

    def add(self, kind: str, length: int, segment: str = "") -> None:
        """Residues of one kind; `segment` names the stretch."""
        if segment and length:
            self.segments.append(Segment(segment, len(self), len(self) + length))
        self.positions += [(kind, 0)] * length

    def annotate(self, feature: str, start: int, end: int | None = None, note: str = "") -> None:
        """Name what stands from `start` to `end`, by default to where the plan ends now."""
        self.features.append(Feature(feature, start, len(self) if end is None else end, note))


class Planner:
    """Draws plans."""

    def __init__(self, families: Sequence[DomainFamily], rng: np.random.Generator) -> None:
        self.families = families
        self.rng = rng

    def draw(self) -> Plan:
        """The plan of the next protein."""
        kind = str(self.rng.choice(list(ARCHITECTURES), p=list(ARCHITECTURES.values())))
        plan = Plan(kind)
        if kind in ("secreted", "single_pass"):
            self._signal_peptide(plan)
        else:
            plan.add("start", 1)
        getattr(self, f"_{kind}")(plan)
        note = f"Simulated {kind.replace('_', '-')} protein"
        plan.annotate("Chain", plan.mature, note=note)
        return plan

    def _between(self, bounds: tuple[int, int]) -> int:
        return int(self.rng.integers(*bounds))

    def _soluble(self, plan: Plan) -> None:
        self._linker(plan)
        self._domain(plan)
        if self.rng.random() < TWO_DOMAINS:
            self._linker(plan)
            self._domain(plan)
        self._linker(plan)

    def _secreted(self, plan: Plan) -> None:
        self._linker(plan)
        self._domain(plan)
        self._linker(plan)

    def _buried_helix(self, plan: Plan) -> None:
        """A soluble protein with a hydrophobic helix beside its domain: no belts, no charged flanks, some polar."""
        self._linker(plan)
        before = self.rng.random() < 0.5
        for part in (self._buried, self._domain) if before else (self._domain, self._buried):
            part(plan)
            self._linker(plan)

    def _disordered(self, plan: Plan) -> None:
        length = self._between((60, 121))
        plan.add("linker", length, "linker")
        plan.annotate("Region", len(plan) - length, note="Disordered")

    def _single_pass(self, plan: Plan) -> None:
        """Signal peptide, domain outside, one helix, tail inside."""
        self._linker(plan)
        self._domain(plan)
        self._linker(plan)
        plan.add("outer_flank", self._between(FLANK), "outer_flank")
        plan.annotate("Topological domain", plan.mature, note="Extracellular")
        self._membrane_helix(plan, "Helical")
        inside = len(plan)
        plan.add("inner_flank", self._between(FLANK), "inner_flank")
        plan.add("linker", self._between(TAIL), "linker")
        plan.annotate("Topological domain", inside, note="Cytoplasmic")

    def _anchored(self, plan: Plan) -> None:
        """A short tail inside, an uncleaved hydrophobic helix near the N-terminus, domain outside."""
        plan.add("inner_flank", self._between(FLANK), "inner_flank")
        plan.annotate("Topological domain", 0, note="Cytoplasmic")
        self._membrane_helix(plan, "Helical%3B Signal-anchor for type II membrane protein", "signal_anchor")
        outside = len(plan)
        plan.add("outer_flank", self._between(FLANK), "outer_flank")
        self._linker(plan)
        self._domain(plan)
        self._linker(plan)
        plan.annotate("Topological domain", outside, note="Extracellular")

    def _multi_pass(self, plan: Plan) -> None:
        """Several helices; loops have the charges of the side that they are on."""
        spans, inside = self._between(SPANS), self.rng.random() < INSIDE_FIRST
        begun = 0
        plan.add("linker", self._between(TAIL), "linker")
        for number in range(1, spans + 1):
            self._flank(plan, inside)
            plan.annotate("Topological domain", begun, note="Cytoplasmic" if inside else "Extracellular")
            self._membrane_helix(plan, f"Helical%3B Name%3D{number}")
            begun, inside = len(plan), not inside
            self._flank(plan, inside)
            plan.add("linker", self._between(LOOP if number < spans else TAIL), "linker")
        plan.annotate("Topological domain", begun, note="Cytoplasmic" if inside else "Extracellular")

    def _flank(self, plan: Plan, inside: bool) -> None:
        kind = "inner_flank" if inside else "outer_flank"
        plan.add(kind, self._between(FLANK), kind)

    def _linker(self, plan: Plan) -> None:
        plan.add("linker", self._between(LINKER), "linker")

    def _signal_peptide(self, plan: Plan) -> None:
        """Start, n-, h- and c-region, and the first residues of the mature protein."""
        plan.add("start", 1)
        plan.add("signal_n", self._between(SIGNAL_N), "signal_n")
        plan.add("signal_h", self._between(SIGNAL_H), "signal_h")
        begin = len(plan)
        plan.add("signal_c", self._between(SIGNAL_C) - 3)
        plan.add("signal_minus_3", 1)
        plan.add("signal_c", 1)
        plan.add("signal_minus_1", 1)
        plan.segments.append(Segment("signal_c", begin, len(plan)))
        plan.annotate("Signal peptide", 0)
        plan.mature = len(plan)
        plan.add("mature_start", MATURE_START)

    def _membrane_helix(self, plan: Plan, note: str, segment: str = "transmembrane") -> None:
        begin, length = len(plan), self._between(MEMBRANE_SPAN)
        core = "membrane_bundle" if plan.kind == "multi_pass" else "membrane_core"
        for kind, part in (("membrane_belt", BELT), (core, length - 2 * BELT), ("membrane_belt", BELT)):
            plan.add(kind, part)
        plan.segments.append(Segment(segment, begin, len(plan)))
        plan.annotate("Transmembrane", begin, note=note)

    def _buried(self, plan: Plan) -> None:
        begin, length = len(plan), self._between(BURIED)
        for place in range(length):
            plan.add("buried_polar" if place % BURIED_POLAR == BURIED_POLAR - 1 else "buried_hydrophobic", 1)
        plan.segments.append(Segment("buried_helix", begin, len(plan)))
        plan.annotate("Helix", begin)

    def _domain(self, plan: Plan) -> None:
        number, start = int(self.rng.integers(len(self.families))), len(plan)
        family = self.families[number]
        plan.domains.append(PlacedDomain(number, start))
        plan.positions += [(family.name, position) for position in range(len(family.constraint))]
        plan.annotate("Domain", start, note=family.name)
        for element in family.elements:
            plan.annotate(element.kind, start + element.start, start + element.end)
        for position, kind in enumerate(family.constraint):
            if kind == "invariant":
                plan.annotate("Active site", start + position, start + position + 1)
        for pair in family.pairs:
            if pair.kind == "disulfide":
                plan.annotate("Disulfide bond", start + min(pair[:2]), start + max(pair[:2]) + 1)
