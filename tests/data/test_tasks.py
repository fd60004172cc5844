"""Task tables in every format, and what is said of those that are none."""

import gzip

import pandas as pd
import pytest

from mints.data.sequences import ReadCounts
from mints.data.tasks import COLUMNS, canonical_name, read_task_table
from mints.errors import MintsError

ROWS = [("chr20:10-14|1", "ACGT", 1), ("chr1:5-9(-)|0", "TTTN", 0), ("plain", "GGCA", 0)]


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def as_text(separator: str) -> str:
    lines = [("name", "sequence", "label"), *ROWS]
    return "".join(separator.join(map(str, line)) + "\n" for line in lines)


def as_fasta() -> str:
    return "".join(f">{name if '|' in name else f'{name}|{label}'}\n{sequence}\n" for name, sequence, label in ROWS)


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.parquet", "t.fna", "t.fa", "t.fasta", "t.csv.gz", "t.tsv.gz", "t.fna.gz"]
)
def test_every_format_gives_the_same_table(write, tmp_path, name):
    if name == "t.parquet":
        path = tmp_path / name
        pd.DataFrame(ROWS, columns=["name", "sequence", "label"]).to_parquet(path)
    else:
        content = as_text("," if ".csv" in name else "\t") if ".fn" not in name and ".fa" not in name else as_fasta()
        path = write(gzip.compress(content.encode()) if name.endswith(".gz") else content, name)
    table = read_task_table(path)
    assert table.columns.tolist() == COLUMNS
    assert table["sequence"].tolist() == ["ACGT", "TTTN", "GGCA"]
    assert table["label"].tolist() == [1, 0, 0]
    assert table["chromosome"].fillna("none").tolist() == ["chr20", "chr1", "none"]
    assert table["start"].fillna(-1).tolist() == [10, 5, -1]
    assert table["end"].fillna(-1).tolist() == [14, 9, -1]
    assert table["strand"].fillna("none").tolist() == ["none", "-", "none"]


def test_a_file_from_windows_reads_as_any_other(write):
    path = write(b"\xef\xbb\xbfLabel,Sequence\r\n1,acgu\r\n0,ACRT\r\n", "t.csv")
    counts = ReadCounts()
    table = read_task_table(path, counts=counts)
    assert table["sequence"].tolist() == ["ACGT", "ACNT"]
    assert table["name"].tolist() == ["row0", "row1"]
    assert counts.replaced == {"U": 1, "R": 1}


@pytest.mark.parametrize(
    ("positive", "negative", "labels", "left_out"),
    [
        ([2], [0], [0, 1, 0], 2),
        ([2], None, [0, 0, 1, 0, 0], 0),
        ([1, 2], [0], [0, 1, 1, 1, 0], 0),
        (None, [2], [1, 0, 1], 2),
    ],
)
def test_sets_of_labels_make_a_binary_task_and_the_rest_is_counted(write, positive, negative, labels, left_out):
    path = write("sequence,label\nAA,0\nCC,1\nGG,2\nTT,1\nAC,0\n", "t.csv")
    counts = ReadCounts()
    assert read_task_table(path, positive, negative, counts)["label"].tolist() == labels
    assert counts.other_labels == left_out


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("sequence,class\nAA,1\n", "t.csv", "has no column 'label': its columns are sequence, class"),
        ("text\tlabel\nAA\t1\n", "t.tsv", "has no column 'sequence'"),
        ("sequence,label\n", "t.csv", "has no rows"),
        ("", "t.csv", "cannot be read: No columns to parse from file"),
        ("sequence,label\nAA,1\nAA,0,7,7\n", "t.csv", "cannot be read: "),
        ("PAR1", "t.parquet", "cannot be read: "),
        ("sequence,label\nAA,1\nCC,1\n", "t.csv", "has no negative rows"),
        ("sequence,label\nAA,0\n", "t.csv", "has no positive rows"),
        ("sequence,label\nAA,1\nCEC,0\n", "t.csv", "row 2: letter 'E' is not DNA"),
        ("sequence,label\nAA,1\n,0\n", "t.csv", "row 2 has no sequence"),
        ("sequence,label\nAA,1\nCC,yes\n", "t.csv", "row 2: label 'yes' is not an integer"),
        ("sequence,label\nAA,1\nCC,0.5\n", "t.csv", "row 2: label '0.5' is not an integer"),
        ("sequence,label\nAA,1\nCC,\n", "t.csv", "row 2: label '' is not an integer"),
        ("sequence,label\nAA,1\nCC,inf\n", "t.csv", "row 2: label 'inf' is not an integer"),
        ("sequence,label\nAA,1\nCC,2\n", "t.csv", "has labels [1, 2]: give positive_labels and negative_labels"),
        (">a\nACGT\n", "t.fna", "header 'a' carries no label: expected NAME|LABEL"),
        (">a|x\nACGT\n", "t.fna", "row 1: label 'x' is not an integer"),
        (">a|1\nACGE\n", "t.fna", "line 2: letter 'E' is not DNA"),
        ("", "t.fna", "is empty: expected FASTA records"),
        ("AA 1\n", "t.txt", "has an unknown ending '.txt': expected csv, tsv, parquet, fna"),
    ],
)
def test_a_bad_table_is_one_clear_line(write, content, name, message):
    with pytest.raises(MintsError) as error:
        read_task_table(write(content, name))
    assert name in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_table_and_a_missing_one_are_said_to_be_so(write, tmp_path):
    with pytest.raises(MintsError, match="none.csv does not exist"):
        read_task_table(tmp_path / "none.csv")
    with pytest.raises(MintsError, match="t.csv.gz cannot be read"):
        read_task_table(write(gzip.compress(as_text(",").encode())[:-9], "t.csv.gz"))


