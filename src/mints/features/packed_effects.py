"""Effects of single latents in many pairs as plain arrays and back, for pieces of work that are done apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray

from mints.features.latent_effects import PairEffects
from mints.features.latent_tables import Sets
from mints.features.pair_patching import SANITY, Patched

PLAIN = ("latents", "lengths", "denoised", "noised", "estimated")
NULLS = "nulls/"


def packed(pairs: Sequence[PairEffects]) -> dict[str, ndarray]:
    """Arrays of all pairs one after the other, and how many latents each pair has (`counts`)."""
    arrays = {"counts": np.array([len(pair.latents) for pair in pairs], dtype=np.int64)}
    if not pairs:
        return arrays
    arrays |= {name: np.concatenate([getattr(pair, name) for pair in pairs]) for name in PLAIN}
    for null in pairs[0].nulls:
        both = [np.stack(pair.nulls[null]) for pair in pairs]
        arrays[NULLS + null] = np.concatenate(both, axis=1)
    return arrays


def unpacked(arrays: Mapping[str, ndarray]) -> list[PairEffects]:
    """The pairs that were packed."""
    ends = np.cumsum(arrays["counts"])
    pairs = []
    for end, count in zip(ends, arrays["counts"], strict=True):
        some = slice(end - count, end)
        plain = {name: arrays[name][some] for name in PLAIN}
        nulls = {
            name.removeprefix(NULLS): (both[0, some], both[1, some])
            for name, both in arrays.items()
            if name.startswith(NULLS)
        }
        pairs.append(PairEffects(**plain, nulls=nulls))
    return pairs


def packed_patches(patched: Patched, sets: Mapping[str, Sets]) -> dict[str, ndarray]:
    """Everything that was patched, and which sets the rows are of; the sets' members are left behind."""
    arrays = {f"singles/{name}": part for name, part in packed(patched.singles).items()}
    for (tokens, direction), changes in patched.sets.items():
        arrays[f"sets/{tokens}/{direction}"] = changes
    for tokens, of_tokens in sets.items():
        arrays[f"rankings/{tokens}"] = np.array(of_tokens.ranking, dtype=str)
        arrays[f"sizes/{tokens}"] = np.array(of_tokens.size, dtype=np.int64)
    arrays |= {"totals": patched.totals, "sanity": np.array([patched.sanity[name] for name in SANITY])}
    return arrays


def unpacked_patches(arrays: Mapping[str, ndarray]) -> tuple[Patched, dict[str, Sets]]:
    """What was packed; the sets have no members."""
    singles = unpacked(_below("singles", arrays))
    changes = dict(_pairs_below("sets", arrays))
    sizes, nobody = _below("sizes", arrays), np.zeros(0, dtype=np.int64)
    sets = {
        tokens: Sets(ranking.tolist(), sizes[tokens].tolist(), [nobody] * len(ranking))
        for tokens, ranking in _below("rankings", arrays).items()
    }
    sanity = dict(zip(SANITY, arrays["sanity"].tolist(), strict=True))
    return Patched(singles, changes, arrays["totals"], sanity), sets


def _below(prefix: str, arrays: Mapping[str, ndarray]) -> dict[str, ndarray]:
    return {name.removeprefix(f"{prefix}/"): part for name, part in arrays.items() if name.startswith(f"{prefix}/")}


def _pairs_below(prefix: str, arrays: Mapping[str, ndarray]) -> list[tuple[tuple[str, str], ndarray]]:
    named = ((name.rsplit("/", 1), part) for name, part in _below(prefix, arrays).items())
    return [((tokens, direction), part) for (tokens, direction), part in named]


def joined_patches(parts: Sequence[Patched]) -> Patched:
    """The pairs of several pieces as those of one; sets of the same name and size stand for one another."""
    singles = [pair for part in parts for pair in part.singles]
    sets = {side: np.concatenate([part.sets[side] for part in parts]) for side in parts[0].sets}
    sanity = {name: max(part.sanity[name] for part in parts) for name in SANITY}
    return Patched(singles, sets, np.concatenate([part.totals for part in parts]), sanity)
