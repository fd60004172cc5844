"""Annotation formats: one table, 0-based and half-open, whatever the file; errors name file and line."""

import gzip
import json

import pandas as pd
import pytest

from mints.data.annotation import complement, concept_places, on_sequences, read_annotation
from mints.errors import MintsError

GFF = """##gff-version 3
##sequence-region seq1 1 2000
seq1\tRefSeq\tregion\t1\t2000\t.\t+\t.\tID=seq1:1..2000
seq1\tRefSeq\tgene\t101\t400\t.\t+\t.\tID=gene-1;Name=abc%3B1
seq1\tRefSeq\tCDS\t101\t200\t.\t+\t0\tID=cds-1;Parent=gene-1;gene=abc
seq1\tRefSeq\tCDS\t301\t400\t.\t+\t0\tID=cds-1;Parent=gene-1;gene=abc
# a comment
seq1\tRefSeq\tCDS\t601\t700\t.\t-\t0\tID=cds-2;product=a protein
seq1\tRNA\tintron\t201\t300\t7\t+\t.\tName=x
seq1\tRNA\tintron\t201\t300\t7\t+\t.\tName=x
##FASTA
>seq1
ACGT
"""
GTF = 'chrIV\tens\tCDS\t11\t20\t.\t-\t0\tgene_id "G"; transcript_id "T"; gene_name "PAU1";\n'
TRUTH = (
    "#chromosome\tstart\tend\tkind\tscore\tstrand\tstrength\tdetail\n"
    "chr1\t122\t141\tctcf\t0\t+\t16.3\t.\n"
    "chr1\t200\t500\trepeat\t0\t-\t.\tfamily1\n"
    "chr1\t600\t900\trepeat\t0\t+\t.\tfamily2\n"
    "chr2\t0\t9\tctcf\t0\t-\t12.0\t.\n"
)
GENBANK = """LOCUS       pTEST                     60 bp    DNA     circular SYN 01-JAN-2020
DEFINITION  test
ACCESSION   pTEST
VERSION     pTEST.1
FEATURES             Location/Qualifiers
     source          1..60
     CDS             complement(join(1..9,21..30))
                     /gene="tetA"
     promoter        <41..50
                     /label="araBAD"
ORIGIN
        1 acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt acgtacgtac gtacgtacgt
//
"""
FLAT = """ID   TEST_HUMAN              Reviewed;         181 AA.
AC   Q00001; Q00002;
FT   DOMAIN          18..145
FT                   /note="Nudix hydrolase"
FT                   /evidence="ECO:0000255"
FT   DISULFID        41..109
FT   ACT_SITE        7
FT                   /note="Nucleophile"
FT   CHAIN           ?..181
SQ   SEQUENCE   181 AA;
//
ID   OTHER_HUMAN             Reviewed;         50 AA.
AC   Q00003;
FT   TRANSMEM        <5..24
//
"""
LONG = "accession\tfeature\tstart_1based\tend_incl\tnote\nQ1\tSignal peptide\t1\t22\t\nQ1\tDisulfide bond\t41\t109\t\n"
WIDE = (
    "Entry\tLength\tDomain [FT]\tActive site\n"
    'Q1\t300\tDOMAIN 18..145; /note="Nudix; hydrolase"; /evidence="x"; DOMAIN 150..200; /note="SH3"\tACT_SITE 7\n'
    "Q2\t90\t\tACT_SITE 3; ACT_SITE 9\n"
)


def read(tmp_path, text, name="annotation.txt", packed=False):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return read_annotation(path)


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


@pytest.mark.parametrize("packed", [False, True])
def test_gff3_is_one_based_and_inclusive_and_lines_of_one_id_are_one_region(tmp_path, packed):
    table = read(tmp_path, GFF, packed=packed)
    assert rows(table, "chromosome", "start", "end", "kind", "strand", "name") == [
        ("seq1", 0, 2000, "region", "+", "seq1:1..2000"),
        ("seq1", 100, 400, "gene", "+", "abc;1"),
        ("seq1", 100, 200, "CDS", "+", "abc"),
        ("seq1", 300, 400, "CDS", "+", "abc"),
        ("seq1", 600, 700, "CDS", "-", "a protein"),
        ("seq1", 200, 300, "intron", "+", "x"),
        ("seq1", 200, 300, "intron", "+", "x"),
    ]
    regions = table["region"].tolist()
    assert regions[2] == regions[3]
    assert len(set(regions)) == 6
    assert table["line"].tolist() == [3, 4, 5, 6, 8, 9, 10]


