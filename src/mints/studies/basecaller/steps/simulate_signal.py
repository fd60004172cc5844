"""Step: the simulated reads of the embedded profile, as a user's own arrays would be, and the levels behind them."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step

FILES = ("simulated_signal/reads.npz", "simulated_signal/levels.tsv")


@step(
    "simulate_signal",
    makes=[*FILES],
    reads=["simulation"],
    when=lambda config: config.simulation is not None,
)
def simulate_signal(run: Run) -> None:
    """Simulate the current of reads whose sequence is known, and write the table of k-mer levels behind it."""
    from mints.studies.basecaller.simulate_signal import run_simulate_signal

    run_simulate_signal(run)
