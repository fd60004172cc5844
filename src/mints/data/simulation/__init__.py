"""The simulated genome of the embedded profile: planted truth, the confounds of real data, and the files of both."""

from mints.data.simulation.ctcf import ctcf_signal, simulate_ctcf_peaks
from mints.data.simulation.files import SimulationSummary, write_simulation
from mints.data.simulation.genome import SimulatedGenome, simulate_genome
from mints.data.simulation.tasks import TaskSplits, simulate_tasks

__all__ = [
    "SimulatedGenome",
    "SimulationSummary",
    "TaskSplits",
    "ctcf_signal",
    "simulate_ctcf_peaks",
    "simulate_genome",
    "simulate_tasks",
    "write_simulation",
]
