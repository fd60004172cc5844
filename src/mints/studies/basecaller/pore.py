"""The simulated pore: the level table of the shipped basecaller's training and of its study."""

from __future__ import annotations

import numpy as np

from mints.basecaller_config import SignalSimulation
from mints.data.nanopore.levels import KmerLevels, simulate_levels


def simulated_levels(simulation: SignalSimulation) -> KmerLevels:
    """Current by k-mer of the pore with this simulation's seed."""
    return simulate_levels(np.random.default_rng(simulation.seed))
