"""Natural counterfactuals: a reference window and the same window with a variant, from a VCF-like table."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mints.data.counterfactuals import Boundaries, is_aligned
from mints.data.genome import Genome
from mints.errors import MintsError

COLUMNS = ("chrom", "pos", "ref", "alt")


class Variant(NamedTuple):
    """One row of a table of variants."""

    chromosome: str
    position: int
    """0-based place of the first reference letter."""

    reference: str
    alternative: str
    line: int


class NaturalPair(NamedTuple):
    """A window of the genome with the reference letters and with the variant's."""

    name: str
    clean: str
    corrupted: str
    start: int
    end: int
    """Half-open place of the variant in the window."""


class NaturalPairs(NamedTuple):
    """Pairs, and how many variants gave none, by reason."""

    pairs: list[NaturalPair]
    refused: Counter[str]


def read_variants(path: Path) -> list[Variant]:
    """Rows of a tab- or comma-separated table with columns CHROM, POS (1-based), REF and ALT, in any case and order.

    VCF header lines (`##`) are skipped; a row with several alternatives (`G,T`) gives a variant for each. Raises
    MintsError where a column is missing or a position is no number.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    content = [
        (number, line) for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("##")
    ]
    if not content:
        raise MintsError(f"{path} is empty: expected columns CHROM, POS, REF, ALT")
    delimiter = "\t" if "\t" in content[0][1] else ","
    header, *rows = csv.reader((line for _, line in content), delimiter=delimiter)
    names = [name.strip().lstrip("#").lower() for name in header]
    absent = [name.upper() for name in COLUMNS if name not in names]
    if absent:
        raise MintsError(f"{path} has no column {', '.join(absent)}: expected CHROM, POS, REF, ALT")
    places = [names.index(name) for name in COLUMNS]
    variants = []
    for (number, _), row in zip(content[1:], rows, strict=True):
        chromosome, position, reference, alternative = (
            row[place].strip() if place < len(row) else "" for place in places
        )
        if not position.isdigit() or position == "0":
            raise MintsError(f"{path} line {number}: position {position!r} is not a number from 1 on")
        for letters in alternative.upper().split(","):
            variants.append(Variant(chromosome, int(position) - 1, reference.upper(), letters, number))
    return variants


def natural_pairs(
    variants: list[Variant], genome: Genome, width: int, boundaries: Boundaries, source: Path
) -> NaturalPairs:
    """A pair for every substitution whose window fits into its chromosome and keeps its token boundaries.

    width: bases of a window, with the variant in its middle. Raises MintsError, with the line, where the reference
    letters are not what the genome has: then the table belongs to another assembly.
    """
    pairs: list[NaturalPair] = []
    refused: Counter[str] = Counter(refused_indel=0, refused_beyond_the_chromosome=0, refused_not_aligned=0)
    for variant in variants:
        length, start = len(variant.reference), variant.position - width // 2
        if len(variant.alternative) != length or not set(variant.alternative) <= set("ACGT"):
            refused["refused_indel"] += 1
            continue
        if start < 0 or start + width > genome.length_of(variant.chromosome):
            refused["refused_beyond_the_chromosome"] += 1
            continue
        clean = genome.fetch(variant.chromosome, start, start + width)
        place = variant.position - start
        found = clean[place : place + length]
        if found != variant.reference:
            raise MintsError(
                f"{source} line {variant.line}: the genome has {found} at {variant.chromosome}:{variant.position + 1},"
                f" and the table {variant.reference}: is it of the same assembly?"
            )
        corrupted = clean[:place] + variant.alternative + clean[place + length :]
        if not is_aligned(clean, corrupted, boundaries):
            refused["refused_not_aligned"] += 1
            continue
        name = f"{variant.chromosome}:{variant.position + 1}{variant.reference}>{variant.alternative}"
        pairs.append(NaturalPair(name, clean, corrupted, place, place + length))
    return NaturalPairs(pairs, refused)