def test_gtf_names_by_its_quoted_attributes(tmp_path):
    assert rows(read(tmp_path, GTF), "start", "end", "kind", "strand", "name") == [(10, 20, "CDS", "-", "PAU1")]


def test_bed_takes_the_kind_from_the_name_and_the_name_from_the_column_detail(tmp_path):
    assert rows(read(tmp_path, TRUTH), "chromosome", "start", "end", "kind", "strand", "name") == [
        ("chr1", 122, 141, "ctcf", "+", ""),
        ("chr1", 200, 500, "repeat", "-", "family1"),
        ("chr1", 600, 900, "repeat", "+", "family2"),
        ("chr2", 0, 9, "ctcf", "-", ""),
    ]


def test_bed_whose_rows_each_have_a_name_of_their_own_is_of_one_kind(tmp_path):
    table = read(tmp_path, "".join(f"chr1\t{10 * n}\t{10 * n + 5}\tpeak{n}\n" for n in range(4)))
    assert table["kind"].unique().tolist() == ["region"]
    assert table["name"].tolist() == ["peak0", "peak1", "peak2", "peak3"]
    assert read(tmp_path, "chr1\t0\t5\n")["kind"].tolist() == ["region"]


def test_genbank_joins_are_one_region_and_its_ends_may_be_open(tmp_path):
    table = read(tmp_path, GENBANK)
    assert rows(table, "chromosome", "start", "end", "kind", "strand", "name", "region") == [
        ("pTEST.1", 0, 60, "source", "+", "", 0),
        ("pTEST.1", 20, 30, "CDS", "-", "tetA", 1),
        ("pTEST.1", 0, 9, "CDS", "-", "tetA", 1),
        ("pTEST.1", 40, 50, "promoter", "+", "araBAD", 2),
    ]


def test_a_disulfide_bond_is_two_residues_and_not_what_lies_between(tmp_path):
    for text, kind in ((FLAT, "DISULFID"), (LONG, "Disulfide bond")):
        table = read(tmp_path, text)
        bond = table[table["kind"] == kind]
        assert rows(bond, "start", "end") == [(40, 41), (108, 109)]
        assert bond["region"].nunique() == 1


def test_uniprot_s_flat_file_and_tables_and_json_tell_the_same(tmp_path):
    entry = {
        "primaryAccession": "Q00001",
        "features": [
            {"type": "Domain", "description": "Nudix hydrolase", "location": at(18, 145)},
            {"type": "Active site", "description": "Nucleophile", "location": at(7, 7)},
            {"type": "Chain", "location": {"start": {"value": None}, "end": {"value": 181}}},
        ],
    }
    flat = read(tmp_path, FLAT)
    assert rows(flat, "chromosome", "start", "end", "kind", "name") == [
        ("Q00001", 17, 145, "DOMAIN", "Nudix hydrolase"),
        ("Q00001", 40, 41, "DISULFID", ""),
        ("Q00001", 108, 109, "DISULFID", ""),
        ("Q00001", 6, 7, "ACT_SITE", "Nucleophile"),
        ("Q00003", 4, 24, "TRANSMEM", ""),
    ]
    for text in (json.dumps(entry), json.dumps([entry]), json.dumps({"results": [entry]}, indent=1)):
        assert rows(read(tmp_path, text), "chromosome", "start", "end", "kind", "name") == [
            ("Q00001", 17, 145, "Domain", "Nudix hydrolase"),
            ("Q00001", 6, 7, "Active site", "Nucleophile"),
        ]
    assert rows(read(tmp_path, WIDE), "chromosome", "start", "end", "kind", "name") == [
        ("Q1", 17, 145, "DOMAIN", "Nudix; hydrolase"),
        ("Q1", 149, 200, "DOMAIN", "SH3"),
        ("Q1", 6, 7, "ACT_SITE", ""),
        ("Q2", 2, 3, "ACT_SITE", ""),
        ("Q2", 8, 9, "ACT_SITE", ""),
    ]
    assert rows(read(tmp_path, LONG), "chromosome", "start", "end", "kind")[0] == ("Q1", 0, 22, "Signal peptide")


