"""Masked-token batches from a stream of tokens, for pretraining and for measuring a masked-token loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.models.tokenizers import Tokenizer

PIECE = 3001
"""Bases that are tokenized at a time: byte-pair merging takes more than linear time on whole chromosomes.

Not a multiple of a k-mer length, so that fixed k-mers come in every frame along a chromosome.
"""

KEPT_AS_MASK, REPLACED = 0.8, 0.1
"""Of the chosen tokens 80% become [MASK], 10% a random token, 10% stay (Devlin et al. 2019)."""


def token_stream(
    tokenizer: Tokenizer, sequences: Iterable[str], rng: np.random.Generator | None = None
) -> Int[ndarray, "token"]:
    """Tokens of many sequences one after another, without special tokens and without stretches of N.

    With `rng` the first piece of each sequence starts at a random base, so that fixed k-mers are seen in every frame.
    """
    pieces: list[str] = []
    for sequence in sequences:
        for stretch in sequence.split("N"):
            start = 0 if rng is None else int(rng.integers(0, 50))
            pieces += [stretch[at : at + PIECE] for at in range(start, len(stretch), PIECE)]
    encodings = tokenizer.encode_many(pieces)
    streams = [encoding.ids[~encoding.special] for encoding in encodings]
    return np.concatenate(streams).astype(np.int32) if streams else np.zeros(0, dtype=np.int32)


class Frame(NamedTuple):
    """Special tokens that the tokenizer puts before and after a sequence."""

    before: Int[Tensor, "before"]
    after: Int[Tensor, "after"]


def frame_of(tokenizer: Tokenizer) -> Frame:
    """The tokenizer's own framing, read off an encoded base."""
    encoding = tokenizer.encode("A")
    content = np.flatnonzero(~encoding.special)
    ids = torch.from_numpy(encoding.ids)
    return Frame(ids[: content[0]], ids[content[-1] + 1 :])


class MaskedBatch(NamedTuple):
    """Framed windows with some tokens hidden."""

    tokens: Int[Tensor, "batch pos"]
    chosen: Int[Tensor, "masked"]
    """Flat indices (batch · pos) of the tokens to predict."""

    truth: Int[Tensor, "masked"]
    """What stood there."""

    original: Int[Tensor, "batch pos"]
    """The windows before masking."""


class MaskedBatches:
    """Random windows of a token stream with a share of their tokens hidden; seeded, and resumable by its state."""

    def __init__(
        self, stream: Int[ndarray, "token"], tokenizer: Tokenizer, *, context: int, share: float, seed: int
    ) -> None:
        self.stream = torch.from_numpy(np.ascontiguousarray(stream)).long()
        if len(self.stream) <= context:
            raise ValueError(f"a stream of {len(self.stream)} tokens has no window of {context}")
        self.frame = frame_of(tokenizer)
        self.context = context
        self.masked_per_window = max(1, round(context * share))
        self.mask_id = tokenizer.mask_id
        self.maskable = torch.as_tensor(sorted(tokenizer.maskable_ids))
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, batch: int, *, always_mask: bool = False) -> MaskedBatch:
        """One batch. `always_mask` hides every chosen token, as measurement wants; kept tokens would flatter it."""
        start = torch.randint(0, len(self.stream) - self.context, (batch, 1), generator=self.generator)
        window = self.stream[start + torch.arange(self.context)]
        before, after = (part.expand(batch, -1) for part in self.frame)
        original = torch.cat([before, window, after], dim=1)
        order = torch.rand(batch, self.context, generator=self.generator)
        place = order.topk(self.masked_per_window, dim=1).indices + before.shape[1]
        chosen = (place + torch.arange(batch)[:, None] * original.shape[1]).flatten()
        tokens = original.flatten().clone()
        fate = torch.rand(len(chosen), generator=self.generator)
        if always_mask:
            fate.zero_()
        tokens[chosen[fate < KEPT_AS_MASK]] = self.mask_id
        replaced = chosen[fate >= 1 - REPLACED]
        random = torch.randint(0, len(self.maskable), (len(replaced),), generator=self.generator)
        tokens[replaced] = self.maskable[random]
        return MaskedBatch(tokens.view_as(original), chosen, original.flatten()[chosen], original)


def masked_losses(logits: Float[Tensor, "masked token"], truth: Int[Tensor, "masked"]) -> Float[Tensor, "masked"]:
    """Negative log-likelihood in nats of each hidden token."""
    return torch.nn.functional.cross_entropy(logits.float(), truth, reduction="none")
