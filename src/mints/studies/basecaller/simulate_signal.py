"""Reads whose truth is known, written as arrays."""

from __future__ import annotations

import numpy as np

from mints.data.nanopore.current import R10_CURRENT, simulate_reads
from mints.data.nanopore.levels import write_levels
from mints.data.nanopore.reading import pack
from mints.pipeline.run import Run
from mints.studies.basecaller.pore import simulated_levels

READS = 1
"""Which random numbers of the simulation are drawn."""


def run_simulate_signal(run: Run) -> None:
    """Write the level table, and reads with their ids, sample rate, sequences and boundaries."""
    simulation = run.config.simulation
    levels = simulated_levels(simulation)
    rng = np.random.default_rng([simulation.seed, READS])
    reads = simulate_reads(rng, simulation.reads, levels=levels, bases=simulation.bases)
    arrays = pack({f"simulated{number:04d}": read.current for number, read in enumerate(reads, start=1)})
    arrays |= {
        "sample_rate": np.array(R10_CURRENT.sample_rate),
        "sequences": np.array([read.sequence for read in reads]),
        "boundaries": np.stack([read.boundaries for read in reads]),
    }
    run.save("simulated_signal/reads.npz", arrays)
    with run.create("simulated_signal/levels.tsv") as temporary:
        write_levels(levels, temporary)
