"""What a substitution of one token is judged by: at its own token, and away from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mints.models.encoder import Encoder

CONTEXTS = {"visible": ("substitution", "other_tokens"), "hidden": ("hidden_tokens",)}
"""Read-outs by what the model sees: every token, or some tokens away from the substitution hidden on both sides."""


class SubstitutionReadout(NamedTuple):
    """Three figures of a wild type and its mutant, of which a context has some.

    `substitution`: Σ log p(mutant token) − log p(wild-type token) where they differ, unmasked: the token itself is seen
    there and may be copied. `other_tokens`: Σ log p(token) over all others, which are seen as well. `hidden_tokens`:
    Σ log p(token) over tokens that are hidden on both sides: nothing can be copied. Logarithms are natural.
    """

    names: tuple[str, ...]
    clean: Int[Tensor, "row pos"]
    corrupted: Int[Tensor, "row pos"]
    """Wild type and mutant, as they are run; one row for all, or one for each."""

    truth: Int[Tensor, "row pos"]
    """The wild type with nothing hidden."""

    content: Bool[Tensor, "row pos"]
    """False at special tokens."""

    hidden: Bool[Tensor, "row pos"]
    """Tokens that are hidden on both sides."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Nothing but the last stream is read."""
        return ()

    def rows(self, which: Int[Tensor, "some"]) -> SubstitutionReadout:
        """The read-outs of some of the rows; those that are one for all stay so."""
        parts = (part if len(part) == 1 else part[which.to(part.device)] for part in self[1:])
        return SubstitutionReadout(self.names, *parts)

    def of(
        self, encoder: Encoder, cache: Mapping[str, Tensor], final: Float[Tensor, "row pos d_model"]
    ) -> Float[Tensor, "row readout"]:
        """From the last stream; sums are float64."""
        clean, corrupted, truth, content, hidden = (part.to(final.device).expand(final.shape[:2]) for part in self[1:])
        log_p = encoder.logits(final).double().log_softmax(-1)
        of_clean, of_corrupted, of_truth = (
            log_p.gather(-1, ids[..., None])[..., 0] for ids in (clean, corrupted, truth)
        )
        same = content & (clean == corrupted)
        figures = {
            "substitution": (of_corrupted - of_clean) * (content & ~same),
            "other_tokens": of_truth * (same & ~hidden),
            "hidden_tokens": of_truth * hidden,
        }
        return torch.stack([figures[name].sum(1) for name in self.names], dim=1)
