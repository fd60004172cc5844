"""Natural pairs: windows of a genome with and without a variant."""

import numpy as np
import pytest

from mints.data.genome import Genome
from mints.data.natural_pairs import natural_pairs, read_variants
from mints.errors import MintsError


def unmoved(sequences):
    return [np.zeros((0, 2)) for _ in sequences]


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "genome.fa").write_text(">chr1\nACGTACGTACGTACGTACGT\n")
    return Genome.open(tmp_path / "genome.fa", tmp_path / "genomes")


def test_variants_become_windows_centred_on_them(tmp_path, genome):
    table = tmp_path / "variants.vcf"
    table.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t9\t.\ta\tG\nchr1\t10\t.\tCG\tTT\n")
    found = natural_pairs(read_variants(table), genome, 8, unmoved, table)
    assert found.pairs[0] == ("chr1:9A>G", "ACGTACGT", "ACGTGCGT", 4, 5)
    assert (found.pairs[1].clean, found.pairs[1].corrupted) == ("CGTACGTA", "CGTATTTA")
    assert sum(found.refused.values()) == 0


def test_each_alternative_of_a_row_is_a_variant(tmp_path):
    table = tmp_path / "variants.tsv"
    table.write_text("CHROM\tPOS\tREF\tALT\nchr1\t9\tA\tG,T\n")
    assert [(v.position, v.alternative, v.line) for v in read_variants(table)] == [(8, "G", 2), (8, "T", 2)]


def test_indels_windows_beyond_the_end_and_moved_boundaries_are_counted(tmp_path, genome):
    table = tmp_path / "variants.csv"
    table.write_text("chrom,pos,ref,alt\nchr1,9,A,AG\nchr1,1,A,G\nchr1,9,A,G\n")

    def moving(sequences):
        return [np.array([[0, place]]) for place in range(len(sequences))]

    found = natural_pairs(read_variants(table), genome, 8, moving, table)
    assert found.pairs == []
    assert found.refused == {"refused_indel": 1, "refused_beyond_the_chromosome": 1, "refused_not_aligned": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("#CHROM\tPOS\tREF\tALT\nchr1\t9\tC\tG\n", "line 2: the genome has A at chr1:9, and the table C"),
        ("#CHROM\tPOS\tREF\tALT\nchr1\tx\tC\tG\n", "line 2: position 'x' is not a number"),
        ("#CHROM\tPOS\tREF\nchr1\t9\tC\n", "has no column ALT"),
        ("", "is empty"),
        ("#CHROM\tPOS\tREF\tALT\nchr9\t9\tC\tG\n", "chromosome chr9 is not in"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_line(tmp_path, genome, content, message):
    table = tmp_path / "variants.tsv"
    table.write_text(content)
    with pytest.raises(MintsError, match=message):
        natural_pairs(read_variants(table), genome, 8, unmoved, table)
