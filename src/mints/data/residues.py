"""Amino-acid residues: letters to codes and back, and reading FASTA files of proteins."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from mints.data.sequences import Alphabet, ReadCounts, fasta_pieces, record_of
from mints.errors import MintsError

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
"""Letter of each code; every other letter has the code `UNKNOWN`."""

UNKNOWN = len(RESIDUES)

AMBIGUOUS = "XBZJUO"
"""Any residue, D or N, E or Q, I or L, selenocysteine, pyrrolysine: kept as they are, and counted."""

PROTEIN = Alphabet(
    plain=RESIDUES.encode(),
    # A stop at the end of a translation; `read_proteins` takes it away there and refuses it elsewhere.
    others=AMBIGUOUS.encode() + b"*",
    becomes=AMBIGUOUS.encode() + b"*",
    name="protein",
    rule="a protein has the letters of the twenty amino acids and X B Z J U O",
)

NUCLEOTIDES = frozenset("ACGTUN")
UNIPROT_HEADER = re.compile(r"^(?:sp|tr)\|([^|\s]+)\|")

_TO_CODE = np.full(256, UNKNOWN, dtype=np.uint8)
for _code, _letter in enumerate(RESIDUES):
    _TO_CODE[ord(_letter)] = _code
_TO_LETTER = np.frombuffer((RESIDUES + "X").encode(), dtype=np.uint8)


class Protein(NamedTuple):
    """One protein of a FASTA file."""

    accession: str
    """UniProt's, from a header such as `sp|P69905|HBA_HUMAN …`; otherwise the header's first word."""

    sequence: str
    """Upper-case residues, ambiguous letters as they are."""


@dataclass
class ProteinCounts:
    """What was noticed while reading."""

    ambiguous: Counter[str] = field(default_factory=Counter)
    """Letters that are none of the twenty residues, with their numbers."""

    stops: int = 0
    """Stops at the end of a sequence, which were taken away."""


def encode_residues(sequence: str) -> UInt8[ndarray, "position"]:
    """Codes by `RESIDUES`; every other letter is `UNKNOWN`."""
    return _TO_CODE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]


def decode_residues(codes: UInt8[ndarray, "position"]) -> str:
    """Letters of codes; the unknown one is X."""
    return bytes(_TO_LETTER[codes]).decode("ascii")


def read_proteins(path: Path, counts: ProteinCounts | None = None) -> list[Protein]:
    """Proteins of a FASTA file, plain or gzip, in its order; lower case is read as upper case.

    Raises MintsError, with the line where there is one, for a file that is missing, empty, damaged or no FASTA, for
    letters that no protein has, for a record without sequence, for an accession that comes twice, and for DNA.
    """
    counts = ProteinCounts() if counts is None else counts
    read = ReadCounts()
    proteins: dict[str, Protein] = {}
    for (_, header), pieces in groupby(fasta_pieces(path, read, PROTEIN), key=record_of):
        letters = "".join(piece.letters for piece in pieces)
        sequence = letters.removesuffix("*")
        counts.stops += len(letters) - len(sequence)
        read.add_record(path, header, len(sequence))
        if "*" in sequence:
            raise MintsError(f"{path}: record {header!r} has a stop (*) within its sequence")
        accession = accession_of(header)
        if accession in proteins:
            raise MintsError(f"{path}: two records are called {accession!r}")
        proteins[accession] = Protein(accession, sequence)
    if all(NUCLEOTIDES.issuperset(protein.sequence) for protein in proteins.values()):
        raise MintsError(f"{path} has the letters ACGTUN alone: it is DNA, and proteins are expected")
    counts.ambiguous.update({letter: number for letter, number in read.replaced.items() if letter != "*"})
    return list(proteins.values())


def accession_of(header: str) -> str:
    """The name by which a FASTA header's protein goes in tables of features."""
    found = UNIPROT_HEADER.match(header)
    return found[1] if found else (header.split() or [""])[0]
