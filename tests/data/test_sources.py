"""Files from this machine, from an address with a hash, and from the hub, all by a server on this machine."""

import hashlib
import os
import subprocess
import sys
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from mints.data.sources import fetch
from mints.errors import MintsError

CONTENT = b">chr1\nACGT\n"
COMMIT = "851f9946252e90c665cdb3cc3eedb78f1f26197c"
NOWHERE = "http://127.0.0.1:9"
"""The discard port, where nothing listens."""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as serves one file of one data set."""

    def do_HEAD(self):  # noqa: N802
        self.do_GET(body=False)

    def do_GET(self, body: bool = True):  # noqa: N802
        known = self.path == f"/datasets/owner/name/resolve/{COMMIT}/task/train.fna"
        self.send_response(200 if known else 404)
        if known:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(CONTENT).hexdigest()}"')
        elif "/resolve/" in self.path:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(CONTENT) if known else 0))
        self.end_headers()
        if known and body:
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        """Silent."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def serve():
    servers = []

    def serve(handler) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(serve, tmp_path):
    for folder, content in (("a", CONTENT), ("b", CONTENT * 2)):
        (tmp_path / "www" / folder).mkdir(parents=True)
        (tmp_path / "www" / folder / "train.fna").write_bytes(content)
    return serve(partial(Quiet, directory=str(tmp_path / "www")))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_of_this_machine_is_itself(tmp_path):
    path = tmp_path / "a.fa"
    path.write_bytes(CONTENT)
    assert fetch(path) == fetch(str(path)) == path
    with pytest.raises(MintsError, match=r"none.fa does not exist"):
        fetch(tmp_path / "none.fa")
    with pytest.raises(MintsError, match=r"does not exist"):
        fetch(tmp_path)


def test_a_file_at_an_address_is_downloaded_once_and_checked(site, tmp_path):
    location = f"{site}/a/train.fna#sha256={sha256(CONTENT)}"
    path = fetch(location, tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    assert path.suffix == ".fna"
    (tmp_path / "www" / "a" / "train.fna").unlink()
    assert fetch(location, tmp_path / "cache") == path
    path.write_bytes(b"damaged")
    with pytest.raises(MintsError, match=r"cannot reach .*a/train.fna.*\(404"):
        fetch(location, tmp_path / "cache")


def test_addresses_with_one_file_name_do_not_share_a_file(site, tmp_path):
    first = fetch(f"{site}/a/train.fna#sha256={sha256(CONTENT)}", tmp_path / "cache")
    second = fetch(f"{site}/b/train.fna#md5={hashlib.md5(CONTENT * 2).hexdigest()}", tmp_path / "cache")
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, CONTENT * 2)


def test_a_wrong_hash_is_refused_and_nothing_is_kept(site, tmp_path):
    with pytest.raises(MintsError, match=r"a/train.fna does not have the sha256 0000"):
        fetch(f"{site}/a/train.fna#sha256={'0' * 64}", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("[!.]*"))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("https://example.org/a.fa", "has no hash: write https://example.org/a.fa#sha256=…"),
        ("https://example.org/a.fa#sha512=ab", "has no hash"),
        ("ftp://example.org/a.fa", "cannot read ftp://example.org/a.fa: expected a path"),
        ("hf://spaces/owner/name/file", "cannot read hf://spaces/owner/name/file: expected a path"),
        (f"{NOWHERE}/a.fa#md5=ab", "(no connection): no network? Give a file on this machine instead"),
    ],
)
def test_what_cannot_be_fetched_is_one_clear_line(tmp_path, location, message):
    with pytest.raises(MintsError) as error:
        fetch(location, tmp_path)
    assert message in str(error.value)


def test_a_cache_that_cannot_be_written_is_said_to_be_so(site, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MintsError, match=r"cannot keep .*a/train.fna in .*file"):
        fetch(f"{site}/a/train.fna#sha256={sha256(CONTENT)}", tmp_path / "file")


def fetch_from_hub(endpoint: str, home, location: str) -> str:
    """What another process, which has its own hub, prints; the hub's address is read when its client is loaded."""
    program = (
        "import sys\nfrom mints.data.sources import fetch\nfrom mints.errors import MintsError\n"
        "try: print(fetch(sys.argv[1]).read_text())\nexcept MintsError as error: print(error)"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", program, location]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_file_of_the_hub_is_downloaded_and_then_found_without_a_network(serve, tmp_path):
    location = f"hf://datasets/owner/name@{COMMIT}/task/train.fna"
    hub = serve(Hub)
    assert fetch_from_hub(hub, tmp_path, location).encode().strip() == CONTENT.strip()
    assert fetch_from_hub(NOWHERE, tmp_path, location).encode().strip() == CONTENT.strip()
    missing = fetch_from_hub(hub, tmp_path, location.replace("train", "dev"))
    assert missing.startswith(f"cannot reach {location.replace('train', 'dev')} (404")


def test_a_hub_out_of_reach_is_one_clear_line_within_seconds(tmp_path):
    begin = time.monotonic()
    said = fetch_from_hub(NOWHERE, tmp_path, "hf://models/owner/name@main/config.json")
    assert said.startswith(f"cannot reach hf://models/owner/name@main/config.json ({NOWHERE}: ")
    assert said.strip().endswith("no network? Give a file on this machine instead")
    assert time.monotonic() - begin < 15
