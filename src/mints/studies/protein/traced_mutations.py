"""Part of a step: the latents of one site in the substitutions of one protein, which is a piece of work of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from mints.data.residues import RESIDUES
from mints.features.above import Above
from mints.features.autoencoder import SparseAutoencoder
from mints.features.integrated_gradients import attribute_changed, gauss_legendre
from mints.features.latent_effects import TOKENS_PER_BATCH
from mints.features.packed_effects import packed_patches
from mints.features.pair_patching import CHANGED, Displacements, patch_pairs, ranked_sets
from mints.features.random_directions import redirected
from mints.features.substitution_readout import CONTEXTS, SubstitutionReadout
from mints.features.token_identity import IdentityMeans, identity_means
from mints.features.traced_pairs import PairRun, Traced, attribution_table, halves, rank_latents
from mints.features.universality import important
from mints.studies.shared.models import OpenModel

DISPLACEMENTS = ("token identity", "random direction", "other position")
"""Held against the latents: what the exchange of these two residues adds anywhere else in the protein; the whole
difference along a random direction; the whole difference at another residue."""

SIZES = (1, 4, 16, 64)
"""Latents of the sets that are moved together."""

OWN_SIZES = (1, 2, 4, 8, 16, 32)
"""Latents of the sets that are made for each mutation by itself."""

HIDDEN = 0.15
"""Share of the other residues that are hidden, as in training."""

IDENTITY_PLACES = 8
"""Residues at which every amino acid is put to learn what its identity adds."""

NODES = 3
"""Points of the path for so many cases: enough to say which few latents lead."""

LEADING = 5
"""Latents of a case that count as important: few of them differ between two residues at all."""


class Piece(NamedTuple):
    """What can be computed by itself, anywhere."""

    protein: str
    site: str


class Work(NamedTuple):
    """What a piece is done with."""

    model: OpenModel
    autoencoder: SparseAutoencoder
    piece: Piece
    rng: Callable[[str], np.random.Generator]
    """Random numbers of one purpose, the same wherever the piece is done."""


def trace_piece(work: Work, mutations: pd.DataFrame) -> dict[str, ndarray]:
    """Patching, attributions and leading latents of every context, as arrays below its name.

    mutations: as `sample_mutations` gives them; half of the positions rank latents, and the others report.
    """
    above = Above(work.model.encoder, work.piece.site, work.model.compute)
    ranking, reported = split(mutations, work.rng("halves"))
    identity = identity_of(work, above, mutations["clean"].iloc[0])
    arrays: dict[str, ndarray] = {}
    for context, readouts in CONTEXTS.items():
        traced = Traced(above, work.autoencoder, readouts, readouts)
        rng = work.rng(f"nulls {context}")
        ranked = rank_latents(traced, opened(work, above, ranking, context), rng)
        sets = ranked_sets(ranked, readouts, rng, SIZES)
        others = Displacements(DISPLACEMENTS, partial(displaced, identity=identity, rng=rng))
        patched = patch_pairs(traced, opened(work, above, reported, context), sets, rng, others, OWN_SIZES)
        attributions = attribution_table(traced, opened(work, above, reported, context), rng)
        found = packed_patches(patched, sets) | {"frequency": ranked.frequency}
        found |= {f"attributions/{name}": _array(attributions[name]) for name in attributions}
        found["leading"] = leading_latents(work, above, mutations, context)
        arrays |= {f"{context}/{name}": part for name, part in found.items()}
    return arrays


def split(mutations: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mutations that rank latents, and those at other positions on which they are reported."""
    return halves(mutations, len(mutations), rng)


def opened(work: Work, above: Above, mutations: pd.DataFrame, context: str) -> Iterator[PairRun]:
    """Wild type (clean) and mutant (corrupted) of every mutation, run up to the site."""
    for index, name, position in mutations[["name", "position"]].itertuples():
        readout = readout_of(work, mutations.loc[[index]], context)
        clean, corrupted = (above.record(ids) for ids in (readout.clean, readout.corrupted))
        places = torch.nonzero(readout.content[0])[:, 0].cpu().numpy()
        own = int(torch.nonzero(readout.clean[0] != readout.corrupted[0])[0, 0])
        target = int(work.rng(f"other position {name}").choice(places[places != own]))
        yield PairRun(str(name), int(position), clean, corrupted, readout, target - own)


