"""A small untrained basecaller and simulated pairs of signals, for tests of patching."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch

from mints.analysis.basecalling.questions import ask
from mints.data.nanopore.levels import simulate_levels
from mints.data.nanopore.simulated_pairs import Recipe, simulate_pairs
from mints.models.basecaller import randomly_initialised
from mints.models.basecaller.crf import decode
from mints.models.basecaller.settings import parse_config
from mints.models.compute import resolve_compute

FP32 = resolve_compute("cpu", "fp32")
CONFIGURATION = Path(__file__).parent / "data" / "bonito_transformer.config.json"


@cache
def make_basecaller(seed=0):
    """Two layers of four heads, width 32, states of two bases, six samples per time step."""
    return randomly_initialised(parse_config(json.loads(CONFIGURATION.read_text()), "test"), seed)


@cache
def make_pairs():
    """One pair of every group, base, run length and corruption."""
    return simulate_pairs(np.random.default_rng(2), 1, Recipe(simulate_levels(np.random.default_rng(1), 5))).pairs


def some_pairs(count, **wanted):
    """Pairs drawn from those whose fields are as wanted."""
    chosen = [pair for pair in make_pairs() if all(getattr(pair, name) == value for name, value in wanted.items())]
    return [chosen[place] for place in np.random.default_rng(0).permutation(len(chosen))[:count]]


def scores_of(basecaller, signals):
    with FP32.inference():
        return basecaller(torch.from_numpy(np.stack(signals)))


def ask_about(basecaller, pairs):
    """The pairs' questions, as a study asks them."""
    clean, corrupted = (scores_of(basecaller, [getattr(p, side) for p in pairs]) for side in ("clean", "corrupted"))
    length = basecaller.state_length
    calls = [(a.sequence, b.sequence) for a, b in zip(decode(clean, length), decode(corrupted, length), strict=True)]
    return ask(pairs, clean, calls, length, basecaller.samples_per_score)
