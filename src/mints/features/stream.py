"""Activations of a corpus as batches of single tokens in random order, whose memory does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.errors import MintsError
from mints.features.activations import ordinary_tokens, sites_activations
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding, Tokenizer

BUFFER = 32_768
"""Tokens that are shuffled among each other; little more are held."""

GROUP = 64
"""Sequences that are read and tokenized at a time."""

Batch = dict[str, Float[Tensor, "token d_site"]]
"""Activations of the same tokens by site."""


class Position(NamedTuple):
    """Where in the stream a batch begins: what a checkpoint keeps of it."""

    corpus_pass: int = 0
    sequence: int = 0
    """First sequence of the buffer, counted in the order of the pass."""

    token: int = 0
    """Tokens of the buffer that earlier batches have taken."""


BEGINNING = Position()


class Chunk(NamedTuple):
    """Content of the buffer, a function of the position where it begins alone."""

    activations: Batch
    order: Int[ndarray, "token"]
    following: Position


class ActivationStream:
    """Batches of tokens without end: the corpus is read pass after pass, each time in another order.

    Sequences come in a random order, as many as fill the buffer; their tokens are shuffled, and batches are cut from
    one shuffled buffer after the other. Everything follows from the seed and the position.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: Tokenizer,
        corpus: Sequence[str],
        sites: Sequence[str],
        compute: Compute,
        *,
        seed: int,
        buffer: int = BUFFER,
        tokens_per_batch: int | None = None,
    ) -> None:
        """corpus: may read its sequences as they are asked for."""
        self.encoder, self.tokenizer, self.corpus, self.sites = encoder, tokenizer, corpus, list(sites)
        self.compute, self.seed, self.buffer, self.tokens_per_batch = compute, seed, buffer, tokens_per_batch
        self._order: tuple[int, Int[ndarray, "sequence"]] | None = None

    def batches(self, size: int, start: Position = BEGINNING) -> Iterator[tuple[Batch, Position]]:
        """Batches of `size` tokens from a position on, each with the position of the one after it.

        Raises MintsError where the corpus has no ordinary token.
        """
        place = start
        chunk = self.chunk(place)
        while True:
            parts: list[Batch] = []
            wanted = size
            while wanted:
                rows = chunk.order[place.token : place.token + wanted]
                which = torch.from_numpy(rows).to(self.compute.device)
                parts.append({site: values[which] for site, values in chunk.activations.items()})
                wanted -= len(rows)
                place = place._replace(token=place.token + len(rows))
                if place.token == len(chunk.order):
                    place = chunk.following
                    chunk = self.chunk(place)
            yield {site: torch.cat([part[site] for part in parts]) for site in self.sites}, place

    def chunk(self, start: Position) -> Chunk:
        """The buffer that begins at a position's sequence."""
        order = self.order(start.corpus_pass)
        encodings, place, count = [], start.sequence, 0
        while count < self.buffer and place < len(order):
            group = self.tokenizer.encode_many([self.corpus[row] for row in order[place : place + GROUP]])
            count += len(ordinary_tokens(group, self.tokenizer).ids)
            encodings += group
            place += len(group)
        following = Position(start.corpus_pass, place) if place < len(order) else Position(start.corpus_pass + 1)
        if count == 0:
            if start.sequence == 0:
                raise MintsError("the corpus has no token that stands for known letters")
            return self.chunk(following)
        shuffled = np.random.default_rng([self.seed, start.corpus_pass, start.sequence]).permutation(count)
        return Chunk(self.read(encodings), shuffled, following)

    def order(self, corpus_pass: int) -> Int[ndarray, "sequence"]:
        """Sequences in the order of one pass."""
        if self._order is None or self._order[0] != corpus_pass:
            drawn = np.random.default_rng([self.seed, corpus_pass]).permutation(len(self.corpus))
            self._order = corpus_pass, drawn
        return self._order[1]

    def read(self, encodings: Sequence[Encoding]) -> Batch:
        """Activations of all ordinary tokens, in their order."""
        tokens = ordinary_tokens(encodings, self.tokenizer)
        held: Batch = {}
        for which, activations in sites_activations(
            self.encoder, encodings, tokens, self.sites, self.compute, self.tokens_per_batch
        ):
            place = torch.from_numpy(which).to(self.compute.device)
            for site, values in activations.items():
                if site not in held:
                    held[site] = values.new_empty(len(tokens.ids), values.shape[1])
                held[site][place] = values
        return held
