"""Long reads in overlapping chunks, and what a model says of the chunks joined to what it says of the read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray


class Chunks(NamedTuple):
    """Pieces of one read, all of the same size."""

    signal: Float32[ndarray, "chunk sample"]
    """The last chunk is filled up with zeros where the read ends before it; the outputs next to such an end are not
    exactly those of the whole read, whose end each convolution fills up by itself."""

    starts: Int[ndarray, "chunk"]
    """Sample of the read at which each chunk begins: multiples of the step."""

    samples: int
    """Length of the read."""

    step: int
    """Samples per output."""


def cut(signal: Float32[ndarray, "sample"], *, size: int, overlap: int, step: int) -> Chunks:
    """Chunks of `size` samples that share at least `overlap` with the next one.

    Every chunk begins at a multiple of `step` (samples per output of the model), so that outputs of chunks lie on the
    same grid as those of the whole read. Raises ValueError where size and overlap are no multiples of the step, or the
    overlap is not smaller than the size, or the read is empty.
    """
    if size % step or overlap % step or not 0 <= overlap < size:
        raise ValueError(
            f"chunks of {size} samples with an overlap of {overlap} do not lie on a grid of {step} samples"
        )
    if not signal.size:
        raise ValueError("an empty read has no chunks")
    length = -(-len(signal) // step) * step
    last = max(0, length - size)
    starts = np.append(np.arange(0, last, size - overlap), last)
    filled = np.pad(signal, (0, max(length, size) - len(signal)))
    return Chunks(filled[starts[:, None] + np.arange(size)], starts, len(signal), step)


def stitch(outputs: Float[ndarray, "chunk output *rest"], chunks: Chunks) -> Float[ndarray, "read_output *rest"]:
    """Outputs of the whole read: neighbouring chunks are joined in the middle of what they share.

    outputs: one per step of each chunk. The result has one per step of the read, the last of which may be a part.
    Raises ValueError where a chunk has another number of outputs.
    """
    per_chunk = chunks.signal.shape[1] // chunks.step
    if outputs.shape[:2] != (len(chunks.starts), per_chunk):
        raise ValueError(
            f"{outputs.shape[0]} × {outputs.shape[1]} outputs of {len(chunks.starts)} chunks of {per_chunk} steps"
        )
    starts = chunks.starts // chunks.step
    joins = (starts[1:] + starts[:-1] + per_chunk) // 2
    total = -(-chunks.samples // chunks.step)
    ends = np.append(joins, total)
    begins = np.insert(joins, 0, 0)
    parts = zip(outputs, starts, begins, ends, strict=True)
    return np.concatenate([of_chunk[begin - start : end - start] for of_chunk, start, begin, end in parts])
