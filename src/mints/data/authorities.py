"""Who says what the bytes of a remote file hash to, where the location itself does not: the hub, and ENCODE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache as once
from typing import NamedTuple

from mints.data.download import TIMEOUT, UnreachableError
from mints.locations import ENCODE, Digest, Remote, hub_folder


class Stated(NamedTuple):
    """What is known of a file before it is here."""

    digest: Digest
    bytes: int | None


def hub_endpoint() -> str:
    """The hub's address: `HF_ENDPOINT`, as the hub's own client reads it, or the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def address_of(remote: Remote) -> str:
    """Where the bytes of a remote file are asked for."""
    if remote.hub is None:
        return remote.location
    folder = f"{remote.hub.kind}/" if remote.hub.kind == "datasets" else ""
    return f"{hub_endpoint()}/{folder}{remote.hub.repository}/resolve/{remote.hub.revision}/{remote.hub.name}"


def stated(remote: Remote) -> Stated:
    """What the file's authority says of it. Raises UnreachableError where it does not answer or knows no such file."""
    if remote.hub is None:
        return _encode_statement(remote.location)
    listing = hub_listing(hub_endpoint(), remote.hub.kind, remote.hub.repository, remote.hub.revision)
    if remote.hub.name not in listing:
        near = ", ".join(sorted(name for name in listing if name.split("/")[0] == remote.hub.name.split("/")[0])[:6])
        hint = f"; there are {near}" if near else ""
        raise UnreachableError(remote.location, f"the repository has no such file at this revision{hint}")
    return listing[remote.hub.name]


@once
def hub_listing(endpoint: str, kind: str, repository: str, revision: str) -> dict[str, Stated]:
    """Name → statement of every file of a repository at a revision.

    Large files are stated by SHA-256, the others by git's own hash. Raises UnreachableError with the hub's reason.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    where = f"{endpoint}, {hub_folder(kind, repository, revision)}"
    if reason := why_no_answer(endpoint):
        raise UnreachableError(where, reason)
    # Without a token: what is fetched here is public, and nothing secret is read.
    api = HfApi(endpoint=endpoint, token=False)
    try:
        tree = api.list_repo_tree(repository, recursive=True, revision=revision, repo_type=kind.removesuffix("s"))
        return dict(_statements(entry for entry in tree if isinstance(entry, RepoFile)))
    except RepositoryNotFoundError:
        raise UnreachableError(where, "the hub has no such public repository") from None
    except RevisionNotFoundError:
        raise UnreachableError(where, f"the repository has no revision {revision}") from None
    except (HFValidationError, HTTPError, OSError) as error:
        raise UnreachableError(where, first_line(error)) from None


def _statements(files: Iterator[object]) -> Iterator[tuple[str, Stated]]:
    from huggingface_hub import RepoFile

    for file in files:
        assert isinstance(file, RepoFile)
        large = Digest("sha256", file.lfs.sha256) if file.lfs is not None else None
        yield file.path, Stated(large or Digest("git-sha1", file.blob_id), file.size)


@once
def why_no_answer(endpoint: str) -> str | None:
    """None where a server answers, whatever it says; else the reason. The hub's own client would try for half a minute.

    Asked once per process and address, since every file of a run comes from the same few.
    """
    import httpx

    try:
        httpx.head(endpoint, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        return f"{endpoint}: {first_line(error)}"
    return None


def _encode_statement(address: str) -> Stated:
    """ENCODE keeps the MD5 of every file in the file's own record."""
    import httpx

    found = ENCODE.match(address)
    assert found is not None
    record = f"{address.split('/files/')[0]}/files/{found['accession']}/?format=json"
    try:
        answer = httpx.get(record, timeout=TIMEOUT, follow_redirects=True)
        if answer.is_error:
            raise UnreachableError(address, f"{answer.status_code} {answer.reason_phrase}")
        facts = answer.json()
        return Stated(Digest("md5", facts["md5sum"]), facts.get("file_size"))
    except httpx.HTTPError as error:
        raise UnreachableError(address, first_line(error)) from None
    except (KeyError, ValueError):
        raise UnreachableError(address, f"{record} names no md5sum") from None


def first_line(error: Exception) -> str:
    """What an exception says, shortly."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
