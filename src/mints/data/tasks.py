"""Tables of labelled sequences: CSV, TSV, parquet, or FASTA with the label in the header."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from mints.data.sequences import ReadCounts, clean_letters, read_fasta
from mints.errors import MintsError

FASTA_SUFFIXES = (".fna", ".fa", ".fasta")
READABLE = "csv, tsv, parquet, fna, fa or fasta (each also .gz, parquet apart)"
COORDINATES = re.compile(r"^(?P<chromosome>[^\s:|]+):(?P<start>\d+)-(?P<end>\d+)(?=$|[|\s(])")
"""`chr20:257674-257974` at the beginning of a name: 0-based, half-open."""

COLUMNS = ["name", "sequence", "label", "chromosome", "start", "end", "strand"]


def read_task_table(
    path: Path,
    positive_labels: Collection[int] | None = None,
    negative_labels: Collection[int] | None = None,
    counts: ReadCounts | None = None,
    task: str = "",
) -> pd.DataFrame:
    """Labelled sequences with columns name, sequence, label (0 or 1), chromosome, start, end, strand.

    positive_labels, negative_labels: labels of the file that count as 1 and 0; rows with any other label are left out.
    By default the labels must be 0 and 1; with positive labels alone, all others are negative.
    counts: where replaced letters and rows left out are counted.
    task: whose rows are taken from a table whose column `task` names several (see `canonical_name`).
    Raises MintsError, with the row, for what cannot be read as such a table.
    """
    counts = ReadCounts() if counts is None else counts
    ending = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    kind = ending.removesuffix(".gz")
    if not path.is_file():
        raise MintsError(f"task table {path} does not exist")
    if kind in FASTA_SUFFIXES:
        raw = _from_fasta(path, counts)
    elif kind in (".csv", ".tsv", ".parquet"):
        raw = _from_columns(path, kind, task, counts)
    else:
        raise MintsError(f"task table {path} has an unknown ending {ending!r}: expected {READABLE}")
    table = _with_coordinates(raw)
    table["label"] = _binary(path, table["label"], positive_labels, negative_labels)
    used = table["label"].notna()
    counts.other_labels += int((~used).sum())
    table = table[used].astype({"label": int}).reset_index(drop=True)
    absent = {0, 1} - set(table["label"])
    if absent:
        kinds = " and ".join("positive" if label else "negative" for label in sorted(absent))
        raise MintsError(f"task table {path} has no {kinds} rows")
    return table[COLUMNS]


def _from_fasta(path: Path, counts: ReadCounts) -> pd.DataFrame:
    rows = []
    for record in read_fasta(path, counts):
        _, bar, label = record.name.rpartition("|")
        if not bar:
            raise MintsError(f"{path}: header {record.name!r} carries no label: expected NAME|LABEL")
        rows.append({"name": record.name, "sequence": record.sequence, "label": label})
    return pd.DataFrame(rows)


def _from_columns(path: Path, kind: str, task: str, counts: ReadCounts) -> pd.DataFrame:
    try:
        if kind == ".parquet":
            raw = pd.read_parquet(path)
        else:
            raw = pd.read_csv(path, sep="," if kind == ".csv" else "\t", dtype=str, keep_default_na=False)
    except Exception as error:  # each parser has its own family of complaints
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise MintsError(f"task table {path} cannot be read: {reason}") from None
    raw = raw.reset_index(drop=True)  # parquet may bring an index of its own
    raw.columns = [str(column).strip().lower() for column in raw.columns]
    missing = [column for column in ("sequence", "label") if column not in raw.columns]
    if missing:
        raise MintsError(f"task table {path} has no column {missing[0]!r}: its columns are {', '.join(raw.columns)}")
    if raw.empty:
        raise MintsError(f"task table {path} has no rows")
    if "task" in raw.columns:
        raw = _rows_of_task(path, raw, task, counts)
    # The index stays that of the file, so that messages name its rows.
    names = raw["name"].astype(str) if "name" in raw.columns else [f"row{row}" for row in raw.index]
    sequences = [
        _sequence(text, f"{path} row {row + 1}", counts)
        for row, text in zip(raw.index, raw["sequence"].astype(str), strict=True)
    ]
    return pd.DataFrame({"name": names, "sequence": sequences, "label": raw["label"]}, index=raw.index)


def _rows_of_task(path: Path, raw: pd.DataFrame, task: str, counts: ReadCounts) -> pd.DataFrame:
    """Rows of one task of several; a table of a single task is taken whole, whatever its name."""
    names = raw["task"].astype(str)
    canonical = names.map(canonical_name)
    mine = canonical == (canonical_name(task) if canonical.nunique() > 1 else canonical.iloc[0])
    if not mine.any():
        known = ", ".join(dict.fromkeys(names))
        raise MintsError(f"task table {path} has no rows of task {task!r}: its tasks are {known}; call the task so")
    counts.other_tasks += int((~mine).sum())
    return raw[mine]


def canonical_name(task: str) -> str:
    """One name for singular and plural, upper and lower case, and any separator.

    The published tables call one task `splice_sites_donors` in some places and `splice_site_donor` in others.
    """
    words = re.split(r"[^a-z0-9]+", task.lower())
    return "_".join(word.removesuffix("s") for word in words if word)


def _sequence(text: str, where: str, counts: ReadCounts) -> str:
    letters = text.strip().encode("utf-8")
    if not letters:
        raise MintsError(f"{where} has no sequence")
    counts.records += 1
    counts.bases += len(letters)
    return clean_letters(letters, where, counts)


def _with_coordinates(table: pd.DataFrame) -> pd.DataFrame:
    found = table["name"].str.extract(COORDINATES)
    return table.assign(
        chromosome=found["chromosome"],
        start=pd.to_numeric(found["start"]).astype("Int64"),
        end=pd.to_numeric(found["end"]).astype("Int64"),
        strand=table["name"].str.extract(r"\(([+-])\)")[0],
    )


def _binary(
    path: Path, labels: pd.Series, positive: Collection[int] | None, negative: Collection[int] | None
) -> pd.Series:
    numbers = pd.to_numeric(labels, errors="coerce")
    bad = labels[numbers.isna() | (numbers % 1 != 0)]
    if len(bad):
        raise MintsError(f"task table {path} row {int(bad.index[0]) + 1}: label {bad.iloc[0]!r} is not an integer")
    found = set(numbers.astype(int).tolist())
    if positive is None and negative is None and not found <= {0, 1}:
        raise MintsError(
            f"task table {path} has labels {sorted(found)}: give positive_labels and negative_labels for the task"
        )
    ones = set(positive) if positive is not None else {1}
    zeros = set(negative) if negative is not None else {0} if positive is None else found - ones
    if ones & zeros:
        raise MintsError(f"task table {path}: label {min(ones & zeros)} is given as positive and as negative")
    return numbers.astype(int).map(lambda label: 1 if label in ones else 0 if label in zeros else None)
