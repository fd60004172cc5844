"""Step: the simulated proteins of the embedded profile, in the file formats of the real sources."""

from __future__ import annotations

import shutil

from mints.pipeline.run import Run
from mints.pipeline.step import step

SCANS = ("HELICAL1_SIM", "STRANDED1_SIM", "MIXED1_SIM")
FILES = (
    "proteins.fasta",
    "features.tsv",
    "segments.csv",
    *(f"{folder}/{scan}.csv" for folder in ("dms", "truth") for scan in SCANS),
)


@step(
    "simulate_proteins",
    makes=[*(f"simulated_proteins/{name}" for name in FILES), "simulated_proteins/summary.json"],
    reads=["simulation"],
    when=lambda config: config.simulation is not None,
)
def simulate_proteins(run: Run) -> None:
    """Simulate protein families, membrane and secreted proteins, and deep mutational scans whose truth is known."""
    from mints.data.simulation.protein_files import write_proteins

    folder = run.scratch("simulated_proteins")
    summary = write_proteins(run.config.simulation, folder)
    for name in FILES:
        with run.create(f"simulated_proteins/{name}") as temporary:
            shutil.move(folder / name, temporary)
    run.save("simulated_proteins/summary.json", summary)
