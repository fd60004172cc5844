"""Artifacts are written whole or not at all, and equal content has equal bytes."""

import errno
import io
import math
import os
import time
import zipfile

import numpy as np
import pytest
from matplotlib import pyplot
from pandas import DataFrame
from pandas.testing import assert_frame_equal
from pydantic import BaseModel

from mints.errors import MintsError
from mints.pipeline import artifacts
from mints.pipeline.step import StepContractError

TABLE = DataFrame({"stone": ["flat", "round"], "weight": [1 / 3, math.nan], "count": [2, 3]})
ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], dtype=np.int8), "names": np.array(["x", "yz"])}


def written(path, value, suffix):
    artifacts.write(path, value, suffix)
    return path.read_bytes()


def test_a_table_comes_back_and_reads_as_plain_text(tmp_path):
    assert written(tmp_path / "t", TABLE, ".csv") == b"stone,weight,count\nflat,0.33333333,2\nround,,3\n"
    assert_frame_equal(artifacts.read(tmp_path / "t", ".csv"), TABLE, rtol=1e-7)


def test_parquet_keeps_types_and_all_digits(tmp_path):
    written(tmp_path / "t", TABLE, ".parquet")
    assert_frame_equal(artifacts.read(tmp_path / "t", ".parquet"), TABLE)


def test_json_keeps_order_and_digits_and_writes_nan_as_null(tmp_path):
    class Beach(BaseModel):
        name: str = "nörth"

    value = {"z": 0.1, "a": (math.nan, math.inf, np.float32(0.5), np.int64(3)), "m": np.eye(2), "beach": Beach()}
    text = written(tmp_path / "v", value, ".json").decode()
    assert text.startswith('{\n "z": 0.1,\n "a": [\n  null,\n  null,\n  0.5,\n  3\n ]')
    assert "nörth" in text
    assert artifacts.read(tmp_path / "v", ".json")["m"] == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("value", [{1, 2}, object(), TABLE, {1.5: 2}])
def test_json_refuses_what_has_no_one_meaning_there(tmp_path, value):
    with pytest.raises(TypeError):
        artifacts.write(tmp_path / "v", value, ".json")


def test_npz_holds_what_numpy_reads(tmp_path):
    written(tmp_path / "a.npz", ARRAYS, ".npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert list(archive.files) == ["a", "b", "names"]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(archive[name], array)
            assert archive[name].dtype == array.dtype


def test_npz_never_pickles(tmp_path):
    with pytest.raises(ValueError, match="[Oo]bject arrays"):
        artifacts.write(tmp_path / "a", {"a": np.array([{}], dtype=object)}, ".npz")
    np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
    with pytest.raises(MintsError, match="allow_pickle=False"):
        artifacts.read(tmp_path / "b.npz", ".npz")


def test_safetensors_come_back_from_views_that_are_not_contiguous(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    written(tmp_path / "a", {"transposed": array.T, "single": np.float32(2.5)}, ".safetensors")
    back = artifacts.read(tmp_path / "a", ".safetensors")
    np.testing.assert_array_equal(back["transposed"], array.T)
    assert back["single"].shape == ()
    assert back["single"] == 2.5


@pytest.mark.parametrize(
    ("suffix", "value"),
    [
        (".csv", TABLE),
        (".parquet", TABLE),
        (".json", {"a": 1}),
        (".npz", ARRAYS),
        (".safetensors", {"a": np.ones(3), "b": np.zeros((2, 2))}),
    ],
)
def test_the_same_value_gives_the_same_bytes_at_another_time(tmp_path, monkeypatch, suffix, value):
    first = written(tmp_path / "first", value, suffix)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert written(tmp_path / "second", value, suffix) == first


def test_a_figure_names_no_software_and_is_closed(tmp_path):
    figure, axes = pyplot.subplots(figsize=(1, 1))
    axes.plot([1, 2])
    content = written(tmp_path / "f", figure, ".png")
    assert content.startswith(b"\x89PNG")
    assert b"atplotlib" not in content
    assert not pyplot.fignum_exists(figure.number)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".npz", ".safetensors", ".parquet"])
def test_a_damaged_file_is_one_clear_error(tmp_path, suffix):
    (tmp_path / "damaged").write_bytes(b'"\x00\xff\n"' if suffix == ".csv" else b"PK\x03\x04 broken {")
    with pytest.raises(MintsError, match=r"cannot read .*damaged"):
        artifacts.read(tmp_path / "damaged", suffix)


def test_a_suffix_without_format_is_refused(tmp_path):
    with pytest.raises(StepContractError, match=r"no format for \*\.pt"):
        artifacts.write(tmp_path / "a.pt", {}, ".pt")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failing_writer_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text("old")

    def fail_half_way():
        with artifacts.written_atomically(path) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["old.txt"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(StepContractError, match="nothing was written"), artifacts.written_atomically(tmp_path / "a"):
        pass


@pytest.mark.parametrize("where", ["write", "flush"])
def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path, monkeypatch, where):
    path = tmp_path / "old.csv"
    path.write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((DataFrame, "to_csv") if where == "write" else (os, "fsync")), full)

    def write_table():
        with artifacts.written_atomically(path) as temporary:
            temporary.touch()
            artifacts.write(temporary, TABLE, ".csv")

    with pytest.raises(MintsError, match=r"disk full while writing .*old\.csv"):
        write_table()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["old.csv"]


def test_other_errors_of_a_writer_keep_their_kind(tmp_path):
    with pytest.raises(FileNotFoundError), artifacts.written_atomically(tmp_path / "a") as temporary:
        temporary.write_bytes((tmp_path / "there is no such file").read_bytes())


def test_only_temporaries_are_swept_away(tmp_path):
    keep = [".hidden.tmp", "notes.123.tmp", ".lock", "a.csv"]
    for name in [*keep, ".a.csv.123.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".b.npz.7.tmp").touch()
    artifacts.remove_stale_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(keep)


def test_a_truncated_archive_is_not_taken_for_a_whole_one(tmp_path):
    content = written(tmp_path / "a", ARRAYS, ".npz")
    assert zipfile.is_zipfile(io.BytesIO(content))
    (tmp_path / "a").write_bytes(content[:-30])
    with pytest.raises(MintsError):
        artifacts.read(tmp_path / "a", ".npz")
