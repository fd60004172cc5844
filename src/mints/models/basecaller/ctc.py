"""Connectionist temporal classification (Graves et al. 2006): the other head of Bonito's basecallers.

Labels are Bonito's: 0 is the blank N, then A, C, G, T. A sequence's probability is the sum over all label paths that
give it once repeats are merged and blanks removed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mints.models.basecaller.crf import BASES, Called, as_targets

BLANK = 0


def log_likelihood(
    log_probabilities: Float[Tensor, "time read label"], sequences: Sequence[str]
) -> Float[Tensor, "read"]:
    """Log-probability of each read's sequence in nats; −∞ where it does not fit into the time steps. Differentiable.

    The states of the recursion are the bases with a blank before, between and after them. A state is reached from
    itself, from the one before, and where its base is another than the last one, past the blank between the two.
    """
    targets = as_targets(sequences, log_probabilities.device)
    reads, width = targets.bases.shape
    labels = torch.full((reads, 2 * width + 1), BLANK, dtype=torch.int64, device=log_probabilities.device)
    labels[:, 1::2] = targets.bases + 1
    may_skip = torch.zeros_like(labels, dtype=torch.bool)
    may_skip[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    emitted = log_probabilities.gather(2, labels.expand(len(log_probabilities), -1, -1))
    # Two places that no path begins in stand before the first, so that every state has two before it.
    alpha = torch.full((reads, labels.shape[1] + 2), -torch.inf, dtype=emitted.dtype, device=emitted.device)
    alpha = torch.cat([alpha[:, :2], emitted[0, :, :2], alpha[:, 4:]], dim=1)
    for step in emitted[1:]:
        past = alpha[:, :-2].masked_fill(~may_skip, -torch.inf)
        ways = torch.stack([alpha[:, 2:], alpha[:, 1:-1], past])
        alpha = torch.cat([alpha[:, :2], _log_sum(ways) + step], dim=1)
    last = 2 * targets.lengths[:, None] + 2
    ends = torch.cat([alpha.gather(1, last), alpha.gather(1, last - 1)], dim=1)
    return _log_sum(ends.T)


def decode(log_probabilities: Float[Tensor, "time read label"]) -> list[Called]:
    """The likeliest label at each time step, repeats merged and blanks removed; a base's time is its run's first."""
    value, label = log_probabilities.max(2)
    paths, scores = label.T.cpu().numpy(), value.sum(0).cpu().numpy()
    called = []
    for path, score in zip(paths, scores, strict=True):
        begins = np.flatnonzero((path != BLANK) & (path != np.concatenate([[BLANK], path[:-1]])))
        called.append(Called("".join(BASES[base - 1] for base in path[begins]), begins.astype(np.int64), float(score)))
    return called


def _log_sum(ways: Float[Tensor, "way *rest"]) -> Float[Tensor, "*rest"]:
    """log-sum-exp over the first axis whose gradient is 0, not undefined, where all ways are closed."""
    open_ways = (ways > -torch.inf).any(0)
    summed = ways.masked_fill(~open_ways, 0.0).logsumexp(0)
    return summed.masked_fill(~open_ways, -torch.inf)