def test_a_label_cannot_be_on_both_sides(write):
    with pytest.raises(MintsError, match=r"label 1 is given as positive and as negative"):
        read_task_table(write("sequence,label\nAA,0\nCC,1\n", "t.csv"), [1], [0, 1])


HUB = pd.DataFrame(
    [
        ("ACGT", "chr20:257674-257678|1", 1, "splice_sites_donors"),
        ("AAAA", "chr1:10-14|0", 0, "promoter_tata"),
        ("CCNC", "chr21:5-9|0", 0, "splice_sites_donors"),
        ("GGGG", "chr22:5-9|1", 1, "promoter_tata"),
        ("TTRT", "chr2:7-11|1", 1, "splice_sites_acceptors"),
    ],
    columns=["sequence", "name", "label", "task"],
)
"""The layout of the published tables: several tasks in one file."""


@pytest.fixture(params=["parquet", "csv"])
def hub_table(request, tmp_path):
    path = tmp_path / f"train.{request.param}"
    HUB.to_parquet(path) if request.param == "parquet" else HUB.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["splice_sites_donors", "splice_site_donor", "Splice-Sites donor"])
def test_a_table_of_several_tasks_gives_the_rows_of_the_one_that_is_asked_for(hub_table, name):
    counts = ReadCounts()
    table = read_task_table(hub_table, counts=counts, task=name)
    assert table["sequence"].tolist() == ["ACGT", "CCNC"]
    assert table["label"].tolist() == [1, 0]
    assert table[["chromosome", "start", "end"]].to_numpy().tolist() == [["chr20", 257674, 257678], ["chr21", 5, 9]]
    assert counts.other_tasks == 3
    assert counts.replaced == {}  # the R of another task's row was not read


@pytest.mark.parametrize("name", ["", "splice_sites", "enhancers"])
def test_a_task_that_the_table_does_not_hold_is_answered_with_those_that_it_holds(hub_table, name):
    with pytest.raises(MintsError) as error:
        read_task_table(hub_table, task=name)
    held = "its tasks are splice_sites_donors, promoter_tata, splice_sites_acceptors"
    assert f"has no rows of task {name!r}: {held}" in str(error.value)


@pytest.mark.parametrize("second", ["splice_sites_donors", "splice_site_donor"])
def test_a_table_of_one_task_is_taken_whole_whatever_the_task_is_called_here(tmp_path, second):
    path = tmp_path / "train.parquet"
    HUB.iloc[[0, 2]].assign(task=["splice_sites_donors", second]).to_parquet(path)
    counts = ReadCounts()
    assert len(read_task_table(path, counts=counts, task="mine")) == 2
    assert counts.other_tasks == 0


def test_a_bad_row_of_a_task_is_named_by_its_place_in_the_file(tmp_path):
    path = tmp_path / "train.parquet"
    HUB.assign(sequence=["ACGT", "AAAA", "CEC", "GGGG", "TT"]).to_parquet(path)
    with pytest.raises(MintsError, match=r"row 3: letter 'E' is not DNA"):
        read_task_table(path, task="splice_sites_donors")
    HUB.assign(label=["1", "0", "2", "yes", "1"]).to_parquet(path)
    with pytest.raises(MintsError, match=r"row 4: label 'yes' is not an integer"):
        read_task_table(path, task="promoter_tata")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("splice_site_donor", "splice_sites_donors", True),
        ("enhancers_types", "enhancer_type", True),
        ("promoter_tata", "promoter_no_tata", False),
        ("splice_sites_donors", "splice_sites_acceptors", False),
        ("H3K4me1", "H3K4me2", False),
    ],
)
def test_singular_and_plural_are_one_name_and_tasks_stay_apart(one, other, same):
    assert (canonical_name(one) == canonical_name(other)) is same


def test_real_tables_have_the_published_numbers_of_rows(shared):
    promoters = read_task_table(shared / "real" / "promoters" / "gue_prom_300_tata_train.csv")
    assert promoters["label"].value_counts().to_dict() == {0: 2460, 1: 2444}
    assert promoters["sequence"].str.len().unique().tolist() == [300]
    counts = ReadCounts()
    donors = read_task_table(shared / "real" / "splice" / "gue_splice_reconstructed_dev.csv", [1], [2], counts)
    assert donors["label"].value_counts().to_dict() == {0: 2574, 1: 987}
    assert counts.other_labels == 1001
