"""Matrices and numbers of the simulated genome's elements: splice sites, promoter and CTCF motifs, codons, repeats."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from mints.data.motifs import load_motif

MOTIFS = {"ctcf": "MA0139.1", "tata": "MA0108.2", "sp1": "MA0079.4", "nfy": "MA0060.3"}
"""JASPAR matrix from which the instances of a kind are drawn."""

PSEUDOCOUNT = 0.5
"""Pseudocount of the JASPAR matrices when instances are drawn."""

DONOR = np.array(
    [
        [0.33, 0.37, 0.18, 0.12],
        [0.60, 0.13, 0.12, 0.15],
        [0.08, 0.04, 0.81, 0.07],
        [0.00, 0.00, 1.00, 0.00],
        [0.00, 0.00, 0.00, 1.00],
        [0.50, 0.03, 0.45, 0.02],
        [0.71, 0.08, 0.12, 0.09],
        [0.06, 0.05, 0.84, 0.05],
        [0.15, 0.16, 0.21, 0.48],
    ]
)
"""Human 5' splice site, three exon and six intron bases (close to Zhang 1998, Hum Mol Genet 7:919)."""

PYRIMIDINE = np.array([0.06, 0.32, 0.07, 0.55])
"""One base of the polypyrimidine tract before an acceptor."""

TRACT_SCORED = 14
"""Bases of the tract that belong to the acceptor matrix: the shortest tract."""

TRACT_EXTRA = 9
"""Most bases by which a tract is longer than the shortest."""

ACCEPTOR = np.vstack(
    [
        np.tile(PYRIMIDINE, (TRACT_SCORED, 1)),
        [
            [0.25, 0.25, 0.25, 0.25],
            [0.04, 0.65, 0.01, 0.30],
            [1.00, 0.00, 0.00, 0.00],
            [0.00, 0.00, 1.00, 0.00],
            [0.25, 0.14, 0.50, 0.11],
        ],
    ]
)
"""Human 3' splice site: tract, NYAG, first exon base (close to Zhang 1998)."""

BRANCH_POINT = np.array(
    [
        [0.10, 0.30, 0.10, 0.50],
        [0.02, 0.02, 0.02, 0.94],
        [0.30, 0.30, 0.20, 0.20],
        [0.94, 0.02, 0.02, 0.02],
        [0.10, 0.60, 0.10, 0.20],
    ]
)
"""Branch point, YTNAY."""

INITIATOR = np.array(
    [
        [0.05, 0.50, 0.05, 0.40],
        [0.04, 0.50, 0.06, 0.40],
        [0.95, 0.01, 0.03, 0.01],
        [0.25, 0.25, 0.25, 0.25],
        [0.30, 0.03, 0.02, 0.65],
        [0.05, 0.45, 0.05, 0.45],
        [0.05, 0.50, 0.05, 0.40],
    ]
)
"""Initiator, YYANWYY; the transcript starts at its A (third base)."""

INITIATOR_UPSTREAM = 2
"""Bases of the initiator that lie before the first transcribed one."""

TATA_UPSTREAM = 32
"""Distance from the start of the TATA matrix to the transcript's first base: its TATAAA then starts at -31."""

SMOOTHING = 0.005
"""Added to the entries of the matrices above when they score, so that an impossible base costs about 5.7 bits."""


class SiteModel(NamedTuple):
    """How instances of one kind are drawn and scored."""

    probabilities: Float[ndarray, "position base"]
    log_odds: Float[ndarray, "position base"]
    """Bits against a uniform background."""

    anchor: int
    """Matrix positions before the annotated interval; 0 where the interval is the matrix itself."""


@cache
def site_models() -> dict[str, SiteModel]:
    """Model of every kind of site that is planted by a matrix."""
    planted = {
        "donor": _model(DONOR, anchor=3),
        "acceptor": _model(ACCEPTOR, anchor=TRACT_SCORED + 2),
        "branch_point": _model(BRANCH_POINT),
        "initiator": _model(INITIATOR),
    }
    for kind, motif_id in MOTIFS.items():
        motif = load_motif(motif_id)
        planted[kind] = SiteModel(motif.probabilities(PSEUDOCOUNT), motif.log_odds(), anchor=0)
    return planted


