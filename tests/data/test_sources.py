"""Remote files: from the hub, from addresses and from mirrors, all by a server on this machine; checked, or refused."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from http_server import Answer, serving
from stand_in_hub import git_sha1, has_signature, hub_answers

from mints.data import authorities
from mints.data.authorities import hub_listing, why_no_answer
from mints.data.catalogue import read_catalogue
from mints.data.sources import MissingError, Shelf, _catalogue_at, bring, bring_repository
from mints.errors import MintsError
from mints.locations import Digest, choices, here, is_hub_id, parse

CONTENT = b">chr1\nACGT\n"
COMMIT = "851f9946252e90c665cdb3cc3eedb78f1f26197c"
DATASET = f"datasets/owner/name@{COMMIT}"
LOCATION = f"hf://{DATASET}/task/train.fna"
NOWHERE = "http://127.0.0.1:9"
"""The discard port, where nothing listens."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def nothing_remembered():
    """What a process asks once is asked anew in each test."""
    for asked_once in (hub_listing, why_no_answer, _catalogue_at):
        asked_once.cache_clear()


@pytest.fixture
def folder(tmp_path):
    """A repository's files."""
    (tmp_path / "served" / "task").mkdir(parents=True)
    (tmp_path / "served" / "task" / "train.fna").write_bytes(CONTENT)
    (tmp_path / "served" / "task" / "test.parquet").write_bytes(CONTENT * 3)
    return tmp_path / "served"


@pytest.fixture
def hub(folder, monkeypatch):
    """A hub that has it."""
    with serving(hub_answers({DATASET: folder})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "cache")


def test_a_file_of_this_machine_is_itself(tmp_path):
    path = tmp_path / "a.fa"
    path.write_bytes(CONTENT)
    assert here(path) == here(str(path)) == path
    with pytest.raises(MintsError, match=r"none.fa does not exist"):
        here(tmp_path / "none.fa")
    with pytest.raises(MintsError, match=r"does not exist"):
        here(tmp_path)


def test_a_file_in_the_cache_is_found_where_it_was_brought_to(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MintsError, match=r"task/train.fna is not in data.downloads: fetch it first \(--fetch-only\)"):
        here(LOCATION)
    assert bring(parse(LOCATION), Shelf()) == here(LOCATION)
    assert here(LOCATION).read_bytes() == CONTENT


def test_a_small_file_of_the_hub_is_checked_by_git_s_hash_and_a_large_one_is_followed_to_its_store(hub, shelf):
    assert bring(parse(LOCATION), shelf).read_bytes() == CONTENT
    large = bring(parse(LOCATION.replace("train.fna", "test.parquet")), shelf)
    assert large.read_bytes() == CONTENT * 3
    assert any(has_signature(request) for request in hub.requests)
    known = read_catalogue(shelf.cache)
    assert {str(stated.digest): stated.bytes for stated in known.values()} == {
        f"git-sha1 {git_sha1(CONTENT)}": len(CONTENT),
        f"sha256 {sha256(CONTENT * 3)}": 3 * len(CONTENT),
    }


def test_what_is_in_the_cache_is_not_asked_for_again_and_what_was_damaged_there_is(hub, shelf):
    path = bring(parse(LOCATION), shelf)
    asked = len(hub.requests)
    assert bring(parse(LOCATION), shelf) == path
    assert len(hub.requests) == asked
    path.write_bytes(b"damaged")
    assert bring(parse(LOCATION), shelf).read_bytes() == CONTENT


