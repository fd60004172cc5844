"""Bringing remote files to the cache: from a mirror or their own place, checked by a hash, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache as once
from pathlib import Path
from typing import NamedTuple

from mints.data.authorities import Stated, address_of, first_line, hub_endpoint, hub_listing, stated
from mints.data.catalogue import NAME, Catalogue, add_to_catalogue, names_below, parse_catalogue, read_catalogue
from mints.data.download import TIMEOUT, Track, UnreachableError, download
from mints.errors import MintsError
from mints.locations import CACHE, Digest, HubFile, Remote, choices, hub_file, hub_folder, is_commit

NOT_IN_CACHE = "not in {cache}, and --offline forbids to ask for it"


class Shelf(NamedTuple):
    """Where files are kept, and from where they may be brought."""

    cache: Path = CACHE

    mirror: str | None = None
    """A folder, or an address, with the layout of a cache: asked before the files' own places."""

    offline: bool = False
    """Nothing is asked for over the network; a mirror in a folder is still read."""


class MissingError(MintsError):
    """A file that is not here and cannot be brought."""

    def __init__(self, location: str, reason: str) -> None:
        """Keep both, for a list of everything that is missing."""
        super().__init__(f"cannot reach {location} ({reason}): no network? Give a file on this machine instead")
        self.location = location
        self.reason = reason


def bring(remote: Remote, shelf: Shelf, track: Track = lambda megabytes, total: megabytes) -> Path:
    """The file in the cache, brought there where it is not, or not with the right bytes.

    The hash is the location's own, the one in the catalogue of the cache or of the mirror, or what the file's
    authority says. Of several choices the first that can be had is brought. Raises MissingError where none can, and
    MintsError for wrong bytes.
    """
    *preferred, last = choices(remote)
    for choice in preferred:
        with suppress(MissingError):
            return _bring(choice, shelf, track)
    try:
        return _bring(last, shelf, track)
    except MissingError as error:
        raise MissingError(remote.location, error.reason) from None


def _bring(remote: Remote, shelf: Shelf, track: Track) -> Path:
    target, path = shelf.cache / remote.path, str(remote.path)
    promised = _promise(remote, shelf)
    if promised and target.is_file() and promised.digest.matches(target):
        return _keep(shelf, path, promised)
    mirrored = promised or mirror_catalogue(shelf).get(path)
    if mirrored and _from_mirror(remote, mirrored.digest, shelf, track):
        return _keep(shelf, path, mirrored)
    if shelf.offline:
        raise MissingError(remote.location, NOT_IN_CACHE.format(cache=shelf.cache))
    try:
        promised = promised or stated(remote)
        download(address_of(remote), target, promised.digest, track=track)
    except UnreachableError as error:
        raise MissingError(remote.location, error.reason) from None
    return _keep(shelf, path, promised)


def _promise(remote: Remote, shelf: Shelf) -> Stated | None:
    """What is known of the file without asking anybody; of a branch that may have moved on, nothing."""
    if remote.digest is not None:
        return Stated(remote.digest, None)
    settled = remote.hub is None or is_commit(remote.hub.revision) or shelf.offline
    return read_catalogue(shelf.cache).get(str(remote.path)) if settled else None


def _keep(shelf: Shelf, path: str, accepted: Stated) -> Path:
    """Note the hash, and how many bytes there are, of a file that is in the cache."""
    kept = shelf.cache / path
    add_to_catalogue(shelf.cache, {path: Stated(accepted.digest, kept.stat().st_size)})
    return kept


def bring_repository(
    kind: str,
    repository: str,
    revision: str,
    shelf: Shelf,
    *,
    wanted: Callable[[list[str]], list[str]],
    promised: dict[str, Digest],
    track: Callable[[str], Track],
) -> Path:
    """Folder in the cache with the wanted files of a repository.

    wanted: of the names that there are, those that are needed. promised: hashes of files that were known beforehand,
    by name. track: by name, as in `bring`. Raises MissingError as `bring` does, and where nothing there is wanted.
    """
    folder = hub_folder(kind, repository, revision)
    listing = repository_catalogue(kind, repository, revision, shelf)
    chosen = wanted(names_below(listing, folder))
    for name in chosen:
        remote = hub_file(HubFile(kind, repository, revision, name), promised.get(name))
        add_to_catalogue(shelf.cache, {str(remote.path): listing[str(remote.path)]})
    for name in chosen:
        bring(hub_file(HubFile(kind, repository, revision, name), promised.get(name)), shelf, track(name))
    return shelf.cache / folder


def repository_catalogue(kind: str, repository: str, revision: str, shelf: Shelf) -> Catalogue:
    """What files there are: as the cache knows of a fixed revision, else the mirror, else the hub."""
    folder = hub_folder(kind, repository, revision)
    kept = read_catalogue(shelf.cache)
    if names_below(kept, folder) and (is_commit(revision) or shelf.offline):
        return kept
    mirrored = mirror_catalogue(shelf)
    if names_below(mirrored, folder):
        return mirrored
    location = f"{repository} at revision {revision}"
    if shelf.offline:
        raise MissingError(location, NOT_IN_CACHE.format(cache=shelf.cache))
    try:
        listing = hub_listing(hub_endpoint(), kind, repository, revision)
    except UnreachableError as error:
        raise MissingError(location, error.reason) from None
    return {str(folder / name): statement for name, statement in listing.items()}


def mirror_catalogue(shelf: Shelf) -> Catalogue:
    """The mirror's catalogue; empty without a mirror, and for an address where nothing may be asked for."""
    if shelf.mirror is None:
        return {}
    if "://" not in shelf.mirror:
        folder = Path(shelf.mirror)
        if not (folder / NAME).is_file():
            raise MintsError(f"mirror {folder} has no {NAME}: a mirror is a copy of a folder that --fetch-only filled")
        return read_catalogue(folder)
    return {} if shelf.offline else _catalogue_at(shelf.mirror.rstrip("/"))


@once
def _catalogue_at(mirror: str) -> Catalogue:
    import httpx

    address = f"{mirror}/{NAME}"
    try:
        answer = httpx.get(address, timeout=TIMEOUT, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise MintsError(f"mirror {mirror} does not answer: {first_line(error)}") from None
    if answer.is_error:
        raise MintsError(f"mirror {mirror} has no {NAME} ({answer.status_code} {answer.reason_phrase})")
    return parse_catalogue(answer.text, address)


def _from_mirror(remote: Remote, digest: Digest, shelf: Shelf, track: Track) -> bool:
    """Whether the mirror had the file, which is then in the cache; a folder's file is linked and not copied."""
    if shelf.mirror is None or ("://" in shelf.mirror and shelf.offline):
        return False
    target = shelf.cache / remote.path
    if "://" in shelf.mirror:
        try:
            download(f"{shelf.mirror.rstrip('/')}/{remote.path}", target, digest, track=track)
        except UnreachableError:
            return False
        return True
    original = Path(shelf.mirror).resolve() / remote.path
    if not original.is_file():
        return False
    if not digest.matches(original):
        raise MintsError(f"{original} does not have the {digest}: the mirror's copy was changed or damaged")
    _link(original, target)
    return True


def _link(original: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(original):
            return
        target.unlink(missing_ok=True)
        try:
            target.symlink_to(original)
        except OSError:  # a system that does not let its users make links
            shutil.copyfile(original, target)
    except OSError as error:
        raise MintsError(f"cannot keep {original} in {target.parent}: {error.strerror or error}") from None
