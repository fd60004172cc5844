"""Where a file comes from: this machine, the hub, or an address with a hash."""

from __future__ import annotations

import re
from pathlib import Path

from mints.errors import MintsError

HUB = re.compile(r"^hf://(?P<kind>datasets|models)/(?P<repository>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<file>.+)$")
DOWNLOADS = Path("data") / "downloads"
"""Where addresses are downloaded to."""

TIMEOUT = 20
"""Seconds without an answer after which an address counts as out of reach."""


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
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            hf_hub_download(
                match["repository"],
                match["file"],
                revision=match["revision"],
                repo_type=match["kind"].removesuffix("s"),
            )
        )
    except (HfHubHTTPError, HTTPError, OSError) as error:
        raise MintsError(_unreachable(location, error)) from None


def _from_address(location: str, cache: Path) -> Path:
    import pooch
    import requests

    address, _, promise = location.partition("#")
    algorithm, _, digest = promise.partition("=")
    if algorithm not in ("sha256", "md5") or not digest:
        raise MintsError(f"{location} has no hash: write {address}#sha256=…, so that what arrives can be checked")
    downloader = pooch.HTTPDownloader(progressbar=False, timeout=TIMEOUT)
    try:
        return Path(
            pooch.retrieve(
                address, f"{algorithm}:{digest}", fname=address.rsplit("/", 1)[-1], path=cache, downloader=downloader
            )
        )
    except ValueError:
        raise MintsError(
            f"{address} does not have the {algorithm} {digest}: it was changed, or damaged on the way"
        ) from None
    except (requests.RequestException, OSError) as error:
        raise MintsError(_unreachable(location, error)) from None


def _unreachable(location: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"cannot reach {location} ({reason}): no network? Give a file on this machine instead"
