"""What a token's identity alone puts at a site: the direction that a substitution has wherever it stands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.features.above import Above
from mints.features.latent_effects import TOKENS_PER_BATCH


class IdentityMeans(NamedTuple):
    """Values at a site of every token at some places of one sequence, each put there in turn."""

    places: Int[ndarray, "place"]
    tokens: Int[ndarray, "token"]
    values: Float[Tensor, "place token d_in"]

    def displacement(self, token: int, other: int, place: int) -> Float[Tensor, "d_in"]:
        """From the other token to this one, a mean over all places but the one in question."""
        elsewhere = torch.from_numpy(self.places != place)
        columns = [int(np.flatnonzero(self.tokens == each)[0]) for each in (token, other)]
        of_token, of_other = (self.values[elsewhere, column].mean(0) for column in columns)
        return of_token - of_other


def identity_means(
    above: Above, ids: Int[Tensor, "pos"], places: Int[ndarray, "place"], tokens: Int[ndarray, "token"]
) -> IdentityMeans:
    """Put every token at every place of a sequence, one at a time, and keep the value there."""
    place, token = (part.ravel() for part in np.meshgrid(places, tokens, indexing="ij"))
    at_once = max(1, TOKENS_PER_BATCH[above.compute.device.type] // len(ids))
    values = []
    for start in range(0, len(place), at_once):
        some = torch.from_numpy(place[start : start + at_once])
        rows = ids.cpu().repeat(len(some), 1)
        rows[torch.arange(len(some)), some] = torch.from_numpy(token[start : start + at_once])
        run = above.record(rows)
        values.append(run.x[torch.arange(len(some)), some].cpu())
    return IdentityMeans(places, tokens, torch.cat(values).view(len(places), len(tokens), -1).to(above.compute.device))
