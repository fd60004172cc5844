"""Files of a user's folder by the names under which they are published: scans of proteins, dictionaries of layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mints.errors import UsageError

SCAN_ENDINGS = (".csv.gz", ".tsv.gz", ".csv", ".tsv")

DICTIONARY = re.compile(r"esm2_plm\d+_l(\d+)_sae\d+\S*\.safetensors")
"""Adams et al. (2025): width of the model, layer from 1, latents."""

LAYER = "{layer}"


def scans_below(folder: Path) -> dict[str, Path]:
    """The tables of a folder by their names without ending. Raises UsageError where there are none."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    found = named_scans([path for path in there if path.name.endswith(SCAN_ENDINGS)])
    if not found:
        raise UsageError(f"{folder} holds no scan: expected tables (*{', *'.join(SCAN_ENDINGS)})")
    return found


def named_scans(files: Sequence[Path]) -> dict[str, Path]:
    """Tables by their names. Raises UsageError for two of one name."""
    named: dict[str, Path] = {}
    for file in files:
        name = scan_name(file)
        if name in named:
            raise UsageError(f"two scans are called {name}: {named[name]} and {file}")
        named[name] = file
    return named


def scan_name(path: Path) -> str:
    """Name of a table's protein: its file name without ending; what cannot stand in a file name becomes `_`."""
    bare = next((path.name.removesuffix(end) for end in SCAN_ENDINGS if path.name.endswith(end)), path.stem)
    return re.sub(r"[^A-Za-z0-9_-]", "_", bare)


def find_scan(name: str, files: Mapping[str, Path]) -> Path:
    """The scan that a name means: a table's whole name, or the beginning of one up to an underscore.

    Raises UsageError, naming those there are, for a name that none or several have.
    """
    if name in files:
        return files[name]
    found = [whole for whole in files if whole.startswith(f"{name}_")]
    if len(found) == 1:
        return files[found[0]]
    if found:
        raise UsageError(f"--protein {name}: several scans begin with that name; give one of {', '.join(found)}")
    raise UsageError(f"--protein {name}: there is no scan of it; there are {', '.join(files) or 'none'}")


def dictionary_of(layer: int, place: str) -> Path | str:
    """The dictionary of a layer, counted from 1 as ESM counts.

    place: a folder of files with published names; or a file or address with `{layer}` where the number stands. Raises
    UsageError, naming what was looked for, where a folder has none or several.
    """
    if LAYER in place:
        return place.replace(LAYER, str(layer))
    if "://" in place:
        raise UsageError(f"--sae-dir {place}: an address needs {LAYER} where the layer's number stands")
    return _in_folder(layer, Path(place))


def _in_folder(layer: int, folder: Path) -> Path:
    looked_for = f"{folder / f'esm2_plm*_l{layer}_sae*.safetensors'}"
    if not folder.is_dir():
        raise UsageError(f"--sae-dir {folder} is no folder: expected {looked_for}")
    named = {path: int(found[1]) for path in sorted(folder.iterdir()) if (found := DICTIONARY.fullmatch(path.name))}
    fitting = [path for path, of in named.items() if of == layer]
    if len(fitting) > 1:
        raise UsageError(f"layer {layer} has several dictionaries, {_listed(fitting)}: keep one of them in {folder}")
    if not fitting:
        layers = ", ".join(map(str, sorted(set(named.values())))) or "none"
        raise UsageError(f"layer {layer} has no dictionary: there is no {looked_for}; there are layers {layers}")
    return fitting[0]


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)
