"""The part of a model above a site: read-outs for changed activations, many at a time, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mints.analysis.patching import PairTokens, ProbeLogit
from mints.features.restart import Restart, putting, restart_at
from mints.models.compute import Compute
from mints.models.encoder import Encoder

READOUTS = ("probe", "probe_elsewhere", "substitution", "other_tokens")
"""Read-outs of a pair, in the order of their axis (`PairReadout`)."""


class SiteReadout(Protocol):
    """The figures that runs are judged by when something at a site is changed."""

    @property
    def clean(self) -> Int[Tensor, "row pos"]:
        """Ids of one side of a pair."""
        ...

    @property
    def corrupted(self) -> Int[Tensor, "row pos"]:
        """Ids of the other side."""
        ...

    @property
    def content(self) -> Bool[Tensor, "row pos"]:
        """False at special tokens."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """One for each figure, in the order of their axis."""
        ...

    @property
    def sites(self) -> tuple[str, ...]:
        """What it reads beside the last stream."""
        ...

    def rows(self, which: Int[Tensor, "some"]) -> Self:
        """The read-outs of some of the rows; what is one for all stays so."""
        ...

    def of(
        self, encoder: Encoder, cache: Mapping[str, Tensor], final: Float[Tensor, "row pos d_model"]
    ) -> Float[Tensor, "row readout"]:
        """From the values at its sites and the last stream; float64."""
        ...


class PairReadout(NamedTuple):
    """What a pair is judged by, at the token that the pair changes and away from it.

    `probe`: logit of the probe on the mean over content tokens. `probe_elsewhere`: on the mean over those that the pair
    does not change. `substitution`: Σ log p(corrupted token) − log p(clean token) over the changed tokens, unmasked;
    the same position that a patch there changes. `other_tokens`: Σ log p(token) over the content tokens that both
    sides share. Logarithms are natural.
    """

    probe: ProbeLogit
    clean: Int[Tensor, "row pos"]
    corrupted: Int[Tensor, "row pos"]
    """One row for all, or one for each."""

    content: Bool[Tensor, "row pos"]
    """False at special tokens."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those of `READOUTS`."""
        return READOUTS

    @property
    def sites(self) -> tuple[str, ...]:
        """The stream that the probe reads."""
        return (f"blocks.{self.probe.layer}.hook_resid_post",)

    def rows(self, which: Int[Tensor, "some"]) -> PairReadout:
        """The read-outs of some of the rows; those that are one for all stay so."""
        clean, corrupted, content = (part if len(part) == 1 else part[which.to(part.device)] for part in self[1:])
        return PairReadout(self.probe, clean, corrupted, content)

    def of(
        self, encoder: Encoder, cache: Mapping[str, Tensor], final: Float[Tensor, "row pos d_model"]
    ) -> Float[Tensor, "row readout"]:
        """From the stream that the probe reads and from the last one; sums are float64."""
        (middle,), shape = (cache[site] for site in self.sites), final.shape[:2]
        clean, corrupted, content = (part.to(final.device).expand(shape) for part in self[1:])
        same = content & (clean == corrupted)
        both = [self.probe(encoder, middle, PairTokens(clean, content, where)) for where in (content, same)]
        logits = encoder.logits(final).float()
        of_clean, of_corrupted = (logits.gather(-1, ids[..., None])[..., 0].double() for ids in (clean, corrupted))
        substitution = (of_corrupted - of_clean) * (content & ~same)  # what makes probabilities of both cancels
        others = (of_clean - logits.logsumexp(-1).double()) * same
        return torch.stack([*both, substitution.sum(1), others.sum(1)], dim=1)


class Above(NamedTuple):
    """What a model makes of the value at one site; layers below it are not run again."""

    encoder: Encoder
    site: str
    compute: Compute

    def record(self, ids: Int[Tensor, "row pos"]) -> Restart:
        """Run sequences of one length without pads up to the site.

        Raises UsageError for a site that no layer of the model has.
        """
        ids = ids.to(self.compute.device)
        with torch.no_grad(), self.compute.autocast():
            return restart_at(self.encoder, ids, torch.ones_like(ids, dtype=torch.bool), self.site)

    def readouts(
        self, x: Float[Tensor, "row pos d_in"], run: Restart, readout: SiteReadout
    ) -> Float[Tensor, "row readout"]:
        """Read-outs with these values at the site. run: what lies below them, one row for all, or one for each.

        Raises ValueError where the read-out reads a layer that ends below the site.
        """
        for reads in readout.sites:
            if int(reads.split(".")[1]) < run.layer and reads != self.site:
                raise ValueError(f"the read-out reads {reads}, on which {self.site} has no influence")
        output = run.repeated(len(x) // len(run.x)).run(self.encoder, putting(x), sites=readout.sites)
        return readout.of(self.encoder, output.cache, output.residual)

    def changes(
        self,
        run: Restart,
        x: Float[Tensor, "row pos d_in"],
        readout: SiteReadout,
        still: Float[Tensor, "rows readout"],
    ) -> Float[Tensor, "row readout"]:
        """Read-outs of one run with each of these values in place of its own, less those of the run as it is.

        still: of `still`, for at least as many rows. Missing rows are filled up, so that both went through the same
        products, and a value that is the run's own changes nothing, to the bit.
        """
        filled = torch.cat([x, run.x.expand(len(still) - len(x), -1, -1)])
        with torch.no_grad(), self.compute.autocast():
            return (self.readouts(filled, run, readout) - still)[: len(x)]

    def still(self, run: Restart, readout: SiteReadout, rows: int) -> Float[Tensor, "row readout"]:
        """Read-outs of one run as it is, as often as there are rows in a batch."""
        with torch.no_grad(), self.compute.autocast():
            return self.readouts(run.x.repeat(rows, 1, 1), run, readout)

    def gradients(
        self,
        x: Float[Tensor, "row pos d_in"],
        run: Restart,
        readout: SiteReadout,
        which: Sequence[str] | None = None,
    ) -> Float[Tensor, "readout row pos d_in"]:
        """Gradients of these read-outs (default: all) with respect to the value at the site."""
        with torch.enable_grad(), self.compute.autocast():
            x = x.detach().requires_grad_()
            values = self.readouts(x, run, readout).sum(0)
            asked = [values[readout.names.index(name)] for name in which or readout.names]
            return torch.stack([torch.autograd.grad(value, x, retain_graph=True)[0] for value in asked])
