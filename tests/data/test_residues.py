"""Reading proteins."""

import gzip

import numpy as np
import pytest

from mints.data.residues import (
    RESIDUES,
    UNKNOWN,
    Protein,
    ProteinCounts,
    decode_residues,
    encode_residues,
    read_proteins,
)
from mints.errors import MintsError


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="proteins.fasta"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return to_file


def test_uniprot_s_accession_or_the_first_word_names_a_protein(write):
    path = write(b">sp|P69905|HBA_HUMAN Hemoglobin OS=Homo sapiens\r\nMVLSP\r\nADK\r\n>mine second word\nWWK\n")
    assert read_proteins(path) == [Protein("P69905", "MVLSPADK"), Protein("mine", "WWK")]
    packed = write(gzip.compress(path.read_bytes()), "proteins.fasta.gz")
    assert read_proteins(packed) == read_proteins(path)


def test_lower_case_is_read_as_upper_case_and_ambiguous_residues_stay_and_are_counted(write):
    counts = ProteinCounts()
    (protein,) = read_proteins(write(b">a\nmkXbz\nLUOJx*\n"), counts)
    assert protein.sequence == "MKXBZLUOJX"
    assert counts.ambiguous == {"X": 2, "B": 1, "Z": 1, "U": 1, "O": 1, "J": 1}
    assert counts.stops == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b">a\nMKL\n>b\n>c\nMK\n", "'b' has no sequence"),
        (b">a\nMK1L\n", "line 2: letter '1' is not protein"),
        (b">a\nMK*L\n", "stop"),
        (b">a x\nMKL\n>a y\nMKW\n", "two records are called 'a'"),
        (b">chr1\nACGTNACG\n>chr2\nacgu\n", "it is DNA"),
        (b"MKL\n", "does not begin with '>'"),
    ],
)
def test_what_is_no_set_of_proteins_is_refused_with_what_is_wrong(write, content, complaint):
    with pytest.raises(MintsError, match=complaint.replace("*", r"\*")):
        read_proteins(write(content))


def test_codes_and_letters_go_back_and_forth():
    assert encode_residues("ACY").tolist() == [0, 1, 19]
    assert encode_residues("XBJ-").tolist() == [UNKNOWN] * 4
    assert decode_residues(np.arange(21, dtype=np.uint8)) == RESIDUES + "X"


def test_the_human_proteins_are_read_whole(shared):
    counts = ProteinCounts()
    proteins = read_proteins(shared / "real" / "proteins" / "uniprot_human_4000.fasta", counts)
    assert len(proteins) == 4000
    assert sum(len(protein.sequence) for protein in proteins) == 1_192_395
    assert counts.ambiguous == {"U": 5}
