"""How much a model was asked to compute, counted where it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from mints.models.architecture import Architecture


@dataclass
class Work:
    """Account of a device's forward passes; a backward pass is not counted."""

    passes: int = 0
    """Batches that went through a model, or through a part of it."""

    tokens: int = 0
    """Tokens of those batches, pads included."""

    floating_point_operations: int = 0
    """Of all matrix products, a multiplication and an addition counting as two; nothing else is counted."""

    smallest_batch: int | None = None
    """Tokens per batch after the device ran out of memory; None where it never did."""

    warn: Callable[[str], None] = field(default=lambda text: None, repr=False)
    """Told when the device runs out of memory."""

    def facts(self) -> dict[str, int]:
        """The account as plain numbers, for a manifest."""
        memory = {} if self.smallest_batch is None else {"tokens_per_batch_after_out_of_memory": self.smallest_batch}
        return {
            "forward_passes": self.passes,
            "tokens": self.tokens,
            "floating_point_operations": self.floating_point_operations,
        } | memory


_CURRENT: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def counted_by(work: Work) -> Iterator[None]:
    """Context in which models add to this account."""
    token = _CURRENT.set(work)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def count_layers(architecture: Architecture, batch: int, length: int, attentions: int, feed_forwards: int) -> None:
    """Add one pass of a batch through so many attentions and feed-forwards."""
    if (work := _CURRENT.get()) is None:
        return
    tokens, d_model, d_mlp = batch * length, architecture.d_model, architecture.d_mlp
    projections = 4 * d_model * d_model
    patterns = 2 * length * d_model  # scores, and values by pattern, over all heads together
    matrices = (3 if architecture.mlp_is_gated else 2) * d_model * d_mlp
    work.passes += 1
    work.tokens += tokens
    work.floating_point_operations += 2 * tokens * (attentions * (projections + patterns) + feed_forwards * matrices)


def count_products(operations: int) -> None:
    """Add matrix products outside the layers: convolutions, and heads that are no masked-language head."""
    if (work := _CURRENT.get()) is not None:
        work.floating_point_operations += operations


def count_logits(architecture: Architecture, positions: int) -> None:
    """Add the masked-language head at so many positions."""
    if (work := _CURRENT.get()) is not None:
        d_model = architecture.d_model
        work.floating_point_operations += 2 * positions * d_model * (d_model + architecture.vocabulary_size)
