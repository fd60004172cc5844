"""BED and its relatives: what is read, and the line that is named where it cannot be."""

import gzip
import struct

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mints.data.genome import Genome
from mints.data.intervals import check_against, columns_of_entries, count_overlaps, read_blacklist, read_intervals
from mints.errors import MintsError


@pytest.fixture
def write(tmp_path):
    def write(content: str, name: str = "peaks.bed"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
        return path

    return write


def test_narrow_peaks_have_signal_and_an_absolute_summit(write):
    path = write(
        "chr1\t100\t300\tp1\t1000\t.\t7.5\t9\t8\t60\nchr2\t5\t25\tp2\t10\t+\t3\t-1\t-1\t-1\n", "a.narrowPeak.gz"
    )
    table = read_intervals(path)
    first, second = table.to_dict("records")
    assert first == {
        "chromosome": "chr1",
        "start": 100,
        "end": 300,
        "name": "p1",
        "score": "1000",
        "strand": ".",
        "signal": 7.5,
        "summit": 160,
        "line": 1,
    }
    assert table["summit"].isna().tolist() == [False, True]
    assert second["strand"] == "+"


def test_headings_comments_and_blank_lines_are_skipped_but_counted_as_lines(write):
    path = write('browser position chr7\ntrack name="x"\n# note\n\ntracker 1 2\nchr7 10 20 name\n')
    table = read_intervals(path)
    assert table["chromosome"].tolist() == ["tracker", "chr7"]
    assert table["line"].tolist() == [5, 6]
    assert table["name"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    "row",
    [
        "chr1\t100\t300",
        "chr1\t100\t300\tn\t0\t+\t100\t300\t0",
        "chr1\t100\t300\tn\t0\t+\t150\t250\t255,0,0",
        "chr1\t100\t300\tn\t0\t+\t100\t300\t0\t2\t10,20\t0,180",
    ],
)
def test_thick_parts_and_blocks_of_bed_are_no_signal_and_no_summit(write, row):
    table = read_intervals(write(row + "\n"))
    assert table["signal"].isna().all()
    assert table["summit"].isna().all()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("chr7\t159346000\t159345000", "chr7:159346000-159345000 ends before it starts"),
        ("chr7\t-5\t10", "chr7:-5-10 starts before the chromosome does"),
        ("chr7\t10\t10", "chr7:10-10 is empty"),
        ("chr7\t1e3\t2000", "start and end must be whole numbers, found '1e3', '2000'"),
        ("chr7\t10", "expected at least chromosome, start and end, found 2 column(s)"),
        ("chr7\t10\t20\tn\t0\t+\tstrong\t1\t1\t5", "the signal and the summit of a peak must be numbers"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(write, row, message):
    path = write("chr7\t1\t2\n" * 16 + row + "\nchr7\t1\t2\n", "peaks.bed.gz")
    with pytest.raises(MintsError) as error:
        read_intervals(path)
    assert str(error.value) == f"{path} line 17: {message}"


def test_a_bad_file_is_one_clear_line(write, tmp_path):
    with pytest.raises(MintsError, match=r"peaks.bed has no intervals"):
        read_intervals(write("# nothing\n"))
    with pytest.raises(MintsError, match=r"none.bed does not exist"):
        read_intervals(tmp_path / "none.bed")
    plain = tmp_path / "plain.bed.gz"
    plain.write_text("chr1\t1\t2\n")
    with pytest.raises(MintsError, match=r"plain.bed.gz ends in .gz and is not gzip"):
        read_intervals(plain)
    cut = tmp_path / "cut.bed.gz"
    cut.write_bytes(gzip.compress(b"chr1\t1\t2\n" * 999)[:-9])
    with pytest.raises(MintsError, match=r"cut.bed.gz is a damaged or truncated gzip file"):
        read_intervals(cut)


def test_intervals_are_held_against_the_genome(write, tmp_path):
    (tmp_path / "genome.fa").write_text(">chr1\n" + "ACGT" * 25 + "\n")
    genome = Genome.open(tmp_path / "genome.fa", tmp_path / "genomes")
    path = write("chr1\t0\t100\n")
    check_against(read_intervals(path), genome, path)
    path = write("chr1\t0\t100\nchr1\t90\t101\n")
    with pytest.raises(MintsError, match=r"peaks.bed line 2: chr1:90-101 ends beyond chr1, which has 100 bases"):
        check_against(read_intervals(path), genome, path)
    path = write("chr1\t0\t100\n1\t0\t10\n")
    with pytest.raises(MintsError, match=r"peaks.bed line 2: chromosome 1 is not in .*genome.fa; it has chr1"):
        check_against(read_intervals(path), genome, path)


def test_real_files_read_as_they_are(shared):
    formats = shared / "real" / "formats"
    broad = read_intervals(formats / "test.broadPeak")
    assert len(broad) == 100
    assert broad.loc[0, "signal"] == 5.141275
    assert broad["summit"].isna().all()
    assert len(read_intervals(formats / "hg19_blacklist_ENCFF001TDO.bed.gz")) == 411
    genes = read_intervals(formats / "bedExample2.bed")
    assert len(genes) == 3339
    assert genes["signal"].isna().all()


def test_entries_of_a_bigbed_have_the_columns_of_the_text(write):
    lines = ["chr1\t100\t300\tp1\t1000\t.\t7.5\t9\t8\t60", "chr1\t400\t500"]
    entries = [(100, 300, "p1\t1000\t.\t7.5\t9\t8\t60"), (400, 500, "")]
    assert ["\t".join(columns) for columns in columns_of_entries("chr1", entries)] == lines


@pytest.mark.parametrize("name", ["peaks.bigBed", "peaks.bb", "peaks.bed"])
def test_a_bigbed_of_narrow_peaks_reads_as_its_text_whatever_it_is_called(write, tmp_path, name):
    rows = [("chr1", 100, 300, "p1\t1000\t.\t7.5\t9\t8\t60"), ("chr1", 250, 400, "p2\t10\t+\t3\t-1\t-1\t-1")]
    rows.append(("chr20", 5, 25, "p3\t10\t-\t0.5\t-1\t-1\t0"))
    (tmp_path / name).write_bytes(big_bed({"chr1": 1000, "chr20": 500}, rows))
    text = write("".join(f"{c}\t{start}\t{end}\t{rest}\n" for c, start, end, rest in rows), "text.narrowPeak")
    table = read_intervals(tmp_path / name)
    pd.testing.assert_frame_equal(table, read_intervals(text))
    assert table["summit"].fillna(-1).tolist() == [160, -1, 5]


def test_a_bad_bigbed_is_one_clear_line(tmp_path):
    path = tmp_path / "peaks.bb"
    whole = big_bed({"chr1": 1000}, [("chr1", 100, 300, "p1\t1000\t.\tstrong\t9\t8\t60")])
    path.write_bytes(whole)
    with pytest.raises(MintsError, match=r"peaks.bb entry 1: the signal and the summit of a peak must be numbers"):
        read_intervals(path)
    path.write_bytes(whole[:50])
    with pytest.raises(MintsError, match=r"peaks.bb is a damaged or truncated bigBed file"):
        read_intervals(path)


def big_bed(lengths, rows):
    """A bigBed file by hand, after the published layout: header, chromosome tree, one block of items, its index."""
    names = {name: number for number, name in enumerate(lengths)}
    size = max(map(len, names))
    tree = struct.pack("<IIIIQQ", 0x78CA8C91, len(names), size, 8, len(names), 0) + struct.pack(
        "<BBH", 1, 0, len(names)
    )
    tree += b"".join(
        name.encode().ljust(size, b"\0") + struct.pack("<II", names[name], n) for name, n in lengths.items()
    )
    blocks = [
        (names[name], mine[0][1], max(row[2] for row in mine), b"".join(item(names[name], row) for row in mine))
        for name in names
        if (mine := [row for row in rows if row[0] == name])
    ]
    data = 64 + len(tree)
    index = data + 8 + sum(len(block) for *_, block in blocks)
    root = struct.pack("<BBH", 1, 0, len(blocks))
    offset = data + 8
    for chromosome, start, end, block in blocks:
        root += struct.pack("<IIIIQQ", chromosome, start, chromosome, end, offset, len(block))
        offset += len(block)
    bounds = (blocks[0][0], blocks[0][1], blocks[-1][0], blocks[-1][2])
    r_tree = struct.pack("<IIQIIIIQII", 0x2468ACE0, 256, len(rows), *bounds, index, 512, 0) + root
    fields = rows[0][3].count("\t") + 4
    header = struct.pack("<IHHQQQHHQQIQ", 0x8789F2EB, 4, 0, 64, data, index, fields, fields, 0, 0, 0, 0)
    return header + tree + struct.pack("<Q", len(rows)) + b"".join(block for *_, block in blocks) + r_tree + bytes(64)


def item(chromosome, row):
    return struct.pack("<III", chromosome, row[1], row[2]) + row[3].encode() + b"\0"


def test_real_bigbeds_read_as_their_text(shared):
    formats = shared / "real" / "formats"
    order = ["chromosome", "start", "end", "name"]
    text, binary = (
        read_intervals(formats / name).sort_values(order, ignore_index=True).drop(columns="line")
        for name in ("bedExample2.bed", "myBigBed2.bb")
    )
    pd.testing.assert_frame_equal(text, binary)
    elements = read_intervals(formats / "pybigwig_test.bigBed")
    assert elements.loc[0, ["chromosome", "start", "end", "name", "strand"]].tolist() == [
        "chr1", 10009333, 10009640, "61035", "-"
    ]  # fmt: skip


spans = st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda span: (span[0], span[0] + span[1]))


@given(st.lists(spans, max_size=8), st.lists(spans, max_size=8))
def test_overlaps_are_those_of_all_pairs(asked, intervals):
    table = pd.DataFrame(intervals, columns=["start", "end"])
    starts, ends = np.array(asked, dtype=int).reshape(-1, 2).T
    expected = [sum(start < e and s < end for s, e in intervals) for start, end in asked]
    assert count_overlaps(starts, ends, table).tolist() == expected


def test_a_blacklist_keeps_to_the_genome_s_chromosomes_and_must_share_some(write, tmp_path):
    (tmp_path / "genome.fa").write_text(">chr1\n" + "ACGT" * 25 + "\n")
    genome = Genome.open(tmp_path / "genome.fa", tmp_path / "genomes")
    listed = read_blacklist(write("chr9\t0\t500\nchr1\t5\t20\tHigh_Signal\n", "list.bed.gz"), genome)
    assert listed[["chromosome", "start", "end"]].to_numpy().tolist() == [["chr1", 5, 20]]
    with pytest.raises(MintsError, match=r"peaks.bed line 1: chromosome 1 is not in .*; it has chr1"):
        read_blacklist(write("1\t0\t10\n"), genome)
    with pytest.raises(MintsError, match=r"peaks.bed line 2: chr1:90-101 ends beyond chr1"):
        read_blacklist(write("chr2\t0\t10\nchr1\t90\t101\n"), genome)
