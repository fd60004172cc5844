"""What a result depends on, and what has changed in plain words."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from mints.pipeline.fingerprint import CACHE, Fingerprint, Hasher, paths_in, plain_value

LONG_AGO = 1_000_000_000
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class Shelf(BaseModel):
    name: str
    catalogue: Path


@pytest.fixture
def root(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def old_file(path, content):
    path.write_text(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_a_file_is_known_by_its_content(tmp_path, root):
    (tmp_path / "a").write_text("abc")
    (tmp_path / "b").write_text("abc")
    hasher = Hasher(root)
    assert hasher.file(tmp_path / "a") == hasher.file(tmp_path / "b") == SHA256_OF_ABC
    assert hasher.path(tmp_path / "nowhere") == "missing"


def test_a_folder_is_known_by_its_names_and_contents(tmp_path, root):
    def folder(name, files):
        for file, content in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(content)
        return Hasher(root).path(tmp_path / name)

    first = folder("first", {"deep/x": "1", "y": "2"})
    assert folder("same", {"y": "2", "deep/x": "1"}) == first
    assert folder("renamed", {"deep/z": "1", "y": "2"}) != first
    assert folder("edited", {"deep/x": "1", "y": "3"}) != first


def test_big_inputs_are_read_once_and_again_when_they_change(tmp_path, root):
    genome = old_file(tmp_path / "genome", "abc")
    hasher = Hasher(root)
    hasher.file(genome)
    hasher.keep()
    recorded = (root / CACHE).read_text()
    (root / CACHE).write_text(recorded.replace(SHA256_OF_ABC, "remembered"))
    assert Hasher(root).file(genome) == "remembered"
    old_file(genome, "abcd")
    assert Hasher(root).file(genome) not in {"remembered", SHA256_OF_ABC}


def test_artifacts_and_fresh_files_are_always_read_again(tmp_path, root):
    hasher = Hasher(root)
    hasher.file(old_file(root / "artifact", "abc"))
    (tmp_path / "fresh").write_text("abc")
    hasher.file(tmp_path / "fresh")
    hasher.keep()
    assert not (root / CACHE).exists()


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": 3}'])
def test_a_damaged_cache_is_ignored(tmp_path, root, damage):
    (root / CACHE).write_text(damage)
    assert Hasher(root).file(old_file(tmp_path / "a", "abc")) == SHA256_OF_ABC


def test_paths_deep_in_a_value_stand_for_content_or_artifact(tmp_path, root):
    outside = old_file(tmp_path / "catalogue", "abc")
    inside = root / "made.csv"
    shelves = {"top": [Shelf(name="x", catalogue=outside), Shelf(name="y", catalogue=inside)], "none": None}
    assert plain_value(shelves, Hasher(root), {inside.resolve(): "made.csv"}) == {
        "top": [
            {"name": "x", "catalogue": f"sha256:{SHA256_OF_ABC}"},
            {"name": "y", "catalogue": "artifact made.csv"},
        ],
        "none": None,
    }
    assert list(paths_in(shelves)) == [outside, inside]


BEFORE = Fingerprint({"cap": 512, "tasks": [{"name": "a", "window": 200}], "genome": "sha256:11"}, {"x.csv": "1"}, "c")


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (
            Fingerprint({**BEFORE.configuration, "cap": 256}, BEFORE.inputs, "c"),
            "configuration changed: cap 512 -> 256",
        ),
        (
            Fingerprint({**BEFORE.configuration, "cap": None}, BEFORE.inputs, "d"),
            "configuration changed: cap 512 -> none",
        ),
        (
            Fingerprint({**BEFORE.configuration, "tasks": [{"name": "a", "window": 300}]}, BEFORE.inputs, "c"),
            "configuration changed: tasks[0].window 200 -> 300",
        ),
        (
            Fingerprint({**BEFORE.configuration, "genome": "sha256:22"}, BEFORE.inputs, "c"),
            "configuration changed: content of genome",
        ),
        (Fingerprint({**BEFORE.configuration, "seed": 1}, BEFORE.inputs, "c"), "configuration changed: seed is new"),
        (Fingerprint(BEFORE.configuration, {"x.csv": "2"}, "c"), "input x.csv changed"),
        (Fingerprint(BEFORE.configuration, {"x.csv": "1", "y.csv": "1"}, "c"), "input y.csv is new"),
        (Fingerprint(BEFORE.configuration, {}, "c"), "input x.csv is no longer used"),
        (Fingerprint(BEFORE.configuration, BEFORE.inputs, "d"), "its code changed"),
        (BEFORE, None),
    ],
)
def test_differences_are_told_in_plain_words(now, reason):
    assert now.difference(BEFORE) == reason
    assert (now.digest() == BEFORE.digest()) == (reason is None)


def test_many_changes_are_cut_short():
    many = Fingerprint({f"field{index}": index for index in range(9)}, {}, "c")
    none = Fingerprint(dict.fromkeys(many.configuration, 100), {}, "c")
    assert many.difference(none).endswith("field2 100 -> 2 and 6 more")