def test_a_branch_may_move_on_and_is_asked_about_each_time(folder, shelf, monkeypatch):
    location = "hf://datasets/owner/name/task/train.fna"
    with serving(hub_answers({"datasets/owner/name@main": folder})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        assert bring(parse(location), shelf).read_bytes() == CONTENT
        (folder / "task" / "train.fna").write_bytes(b"moved on")
        hub_listing.cache_clear()
        assert bring(parse(location), shelf).read_bytes() == b"moved on"
    assert bring(parse(location), shelf._replace(offline=True)).read_bytes() == b"moved on"


def test_wrong_bytes_of_the_hub_never_enter_the_cache(folder, shelf, monkeypatch):
    honest = hub_answers({DATASET: folder})

    def lying(request):
        answer = honest(request)
        return answer if "/resolve/" not in request.path else Answer(content=b"something else")

    with serving(lying) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        with pytest.raises(MintsError, match=r"task/train.fna does not have the git-sha1"):
            bring(parse(LOCATION), shelf)
    assert not [path for path in shelf.cache.rglob("*train*") if not path.name.startswith(".")]


def test_the_first_of_several_choices_that_there_is_is_taken(hub, shelf, tmp_path, monkeypatch):
    either = f"hf://{DATASET}/task/train.{{parquet,fna}}"
    assert [choice.path.suffix for choice in choices(parse(either))] == [".parquet", ".fna"]
    assert bring(parse(either), shelf).name == "train.fna"
    assert bring(parse(either.replace("train", "test")), shelf).name == "test.parquet"
    with pytest.raises(MissingError, match=r"no such file at this revision; there are task/test.parquet, task/train"):
        bring(parse(either.replace("train", "dev")), shelf)


def test_a_file_at_an_address_is_downloaded_once_and_checked(shelf):
    with serving(lambda request: Answer(content=CONTENT)) as server:
        remote = parse(f"{server.address}/a/train.fna#sha256={sha256(CONTENT)}")
        path = bring(remote, shelf)
        other = bring(parse(f"{server.address}/b/train.fna#md5={hashlib.md5(CONTENT).hexdigest()}"), shelf)
    assert path.read_bytes() == other.read_bytes() == CONTENT
    assert path != other
    assert bring(remote, shelf) == path
    path.write_bytes(b"damaged")
    with pytest.raises(MissingError, match=r"cannot reach .*a/train.fna \(no connection\)"):
        bring(remote, shelf)


def test_a_wrong_hash_is_refused_and_nothing_is_kept(shelf):
    with (
        serving(lambda request: Answer(content=CONTENT)) as server,
        pytest.raises(MintsError, match=r"a/train.fna does not have the sha256 0000"),
    ):
        bring(parse(f"{server.address}/a/train.fna#sha256={'0' * 64}"), shelf)
    assert not [path for path in shelf.cache.rglob("*.fna*") if not path.name.startswith(".")]


def test_encode_states_the_hash_of_an_accession(shelf, monkeypatch):
    record = {"md5sum": hashlib.md5(CONTENT).hexdigest(), "file_size": len(CONTENT)}

    def encode(request):
        found = Answer(content=CONTENT if "@@download" in request.path else json.dumps(record).encode())
        return found if "ENCFF827JRI" in request.path else Answer(404)

    with serving(encode) as server:
        pattern = re.compile(authorities.ENCODE.pattern.replace(r"https://www\.encodeproject\.org", server.address))
        monkeypatch.setattr("mints.locations.ENCODE", pattern)
        monkeypatch.setattr("mints.data.authorities.ENCODE", pattern)
        location = f"{server.address}/files/ENCFF827JRI/@@download/ENCFF827JRI.bed.gz"
        assert bring(parse(location), shelf).read_bytes() == CONTENT
        assert server.requests[0].path == "/files/ENCFF827JRI/?format=json"
        with pytest.raises(MissingError, match="404"):
            bring(parse(location.replace("827", "111")), shelf)
        record["md5sum"] = "0" * 32
        with pytest.raises(MintsError, match="does not have the md5 0000"):
            bring(parse(location.replace("@@download/", "@@download/other.")), shelf)
    monkeypatch.undo()
    assert parse("https://www.encodeproject.org/files/ENCFF827JRI/@@download/ENCFF827JRI.bed.gz").digest is None


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("https://example.org/a.fa", "has no hash: write https://example.org/a.fa#sha256=…"),
        ("https://example.org/a.fa#sha512=ab", "has no hash that can be checked"),
        ("https://example.org/a.fa#sha256=ab", "has no hash that can be checked"),
        ("ftp://example.org/a.fa", "cannot read ftp://example.org/a.fa: expected a path"),
        ("hf://spaces/owner/name/file", "cannot read hf://spaces/owner/name/file: expected a path"),
    ],
)
def test_a_location_that_cannot_be_meant_is_one_clear_line(location, message):
    with pytest.raises(MintsError) as error:
        parse(location)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hub_out_of_reach_is_one_clear_line(shelf, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    with pytest.raises(MissingError) as error:
        bring(parse(LOCATION), shelf)
    assert str(error.value).startswith(f"cannot reach {LOCATION} ({NOWHERE}: ")
    assert str(error.value).endswith("no network? Give a file on this machine instead")


def test_a_repository_or_revision_that_there_is_not_is_said_to_be_so(hub, shelf):
    with pytest.raises(MissingError, match="no such public repository"):
        bring(parse(LOCATION.replace("owner", "nobody")), shelf)
    with pytest.raises(MissingError, match="has no revision aaaa"):
        bring(parse(LOCATION.replace(COMMIT, "a" * 40)), shelf)


def test_a_cache_that_cannot_be_written_is_said_to_be_so(hub, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MintsError, match=r"cannot keep .* in .*file"):
        bring(parse(LOCATION), Shelf(tmp_path / "file"))


def test_a_filled_cache_is_a_mirror_whose_files_are_linked(hub, shelf, tmp_path, monkeypatch):
    original = bring(parse(LOCATION), shelf)
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    elsewhere = Shelf(tmp_path / "elsewhere", str(shelf.cache), offline=True)
    path = bring(parse(LOCATION), elsewhere)
    assert path.samefile(original)
    assert path.is_relative_to(elsewhere.cache)
    assert bring(parse(LOCATION), Shelf(elsewhere.cache, offline=True)) == path
    assert bring(parse(LOCATION), shelf._replace(mirror=str(shelf.cache))).read_bytes() == CONTENT


def test_a_changed_copy_in_a_mirror_is_refused(hub, shelf, tmp_path):
    bring(parse(LOCATION), shelf).write_bytes(b"changed")
    with pytest.raises(MintsError, match=r"does not have the git-sha1 .*the mirror's copy was changed or damaged"):
        bring(parse(LOCATION), Shelf(tmp_path / "elsewhere", str(shelf.cache)))
    assert not list((tmp_path / "elsewhere").rglob("train.fna"))


def test_a_mirror_at_an_address_serves_what_it_has_and_the_rest_comes_from_its_own_place(hub, shelf, tmp_path):
    bring(parse(LOCATION), shelf)

    def mirror(request):
        path = shelf.cache / request.path.lstrip("/")
        return Answer(content=path.read_bytes()) if path.is_file() else Answer(404)

    asked = len(hub.requests)
    with serving(mirror) as server:
        there = Shelf(tmp_path / "elsewhere", server.address)
        assert bring(parse(LOCATION), there).read_bytes() == CONTENT
        assert len(hub.requests) == asked
        assert bring(parse(LOCATION.replace("train.fna", "test.parquet")), there).read_bytes() == CONTENT * 3
        assert len(hub.requests) > asked
        with pytest.raises(MissingError, match="--offline forbids"):
            bring(parse(LOCATION), Shelf(tmp_path / "third", server.address, offline=True))


@pytest.mark.parametrize("mirror", ["folder", NOWHERE, "http"])
def test_a_mirror_that_is_none_is_said_to_be_so(mirror, shelf, tmp_path):
    with serving(lambda request: Answer(404)) as server:
        shelf = shelf._replace(mirror={"folder": str(tmp_path), "http": server.address}.get(mirror, mirror))
        with pytest.raises(MintsError, match=r"mirror .* (has no catalogue.json|does not answer)"):
            bring(parse(LOCATION), shelf)


def test_a_damaged_catalogue_is_said_to_be_so(shelf):
    shelf.cache.mkdir()
    for text in ("{", "[]", '{"files": {"a": {"hash": "sha256:ab", "bytes": 1}}}'):
        (shelf.cache / "catalogue.json").write_text(text)
        with pytest.raises(MintsError, match=r"catalogue.json is damaged: remove it"):
            bring(parse(LOCATION), shelf)


def unseen(name):
    """Progress that nobody sees."""
    return lambda megabytes, total: megabytes


def test_of_a_repository_only_what_is_wanted_is_brought_and_later_found_offline(folder, shelf, tmp_path, monkeypatch):
    def choose(names):
        return [name for name in names if name.endswith(".fna")]

    def repository(shelf, **promised):
        digests = {name.replace("_", "/") + ".fna": Digest("sha256", value) for name, value in promised.items()}
        return bring_repository("datasets", "owner/name", COMMIT, shelf, wanted=choose, promised=digests, track=unseen)

    with serving(hub_answers({DATASET: folder})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        brought = repository(shelf)
        names = [path.relative_to(brought).as_posix() for path in brought.rglob("*.*") if path.is_file()]
        assert [name for name in names if "/." not in name] == ["task/train.fna"]
        with pytest.raises(MintsError, match="does not have the sha256 0000"):
            repository(Shelf(tmp_path / "strict"), task_train="0" * 64)
    assert repository(shelf) == brought
    linked = repository(Shelf(tmp_path / "elsewhere", str(shelf.cache), offline=True))
    assert (linked / "task" / "train.fna").read_bytes() == CONTENT
    with pytest.raises(MissingError, match=rf"owner/name at revision {COMMIT} \(not in .*nothing"):
        repository(Shelf(tmp_path / "nothing", offline=True))


def test_a_hub_id_is_told_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("owner/name")
    assert not any(map(is_hub_id, ("./name", "../name", "/a/b", "name", "a/b/c", "mints:name")))
    Path("owner/name").mkdir(parents=True)
    assert not is_hub_id("owner/name")
