"""Where a file comes from: this machine, the hub, or an address with a hash."""

from __future__ import annotations

import re
from functools import cache as once
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from mints.data.download import TIMEOUT, Digest, UnreachableError, download
from mints.errors import MintsError

HUB = re.compile(r"^hf://(?P<kind>datasets|models)/(?P<repository>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<file>.+)$")
DOWNLOADS = Path("data") / "downloads"
"""Where addresses are downloaded to."""


def fetch(location: Path | str, cache: Path = DOWNLOADS) -> Path:
    """The file at `location`, downloaded into `cache` (hub files: into the hub's own cache) where it is not here.

    location: a path, `hf://datasets/OWNER/NAME@REVISION/FILE`, or `https://…#sha256=HEX` (also md5).
    Raises MintsError for a missing file, an address out of reach, an address without hash, and a wrong hash.
    """
    text = str(location)
    if "://" not in text:
        path = Path(location)
        if not path.is_file():
            raise MintsError(f"{path} does not exist")
        return path
    match = HUB.match(text)
    if match:
        return _from_hub(text, match)
    if text.startswith(("http://", "https://")):
        return _from_address(text, cache)
    raise MintsError(
        f"cannot read {text}: expected a path, hf://datasets/OWNER/NAME@REVISION/FILE or https://…#sha256=…"
    )


def _from_hub(location: str, match: re.Match[str]) -> Path:
    from httpx import HTTPError
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    no_answer = _why_no_answer(constants.ENDPOINT)
    try:
        return Path(
            hf_hub_download(
                match["repository"],
                match["file"],
                revision=match["revision"],
                repo_type=match["kind"].removesuffix("s"),
                local_files_only=no_answer is not None,
            )
        )
    except (HFValidationError, EntryNotFoundError, HTTPError, OSError) as error:
        raise MintsError(_unreachable(location, no_answer or _first_line(error))) from None


@once
def _why_no_answer(endpoint: str) -> str | None:
    """None where a server answers, whatever it says; else the reason. The hub's own client would try for half a minute.

    Asked once per process and address, since every file of a run comes from the same few.
    """
    import httpx

    try:
        httpx.head(endpoint, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        return f"{endpoint}: {_first_line(error)}"
    return None


def _from_address(location: str, cache: Path) -> Path:
    address, _, promise = location.partition("#")
    algorithm, _, hexadecimal = promise.partition("=")
    if algorithm not in ("sha256", "md5") or not hexadecimal:
        raise MintsError(f"{location} has no hash: write {address}#sha256=…, so that what arrives can be checked")
    name = f"{hexadecimal[:12]}-{PurePosixPath(urlsplit(address).path).name}"  # two addresses may end in the same name
    try:
        return download(address, cache / name, Digest(algorithm, hexadecimal))
    except UnreachableError as error:
        raise MintsError(_unreachable(location, error.reason)) from None


def _unreachable(location: str, reason: str) -> str:
    return f"cannot reach {location} ({reason}): no network? Give a file on this machine instead"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
