"""Tokens of proteins of which every residue is one."""

import numpy as np

from mints.features.activations import Tokens


def residues(lengths):
    """Sequences of these lengths side by side, each behind one special token."""
    starts = np.concatenate([np.arange(length) for length in lengths])
    return Tokens(np.repeat(np.arange(len(lengths)), lengths), starts + 1, starts, starts + 1, starts)
