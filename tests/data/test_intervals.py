"""BED and its relatives: what is read, and the line that is named where it cannot be."""

import gzip

import pytest

from mints.data.genome import Genome
from mints.data.intervals import check_against, read_intervals
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
