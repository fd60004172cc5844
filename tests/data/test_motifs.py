"""Motif matrices: what is shipped, how it is read, and what its numbers mean."""

import numpy as np
import pytest
from Bio import motifs as biopython

from mints.data.motifs import load_motif, read_jaspar
from mints.errors import MintsError

CONSENSUS = {
    "MA0060.3": "AACCAATCAGA",
    "MA0079.4": "TAAGCCACGCCCACT",
    "MA0095.2": "CAAGATGGCGGC",
    "MA0108.2": "GTATAAAAGGCGGGG",
    "MA0139.1": "TGGCCACCAGGGGGCGCTA",
    "MA0139.2": "GCCACCAGGGGGCGC",
}


@pytest.mark.parametrize("motif_id", sorted(CONSENSUS))
def test_the_shipped_matrices_have_the_published_consensus(motif_id):
    motif = load_motif(motif_id)
    assert motif.id == motif_id
    assert "".join("ACGT"[base] for base in motif.counts.argmax(axis=1)) == CONSENSUS[motif_id]


def test_ctcf_has_the_published_counts_and_best_score():
    motif = load_motif("MA0139.1")
    assert motif.name == "CTCF"
    assert motif.counts.shape == (19, 4)
    assert motif.counts[0].tolist() == [87, 291, 76, 459]
    assert set(motif.counts.sum(axis=1)) <= set(range(907, 915))
    assert motif.log_odds(pseudocount=0.2).max(axis=1).sum() == pytest.approx(26.1, abs=0.1)


def test_the_new_ctcf_matrix_is_the_old_one_without_its_flanks():
    np.testing.assert_array_equal(load_motif("MA0139.2").counts, load_motif("MA0139.1").counts[2:17])


def test_log_odds_are_bits_against_the_background():
    motif = load_motif("MA0108.2")
    background = (0.3, 0.2, 0.2, 0.3)
    row = motif.counts[3]
    smoothed = (row + 4 * 0.25 * np.array(background)) / (row.sum() + 4 * 0.25)
    assert motif.probabilities(0.25, background)[3] == pytest.approx(smoothed)
    assert motif.log_odds(background, 0.25)[3] == pytest.approx(np.log2(smoothed / background))
    assert np.isfinite(motif.log_odds()).all()
    assert motif.probabilities().sum(axis=1) == pytest.approx(np.ones(15))


def test_an_unknown_motif_is_answered_with_what_is_shipped():
    with pytest.raises(MintsError, match=r"motif MA0139 is not shipped: there are MA0060.3, .*MA0139.1, MA0139.2"):
        load_motif("MA0139")


def test_bare_columns_and_other_blanks_are_read_too(tmp_path):
    path = tmp_path / "my.jaspar"
    path.write_text(">my.1 Some factor\r\nA 1 0.5 3\r\nC\t[4 5 6]\r\nG [ 0 1 0 ]\r\nT 2 2 2\r\n")
    motif = read_jaspar(path)
    assert (motif.id, motif.name) == ("my.1", "Some factor")
    assert motif.counts.tolist() == [[1, 4, 0, 2], [0.5, 5, 1, 2], [3, 6, 0, 2]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MEME version 4\n",
        ">a\nA [1 2]\nC [1 2]\nG [1 2]\n",
        ">a\nA [1 2]\nC [1 2 3]\nG [1 2]\nT [1 2]\n",
        ">a\nC [1 2]\nA [1 2]\nG [1 2]\nT [1 2]\n",
        ">a\nA [1 x]\nC [1 2]\nG [1 2]\nT [1 2]\n",
        ">a\nA [1 0]\nC [1 0]\nG [1 0]\nT [1 0]\n",
        ">\nA [1 2]\nC [1 2]\nG [1 2]\nT [1 2]\n",
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path, text):
    path = tmp_path / "my.jaspar"
    path.write_text(text)
    with pytest.raises(MintsError, match=r"my.jaspar is not a JASPAR matrix"):
        read_jaspar(path)


def test_a_missing_matrix_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(MintsError, match="none.jaspar does not exist"):
        read_jaspar(tmp_path / "none.jaspar")


def test_the_shipped_counts_are_jaspars(shared):
    for path in sorted((shared / "real" / "motifs").glob("*.jaspar")):
        with path.open() as stream:
            theirs = biopython.read(stream, "jaspar")
        ours = load_motif(theirs.matrix_id)
        assert ours.name == theirs.name
        np.testing.assert_array_equal(ours.counts, np.array([theirs.counts[base] for base in "ACGT"]).T)
