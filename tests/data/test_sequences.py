"""FASTA and codes, against Biopython and files that are wrong in every way we know."""

import gzip

import numpy as np
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from mints.data import sequences
from mints.data.sequences import FastaRecord, ReadCounts, decode, encode, read_fasta, reverse_complement
from mints.errors import MintsError

dna = st.text(alphabet="ACGTN", max_size=60)


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "some.fa"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def test_records_keep_their_headers_and_lose_line_ends_blanks_and_lower_case(write):
    path = write(b"\r\n>chr1 first  \r\nACgt\r\n\r\nnnAC\r\n>chr2|1\r\n  TTGA\r\n")
    assert list(read_fasta(path)) == [FastaRecord("chr1 first", "ACGTNNAC"), FastaRecord("chr2|1", "TTGA")]


def test_uracil_becomes_thymine_and_ambiguous_letters_become_n_and_all_are_counted(write):
    counts = ReadCounts()
    (record,) = read_fasta(write(b">a\nACGU\nryrN\nsWAA\n"), counts)
    assert record.sequence == "ACGTNNNNNNAA"
    assert counts.replaced == {"U": 1, "R": 2, "Y": 1, "S": 1, "W": 1}
    assert (counts.records, counts.bases) == (1, 12)


def test_gzip_is_read_whatever_the_file_is_called(write):
    packed = gzip.compress(b">a\nACGT\n")
    assert list(read_fasta(write(packed, "a.fa.gz"))) == list(read_fasta(write(packed, "a.fa"))) == [("a", "ACGT")]


def test_small_batches_give_the_same_records_as_one(write, monkeypatch):
    rng = np.random.default_rng(0)
    lines = [
        b">r%d" % row if row % 7 == 0 else bytes(rng.choice(list(b"ACGTacgtN"), 13).tolist()) for row in range(100)
    ]
    path = write(b"\n".join(lines))
    whole = list(read_fasta(path))
    for size in (1, 20, 40):
        monkeypatch.setattr(sequences, "BATCH", size)
        assert list(read_fasta(path)) == whole


def test_lines_are_counted_over_all_batches(write, monkeypatch):
    monkeypatch.setattr(sequences, "BATCH", 20)
    with pytest.raises(MintsError, match="line 42: letter 'E' is not DNA"):
        list(read_fasta(write(b">a\n" + b"ACGT\n" * 40 + b"ACGE\nACGT\n")))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.fa", "a.fa is empty: expected FASTA records"),
        (b"\n\n", "a.fa", "a.fa is empty"),
        (b"\nACGT\n", "a.fa", "a.fa line 2: no FASTA: the first line does not begin with '>'"),
        (b">a\n>b\nAC\n", "a.fa", "a.fa: record 'a' has no sequence"),
        (b">a\nAC\n>b\n", "a.fa", "a.fa: record 'b' has no sequence"),
        (b">a\nACGT\nACGT\n\nMKVLE\n", "a.fa", "a.fa line 5: letter 'L' is not DNA"),
        (b">a\nAC-GT\n", "a.fa", "a.fa line 2: letter '-' is not DNA"),
        (b">a\nACGT\n", "a.fa.gz", "a.fa.gz ends in .gz and is not gzip"),
        (b"", "a.fa.gz", "a.fa.gz is empty"),
        (
            gzip.compress(b">a\n" + b"ACGTTGCA" * 999, mtime=0)[:-12],
            "a.fa.gz",
            "a.fa.gz is a damaged or truncated gzip file",
        ),
    ],
)
def test_a_bad_file_is_one_clear_line(write, content, name, message):
    with pytest.raises(MintsError) as error:
        list(read_fasta(write(content, name)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path):
    with pytest.raises(MintsError, match="none.fa does not exist"):
        list(read_fasta(tmp_path / "none.fa"))
    with pytest.raises(MintsError, match="cannot be read"):
        list(read_fasta(tmp_path))


def test_codes_are_the_contract():
    assert encode("ACGTNacR").tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert encode("ACGT").dtype == np.uint8
    assert encode("").shape == (0,)


@given(dna)
def test_decode_undoes_encode(sequence):
    assert decode(encode(sequence)) == sequence


@given(dna)
def test_reverse_complement_is_biopythons(sequence):
    assert reverse_complement(sequence) == str(Seq(sequence).reverse_complement())


def test_a_real_genome_reads_as_biopython_reads_it(shared):
    path = shared / "real" / "genomes" / "dm1pct.fa.gz"
    with gzip.open(path, "rt") as stream:
        expected = [(record.description, str(record.seq).upper()) for record in SeqIO.parse(stream, "fasta")]
    assert [(record.name, record.sequence) for record in read_fasta(path)] == expected


def test_proteins_are_refused(shared):
    with pytest.raises(MintsError, match=r"uniprot_human_4000.fasta line 2: letter '.' is not DNA"):
        list(read_fasta(shared / "real" / "proteins" / "uniprot_human_4000.fasta"))
