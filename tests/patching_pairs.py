"""Pairs of sequences for activation patching, small and ragged."""

import numpy as np
import torch

from mints.analysis.patching import PairTokens
from mints.analysis.patching_sweep import PairSet
from mints.models.compute import resolve_compute
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")
"""No autocast: weights keep their own type, float64 included."""

LENGTHS = (9, 6, 14, 9, 5)
"""Tokens of each pair, two special ones included; each content token stands for two bases."""

PARTNER = (2, 0, 3, 4, 1)
"""The pair whose activations are another's null: two are longer, three shorter."""

WINDOWS = [(-2, 0), (0, 2), (1, 9)]


def encoding_of(ids):
    """Two bases per token between two special ones."""
    starts = 2 * np.arange(len(ids) - 2)
    spans = np.zeros((len(ids), 2), dtype=int)
    spans[1:-1] = np.stack([starts, starts + 2], axis=1)
    special = np.zeros(len(ids), dtype=bool)
    special[[0, -1]] = True
    return Encoding(np.array(ids), spans, special)


def edited(ids, place, rng):
    """Another token at one place."""
    ids = ids.copy()
    ids[place] = (ids[place] - 5 + rng.integers(1, 25)) % 25 + 5
    return ids


def make_pairs(rng):
    """Pairs that differ at the motif's token, which is the second content token; their controls at the third."""
    clean = [rng.integers(5, 30, length) for length in LENGTHS]
    corrupted = [edited(ids, 2, rng) for ids in clean]
    control = [edited(ids, 3, rng) for ids in clean]
    sides = (clean, corrupted, control, [clean[row] for row in PARTNER], [corrupted[row] for row in PARTNER])
    return PairSet(*([encoding_of(ids) for ids in side] for side in sides), np.full(len(LENGTHS), 2))


def batch_of(encodings, pad_id):
    """A padded batch made by hand."""
    width = max(len(encoding.ids) for encoding in encodings)
    tokens = torch.full((len(encodings), width), pad_id)
    content = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, encoding in enumerate(encodings):
        tokens[row, : len(encoding.ids)] = torch.from_numpy(encoding.ids)
        content[row, : len(encoding.ids)] = torch.from_numpy(~encoding.special)
    return PairTokens(tokens, tokens != pad_id, content)


def unit_weights(architecture, rng):
    """A probe's direction, of length 1."""
    weights = rng.normal(size=architecture.d_model)
    return torch.from_numpy(weights / np.linalg.norm(weights))
