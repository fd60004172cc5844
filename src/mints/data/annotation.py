"""Annotation of sequences: places by kind, whatever format they come in, and the concepts that are made of them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from mints.data.annotation_formats import Place, bed_places, genbank_places, gff_places
from mints.data.sequences import open_maybe_gzip
from mints.data.uniprot import is_uniprot_table, json_places, swiss_places, table_places
from mints.errors import MintsError

COLUMNS = list(Place._fields)

Format = Literal["bed", "gff", "genbank", "uniprot_table", "uniprot_flat", "uniprot_json"]

GENIC = frozenset(
    [
        *("gene", "pseudogene", "ncRNA_gene", "lincRNA_gene", "mRNA", "transcript", "pseudogenic_transcript"),
        *("CDS", "exon", "intron", "start_codon", "stop_codon"),
        *("five_prime_UTR", "three_prime_UTR", "UTR", "5UTR", "3UTR"),
        *("tRNA", "rRNA", "ncRNA", "tmRNA", "snRNA", "snoRNA", "lnc_RNA", "lincRNA", "miRNA", "pre_miRNA", "piRNA"),
        *("antisense_RNA", "SRP_RNA", "RNase_P_RNA", "circular_ncRNA"),
    ]
)
"""Kinds whose complement is intergenic."""

INTERGENIC = "intergenic"


def read_annotation(path: Path) -> pd.DataFrame:
    """Places of a BED, GFF3, GTF, GenBank or UniProt file, plain or gzip, recognised by its content.

    chromosome (for proteins, the accession), start, end (0-based, half-open), kind, strand (+, -, or . for none), name,
    region (rows of one number are one region of several parts: a GFF3 feature of one ID on many lines, a join in
    GenBank, the two ends of a disulfide bond), line (that the row begins at; of a JSON file the number of the entry).
    Raises MintsError, with file and line, for rows that cannot be read, and for a file without rows.
    """
    if not path.is_file():
        raise MintsError(f"{path} does not exist")
    try:
        with open_maybe_gzip(path) as stream:
            text = stream.read().decode("utf-8", "replace")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MintsError(f"{path} is a damaged or truncated gzip file: {error}") from None
    readers = {
        "gff": gff_places,
        "genbank": genbank_places,
        "uniprot_table": table_places,
        "uniprot_flat": swiss_places,
        "uniprot_json": json_places,
        "bed": bed_places,
    }
    rows = list(readers[format_of(text)](text, path))
    if not rows:
        raise MintsError(f"{path} has no annotation")
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["region"] = pd.factorize(table["region"])[0]
    return table.astype({"start": "int64", "end": "int64"})


def format_of(text: str) -> Format:
    """What a text looks like, by its first line with content and, where that is a comment, the first other one."""
    lines = (line for line in text.splitlines() if line.strip())
    first = next(lines, "")
    if first.startswith("##gff"):
        return "gff"
    if first.startswith("LOCUS "):
        return "genbank"
    if first.startswith("ID   "):
        return "uniprot_flat"
    if first.lstrip()[:1] in ("{", "["):
        return "uniprot_json"
    if is_uniprot_table(first):
        return "uniprot_table"
    row = first if not first.startswith("#") else next((line for line in lines if not line.startswith("#")), "")
    columns = row.split("\t")
    return "gff" if len(columns) == 9 and columns[3].isdecimal() and columns[4].isdecimal() else "bed"


def on_sequences(annotation: pd.DataFrame, lengths: Mapping[str, int], path: Path) -> pd.DataFrame:
    """The rows that lie on sequences of these names and lengths.

    Raises MintsError where there is none, and for the first row that reaches beyond its sequence's end.
    """
    here = annotation[annotation["chromosome"].isin(list(lengths))]
    if here.empty:
        named = ", ".join(annotation["chromosome"].unique()[:3])
        raise MintsError(f"{path} annotates {named}, …, and the sequences are {', '.join([*lengths][:3])}, …")
    beyond = here[here["end"] > here["chromosome"].map(lengths)]
    if len(beyond):
        row = beyond.iloc[0]
        place = f"{row['chromosome']}:{row['start']}-{row['end']}"
        length = lengths[row["chromosome"]]
        raise MintsError(f"{path} line {row['line']}: {place} ends beyond {row['chromosome']}, which is {length} long")
    return here.reset_index(drop=True)


def concept_places(
    annotation: pd.DataFrame, lengths: Mapping[str, int], by_strand: Collection[str], by_name: Collection[str]
) -> pd.DataFrame:
    """chromosome, start, end, concept, region: every kind is a concept, and so is what is made of kinds.

    by_strand: kinds that give KIND+ and KIND- as well. by_name: kinds that give KIND:NAME as well. Where the annotation
    knows genes, `intergenic` is the complement of everything genic. A region has one number per concept.
    """
    kind = annotation["kind"]
    stranded = annotation[kind.isin(list(by_strand)) & annotation["strand"].isin(["+", "-"])]
    named = annotation[kind.isin(list(by_name)) & (annotation["name"] != "")]
    parts = [
        annotation.assign(concept=kind),
        stranded.assign(concept=stranded["kind"] + stranded["strand"]),
        named.assign(concept=named["kind"] + ":" + named["name"]),
    ]
    genic = annotation[kind.isin(list(GENIC))]
    if len(genic) and not (kind == INTERGENIC).any():
        between = complement(genic, lengths)
        parts.append(between.assign(concept=INTERGENIC, region=np.arange(len(between))))
    table = pd.concat(parts, ignore_index=True)[["chromosome", "start", "end", "concept", "region"]]
    table["region"] = table.groupby(["concept", "region"], sort=False).ngroup()
    return table


def complement(places: pd.DataFrame, lengths: Mapping[str, int]) -> pd.DataFrame:
    """chromosome, start, end of what no place covers, on those sequences that have places."""
    rows: list[tuple[str, int, int]] = []
    for chromosome, here in places.groupby("chromosome", sort=False):
        ordered = here.sort_values("start")
        covered = np.maximum.accumulate(ordered["end"].to_numpy())
        starts = np.concatenate([[0], covered])
        ends = np.concatenate([ordered["start"].to_numpy(), [lengths[str(chromosome)]]])
        rows += [(str(chromosome), int(s), int(e)) for s, e in zip(starts, ends, strict=True) if s < e]
    return pd.DataFrame(rows, columns=["chromosome", "start", "end"])