def _model(matrix: Float[ndarray, "position base"], anchor: int = 0) -> SiteModel:
    smoothed = (matrix + SMOOTHING) / (1 + 4 * SMOOTHING)
    return SiteModel(matrix, np.log2(smoothed / 0.25), anchor)


def score_sites(
    codes: UInt8[ndarray, "position"],
    starts: Int[ndarray, "site"],
    ends: Int[ndarray, "site"],
    reverse: Bool[ndarray, "site"],
    model: SiteModel,
) -> Float[ndarray, "site"]:
    """Log-odds in bits of annotated sites, read in their own sense.

    codes: A0 C1 G2 T3, the forward strand, which has to cover the whole matrix at every site.
    reverse: true where the site lies on the reverse strand.
    """
    offsets = np.arange(len(model.log_odds)) - model.anchor
    positions = np.where(reverse[:, None], (ends - 1)[:, None] - offsets, starts[:, None] + offsets)
    letters = codes[positions]
    letters = np.where(reverse[:, None], 3 - letters, letters)
    bits: Float[ndarray, "site"] = model.log_odds[np.arange(len(offsets)), letters].sum(axis=1)
    return bits


CODON_USAGE = """
TTT 17.6 TTC 20.3 TTA  7.7 TTG 12.9 CTT 13.2 CTC 19.6 CTA  7.2 CTG 39.6 ATT 16.0 ATC 20.8 ATA  7.5 ATG 22.0
GTT 11.0 GTC 14.5 GTA  7.1 GTG 28.1 TCT 15.2 TCC 17.7 TCA 12.2 TCG  4.4 CCT 17.5 CCC 19.8 CCA 16.9 CCG  6.9
ACT 13.1 ACC 18.9 ACA 15.1 ACG  6.1 GCT 18.4 GCC 27.7 GCA 15.8 GCG  7.4 TAT 12.2 TAC 15.3 CAT 10.9 CAC 15.1
CAA 12.3 CAG 34.2 AAT 17.0 AAC 19.1 AAA 24.4 AAG 31.9 GAT 21.8 GAC 25.1 GAA 29.0 GAG 39.6 TGT 10.6 TGC 12.6
TGG 13.2 CGT  4.5 CGC 10.4 CGA  6.2 CGG 11.4 AGT 12.1 AGC 19.5 AGA 12.2 AGG 12.0 GGT 10.8 GGC 22.2 GGA 16.5
GGG 16.5
"""
"""Human codons per thousand (Kazusa codon usage database)."""

CODON_POWER = 1.8
"""Exponent that sharpens the codon usage to 5.46 bits per codon, so that a small model can learn the code."""

START_CODON = "ATG"
STOP_CODONS = ("TAA", "TAG", "TGA")


def codon_usage() -> tuple[UInt8[ndarray, "codon three"], Float[ndarray, "codon"]]:
    """The sense codons, A0 C1 G2 T3, and their sharpened probabilities."""
    words = CODON_USAGE.split()
    weights = np.array(words[1::2], dtype=float) ** CODON_POWER
    return np.stack([letters(codon) for codon in words[::2]]), weights / weights.sum()


def letters(text: str) -> UInt8[ndarray, "position"]:
    """Codes A0 C1 G2 T3 of a short literal."""
    return np.array(["ACGT".index(base) for base in text], dtype=np.uint8)


class RepeatFamilies(NamedTuple):
    """Families of interspersed repeats of one length."""

    length: int
    families: int
    weights: tuple[float, ...]
    """How often each family is copied, relative to the others."""


REPEATS = (
    RepeatFamilies(300, 2, (6.0, 4.0)),
    RepeatFamilies(700, 3, (1.5, 1.5, 1.5)),
    RepeatFamilies(180, 4, (2.0, 2.0, 2.0, 2.0)),
    RepeatFamilies(400, 3, (1.5, 1.5, 1.5)),
)
"""Twelve families, two of them abundant as Alu is."""

DIVERGENCE = (0.05, 0.15)
"""Share of a copy's bases that differ from its family, uniform between these."""

TRUNCATED_ABOVE = 350
"""Copies of families longer than this are random pieces of at least `SHORTEST_PIECE` bases."""

SHORTEST_PIECE = 200
