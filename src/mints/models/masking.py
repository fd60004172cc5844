"""Masked-token batches for pretraining and for measuring a masked-token loss.

Genomes are one stream of tokens, from which windows are cut; proteins are taken whole, or cropped to the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.models.tokenizers import Encoding, Tokenizer

PIECE = 3001
"""Bases that are tokenized at a time: byte-pair merging takes more than linear time on whole chromosomes.

Not a multiple of a k-mer length, so that fixed k-mers come in every frame along a chromosome.
"""

LENGTH_GROUPS = 12
"""Groups of sequences of like length, with about as many tokens each."""

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

    content: int
    """Tokens of the windows, special tokens and pads not counted."""


class BatchSource(Protocol):
    """Where masked batches come from."""

    generator: torch.Generator
    """Its state decides what comes next."""

    def draw(self, batch: int, *, always_mask: bool = False) -> MaskedBatch:
        """One batch. `always_mask` hides every chosen token, as measurement wants; kept tokens would flatter it."""
        ...


class Masking:
    """What happens to the tokens that a batch chooses to hide."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.mask_id = tokenizer.mask_id
        self.maskable = torch.as_tensor(sorted(tokenizer.maskable_ids))
        self.generator = torch.Generator().manual_seed(seed)

    def hide(
        self, original: Int[Tensor, "batch pos"], chosen: Int[Tensor, "masked"], content: int, *, always_mask: bool
    ) -> MaskedBatch:
        """The batch with its chosen tokens (flat indices) masked, replaced or kept."""
        tokens = original.flatten().clone()
        fate = torch.rand(len(chosen), generator=self.generator)
        if always_mask:
            fate.zero_()
        tokens[chosen[fate < KEPT_AS_MASK]] = self.mask_id
        replaced = chosen[fate >= 1 - REPLACED]
        random = torch.randint(0, len(self.maskable), (len(replaced),), generator=self.generator)
        tokens[replaced] = self.maskable[random]
        return MaskedBatch(tokens.view_as(original), chosen, original.flatten()[chosen], original, content)


class MaskedBatches(Masking):
    """Random windows of a token stream with a share of their tokens hidden; seeded, and resumable by its state."""

    def __init__(
        self, stream: Int[ndarray, "token"], tokenizer: Tokenizer, *, context: int, share: float, seed: int
    ) -> None:
        super().__init__(tokenizer, seed)
        self.stream = torch.from_numpy(np.ascontiguousarray(stream)).long()
        if len(self.stream) <= context:
            raise ValueError(f"a stream of {len(self.stream)} tokens has no window of {context}")
        self.frame = frame_of(tokenizer)
        self.context = context
        self.masked_per_window = max(1, round(context * share))

    def draw(self, batch: int, *, always_mask: bool = False) -> MaskedBatch:
        """One batch. `always_mask` hides every chosen token, as measurement wants; kept tokens would flatter it."""
        start = torch.randint(0, len(self.stream) - self.context, (batch, 1), generator=self.generator)
        window = self.stream[start + torch.arange(self.context)]
        before, after = (part.expand(batch, -1) for part in self.frame)
        original = torch.cat([before, window, after], dim=1)
        order = torch.rand(batch, self.context, generator=self.generator)
        place = order.topk(self.masked_per_window, dim=1).indices + before.shape[1]
        chosen = (place + torch.arange(batch)[:, None] * original.shape[1]).flatten()
        return self.hide(original, chosen, batch * self.context, always_mask=always_mask)


class MaskedSequences(Masking):
    """Random whole sequences, padded, with a share of their ordinary tokens hidden; seeded, and resumable by its state.

    A sequence is drawn in proportion to its length, as windows of a stream would be, and a batch is of sequences of
    like length, so that few tokens are pads. A sequence longer than the context is cropped at a random place; special
    tokens mark its true ends alone, so that a crop can be told from a whole one (Lin et al. 2023).
    """

    def __init__(
        self, encodings: Sequence[Encoding], tokenizer: Tokenizer, *, context: int, share: float, seed: int
    ) -> None:
        super().__init__(tokenizer, seed)
        if not encodings:
            raise ValueError("there are no sequences to draw from")
        self.frame = frame_of(tokenizer)
        self.context = context
        self.share = share
        self.pad_id = tokenizer.pad_id
        contents = [torch.from_numpy(encoding.ids[~encoding.special]) for encoding in encodings]
        self.order = np.argsort([len(content) for content in contents], kind="stable")
        """Number of each sequence as it was given; here they stand by length."""

        self.sequences = [contents[number] for number in self.order]
        lengths = np.minimum([len(sequence) for sequence in self.sequences], context)
        cuts = np.searchsorted(lengths.cumsum(), np.arange(1, LENGTH_GROUPS) * lengths.sum() / LENGTH_GROUPS)
        self.groups = [group for group in np.split(np.arange(len(lengths)), cuts) if len(group)]

    def draw(self, batch: int, *, always_mask: bool = False) -> MaskedBatch:
        """One batch of one group of lengths: a group is as likely as another, and so is a sequence of the group."""
        group = self.groups[int(self._below(len(self.groups), 1))]
        return self._batch(group[self._below(len(group), batch).numpy()], always_mask=always_mask)

    def once(self, batch: int) -> Iterator[tuple[Int[ndarray, "batch"], MaskedBatch]]:
        """Every sequence once, all chosen tokens hidden: the numbers of a batch's sequences as given, and the batch."""
        for start in range(0, len(self.sequences), batch):
            places = np.arange(start, min(start + batch, len(self.sequences)))
            yield self.order[places], self._batch(places, always_mask=True)

    def _batch(self, places: Int[ndarray, "batch"], *, always_mask: bool) -> MaskedBatch:
        rows = [self._framed(self.sequences[place]) for place in places]
        original = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pad_id)
        ordinary = torch.isin(original, self.maskable)
        order = torch.rand(original.shape, generator=self.generator).masked_fill(~ordinary, 2.0)
        hidden = (ordinary.sum(1) * self.share).round().clamp(min=1)
        chosen = (order.argsort(1).argsort(1) < hidden[:, None]) & ordinary
        framing = torch.cat([*self.frame, torch.tensor([self.pad_id])])
        content = int((~torch.isin(original, framing)).sum())
        return self.hide(original, chosen.flatten().nonzero().flatten(), content, always_mask=always_mask)

    def _framed(self, sequence: Int[Tensor, "token"]) -> Int[Tensor, "framed"]:
        start = int(self._below(max(1, len(sequence) - self.context + 1), 1))
        window = sequence[start : start + self.context]
        before = [self.frame.before] if start == 0 else []
        after = [self.frame.after] if start + len(window) == len(sequence) else []
        return torch.cat([*before, window, *after])

    def _below(self, bound: int, count: int) -> Int[Tensor, "count"]:
        return torch.randint(0, bound, (count,), generator=self.generator)


def masked_losses(logits: Float[Tensor, "masked token"], truth: Int[Tensor, "masked"]) -> Float[Tensor, "masked"]:
    """Negative log-likelihood in nats of each hidden token."""
    return torch.nn.functional.cross_entropy(logits.float(), truth, reduction="none")
