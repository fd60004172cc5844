"""Where a checkpoint lies: a folder, the package itself, or the hub."""

from __future__ import annotations

from pathlib import Path

from mints.config import shipped_checkpoint
from mints.errors import MintsError

WANTED = ("config.json", "*.safetensors", "*.safetensors.index.json", "vocab.txt", "tokenizer*.json", "special_*.json")
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


def locate_checkpoint(location: str, revision: str | None = None) -> Path:
    """Folder that holds the checkpoint; downloads a hub id's tensors and settings, never its code.

    Raises MintsError where there is no such folder or shipped checkpoint, or the hub cannot be reached.
    """
    shipped = shipped_checkpoint(location)
    if shipped is not None:
        if not shipped.is_dir():
            names = ", ".join(sorted(path.name for path in shipped.parent.glob("*/")))
            raise MintsError(f"no checkpoint {location!r} is shipped: there are {names}")
        return shipped
    if Path(location).is_dir():
        return Path(location)
    looks_like_a_path = location.startswith((".", "/", "~")) or location.count("/") != 1
    if looks_like_a_path:
        raise MintsError(f"checkpoint folder {location} does not exist")
    return _download(location, revision)


def _download(repository: str, revision: str | None) -> Path:
    from httpx import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        names = HfApi().list_repo_files(repository, revision=revision)
        has_safetensors = any(name.endswith(".safetensors") for name in names)
        patterns = [*WANTED, *(() if has_safetensors else PICKLED)]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    try:  # a node without network may hold an earlier download
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=list(WANTED), local_files_only=True)
        )
    except LocalEntryNotFoundError:
        at = f" at revision {revision}" if revision else ""
        raise MintsError(
            f"checkpoint {repository}{at} cannot be had from the hub ({reason}):"
            " no network? Give a folder with --model, or fill the cache on a machine that has one"
        ) from None
