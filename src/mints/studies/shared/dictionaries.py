"""Where the trained autoencoders of a run lie: names that declarations use, which is why torch waits for its use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mints.features.file_names import CONFIGURATION, WEIGHTS
from mints.pipeline.run import Run

if TYPE_CHECKING:  # steps declare these files without waiting for torch
    from mints.features.autoencoder import SparseAutoencoder

FOLDER = "sparse_autoencoders"
UNTRAINED = "random_initialisation"
"""Folder, within a site's, of the same recipe on an untrained encoder."""


def dictionary_files(folder: str) -> list[str]:
    """Artifacts of one autoencoder; folder: may hold placeholders."""
    return [f"{folder}/{name}" for name in (CONFIGURATION, WEIGHTS)]


def site_folder(site: str, *, untrained: bool = False) -> str:
    """Folder of the autoencoder that later steps use: of the first k, the first expansion and the first seed."""
    return f"{FOLDER}/{site}/{UNTRAINED}" if untrained else f"{FOLDER}/{site}"


def sweep_folders(k: Sequence[int], expansion: Sequence[int], seeds: int) -> dict[str, tuple[int, int, int]]:
    """Folders, within a site's, of all other dictionaries: k, expansion, and what is added to the seed."""
    every = [(one_k, one_expansion) for one_k in k for one_expansion in expansion]
    swept = {f"k{one_k}_x{one_expansion}": (one_k, one_expansion, 0) for one_k, one_expansion in every[1:]}
    return swept | {f"seed_{seed}": (k[0], expansion[0], seed) for seed in range(1, seeds)}


def open_autoencoder(run: Run, site: str, *, untrained: bool = False) -> SparseAutoencoder:
    """The autoencoder of a site, on the CPU; untrained: of the untrained encoder's activations.

    The step declares `dictionary_files(site_folder("{site}"))` among what it needs.
    """
    from mints.features.saelens import from_saelens

    configuration, weights = dictionary_files(site_folder(site, untrained=untrained))
    return from_saelens(run.load(configuration), run.load(weights))


def save_autoencoder(run: Run, folder: str, autoencoder: SparseAutoencoder, metadata: Mapping[str, Any]) -> None:
    """Write an autoencoder as a SAELens directory below the results."""
    from mints.features.saelens import to_saelens

    configuration, weights = to_saelens(autoencoder, metadata)
    for name, value in zip(dictionary_files(folder), (configuration, weights), strict=True):
        run.save(name, value)
