"""Step: the simulated genome of the embedded profile, in the file formats of the real sources."""

from __future__ import annotations

import shutil

from mints.pipeline.run import Run
from mints.pipeline.step import step

TASKS = (
    "promoter_tata",
    "promoter_no_tata",
    "splice_sites_donors",
    "splice_sites_acceptors",
    "splice_sites_donors_matched",
    "splice_sites_donors_swapped",
)
FILES = (
    "genome.fa",
    "truth.bed",
    "ctcf.narrowPeak.gz",
    "ctcf.bigWig",
    "audit_queries.fa",
    "audit_corpus.fa",
    "audit_truth.csv",
    *(f"tasks/{task}.{split}.fna" for task in TASKS for split in ("train", "validation", "test")),
)


@step(
    "simulate_genome",
    makes=[*(f"simulated_genome/{name}" for name in FILES), "simulated_genome/summary.json"],
    reads=["simulation"],
    when=lambda config: config.simulation is not None,
)
def simulate_genome(run: Run) -> None:
    """Simulate a genome with genes, promoters and CTCF sites, in the formats of the real sources."""
    from mints.data.simulation.files import write_simulation

    folder = run.scratch("simulated_genome")
    summary = write_simulation(run.config.simulation, folder, track=run.track)
    for name in FILES:
        with run.create(f"simulated_genome/{name}") as temporary:
            shutil.move(folder / name, temporary)
    run.save("simulated_genome/summary.json", summary)
