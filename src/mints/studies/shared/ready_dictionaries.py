"""Dictionaries that were trained elsewhere: opened from their files, and held against the site they are used at."""

from __future__ import annotations

from pathlib import Path

from mints.errors import MintsError
from mints.feature_config import ReadyDictionary
from mints.features.activations import ordinary_tokens, site_activations
from mints.features.formats import ReadDictionary, from_published
from mints.locations import here, parse
from mints.models.dictionary_files import read_dictionary_files
from mints.pipeline.run import Run
from mints.section import Location
from mints.studies.shared.models import OpenModel

SHOWN = "ACGTTGCA" * 8
"""A sequence on which the width of a site is seen."""


def read_autoencoder(location: Location, k: int | None = None) -> ReadDictionary:
    """The autoencoder of a dictionary's folder or file of weights, and what its files say of it.

    Layouts: SAELens, dictionary_learning, InterPLM, Decode-gLM, InterProt, sparsify. k: latents per token of a TopK
    dictionary whose files do not say it. Raises MintsError as `read_dictionary_files` and `from_published` do.
    """
    source = parse(location)
    return from_published(read_dictionary_files(source if isinstance(source, Path) else here(location)), k)


def ready_autoencoders(run: Run, model: OpenModel) -> dict[str, ReadDictionary]:
    """The dictionaries that the configuration gives, by site: where one is given, none is to be trained.

    The step reads and opens `features.ready`. Their remarks are said as warnings. Raises MintsError where one is of
    activations of another width than its site has.
    """
    return {ready.site: _opened(run, ready, _width(model, ready.site)) for ready in run.config.features.ready}


def _width(model: OpenModel, site: str) -> int:
    """Dimensions of a site; heads lie side by side."""
    encodings = model.tokenizer.encode_many([SHOWN])
    tokens = ordinary_tokens(encodings, model.tokenizer)
    first = next(site_activations(model.encoder, encodings, tokens, site, model.compute))
    return int(first.activations.shape[1])


def _opened(run: Run, ready: ReadyDictionary, d_in: int) -> ReadDictionary:
    found = read_autoencoder(ready.file, ready.k)
    if found.autoencoder.d_in != d_in:
        raise MintsError(
            f"{ready.file} decomposes {found.autoencoder.d_in} dimensions, and {ready.site} has {d_in}:"
            " it is of another model or site"
        )
    for remark in found.remarks:
        run.warn(f"{ready.site}, {ready.file}: {remark}")
    return found
