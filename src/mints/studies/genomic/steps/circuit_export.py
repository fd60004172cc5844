"""Step: query-key and output-value circuits of every head, and which heads write along a probe's direction."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "circuit_export",
    needs=["probes/{task}.npz"],
    makes=[
        "circuits/qk_ov_factors.npz",
        "circuits/spectra.npz",
        "tables/circuit_summary.csv",
        "tables/ov_readout_audit.csv",
        "tables/{audited}_ov_probe_alignment.csv",
        "figures/{audited}_ov_probe_alignment.png",
        "figures/ov_readout_audit.png",
        "figures/circuit_spectra.png",
    ],
    reads=[*MODEL_FIELDS, "tasks", "seed", "audited_task", "audited_layer", "audited_head"],
    opens=["model"],
)
def circuit_export(run: Run) -> None:
    """Export every head's QK and OV circuit with its spectrum, and audit OV against the probes' directions."""
    from mints.studies.genomic.circuit_export import run_circuit_export

    run_circuit_export(run)
