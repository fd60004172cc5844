"""Moving latents of one run to their values in another: one at a time, in sets, and against nulls.

What a latent adds to a token's activations is its value times its decoder row times the token's size. Putting a latent
of the clean run into the corrupted one moves the activations by the difference of what it adds; what the autoencoder
leaves unexplained, and every other latent, stays as it was. It is the latents after the rule that are exchanged: before
it, one more would push another out of the k largest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from mints.features.above import Above, SiteReadout
from mints.features.autoencoder import SparseAutoencoder
from mints.features.matching import nearest
from mints.features.random_directions import redirected
from mints.features.restart import Restart

TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 16_384, "mps": 8192}
"""Tokens that go through the layers above a site at once, gradients and logits of every token included."""

NEAREST = 8
"""A matched latent is drawn from so many that are nearest."""


class Moves(NamedTuple):
    """What each latent adds in the source run beyond what it adds in the base run, at the patched tokens."""

    latents: Int[Tensor, "latent"]
    """Those that change anywhere there, ascending; every other latent's effect is exactly 0."""

    amounts: Float[Tensor, "pos latent"]
    """Multiples of the direction; 0 at the tokens that are not patched."""

    directions: Float[Tensor, "latent d_in"]
    """Decoder rows."""

    def lengths(self) -> Float[Tensor, "latent"]:
        """How far each latent moves the activations, over all tokens."""
        lengths: Float[Tensor, "latent"] = self.amounts.norm(dim=0) * self.directions.norm(dim=1)
        return lengths

    def reversed(self) -> Moves:
        """From the source run to the base run."""
        return self._replace(amounts=-self.amounts)

    def estimates(self, gradients: Float[Tensor, "readout pos d_in"]) -> Float[Tensor, "latent readout"]:
        """First-order estimate of each latent's effect: its move times the gradient in the base run."""
        along = torch.einsum("rpd,ld->rpl", gradients, self.directions)
        return (self.amounts * along).sum(1).T

    def along_random_directions(self, rng: np.random.Generator) -> Moves:
        """Moves of equal length at the same tokens, each along a random direction of its own."""
        return self._replace(directions=redirected(self.directions, rng))


