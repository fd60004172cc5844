"""BLAST+: its tables read, its coordinates held against the sequences themselves, and its absence."""

import gzip
import os

import numpy as np
import pytest
from optional import needs_blast

from mints.data.blast import HIT_COLUMNS, make_database, parse_hits, search
from mints.data.sequences import decode, reverse_complement
from mints.errors import MintsError
from mints.programs import blast_version

ROW = ["q 1", "chr2", "97.500", "40", "1", "0", "11", "50", "200", "161", "3e-12", "70.1"]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_row_of_a_hit_table_becomes_half_open_coordinates_on_the_forward_strand(separator):
    (hit,) = parse_hits("# a comment\n" + separator.join(ROW) + "\n\n", "hits.csv").to_dict("records")
    assert hit == {
        "query": "q 1", "subject": "chr2", "identity": pytest.approx(0.975), "length": 40, "mismatches": 1,
        "gap_openings": 0, "q_start": 10, "q_end": 50, "s_start": 160, "s_end": 200, "evalue": 3e-12, "bits": 70.1,
        "strand": "-",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("a\tb\t99", "hits.csv line 2: 3 columns, expected qseqid sseqid pident"),
        ("\t".join([*ROW[:6], "x", *ROW[7:]]), "hits.csv line 2: invalid literal .* 'x'"),
    ],
)
def test_a_line_that_is_no_hit_is_named(line, complaint):
    with pytest.raises(MintsError, match=complaint):
        parse_hits("\t".join(ROW) + "\n" + line, "hits.csv")


def test_a_table_without_hits_has_its_columns():
    assert list(parse_hits("", "hits.csv").columns) == HIT_COLUMNS


def random_sequences(count, length, seed=0):
    codes = np.random.default_rng(seed).integers(0, 4, (count, length), dtype=np.uint8)
    return [decode(row) for row in codes]


def changed(sequence, share, seed=1):
    """The sequence with this share of its bases replaced by other ones."""
    rng = np.random.default_rng(seed)
    letters = list(sequence)
    for place in rng.choice(len(letters), round(share * len(letters)), replace=False):
        letters[place] = rng.choice([letter for letter in "ACGT" if letter != letters[place]])
    return "".join(letters)


def corpus(path, sequences, headers=None):
    lines = [f">{name}\n{text}\n" for name, text in zip(headers or map(str, range(99)), sequences, strict=False)]
    content = "".join(lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@needs_blast
def test_hits_lie_where_the_sequences_say_on_both_strands(tmp_path):
    queries = random_sequences(3, 200)
    records = random_sequences(3, 1000, seed=5)
    records[0] = records[0][:300] + queries[0][20:180] + records[0][460:]
    records[2] = records[2][:700] + reverse_complement(queries[1][:150]) + records[2][850:]
    path = corpus(tmp_path / "corpus.fa.gz", records, ["same name", "same name", "third"])
    database = make_database(path, tmp_path / "a folder")
    assert database.subjects == ["same name", "same name", "third"]
    assert (database.counts.records, database.counts.bases) == (3, 3000)
    hits = search(database, queries, evalue=1e-5)
    assert [(h.query, h.subject, h.strand) for h in hits.itertuples()] == [(0, 0, "+"), (1, 2, "-")]
    for hit in hits.itertuples():
        found, sought = records[hit.subject][hit.s_start : hit.s_end], queries[hit.query][hit.q_start : hit.q_end]
        assert (found if hit.strand == "+" else reverse_complement(found)) == sought
        assert hit.identity == 1
    assert (hits.loc[0, "q_start"], hits.loc[0, "q_end"]) == (pytest.approx(20, abs=3), pytest.approx(180, abs=3))


@needs_blast
def test_copies_that_differ_in_one_base_of_ten_are_found(tmp_path):
    queries = random_sequences(60, 150)
    path = corpus(tmp_path / "corpus.fa", [changed(query, 0.1, seed) for seed, query in enumerate(queries)])
    hits = search(make_database(path, tmp_path / "blast"), queries, evalue=1e-5)
    own = hits[hits["query"] == hits["subject"]]
    assert own["query"].nunique() >= 58
    assert (own["identity"] >= 0.88).all()


@needs_blast
def test_a_query_of_thirty_bases_is_found_although_megablast_would_pass_over_it(tmp_path):
    (record,) = random_sequences(1, 5000)
    pieces = [record[100:130], changed(record[2000:2030], 0.07), reverse_complement(record[4000:4049])]
    hits = search(make_database(corpus(tmp_path / "c.fa", [record]), tmp_path / "blast"), pieces, evalue=1e-3)
    best = hits.drop_duplicates("query").set_index("query")
    assert best.loc[0, ["s_start", "s_end", "strand"]].tolist() == [100, 130, "+"]
    assert best.loc[2, ["s_start", "s_end", "strand"]].tolist() == [4000, 4049, "-"]
    assert 1 in best.index
    assert best.loc[1, "s_start"] >= 2000


@needs_blast
def test_the_number_of_threads_changes_nothing(tmp_path):
    records = random_sequences(20, 400)
    queries = [changed(record[50:300], 0.05) for record in records] + [records[3][:200]] * 2
    database = make_database(corpus(tmp_path / "c.fa", records), tmp_path / "blast")
    one, two = (search(database, queries, evalue=10, threads=threads) for threads in (1, 2))
    assert one.equals(two)
    assert len(one) >= 22


@pytest.mark.parametrize("installed", [[], ["blastn"]])
def test_without_blast_the_message_tells_how_to_install_it(installed, tmp_path, monkeypatch):
    for program in installed:
        (tmp_path / program).write_text("#!/bin/sh\necho blastn: 9.9.9+\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert blast_version() is None
    with pytest.raises(MintsError, match=r"makeblastdb\) is not installed: apt-get install ncbi-blast\+"):
        make_database(corpus(tmp_path / "c.fa", ["ACGT" * 20]), tmp_path / "blast")


@pytest.mark.skipif(os.name == "nt", reason="programs of this test are shell scripts")
def test_a_failing_program_is_told_by_its_last_line_and_reports_nothing_to_its_makers(tmp_path, monkeypatch):
    for program in ("blastn", "makeblastdb"):
        (tmp_path / program).write_text(
            "#!/bin/sh\n[ \"$1\" = -version ] && echo blastn: 9.9.9+ && exit 0\n"
            "echo first >&2; echo \"no space left, report $BLAST_USAGE_REPORT\" >&2; exit 3\n"
        )  # fmt: skip
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert blast_version() == "9.9.9+"
    with pytest.raises(MintsError, match=r"makeblastdb failed on .*c\.fa: no space left, report false$"):
        make_database(corpus(tmp_path / "c.fa", ["ACGT" * 200_000] * 3), tmp_path / "blast")


@needs_blast
def test_a_corpus_that_is_no_fasta_is_named_with_its_line(tmp_path):
    (tmp_path / "c.fa").write_text(">a\nACGT\n>b\nMKV?\n")
    with pytest.raises(MintsError, match=r"c\.fa line 4: letter '\?' is not DNA"):
        make_database(tmp_path / "c.fa", tmp_path / "blast")