def readout_of(work: Work, mutations: pd.DataFrame, context: str) -> SubstitutionReadout:
    """Read-outs of some mutations, a row each; in the hidden context some other residues are masked on both sides."""
    tokenizer, device = work.model.tokenizer, work.model.compute.device
    sides = [tokenizer.encode_many(mutations[side].tolist()) for side in ("clean", "corrupted")]
    clean, corrupted = (np.stack([encoding.ids for encoding in side]) for side in sides)
    content = np.stack([~encoding.special for encoding in sides[0]])
    hidden = np.zeros_like(content)
    if context == "hidden":
        for row, position in enumerate(mutations["position"]):
            others = np.flatnonzero(content[row] & (clean[row] == corrupted[row]))
            count = max(1, round(HIDDEN * len(others)))
            hidden[row, work.rng(f"hidden {position}").choice(others, count, replace=False)] = True
    seen = (np.where(hidden, tokenizer.mask_id, ids) for ids in (clean, corrupted))
    parts = (torch.from_numpy(part).to(device) for part in (*seen, clean, content, hidden))
    return SubstitutionReadout(CONTEXTS[context], *parts)


def identity_of(work: Work, above: Above, wild_type: str) -> IdentityMeans:
    """What every residue adds at some places of the wild type."""
    tokenizer = work.model.tokenizer
    encoding = tokenizer.encode(wild_type)
    chosen = np.sort(work.rng("identity").permutation(np.flatnonzero(~encoding.special))[:IDENTITY_PLACES])
    tokens = np.array([tokenizer.id_of[residue] for residue in RESIDUES])
    return identity_means(above, torch.from_numpy(encoding.ids), chosen, tokens)


def displaced(pair: PairRun, identity: IdentityMeans, rng: np.random.Generator) -> list[Float[Tensor, "pos d_in"]]:
    """`DISPLACEMENTS` of one pair, each from the mutant to the wild type."""
    changed = pair.where(CHANGED)
    whole = (pair.clean.x[0] - pair.corrupted.x[0]) * changed[:, None]
    place = int(torch.nonzero(changed)[0, 0])
    wild_type, mutant = (int(side[0, place]) for side in (pair.readout.clean, pair.readout.corrupted))
    by_identity = torch.zeros_like(whole)
    by_identity[place] = identity.displacement(wild_type, mutant, place)
    random = torch.zeros_like(whole)
    random[place] = redirected(whole[place], rng)
    return [by_identity, random, whole.roll(pair.shift or 0, 0)]


def leading_latents(work: Work, above: Above, mutations: pd.DataFrame, context: str) -> ndarray:
    """Which latents lead the attribution at every substitution: read-out × mutation × latent."""
    rows = np.arange(len(mutations))
    readouts = CONTEXTS[context]
    shares = np.zeros((len(readouts), len(rows), work.autoencoder.d_sae), dtype=np.float32)
    at_once = max(1, TOKENS_PER_BATCH[above.compute.device.type] // (len(mutations["clean"].iloc[0]) + 2))
    for some in np.split(rows, range(at_once, len(rows), at_once)):
        readout = readout_of(work, mutations.iloc[some], context)
        clean, corrupted = (above.record(ids) for ids in (readout.clean, readout.corrupted))
        place = (readout.clean != readout.corrupted).int().argmax(1)
        shares[:, some] = attribute_changed(
            above, work.autoencoder, corrupted, clean.x, place, readout, gauss_legendre(NODES), readouts
        )
    return np.stack([important(of_readout, LEADING) for of_readout in shares])


def _array(column: pd.Series) -> ndarray:
    return column.to_numpy() if pd.api.types.is_numeric_dtype(column) else column.to_numpy(dtype=str)
