"""A hub on this machine: repositories from folders, in the hub's own interface, with its faults on request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from http_server import Answer, Request

LARGE = (".bin", ".safetensors", ".parquet")
"""Files that the hub keeps in its large-file store, to which it redirects and for which it states a SHA-256."""


def git_sha1(content: bytes) -> str:
    """The hash by which git names a file's content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def hub_answers(repositories: Mapping[str, Path]) -> Callable[[Request], Answer]:
    """Answers of a hub. repositories: `datasets/OWNER/NAME@REVISION` or `models/…` → folder with its files."""
    trees = {f"/api/{name.replace('@', '/tree/')}": folder for name, folder in repositories.items()}

    def answer(request: Request) -> Answer:
        url = urlsplit(request.path)
        if url.path in ("", "/"):
            return Answer()
        if url.path in trees:
            return Answer(content=json.dumps(tree(trees[url.path])).encode())
        for name, folder in repositories.items():
            kind, _, rest = name.partition("/")
            begin = "/" + ("datasets/" if kind == "datasets" else "") + rest.replace("@", "/resolve/") + "/"
            store = f"/store/{name.replace('@', '/')}/"
            for prefix in (begin, store):
                path = folder / url.path.removeprefix(prefix)
                if url.path.startswith(prefix) and path.is_file():
                    if prefix == begin and path.suffix in LARGE:
                        return Answer(302, location=f"{store}{path.relative_to(folder)}?signature=1")
                    return Answer(content=path.read_bytes())
        return Answer(404, headers=(("X-Error-Code", _error_code(url.path, repositories)),))

    return answer


def _error_code(path: str, repositories: Mapping[str, Path]) -> str:
    known = any(name.partition("@")[0] in path for name in repositories)
    return "RevisionNotFound" if known else "RepoNotFound"


def tree(folder: Path) -> list[dict[str, object]]:
    """What the hub says of a repository's files."""
    entries: list[dict[str, object]] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": name})
            continue
        content = path.read_bytes()
        entry = {"type": "file", "oid": git_sha1(content), "size": len(content), "path": name}
        if path.suffix in LARGE:
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        entries.append(entry)
    return entries


def has_signature(request: Request) -> bool:
    """Whether a request follows the hub's redirection."""
    return "signature" in parse_qs(urlsplit(request.path).query)
