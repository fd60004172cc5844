"""What a tokenizer is: from a sequence to token ids and the stretch of sequence that each token stands for.

Token ↔ nucleotide coordinates are made here and in the tokenizers of this folder, and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.errors import MintsError


class Encoding(NamedTuple):
    """A tokenized sequence."""

    ids: Int[ndarray, "token"]
    """Indices into the vocabulary."""

    spans: Int[ndarray, "token 2"]
    """Half-open coordinates, in bases or residues, of what a token stands for; empty for special tokens."""

    special: Bool[ndarray, "token"]
    """True at tokens that frame the sequence and stand for none of it."""


class Roles(NamedTuple):
    """Tokens with a meaning of their own, by name."""

    pad: str
    mask: str
    unknown: str
    before: tuple[str, ...]
    """Put before every sequence."""

    after: tuple[str, ...]
    """Put after every sequence."""

    unused: tuple[str, ...] = ()
    """In the vocabulary, never in an encoding."""


class Tokenizer(ABC):
    """A vocabulary and the rule that cuts a sequence into its tokens."""

    letters: str
    """Tokens made of these letters alone are ordinary; the others are special, unknown or ambiguous."""

    vocabulary: list[str]
    """Token of each id."""

    pad_id: int
    mask_id: int
    unknown_id: int
    special_ids: frozenset[int]
    """Pad, mask and framing tokens. The unknown token is not among them: it stands for a part of the sequence."""

    max_tokens: int | None
    """Longest encoding, special tokens included, that the model was made for; None: not limited."""

    def __init__(self, vocabulary: Sequence[str], roles: Roles, max_tokens: int | None) -> None:
        """Raises MintsError where the vocabulary lacks a token that has a role, or lists one twice."""
        self.vocabulary = list(vocabulary)
        self.max_tokens = max_tokens
        self.id_of = {token: index for index, token in enumerate(self.vocabulary)}
        if len(self.id_of) < len(self.vocabulary):
            twice = next(token for index, token in enumerate(self.vocabulary) if self.id_of[token] != index)
            raise MintsError(f"the vocabulary lists {twice!r} twice")
        named = (roles.pad, roles.mask, *roles.before, *roles.after, *roles.unused)
        absent = [token for token in (roles.unknown, *named) if token not in self.id_of]
        if absent:
            raise MintsError(f"the vocabulary has no {', '.join(absent)}")
        self.pad_id, self.mask_id, self.unknown_id = (self.id_of[n] for n in (roles.pad, roles.mask, roles.unknown))
        self.special_ids = frozenset(self.id_of[token] for token in named)
        self._before = np.array([self.id_of[token] for token in roles.before], dtype=np.int64)
        self._after = np.array([self.id_of[token] for token in roles.after], dtype=np.int64)

    @cached_property
    def maskable_ids(self) -> frozenset[int]:
        """Ordinary tokens: those that masking may hide, and put in place of a hidden one."""
        ordinary = set(self.letters)
        return frozenset(index for index, token in enumerate(self.vocabulary) if token and set(token) <= ordinary)

    def encode(self, sequence: str) -> Encoding:
        """Tokens of one sequence, framed by the special tokens."""
        return self.encode_many([sequence])[0]

    @abstractmethod
    def encode_many(self, sequences: Sequence[str]) -> list[Encoding]:
        """Tokens of many sequences, each framed by the special tokens."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the official files of this kind of tokenizer into an existing folder."""

    def _framed(self, ids: Int[ndarray, "content"], spans: Int[ndarray, "content 2"], length: int) -> Encoding:
        """The encoding of a sequence of `length` letters from its own tokens."""
        content = slice(len(self._before), len(self._before) + len(ids))
        all_ids = np.concatenate([self._before, ids, self._after], dtype=np.int64)
        all_spans = np.zeros((len(all_ids), 2), dtype=np.int64)
        all_spans[content] = spans
        all_spans[content.stop :] = length
        special = np.ones(len(all_ids), dtype=bool)
        special[content] = False
        return Encoding(all_ids, all_spans, special)
