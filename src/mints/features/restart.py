"""Taking a run up again at a site whose activations are changed, so that only what lies above is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mints.errors import UsageError
from mints.models.encoder import Encoder
from mints.models.sites import block_sites

BEFORE_ATTENTION_ENDS = ("ln1.", "attn.", "hook_attn_out")
"""Sites of a layer below which its attention has to be run again."""


class Restart(NamedTuple):
    """A run as it stood when it passed a site of one layer."""

    site: str
    layer: int
    """Layer that runs first."""

    residual: Float[Tensor, "batch pos d_model"]
    """Its input."""

    attended: Float[Tensor, "batch pos d_model"] | None
    """Its attention output, where the site lies above it."""

    activations: Float[Tensor, "batch pos d_in"]
    """At the site; values of heads lie side by side."""

    def run(
        self, encoder: Encoder, moved: Float[Tensor, "copies pos d_in"], real: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, "copies pos d_model"]:
        """Final residual with `moved` added to the site's activations.

        copies: a multiple of the batch; the batch is taken again and again.
        """
        times = len(moved) // len(real)

        def again(x: Tensor) -> Tensor:
            return x.expand(times, *x.shape).flatten(0, 1)

        def move(x: Tensor) -> Tensor:
            return x + moved.view_as(x).to(x.dtype)

        residual, real = again(self.residual), again(real)
        if self.site.endswith(("hook_resid_pre", "hook_resid_post")):
            return encoder.run_from(self.layer, move(residual), real).residual
        attended = None if self.attended is None else again(self.attended)
        return encoder.run_from(self.layer, residual, real, interventions={self.site: move}, attended=attended).residual


def restart_at(
    encoder: Encoder, tokens: Int[Tensor, "batch pos"], real: Bool[Tensor, "batch pos"], site: str
) -> Restart:
    """Run a batch up to a site. Raises UsageError for a site that no layer of the model has."""
    parts = site.split(".", 2)
    layers = [str(layer) for layer in range(encoder.architecture.n_layers)]
    if len(parts) < 3 or parts[1] not in layers or parts[2] not in block_sites(encoder.architecture):
        raise UsageError(f"no layer of the model has a site {site!r} to restart at")
    layer, name = int(parts[1]), parts[2]
    if name == "hook_resid_post":
        residual = encoder.run(tokens, real, sites=[site], stop=layer + 1).cache[site]
        return Restart(site, layer + 1, residual, None, residual)
    before, attention = f"blocks.{layer}.hook_resid_pre", f"blocks.{layer}.hook_attn_out"
    cache = encoder.run(tokens, real, sites=[before, attention, site], stop=layer + 1).cache
    above = not name.startswith((*BEFORE_ATTENTION_ENDS, "hook_resid_pre"))
    activations = cache[site].flatten(2)
    return Restart(site, layer, cache[before], cache[attention] if above else None, activations)