def at(first, last):
    return {"start": {"value": first, "modifier": "EXACT"}, "end": {"value": last, "modifier": "EXACT"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("##gff-version 3\nseq1\tx\tCDS\t1\t9\n", "line 2: GFF has nine columns separated by tabs, found 5"),
        (
            "##gff-version 3\nseq1\tx\tCDS\tone\t9\t.\t+\t0\t.\n",
            "line 2: start and end must be whole numbers, found 'one'",
        ),
        ("##gff-version 3\nseq1\tx\tCDS\t20\t9\t.\t+\t0\t.\n", "line 2: seq1:19-9 is empty or ends before it starts"),
        ("##gff-version 3\nseq1\tx\tCDS\t0\t9\t.\t+\t0\t.\n", "line 2: seq1:-1-9 starts before the sequence does"),
        ("chr1\t5\t9\na\t1\n", "line 2: expected at least chromosome, start and end, found 2"),
        ("chr1\t9\t5\n", "line 1: chr1:9-5 is empty or ends before it starts"),
        ("##gff-version 3\n", "has no annotation"),
        ("", "has no annotation"),
        (LONG + "Q1\tHelix\t9\tx\t\n", "line 4: start and end must be whole numbers"),
        (FLAT.replace("18..145", "145..18"), "line 3: Q00001:144-18 is empty"),
        ('{"results": [{"id": 1}]}', "entry 1: no UniProt entry"),
        ('{"results": [', "line 1: no JSON"),
        (GENBANK.replace("join(1..9,21..30)", "join(1..9"), "not to be read as GenBank"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(tmp_path, text, message):
    with pytest.raises(MintsError) as told:
        read(tmp_path, text, "mine.txt")
    assert "mine.txt" in str(told.value)
    assert message in str(told.value)


def test_a_damaged_gzip_file_and_a_missing_one_are_told(tmp_path):
    path = tmp_path / "cut.gff.gz"
    path.write_bytes(gzip.compress(GFF.encode())[:60])
    with pytest.raises(MintsError, match="damaged or truncated gzip"):
        read_annotation(path)
    with pytest.raises(MintsError, match="does not exist"):
        read_annotation(tmp_path / "none.gff")


def test_only_sequences_of_the_genome_are_kept_and_none_may_end_beyond_it(tmp_path):
    table = read(tmp_path, TRUTH)
    here = on_sequences(table, {"chr1": 900}, tmp_path / "x")
    assert here["chromosome"].tolist() == ["chr1"] * 3
    with pytest.raises(MintsError, match=r"x line 4: chr1:600-900 ends beyond chr1, which is 899 long"):
        on_sequences(table, {"chr1": 899}, tmp_path / "x")
    with pytest.raises(MintsError, match="annotates chr1, chr2, …, and the sequences are seq9"):
        on_sequences(table, {"seq9": 10}, tmp_path / "x")


def test_concepts_are_kinds_by_strand_by_name_and_what_lies_between_genes(tmp_path):
    lengths = {"seq1": 2000}
    table = concept_places(read(tmp_path, GFF), lengths, by_strand=["CDS"], by_name=["gene"])
    assert sorted(table["concept"].unique()) == [
        "CDS",
        "CDS+",
        "CDS-",
        "gene",
        "gene:abc;1",
        "intergenic",
        "intron",
        "region",
    ]
    found = rows(table[table["concept"] == "CDS+"], "start", "end")
    assert found == [(100, 200), (300, 400)]
    assert table[table["concept"] == "CDS+"]["region"].nunique() == 1
    assert rows(table[table["concept"] == "intergenic"], "start", "end") == [(0, 100), (400, 600), (700, 2000)]
    assert table[table["concept"] == "intergenic"]["region"].nunique() == 3
    owners = table.groupby("region")["concept"].nunique()
    assert (owners == 1).all()


def test_an_annotation_without_genes_has_nothing_between_them(tmp_path):
    table = concept_places(read(tmp_path, TRUTH), {"chr1": 1000, "chr2": 100}, by_strand=["ctcf"], by_name=["repeat"])
    assert table["concept"].unique().tolist() == [
        "ctcf",
        "repeat",
        "ctcf+",
        "ctcf-",
        "repeat:family1",
        "repeat:family2",
    ]


def test_a_complement_has_no_base_of_a_place_and_every_other(tmp_path):
    places = pd.DataFrame({"chromosome": ["a"] * 4, "start": [5, 0, 6, 20], "end": [9, 2, 7, 30]})
    between = complement(places, {"a": 40, "b": 7})
    assert rows(between, "chromosome", "start", "end") == [("a", 2, 5), ("a", 9, 20), ("a", 30, 40)]
