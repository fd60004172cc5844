"""Where a file is meant to be: on this machine, at the hub, or at an address; and where the cache keeps it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from mints.errors import MintsError

CACHE = Path("data") / "downloads"
"""Where remote files are kept; its folders, copied to another machine, are a mirror there."""

HUB = re.compile(r"^hf://(?P<kind>datasets|models)/(?P<repository>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<file>.+)$")
ENCODE = re.compile(r"^https://www\.encodeproject\.org/files/(?P<accession>[A-Z0-9_.]+)/@@download/[^/]+$")
HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
LENGTHS = {"sha256": 64, "md5": 32, "git-sha1": 40}
"""Hexadecimal digits of each hash."""


class Digest(NamedTuple):
    """What a file's bytes must hash to."""

    algorithm: str
    """sha256, md5, or git-sha1 (git's hash of a file, which heads the bytes with their number)."""

    hexadecimal: str

    def matches(self, path: Path) -> bool:
        """Whether the file has this hash."""
        with path.open("rb") as stream:
            if self.algorithm != "git-sha1":
                return hashlib.file_digest(stream, self.algorithm).hexdigest() == self.hexadecimal.lower()
            digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
            return digest.hexdigest() == self.hexadecimal.lower()

    def __str__(self) -> str:
        """As in messages."""
        return f"{self.algorithm} {self.hexadecimal}"


class HubFile(NamedTuple):
    """A file of a repository at the hub."""

    kind: str
    """datasets or models."""

    repository: str
    revision: str
    name: str


class Remote(NamedTuple):
    """A file that is not of this machine."""

    location: str
    """As the configuration names it, without the hash."""

    path: PurePosixPath
    """Below the cache, and below a mirror."""

    digest: Digest | None
    """Promised by the location; None where an authority is to say it."""

    hub: HubFile | None
    """None for an address."""


def parse(location: Path | str) -> Path | Remote:
    """A path, `hf://datasets/OWNER/NAME@REVISION/FILE` (also models), or `https://…#sha256=HEX` (also md5).

    A hub's file may be named as `train.{parquet,fna}`: the first that there is (see `choices`). A file of ENCODE needs
    no hash, as ENCODE states one for every accession. Raises MintsError for anything else.
    """
    address, _, promise = str(location).partition("#")
    if "://" not in address:
        return Path(location)
    digest = _promised(address, promise)
    if found := HUB.match(address):
        file = HubFile(found["kind"], found["repository"], found["revision"] or "main", found["file"])
        return hub_file(file, digest)._replace(location=address)
    if not address.startswith(("http://", "https://")):
        raise MintsError(
            f"cannot read {address}: expected a path, hf://datasets/OWNER/NAME@REVISION/FILE or https://…#sha256=…"
        )
    if digest is None and not ENCODE.match(address):
        raise MintsError(f"{address} has no hash: write {address}#sha256=…, so that what arrives can be checked")
    parts = urlsplit(address)
    return Remote(address, PurePosixPath("web", parts.netloc.replace(":", "_"), parts.path.lstrip("/")), digest, None)


def _promised(address: str, promise: str) -> Digest | None:
    if not promise:
        return None
    algorithm, _, hexadecimal = promise.partition("=")
    if algorithm not in ("sha256", "md5") or not re.fullmatch(rf"[0-9a-fA-F]{{{LENGTHS[algorithm]}}}", hexadecimal):
        raise MintsError(f"{address} has no hash that can be checked: write #sha256= and 64 digits, or #md5=")
    return Digest(algorithm, hexadecimal.lower())


def hub_file(file: HubFile, digest: Digest | None = None) -> Remote:
    """A file of a repository, as parsed from its location."""
    location = f"hf://{file.kind}/{file.repository}@{file.revision}/{file.name}"
    return Remote(location, hub_folder(file.kind, file.repository, file.revision) / file.name, digest, file)


def choices(remote: Remote) -> list[Remote]:
    """The files that a location with `{one,other}` in its name may mean, the preferred one first."""
    found = re.search(r"\{([^{}]*)\}", remote.location)
    if found is None or remote.hub is None:
        return [remote]
    names = [remote.hub.name.replace(found[0], part) for part in found[1].split(",")]
    return [hub_file(remote.hub._replace(name=name), remote.digest) for name in names]


def hub_folder(kind: str, repository: str, revision: str) -> PurePosixPath:
    """Where the cache keeps a repository's files of one revision."""
    return PurePosixPath("hub", kind, repository, revision)


def is_commit(revision: str) -> bool:
    """Whether a revision is one commit for ever, and no branch or tag."""
    return bool(re.fullmatch(r"[0-9a-f]{40}", revision))


def is_hub_id(model: str) -> bool:
    """Whether a model is named as the hub names one, OWNER/NAME, and nothing here has that name."""
    return bool(HUB_ID.match(model)) and not model.startswith(".") and not Path(model).exists()


def here(location: Path | str) -> Path:
    """The file of a location on this machine: itself, or in the cache. Raises MintsError where it is not there."""
    source = parse(location)
    if isinstance(source, Path):
        if not source.is_file():
            raise MintsError(f"{source} does not exist")
        return source
    for choice in choices(source):
        if (CACHE / choice.path).is_file():
            return CACHE / choice.path
    raise MintsError(f"{source.location} is not in {CACHE}: fetch it first (--fetch-only)")
