"""Changing latents inside the model, the autoencoder's error kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mints.features.autoencoder import SparseAutoencoder
from mints.models.sites import Intervention

ChangeLatents = Callable[[Float[Tensor, "batch pos d_sae"]], Float[Tensor, "batch pos d_sae"]]
"""Takes the latents of a run and gives those that it shall have."""


def change_latents(
    autoencoder: SparseAutoencoder, change: ChangeLatents, where: Bool[Tensor, "batch pos"] | None = None
) -> Intervention:
    """Intervention that moves a site's activations by what a change of its latents decodes to.

    x → x + (latents′ − latents) W_dec · size. What the autoencoder does not reconstruct stays as it is, so that a
    change of nothing changes nothing, to the bit. where: the places that are changed; default all.
    """

    def intervene(x: Float[Tensor, "batch pos d_in"]) -> Float[Tensor, "batch pos d_in"]:
        latents = autoencoder.encode(x)
        difference = change(latents) - latents
        if where is not None:
            difference = difference * where[..., None]
        return x + autoencoder.moved_by(difference, autoencoder.frame(x)).to(x.dtype)

    return intervene


def set_latents(latents: Tensor, values: Tensor | float) -> ChangeLatents:
    """Change that gives the latents of these indices a fixed value (0 ablates them) and leaves the others."""

    def change(before: Float[Tensor, "batch pos d_sae"]) -> Float[Tensor, "batch pos d_sae"]:
        after = before.clone()
        after[..., latents] = torch.as_tensor(values, dtype=after.dtype, device=after.device)
        return after

    return change


def add_to_latents(latents: Tensor, amounts: Tensor | float) -> ChangeLatents:
    """Change that adds an amount to the latents of these indices; none is brought below zero."""

    def change(before: Float[Tensor, "batch pos d_sae"]) -> Float[Tensor, "batch pos d_sae"]:
        after = before.clone()
        raised = after[..., latents] + torch.as_tensor(amounts, dtype=after.dtype, device=after.device)
        after[..., latents] = raised.clamp(min=0)
        return after

    return change
