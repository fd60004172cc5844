"""Taking runs up again at a site whose activations are changed, so that only what lies above is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from mints.errors import UsageError
from mints.models.architecture import Architecture
from mints.models.encoder import Encoder, EncoderOutput
from mints.models.sites import Intervention, block_sites

BEFORE_ATTENTION_ENDS = ("ln1.", "attn.", "hook_attn_out")
"""Sites of a layer below which its attention has to be run again."""


def reaches_other_tokens(site: str, n_layers: int) -> bool:
    """Whether a change at one token of a site can change another: some attention has still to be run."""
    _, layer, name = site.split(".", 2)
    before = name == "hook_resid_pre" or (name.startswith(("ln1.", "attn.")) and name != "attn.hook_z")
    return int(layer) < n_layers - 1 or before


class Restart(NamedTuple):
    """A batch of runs as they stood when they passed a site of one layer."""

    site: str
    real: Bool[Tensor, "row pos"]
    """False at pads."""

    layer: int
    """Layer that runs first."""

    residual: Float[Tensor, "row pos d_model"]
    """Its input."""

    attended: Float[Tensor, "row pos d_model"] | None
    """Its attention output, where the site lies above it."""

    x: Float[Tensor, "row pos d_in"]
    """Value at the site; heads lie side by side."""

    def rows(self, which: Int[Tensor, "some"]) -> Restart:
        """Some of the runs, in any order, as often as they are named."""
        return self._with(lambda part: part[which.to(part.device)])

    def repeated(self, times: int) -> Restart:
        """The whole batch, again and again."""
        return self._with(lambda part: part.expand(times, *part.shape).flatten(0, 1))

    def _with(self, take: Callable[[Tensor], Tensor]) -> Restart:
        residual = take(self.residual)
        return self._replace(
            real=take(self.real),
            residual=residual,
            attended=None if self.attended is None else take(self.attended),
            x=residual if self.x is self.residual else take(self.x),
        )

    def run(
        self,
        encoder: Encoder,
        change: Intervention,
        *,
        sites: Collection[str] = (),
        interventions: Mapping[str, Intervention] | None = None,
        stop: int | None = None,
    ) -> EncoderOutput:
        """What the model makes of `change` at the site; otherwise as `Encoder.run_from`.

        change: takes the value in the site's own shape, as `adding` and `putting` do. sites: the site itself, or above.
        """
        if not self.site.endswith(("hook_resid_pre", "hook_resid_post")):
            interventions = {**(interventions or {}), self.site: change}
            return encoder.run_from(
                self.layer,
                self.residual,
                self.real,
                sites=sites,
                interventions=interventions,
                stop=stop,
                attended=self.attended,
            )
        changed = change(self.residual)
        above = [site for site in sites if site != self.site]
        output = encoder.run_from(self.layer, changed, self.real, sites=above, interventions=interventions, stop=stop)
        return output if len(above) == len(sites) else output._replace(cache=output.cache | {self.site: changed})


def adding(displacement: Float[Tensor, "row pos d_in"]) -> Intervention:
    """Adds this to the site's values, whose precision is kept."""
    return lambda x: x + displacement.view_as(x).to(x.dtype)


def putting(values: Float[Tensor, "row pos d_in"]) -> Intervention:
    """Puts these in place of the site's values."""
    return lambda x: values.view_as(x)


def restart_at(
    encoder: Encoder, tokens: Int[Tensor, "batch pos"], real: Bool[Tensor, "batch pos"], site: str
) -> Restart:
    """Run a batch up to a site. Raises UsageError for a site that no layer of the model has."""
    kept = sites_to_keep(encoder.architecture, site)
    cache = encoder.run(tokens, real, sites=kept, stop=int(site.split(".")[1]) + 1).cache
    return restart_from(cache, real, site)


def sites_to_keep(architecture: Architecture, site: str) -> list[str]:
    """What a run has to keep to be taken up at a site. Raises UsageError for a site that no layer of the model has."""
    parts = site.split(".", 2)
    layers = [str(layer) for layer in range(architecture.n_layers)]
    if len(parts) < 3 or parts[1] not in layers or parts[2] not in block_sites(architecture):
        raise UsageError(f"no layer of the model has a site {site!r} to restart at")
    if parts[2] == "hook_resid_post":
        return [site]
    before, attention = (f"blocks.{parts[1]}.{name}" for name in ("hook_resid_pre", "hook_attn_out"))
    return [before, attention, site] if _above_attention(parts[2]) else [before, site]


def restart_from(cache: Mapping[str, Tensor], real: Bool[Tensor, "batch pos"], site: str) -> Restart:
    """The runs that kept `sites_to_keep` of the site."""
    _, number, name = site.split(".", 2)
    if name == "hook_resid_post":
        return Restart(site, real, int(number) + 1, cache[site], None, cache[site])
    attended = cache[f"blocks.{number}.hook_attn_out"] if _above_attention(name) else None
    return Restart(site, real, int(number), cache[f"blocks.{number}.hook_resid_pre"], attended, cache[site].flatten(2))


def _above_attention(name: str) -> bool:
    return not name.startswith((*BEFORE_ATTENTION_ENDS, "hook_resid_pre"))
