"""Sums over all paths through time, with their gradients: what a CRF's likelihood and its training are made of.

Both sums are log-sum-exp recursions of one step after another. Their gradient with respect to a transition's score is
the transition's posterior probability, which a second recursion from the end gives; so no step is taped, and a backward
pass costs what the forward pass does.

States are numbered in base 4, the newest base least significant. With Q = 4^(L−1), state s = 4 q + c is reached by
staying, or from the states b Q + q for the four bases b that drop out.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


class AllPaths(torch.autograd.Function):
    """log Σ exp(score) over all paths of T transitions, from any state to any state.

    scores: `[time, read, state × 5]`, per state its stay and then its four ways in. Gives `[read]`.
    """

    @staticmethod
    def forward(ctx: Any, scores: Float[Tensor, "time read transition"]) -> Float[Tensor, "read"]:
        reached, total = reach(scores)
        ctx.save_for_backward(scores, reached, total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "read"]) -> Float[Tensor, "time read transition"]:
        return posteriors(*ctx.saved_tensors) * gradient[:, None]


def reach(
    scores: Float[Tensor, "time read transition"],
) -> tuple[Float[Tensor, "time read 5 state"], Float[Tensor, "read"]]:
    """Log-sum-exp over the paths that end with each transition, and over all paths."""
    reached = by_transition(scores).clone()
    reads, states = reached.shape[1], reached.shape[3]
    moves = reached[:, :, 1:].view(len(reached), reads, 4, states // 4, 4)
    alpha = torch.zeros(reads, states, dtype=reached.dtype, device=reached.device)
    for time in range(len(reached)):
        reached[time, :, 0] += alpha
        moves[time] += arrivals(alpha)
        alpha = reached[time].logsumexp(1)
    return reached, alpha.logsumexp(1)


def posteriors(
    scores: Float[Tensor, "time read transition"],
    reached: Float[Tensor, "time read 5 state"],
    total: Float[Tensor, "read"],
) -> Float[Tensor, "time read transition"]:
    """Share of the paths that take each transition, from what `reach` gives."""
    original = by_transition(scores)
    reads, states = reached.shape[1], reached.shape[3]
    beta = torch.zeros(reads, states, dtype=reached.dtype, device=reached.device)
    posterior = torch.empty_like(reached)
    for time in range(len(reached) - 1, -1, -1):
        torch.add(reached[time], beta[:, None], out=posterior[time])
        ahead = original[time] + beta[:, None]
        leaving = ahead[:, 1:].reshape(reads, states, 4).logsumexp(-1)  # b Q + q leaves for 4 q + c, for every c
        beta = torch.logaddexp(ahead[:, 0], leaving)
    posterior.sub_(total[:, None, None]).exp_()
    return posterior.transpose(2, 3).reshape(scores.shape)


def by_transition(scores: Float[Tensor, "time read transition"]) -> Float[Tensor, "time read 5 state"]:
    """The same with the kind of transition before the state, which lies together in memory."""
    time, reads, width = scores.shape
    return scores.view(time, reads, width // 5, 5).transpose(2, 3).contiguous()


def arrivals(alpha: Float[Tensor, "read state"]) -> Float[Tensor, "read 4 quarter 1"]:
    """Values of the states that a move comes from, laid out as the moves are (with a last axis over the new base)."""
    return alpha.view(len(alpha), 4, -1, 1)


class OnePath(torch.autograd.Function):
    """log Σ exp(score) over all ways to go through given states in their order, one or no state on at each step.

    stays: `[time, read, place]`; moves: `[time, read, place]`, into each place (the first place is never moved into);
    last: the place where each read must end. Gives `[read]`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        stays: Float[Tensor, "time read place"],
        moves: Float[Tensor, "time read place"],
        last: Int[Tensor, "read"],
    ) -> Float[Tensor, "read"]:
        alphas = torch.full((len(stays) + 1, *stays.shape[1:]), -torch.inf, dtype=stays.dtype, device=stays.device)
        alphas[0, :, 0] = 0.0
        for time in range(len(stays)):
            torch.add(alphas[time], stays[time], out=alphas[time + 1])
            moved = alphas[time, :, :-1] + moves[time, :, 1:]
            torch.logaddexp(alphas[time + 1, :, 1:], moved, out=alphas[time + 1, :, 1:])
        total = alphas[-1].gather(1, last[:, None])[:, 0]
        ctx.save_for_backward(stays, moves, last, alphas, total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "read"]) -> tuple[Tensor, Tensor, None]:
        stays, moves, last, alphas, total = ctx.saved_tensors
        beta = torch.full_like(alphas[0], -torch.inf).scatter(1, last[:, None], 0.0)
        of_stays, of_moves = torch.empty_like(stays), torch.full_like(moves, -torch.inf)
        for time in range(len(stays) - 1, -1, -1):
            staying, moving = stays[time] + beta, moves[time, :, 1:] + beta[:, 1:]
            torch.add(alphas[time], staying, out=of_stays[time])
            torch.add(alphas[time, :, :-1], moving, out=of_moves[time, :, 1:])
            beta = staying
            beta[:, :-1] = torch.logaddexp(staying[:, :-1], moving)
        for posterior in (of_stays, of_moves):
            posterior.sub_(total[:, None]).exp_().mul_(gradient[:, None])
        return of_stays, of_moves, None
