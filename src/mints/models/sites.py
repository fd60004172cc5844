"""Named places inside the encoder, and what one run reads or changes there.

Names are TransformerLens's. With norms after the sums (`post`, `deepnorm`) the stream that the next layer reads is the
*normalised* sum: `hook_resid_mid` and `hook_resid_post` are taken after the norm, so that `blocks.3.hook_resid_post`
always equals `blocks.4.hook_resid_pre` (TransformerLens's older BERT: `hook_normalized_resid_mid/post`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase

from jaxtyping import Float
from torch import Tensor

from mints.errors import UsageError
from mints.models.architecture import Architecture

Intervention = Callable[[Tensor], Tensor]
"""Takes the value at a site and gives the value that the rest of the run shall see, of the same shape."""


def block_sites(architecture: Architecture) -> list[str]:
    """Site names inside one block, in the order in which a run passes them, without the `blocks.{layer}.` prefix."""
    pre, rotary, gated = (
        not architecture.norms_sums,
        architecture.position == "rotary",
        architecture.mlp_is_gated,
    )
    return [
        "hook_resid_pre",
        *(["ln1.hook_out"] if pre else []),
        "attn.hook_q",
        "attn.hook_k",
        "attn.hook_v",
        *(["attn.hook_rot_q", "attn.hook_rot_k"] if rotary else []),
        "attn.hook_attn_scores",
        "attn.hook_pattern",
        "attn.hook_z",
        "hook_attn_out",
        "hook_resid_mid",
        *(["ln2.hook_out"] if pre else []),
        "mlp.hook_pre",
        *(["mlp.hook_pre_linear"] if gated else []),
        "mlp.hook_post",
        "hook_mlp_out",
        "hook_resid_post",
    ]


def site_names(architecture: Architecture, start: int = 0, stop: int | None = None) -> list[str]:
    """All sites that a run from layer `start` up to (not including) layer `stop` passes, in order."""
    stop = architecture.n_layers if stop is None else stop
    names = ["hook_embed"] if start == 0 and architecture.vocabulary_size else []
    names += [f"blocks.{layer}.{site}" for layer in range(start, stop) for site in block_sites(architecture)]
    if stop == architecture.n_layers and not architecture.norms_sums:
        names.append("ln_final.hook_out")
    return names


def match_sites(patterns: Iterable[str], names: Collection[str]) -> list[str]:
    """Sites named by `patterns` (shell wildcards allowed), in the order of the run.

    Raises UsageError where a pattern matches nothing: an intervention that touches nothing must not look like a result.
    """
    wanted: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise UsageError(f"no site matches {pattern!r} in this run; its sites are {_summary(names)}")
        wanted |= matched
    return [name for name in names if name in wanted]


def _summary(names: Collection[str]) -> str:
    listed = list(names)
    return ", ".join(listed) if len(listed) < 24 else ", ".join([*listed[:20], "…", *listed[-2:]])


class Taps:
    """What one run keeps and changes: called by the encoder with every value that passes a site."""

    def __init__(self, names: Collection[str], sites: Iterable[str], interventions: Mapping[str, Intervention]) -> None:
        self.kept = frozenset(match_sites(sites, names))
        self.interventions: dict[str, list[Intervention]] = {}
        for pattern, intervention in interventions.items():
            for name in match_sites([pattern], names):
                self.interventions.setdefault(name, []).append(intervention)
        self.cache: dict[str, Tensor] = {}

    def wants(self, *sites: str) -> bool:
        """Whether any of these sites is kept or changed, so that its value must exist as a tensor."""
        return any(site in self.kept or site in self.interventions for site in sites)

    def __call__(self, site: str, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Value that the run goes on with; keeps it where asked to (after the interventions)."""
        for intervention in self.interventions.get(site, ()):
            changed = intervention(value)
            if changed.shape != value.shape:
                raise ValueError(f"intervention at {site} gave shape {tuple(changed.shape)}, not {tuple(value.shape)}")
            value = changed
        if site in self.kept:
            self.cache[site] = value
        return value
