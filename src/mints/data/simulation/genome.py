"""The simulated genome: isochores, repeats, CTCF sites between genes, genes on both strands, and where they lie."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray

from mints.config import Simulation
from mints.data.simulation.background import Supply
from mints.data.simulation.elements import score_sites, site_models
from mints.data.simulation.genes import make_gene
from mints.data.simulation.materials import Materials, Nature, draw_nature
from mints.data.simulation.stretch import Stretch
from mints.data.tracking import Track, untracked
from mints.errors import UsageError

ISOCHORE_CHANGE = 0.08
"""Chance that a new isochore begins before a gene."""

INTERGENIC_PIECES = (3, 6)
PIECE_LENGTH = (120, 400)
"""Pieces of background before a gene and their lengths, up to one below the second number."""

REPEAT_SHARE, MICROSATELLITE_SHARE, CTCF_SHARE = 0.35, 0.07, 0.48
"""What follows a piece of background; otherwise the next piece follows directly."""

COLUMNS = ["chromosome", "start", "end", "kind", "strand", "strength", "detail"]


class SimulatedGenome(NamedTuple):
    """Sequence and planted truth."""

    chromosomes: dict[str, UInt8[ndarray, "position"]]
    """Codes A0 C1 G2 T3 by chromosome."""

    annotation: pd.DataFrame
    """chromosome, start, end, kind, strand, strength, detail; 0-based half-open, sorted along the genome.

    kind: ctcf, tss, tata, initiator, sp1, nfy, exon, intron, donor (its GT), acceptor (its AG), branch_point, repeat,
    cpg_island, microsatellite. strength: log-odds in bits under the kind's matrix, missing where it has none.
    detail: island or plain (tss), the repeat's family, the gene of an exon or intron.
    """


def random_stream(simulation: Simulation, *key: int) -> np.random.Generator:
    """Random numbers of one purpose; no stream depends on how much another one was used."""
    return np.random.default_rng(np.random.SeedSequence(simulation.seed, spawn_key=key))


NATURE, CHROMOSOMES, TASKS, PEAKS, SIGNAL, AUDIT = range(6)
"""First number of a stream's key."""


def simulate_genome(simulation: Simulation, *, track: Track = untracked) -> SimulatedGenome:
    """All chromosomes and their annotation; the same for the same seed.

    A chromosome depends on the seed and its own number alone, neither on the others nor, up to the last gene that
    fits, on its length. Raises UsageError where not even one gene fits.
    """
    nature = draw_nature(random_stream(simulation, NATURE))
    chromosomes, annotations = {}, []
    for number in track(range(1, simulation.chromosomes + 1), description="simulated genome", unit="chromosomes"):
        name = f"chr{number}"
        stretch = _make_chromosome(simulation, nature, number)
        chromosomes[name] = stretch.codes()
        annotations.append(_annotate(name, chromosomes[name], stretch))
    return SimulatedGenome(chromosomes, pd.concat(annotations, ignore_index=True))


def _make_chromosome(simulation: Simulation, nature: Nature, number: int) -> Stretch:
    """Blocks of intergenic sequence and a gene, as many as fit; the rest is background."""
    materials = Materials(nature, random_stream(simulation, CHROMOSOMES, number))
    chromosome = Stretch()
    isochore = materials.isochores[materials.between(0, len(materials.isochores))]
    for gene_number in count(1):
        if materials.chance(ISOCHORE_CHANGE):
            isochore = materials.isochores[materials.between(0, len(materials.isochores))]
        block = Stretch()
        _add_intergenic(block, materials, isochore)
        gene = make_gene(materials, isochore, f"chr{number}.gene{gene_number}")
        block.append(gene if materials.strand() == "+" else gene.reverse_complement())
        if chromosome.length + block.length > simulation.chromosome_length:
            break
        chromosome.append(block)
    if not chromosome.features:
        raise UsageError(f"simulation.chromosome_length is {simulation.chromosome_length}: too short for a single gene")
    chromosome.add(isochore.take(simulation.chromosome_length - chromosome.length))
    return chromosome


def _add_intergenic(block: Stretch, materials: Materials, isochore: Supply) -> None:
    """Pieces of background with repeats, microsatellites and CTCF sites after them."""
    for _ in range(materials.between(*INTERGENIC_PIECES)):
        block.add(isochore.take(materials.between(*PIECE_LENGTH)))
        draw = materials.rng.random()
        if draw < REPEAT_SHARE:
            codes, strand, family = materials.repeat()
            block.add(codes, "repeat", strand, family)
        elif draw < REPEAT_SHARE + MICROSATELLITE_SHARE:
            block.add(materials.microsatellite(), "microsatellite", ".")
        elif draw < REPEAT_SHARE + MICROSATELLITE_SHARE + CTCF_SHARE:
            strand = materials.strand()
            block.add(materials.site("ctcf", strand), "ctcf", strand)


def _annotate(name: str, codes: UInt8[ndarray, "position"], stretch: Stretch) -> pd.DataFrame:
    """Features of a finished chromosome, each site scored where it lies."""
    table = pd.DataFrame(stretch.features, columns=["start", "end", "kind", "strand", "detail"])
    table = table.sort_values(["start", "end", "kind"], ignore_index=True)
    table.insert(0, "chromosome", name)
    table["strength"] = np.nan
    for kind, model in site_models().items():
        rows = (table["kind"] == kind).to_numpy()
        sites = table[rows]
        reverse = (sites["strand"] == "-").to_numpy()
        table.loc[rows, "strength"] = score_sites(
            codes, sites["start"].to_numpy(), sites["end"].to_numpy(), reverse, model
        )
    return table[COLUMNS]
