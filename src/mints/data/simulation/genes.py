"""A protein-coding gene in its own sense: promoter, untranslated ends, exons in frame, introns with their signals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from mints.data.simulation.background import Supply
from mints.data.simulation.elements import (
    INITIATOR_UPSTREAM,
    START_CODON,
    STOP_CODONS,
    TATA_UPSTREAM,
    letters,
)
from mints.data.simulation.materials import Materials
from mints.data.simulation.stretch import Stretch

ISLAND_SHARE = 0.7
"""Promoters that lie in a CpG island."""

TATA_SHARE = {True: 0.2, False: 0.5}
"""Promoters with a TATA box, within islands and elsewhere."""

ACTIVATOR_SHARE = 0.5
"""Promoters with an Sp1 or NF-Y site."""

SP1_SHARE = 0.6
"""Of these, Sp1."""

UPSTREAM = (180, 300)
LEADER = (60, 150)
TRAILER = (100, 250)
"""Bases before the transcript's start, of the 5' and of the 3' untranslated end; like every pair here up to one below
the second number."""

ACTIVATOR_MARGINS = (20, 90)
"""Bases kept free before an activator's site and between its start and the transcript's."""

EXONS = (3, 7)
EXON_LENGTH = (5.3, 0.45, 90, 600)
INTRON_LENGTH = (5.7, 0.45, 150, 900)
"""Mean and deviation of the natural logarithm, then least and most bases."""

DONOR_EXONIC = 3
"""Bases of the donor matrix that lie in the exon."""

BRANCH_DISTANCE = (2, 16)
"""Bases between the branch point and the polypyrimidine tract."""

INTRON_REPEAT_SHARE = 0.35
"""Of the introns longer than `INTRON_REPEAT_ABOVE`, those that hold a repeat."""

INTRON_REPEAT_ABOVE = 420
INTRON_REPEAT_MARGINS = (90, 110)
"""Bases kept free at an intron's ends."""

STOPS = np.array([letters(codon) for codon in STOP_CODONS])


class Junction(NamedTuple):
    """Signals of the intron between two exons."""

    donor: UInt8[ndarray, "position"]
    acceptor: UInt8[ndarray, "position"]


def make_gene(materials: Materials, isochore: Supply, name: str) -> Stretch:
    """A gene on the forward strand; `isochore` fills what belongs to no element."""
    gene = Stretch()
    _add_promoter(gene, materials, isochore)
    lengths = _exon_lengths(materials)
    coding, junctions = _coding_sequence(materials, lengths)
    for exon, junction in zip(np.split(coding, np.cumsum(lengths)[:-1]), [*junctions, None], strict=True):
        gene.add(exon, "exon", detail=name)
        if junction is not None:
            _add_intron(gene, materials, junction, name)
    gene.add(materials.isochores[0].take(materials.between(*TRAILER)))
    return gene


def _add_promoter(gene: Stretch, materials: Materials, isochore: Supply) -> None:
    """Upstream sequence, initiator and 5' untranslated end; a CpG island covers all of it or nothing."""
    island = materials.chance(ISLAND_SHARE)
    supply = materials.island if island else isochore
    upstream = supply.take(materials.between(*UPSTREAM))
    leader = supply.take(materials.between(*LEADER))
    start = len(upstream)
    if island:
        gene.mark(0, start + len(leader), "cpg_island", ".")
    if materials.chance(ACTIVATOR_SHARE):
        kind = "sp1" if materials.chance(SP1_SHARE) else "nfy"
        position = materials.between(ACTIVATOR_MARGINS[0], start - ACTIVATOR_MARGINS[1])
        strand = materials.strand()
        _plant(gene, upstream, position, materials.site(kind, strand), kind, strand)
    if materials.chance(TATA_SHARE[island]):
        _plant(gene, upstream, start - TATA_UPSTREAM, materials.site("tata"), "tata")
    initiator = materials.site("initiator")
    upstream[-INITIATOR_UPSTREAM:] = initiator[:INITIATOR_UPSTREAM]
    leader[: len(initiator) - INITIATOR_UPSTREAM] = initiator[INITIATOR_UPSTREAM:]
    gene.mark(start - INITIATOR_UPSTREAM, start - INITIATOR_UPSTREAM + len(initiator), "initiator")
    gene.mark(start, start + 1, "tss", detail="island" if island else "plain")
    gene.add(upstream)
    gene.add(leader)