@torch.no_grad()
def added(autoencoder: SparseAutoencoder, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
    """Value times the token's size: how often each latent's decoder row is in the activations."""
    multiples: Float[Tensor, "... d_sae"] = autoencoder.encode(x) * autoencoder.frame(x).size
    return multiples


def moves_between(
    autoencoder: SparseAutoencoder,
    base: Float[Tensor, "pos d_in"],
    source: Float[Tensor, "pos d_in"],
    where: Bool[Tensor, "pos"],
) -> Moves:
    """Moves that bring every latent of the base run to its value in the source run, at these tokens."""
    return _moves(autoencoder, added(autoencoder, source) - added(autoencoder, base), where)


def ablations(autoencoder: SparseAutoencoder, base: Float[Tensor, "pos d_in"], where: Bool[Tensor, "pos"]) -> Moves:
    """Moves that bring every active latent to 0 at these tokens."""
    return _moves(autoencoder, -added(autoencoder, base), where)


def _moves(autoencoder: SparseAutoencoder, difference: Float[Tensor, "pos d_sae"], where: Bool[Tensor, "pos"]) -> Moves:
    difference = difference * where.to(difference.device)[:, None]
    latents = difference.any(0).nonzero()[:, 0]
    return Moves(latents, difference[:, latents], autoencoder.W_dec.detach()[latents])


def effects_of_each(
    above: Above, run: Restart, moves: Moves, readout: SiteReadout, tokens_per_batch: int | None = None
) -> Float[ndarray, "latent readout"]:
    """Change of every read-out with one latent moved at a time; each is a row of a batch from the site on."""

    def moved(part: slice) -> Float[Tensor, "row pos d_in"]:
        return run.x + moves.amounts.T[part, :, None] * moves.directions[part, None, :]

    return _over_rows(above, run, moved, len(moves.latents), readout, tokens_per_batch)


def effects_of_sets(
    above: Above,
    run: Restart,
    moves: Moves,
    sets: Sequence[Int[ndarray, "member"]],
    readout: SiteReadout,
    tokens_per_batch: int | None = None,
) -> Float[ndarray, "set readout"]:
    """Change of every read-out with all latents of a set moved together.

    sets: indices of the autoencoder's latents; those that do not change are passed over.
    """
    latents = moves.latents.cpu().numpy()
    members = [torch.from_numpy(np.flatnonzero(np.isin(latents, chosen))) for chosen in sets]

    def moved(part: slice) -> Float[Tensor, "row pos d_in"]:
        return run.x + torch.stack([moves.amounts[:, some] @ moves.directions[some] for some in members[part]])

    return _over_rows(above, run, moved, len(members), readout, tokens_per_batch)


def effects_of_values(
    above: Above,
    run: Restart,
    values: Float[Tensor, "row pos d_in"],
    readout: SiteReadout,
    tokens_per_batch: int | None = None,
) -> Float[ndarray, "row readout"]:
    """Change of every read-out with other values at the site: latents and error together."""
    return _over_rows(above, run, lambda part: values[part], len(values), readout, tokens_per_batch)


def _over_rows(
    above: Above,
    run: Restart,
    values: Callable[[slice], Float[Tensor, "row pos d_in"]],
    count: int,
    readout: SiteReadout,
    tokens_per_batch: int | None,
) -> Float[ndarray, "row readout"]:
    budget = tokens_per_batch or TOKENS_PER_BATCH[above.compute.device.type]
    rows = max(1, min(count, budget // run.x.shape[1]))
    still = above.still(run, readout, rows)
    parts = [
        above.changes(run, values(slice(start, min(start + rows, count))), readout, still)
        for start in range(0, count, rows)
    ]
    changes: Float[ndarray, "row readout"] = torch.cat([still[:0], *parts]).cpu().numpy()
    return changes


class PairEffects(NamedTuple):
    """Every latent of one pair, moved alone at the patched tokens; both directions, with their nulls."""

    latents: Int[ndarray, "latent"]
    lengths: Float[ndarray, "latent"]
    """How far each moves the activations."""

    denoised: Float[ndarray, "latent readout"]
    """Corrupted run, latent from the clean run: M_patched − M_corrupted."""

    noised: Float[ndarray, "latent readout"]
    """Clean run, latent from the corrupted run: M_clean − M_patched."""

    nulls: dict[str, tuple[Float[ndarray, "latent readout"], Float[ndarray, "latent readout"]]]
    """Both ways, by name: `random`: the same along a random direction of equal length; `elsewhere`: the same move put
    at other tokens."""

    estimated: Float[ndarray, "latent readout"]
    """First-order estimate of `denoised`, from the gradient in the corrupted run."""


def patch_each(
    above: Above,
    autoencoder: SparseAutoencoder,
    clean: Restart,
    corrupted: Restart,
    where: Bool[Tensor, "pos"],
    readout: SiteReadout,
    rng: np.random.Generator,
    shift: int | None = None,
) -> PairEffects:
    """Exchange every latent that differs between the runs of one pair, one at a time, at these tokens.

    shift: how many tokens further, around the end, the null `elsewhere` puts the moves; None leaves that null out.
    """
    moves = moves_between(autoencoder, corrupted.x[0], clean.x[0], where)
    null_moves = {"random": moves.along_random_directions(rng)}
    if shift is not None:
        null_moves["elsewhere"] = moves._replace(amounts=moves.amounts.roll(shift, 0))
    nulls = {name: _both_ways(above, clean, corrupted, each, readout) for name, each in null_moves.items()}
    gradients = above.gradients(corrupted.x, corrupted, readout)[:, 0].float()
    return PairEffects(
        moves.latents.cpu().numpy(),
        moves.lengths().cpu().numpy(),
        *_both_ways(above, clean, corrupted, moves, readout),
        nulls,
        moves.estimates(gradients).cpu().double().numpy(),
    )


def _both_ways(
    above: Above, clean: Restart, corrupted: Restart, moves: Moves, readout: SiteReadout
) -> tuple[Float[ndarray, "latent readout"], Float[ndarray, "latent readout"]]:
    """The moves in the corrupted run, and taken back in the clean one; positive towards the clean run."""
    denoised = effects_of_each(above, corrupted, moves, readout)
    return denoised, -effects_of_each(above, clean, moves.reversed(), readout)


def matched_others(
    lengths: Float[ndarray, "latent"], frequencies: Float[ndarray, "latent"], count: int
) -> Int[ndarray, "latent other"]:
    """For every latent, the others of the same pair that are nearest in length of move and firing frequency.

    Nearness is the distance of the two ranks, so that neither measure's scale decides. `count` is cut where there are
    fewer others.
    """
    ranks = np.stack([values.argsort(kind="stable").argsort(kind="stable") for values in (lengths, frequencies)])
    distance = np.abs(ranks[:, :, None] - ranks[:, None, :]).sum(0).astype(float)
    np.fill_diagonal(distance, np.inf)
    others: Int[ndarray, "latent other"] = distance.argsort(axis=1, kind="stable")[:, : min(count, len(lengths) - 1)]
    return others


def matched_set(
    chosen: Int[ndarray, "member"],
    lengths: Float[ndarray, "d_sae"],
    frequencies: Float[ndarray, "d_sae"],
    rng: np.random.Generator,
) -> Int[ndarray, "member"]:
    """A set of as many other latents, each drawn from the nearest free ones in length of move and firing frequency.

    Latents of length 0 are drawn only where no other is left. Raises ValueError where there are too few others.
    """
    free = np.ones(len(lengths), dtype=bool)
    free[chosen] = False
    if free.sum() < len(chosen):
        raise ValueError(f"{len(chosen)} of {len(lengths)} latents leave too few to match them")
    ranks = np.stack([values.argsort(kind="stable").argsort(kind="stable") for values in (lengths, frequencies)])
    drawn = np.empty(len(chosen), dtype=np.int64)
    for place, latent in enumerate(chosen):
        distance = np.abs(ranks - ranks[:, [latent]]).sum(0) + np.where(lengths > 0, 0, 2 * len(lengths))
        drawn[place] = rng.choice(nearest(distance, free, NEAREST))
        free[drawn[place]] = False
    return drawn
