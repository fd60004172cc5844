"""Autoencoders whose number of active latents is fixed: TopK, BatchTopK and Matryoshka BatchTopK.

Only active latents are touched after the first product (`sparse_products`), and dead ones are trained on what the
living leave unexplained.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mints.features.autoencoder import SparseAutoencoder
from mints.features.sparse_products import Pattern, pattern_at, places_above, sparse_decode, sparse_encode
from mints.features.training_autoencoder import Outcome, TrainingAutoencoder

AUXILIARY_WEIGHT = 1 / 32
"""Weight of the share of the residual's variance that the dead latents leave unexplained (Gao et al. 2024)."""

DENSE_UP_TO = 8
"""The dead latents are multiplied densely where they are at most so many times those that are used of a token."""

NESTED = (16, 8, 4, 2, 1)
"""The nested dictionaries of a Matryoshka autoencoder are the first 1/16, 1/8, … of its latents."""

THRESHOLD_FROM, THRESHOLD_MEMORY = 0.5, 0.9
"""The running mean of the threshold begins at this share of the steps, with this weight of the past."""

BELOW_LAST = 0.9
"""Candidates of a batch's largest latents are those above this share of the last batch's smallest active one."""


class TopK(TrainingAutoencoder):
    """The k largest latents of every token (Gao et al. 2024)."""

    def outcome(self, scaled: Float[Tensor, "token d_in"], dead: Bool[Tensor, "latent"] | None) -> Outcome:
        with torch.no_grad():
            centred = scaled - self.b_dec
            pre = torch.addmm(self.b_enc, centred, self.W_enc.T)
            active = self.select(pre)
        values = sparse_encode(pre, centred, self.W_enc, self.b_enc, self.b_dec, active)
        reconstructions = self.reconstructions(values, active)
        loss = sum((made - scaled).square().sum(1).mean() for made in reconstructions)
        error = (reconstructions[-1] - scaled).detach()
        if dead is not None and bool(dead.any()):
            loss = loss + self.auxiliary_loss(pre, centred, error, dead)
        assert isinstance(loss, Tensor)
        return Outcome(loss, error, active.counts())

    @torch.no_grad()
    def select(self, pre: Float[Tensor, "token latent"]) -> Pattern:
        """The active latents: the largest ones, none that is not above zero."""
        return largest_of_each(pre, self.k)

    def reconstructions(self, values: Float[Tensor, "entry"], active: Pattern) -> list[Float[Tensor, "token d_in"]]:
        """Those that are trained, the whole dictionary's last."""
        return [sparse_decode(values, self.W_dec, active) + self.b_dec]

    def auxiliary_loss(
        self,
        pre: Float[Tensor, "token latent"],
        centred: Float[Tensor, "token d_in"],
        error: Float[Tensor, "token d_in"],
        dead: Bool[Tensor, "latent"],
    ) -> Float[Tensor, ""]:
        """How badly the largest d_in / 2 dead latents of each token explain what the living ones leave (AuxK).

        In units of the residual's own variance, so that it does not fade as the reconstruction improves, times d_in,
        the mean square of the scaled activations.
        """
        which = dead.nonzero()[:, 0]
        count = min(self.d_in // 2, len(which))
        if len(which) <= DENSE_UP_TO * count:
            explained = self._explained_densely(centred + self.b_dec.detach(), which, count)
        else:
            explained = self._explained_sparsely(pre, centred, which, count)
        unexplained = (explained + error).square().sum()
        variance = (error - error.mean(0)).square().sum()
        return AUXILIARY_WEIGHT * self.d_in * unexplained / variance

    def _explained_sparsely(
        self,
        pre: Float[Tensor, "token latent"],
        centred: Float[Tensor, "token d_in"],
        which: Int[Tensor, "dead"],
        count: int,
    ) -> Float[Tensor, "token d_in"]:
        """What the `count` largest of these latents decode to."""
        with torch.no_grad():
            small = largest_of_each(pre[:, which], count)
            flat = small.rows * self.d_sae + which[small.latents]
            chosen = pattern_at(flat.sort().values, len(pre), self.d_sae)
        values = sparse_encode(pre, centred, self.W_enc, self.b_enc, self.b_dec, chosen)
        return sparse_decode(values, self.W_dec, chosen)

    def _explained_densely(
        self, scaled: Float[Tensor, "token d_in"], which: Int[Tensor, "dead"], count: int
    ) -> Float[Tensor, "token d_in"]:
        """The same by products with these latents' rows, which cost less where most of them are used."""
        encoder = self.W_enc[which]
        # The bias is moved to the other side of the product, so that no gradient of the activations is computed.
        positive = (scaled @ encoder.T + (self.b_enc[which] - encoder @ self.b_dec)).relu()
        if count < len(which):
            kept = positive.topk(count, dim=1, sorted=False)
            positive = torch.zeros_like(positive).scatter(1, kept.indices, kept.values)
        return positive @ self.W_dec[which]

    def finished(self) -> SparseAutoencoder:
        return self._inference(SparseAutoencoder(self.d_in, self.d_sae, "topk", k=self.k))


def largest_of_each(pre: Float[Tensor, "token latent"], k: int) -> Pattern:
    """The k largest latents of each token that are above zero."""
    if k == pre.shape[1]:
        return pattern_at(places_above(pre, 0.0), *pre.shape)
    values, latents = pre.topk(k, dim=1, sorted=False)
    rows = torch.arange(len(pre), device=pre.device)[:, None] * pre.shape[1]
    return pattern_at((rows + latents)[values > 0].sort().values, *pre.shape)


class BatchTopK(TopK):
    """The k · tokens largest latents of a batch, however they fall on its tokens (Bussmann et al. 2024).

    For inference there is one threshold: the running mean of the smallest active latent of a batch.
    """

    threshold: Tensor
    smallest: Tensor

    def __init__(self, d_in: int, d_sae: int, k: int) -> None:
        super().__init__(d_in, d_sae, k)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("smallest", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def select(self, pre: Float[Tensor, "token latent"]) -> Pattern:
        places = largest_of_all(pre, self.k * len(pre), BELOW_LAST * float(self.smallest))
        if len(places):
            self.smallest.copy_(pre.view(-1)[places].min())
        return pattern_at(places, *pre.shape)

    def after_step(self, step: int, steps: int, active_per_token: float) -> None:
        """Begin with a batch's own value, so that the mean is not drawn to zero."""
        if step >= THRESHOLD_FROM * steps:
            begun = bool(self.threshold > 0)
            self.threshold.copy_(self.threshold.lerp(self.smallest, 1 - THRESHOLD_MEMORY if begun else 1.0))

    def finished(self) -> SparseAutoencoder:
        autoencoder = SparseAutoencoder(self.d_in, self.d_sae, "threshold")
        autoencoder.threshold.fill_(float(self.threshold))
        return self._inference(autoencoder)


def largest_of_all(pre: Float[Tensor, "token latent"], count: int, guess: float) -> Int[Tensor, "entry"]:
    """Flat indices, ascending, of the `count` largest values that are above zero.

    guess: a bound that fewer values exceed than there are; where `count` do, the others need not be sorted. It changes
    the time that this takes, not its result.
    """
    places = places_above(pre, max(guess, 0.0))
    if len(places) < count and guess > 0:
        places = places_above(pre, 0.0)
    if len(places) > count:
        kept = pre.view(-1)[places].topk(count, sorted=False).indices
        places = places[kept.sort().values]
    return places


class MatryoshkaBatchTopK(BatchTopK):
    """BatchTopK whose first latents must also reconstruct alone, at several widths (Bussmann et al. 2025)."""

    def __init__(self, d_in: int, d_sae: int, k: int, widths: tuple[int, ...] | None = None) -> None:
        """widths: of the nested dictionaries, ascending to d_sae; default those of `NESTED`."""
        super().__init__(d_in, d_sae, k)
        self.widths = widths or tuple(sorted({max(1, d_sae // share) for share in NESTED}))

    def reconstructions(self, values: Float[Tensor, "entry"], active: Pattern) -> list[Float[Tensor, "token d_in"]]:
        made, low = [], 0
        so_far: Tensor = self.b_dec
        for width in self.widths:
            part, kept = active.part(low, width)
            so_far = so_far + sparse_decode(values[kept], self.W_dec, part)
            made.append(so_far)
            low = width
        return made