def _plant(gene: Stretch, into: ndarray, position: int, site: ndarray, kind: str, strand: str = "+") -> None:
    """Overwrite part of the next piece, which starts where `gene` ends, and annotate it."""
    into[position : position + len(site)] = site
    gene.mark(gene.length + position, gene.length + position + len(site), kind, strand)


def _exon_lengths(materials: Materials) -> Int[ndarray, "exon"]:
    """Lengths whose sum is a multiple of three."""
    lengths = _lengths(materials, EXON_LENGTH, materials.between(*EXONS))
    lengths[-1] += -lengths.sum() % 3
    return lengths


def _lengths(materials: Materials, shape: tuple[float, float, int, int], count: int) -> Int[ndarray, "piece"]:
    mean, deviation, least, most = shape
    return np.clip(materials.rng.lognormal(mean, deviation, count), least, most).astype(np.int64)


def _coding_sequence(
    materials: Materials, lengths: Int[ndarray, "exon"]
) -> tuple[UInt8[ndarray, "position"], list[Junction]]:
    """Spliced sequence from start to stop codon without a stop in between, and the splice sites written into it."""
    coding = materials.codons.take(int(lengths.sum()) // 3).reshape(-1)
    coding[:3] = letters(START_CODON)
    coding[-3:] = STOPS[materials.between(0, len(STOPS))]
    return coding, [_place_junction(materials, coding, int(boundary)) for boundary in np.cumsum(lengths)[:-1]]


def _place_junction(materials: Materials, coding: UInt8[ndarray, "position"], boundary: int) -> Junction:
    """Write the exonic bases of a donor and an acceptor around an exon's end, drawn again until they make no stop."""
    first, last = (boundary - DONOR_EXONIC) // 3 * 3, boundary // 3 * 3 + 3
    while True:
        junction = Junction(materials.site("donor"), materials.site("acceptor"))
        coding[boundary - DONOR_EXONIC : boundary] = junction.donor[:DONOR_EXONIC]
        coding[boundary] = junction.acceptor[-1]
        codons = coding[first:last].reshape(-1, 1, 3)
        if not (codons == STOPS).all(axis=2).any():
            return junction


def _add_intron(gene: Stretch, materials: Materials, junction: Junction, name: str) -> None:
    """Donor, background with perhaps a repeat, branch point, polypyrimidine tract and acceptor."""
    length = int(_lengths(materials, INTRON_LENGTH, 1)[0])
    intron = materials.intron.take(length)
    donor, extra = junction.donor[DONOR_EXONIC:], materials.tract()
    tail = np.concatenate([extra, junction.acceptor[:-1]])
    intron[: len(donor)] = donor
    intron[-len(tail) :] = tail
    branch_point = materials.site("branch_point")
    position = length - len(tail) - materials.between(*BRANCH_DISTANCE) - len(branch_point)
    _plant(gene, intron, position, branch_point, "branch_point")
    if length > INTRON_REPEAT_ABOVE and materials.chance(INTRON_REPEAT_SHARE):
        head_margin, tail_margin = INTRON_REPEAT_MARGINS
        room = length - head_margin - tail_margin
        copy, strand, family = materials.repeat()
        copy = copy[:room]
        position = head_margin + materials.between(0, room - len(copy) + 1)
        into = slice(position, position + len(copy))
        intron[into] = copy
        gene.mark(gene.length + into.start, gene.length + into.stop, "repeat", strand, family)
    gene.mark(gene.length, gene.length + 2, "donor")
    gene.mark(gene.length + length - 2, gene.length + length, "acceptor")
    gene.add(intron, "intron", detail=name)
