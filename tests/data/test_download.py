"""Downloads from a server that cuts, stumbles, redirects and lies."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from http_server import Answer, serving

from mints.data import download as module
from mints.data.download import ATTEMPTS, UnreachableError
from mints.errors import MintsError
from mints.locations import Digest

CONTENT = np.random.default_rng(0).bytes(100_000)
DIGEST = Digest("sha256", hashlib.sha256(CONTENT).hexdigest())
NOWHERE = "http://127.0.0.1:9/a.fa"
"""The discard port, where nothing listens."""

download = partial(module.download, patience=0.001, timeout=2)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "a.fa"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("sha256", hashlib.sha256(CONTENT).hexdigest()),
        ("md5", hashlib.md5(CONTENT).hexdigest().upper()),
        ("git-sha1", hashlib.sha1(b"blob 100000\0" + CONTENT).hexdigest()),
    ],
)
def test_a_file_is_checked_by_the_hash_that_is_known_of_it(target, algorithm, expected):
    with serving(lambda request: Answer(content=CONTENT)) as server:
        assert download(f"{server.address}/a.fa", target, Digest(algorithm, expected)).read_bytes() == CONTENT
        target.write_bytes(CONTENT[:-1] + b"x")
        assert not Digest(algorithm, expected).matches(target)


def test_a_file_that_is_here_is_not_asked_for_and_a_damaged_one_is_replaced(target):
    with serving(lambda request: Answer(content=CONTENT)) as server:
        download(f"{server.address}/a.fa", target, DIGEST)
        download(f"{server.address}/a.fa", target, DIGEST)
        assert len(server.requests) == 1
        target.write_bytes(b"damaged")
        assert download(f"{server.address}/a.fa", target, DIGEST).read_bytes() == CONTENT
    download(NOWHERE, target, DIGEST)


def test_a_cut_connection_goes_on_where_it_was_within_one_call(target):
    with serving(lambda request: Answer(content=CONTENT, cut_after=30_000)) as server:
        assert download(f"{server.address}/a.fa", target, DIGEST).read_bytes() == CONTENT
    assert [request.start for request in server.requests] == [0, 30_000, 60_000, 90_000]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(target):
    def only_once(request):
        return Answer(content=CONTENT, cut_after=40_000) if request.start == 0 else Answer(503)

    with serving(only_once) as server, pytest.raises(UnreachableError, match="503"):
        download(f"{server.address}/a.fa", target, DIGEST)
    assert not target.exists()
    assert target.with_name("a.fa.partial").read_bytes() == CONTENT[:40_000]
    with serving(lambda request: Answer(content=CONTENT)) as server:
        assert download(f"{server.address}/a.fa", target, DIGEST).read_bytes() == CONTENT
        assert [request.start for request in server.requests] == [40_000]
    assert sorted(path.name for path in target.parent.iterdir() if not path.name.startswith(".")) == ["a.fa"]


def test_a_server_without_ranges_sends_everything_again(target):
    target.parent.mkdir()
    target.with_name("a.fa.partial").write_bytes(CONTENT[:500])
    with serving(lambda request: Answer(content=CONTENT, ranges=False)) as server:
        assert download(f"{server.address}/a.fa", target, DIGEST).read_bytes() == CONTENT


def test_a_server_that_always_cuts_at_one_place_is_given_up(target):
    with serving(lambda request: Answer(content=CONTENT, ranges=False, cut_after=500)) as server:
        with pytest.raises(UnreachableError, match="cannot reach"):
            download(f"{server.address}/a.fa", target, DIGEST)
        assert len(server.requests) <= ATTEMPTS + 1


@pytest.mark.parametrize("left_over", [b"other bytes", CONTENT + b"too many", b"x" * len(CONTENT)])
def test_left_over_bytes_of_another_file_are_thrown_away(target, left_over):
    target.parent.mkdir()
    target.with_name("a.fa.partial").write_bytes(left_over)
    with serving(lambda request: Answer(content=CONTENT)) as server:
        assert download(f"{server.address}/a.fa", target, DIGEST).read_bytes() == CONTENT
        assert server.requests[-1].start == 0


def test_a_stumbling_server_is_asked_again_and_one_that_knows_of_nothing_is_not(target):
    answers = [Answer(503), Answer(429), Answer(500), Answer(content=CONTENT)]
    with serving(lambda request: answers.pop(0)) as server:
        download(f"{server.address}/a.fa", target, DIGEST)
        assert len(server.requests) == 4
    target.unlink()
    with serving(lambda request: Answer(404)) as server:
        with pytest.raises(UnreachableError, match=r"cannot reach .*/a.fa \(404 Not Found\)"):
            download(f"{server.address}/a.fa", target, DIGEST)
        assert len(server.requests) == 1
    with serving(lambda request: Answer(503)) as server:
        with pytest.raises(UnreachableError, match="503"):
            download(f"{server.address}/a.fa", target, DIGEST)
        assert len(server.requests) == ATTEMPTS


def test_an_address_where_nobody_listens_is_out_of_reach(target):
    with pytest.raises(UnreachableError, match=rf"cannot reach {NOWHERE} \(no connection\)"):
        download(NOWHERE, target, DIGEST)


def test_redirects_are_followed_with_the_range(target):
    def moved(request):
        return Answer(302, location="/there") if request.path == "/a.fa" else Answer(content=CONTENT)

    target.parent.mkdir()
    target.with_name("a.fa.partial").write_bytes(CONTENT[:70_000])
    with serving(moved) as server:
        assert download(f"{server.address}/a.fa", target, DIGEST).read_bytes() == CONTENT
    assert [*server.requests] == [("/a.fa", 70_000), ("/there", 70_000)]


def test_wrong_bytes_never_become_the_file(target):
    wrong = f"does not have the sha256 {DIGEST.hexadecimal}"
    with serving(lambda request: Answer(content=CONTENT[:-1] + b"x")) as server, pytest.raises(MintsError, match=wrong):
        download(f"{server.address}/a.fa", target, DIGEST)
    assert [path.name for path in target.parent.iterdir() if not path.name.startswith(".")] == []


def test_two_that_want_one_file_wait_for_each_other(target):
    with serving(lambda request: Answer(content=CONTENT, cut_after=20_000)) as server:
        with ThreadPoolExecutor(4) as pool:
            paths = [*pool.map(lambda _: download(f"{server.address}/a.fa", target, DIGEST), range(4))]
        assert {*paths} == {target}
        assert [request.start for request in server.requests] == [0, 20_000, 40_000, 60_000, 80_000]
    assert target.read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MintsError, match=r"cannot keep .* in .*file"):
        download(NOWHERE, tmp_path / "file" / "a.fa", DIGEST)


def test_each_megabyte_of_a_download_is_told_of_once(target):
    content = CONTENT * 40
    told = []

    def track(megabytes, total):
        told.append(total)
        for megabyte in megabytes:
            told.append(megabyte)
            yield megabyte

    with serving(lambda request: Answer(content=content)) as server:
        digest = Digest("sha256", hashlib.sha256(content).hexdigest())
        download(f"{server.address}/a.fa", target, digest, track=track)
    assert told == [3, 0, 1, 2]
