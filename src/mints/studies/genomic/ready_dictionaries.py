"""Dictionaries that were trained elsewhere: opened from their files, and held against the site they are used at."""

from __future__ import annotations

from pathlib import Path

from mints.errors import MintsError
from mints.features.formats import ReadDictionary, from_published
from mints.locations import here, parse
from mints.models.dictionary_files import read_dictionary_files
from mints.pipeline.run import Run
from mints.section import Location


def read_autoencoder(location: Location, k: int | None = None) -> ReadDictionary:
    """The autoencoder of a dictionary's folder or file of weights, and what its files say of it.

    Layouts: SAELens, dictionary_learning, InterPLM, Decode-gLM, InterProt, sparsify. k: latents per token of a TopK
    dictionary whose files do not say it. Raises MintsError as `read_dictionary_files` and `from_published` do.
    """
    source = parse(location)
    return from_published(read_dictionary_files(source if isinstance(source, Path) else here(location)), k)


def ready_autoencoder(run: Run, site: str, d_in: int) -> ReadDictionary | None:
    """The dictionary that the configuration gives for a site; None where one is to be trained.

    The step reads and opens `features.ready`. Its remarks are said as warnings. Raises MintsError where it is of
    activations of another width than d_in.
    """
    for ready in run.config.features.ready:
        if ready.site == site:
            found = read_autoencoder(ready.file, ready.k)
            if found.autoencoder.d_in != d_in:
                raise MintsError(
                    f"{ready.file} decomposes {found.autoencoder.d_in} dimensions, and {site} has {d_in}:"
                    " it is of another model or site"
                )
            for remark in found.remarks:
                run.warn(f"{site}, {ready.file}: {remark}")
            return found
    return None
