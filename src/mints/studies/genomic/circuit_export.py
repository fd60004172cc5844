"""Step: query-key and output-value circuits of every head, and which heads write along a probe's direction."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.analysis import ov_readout
from mints.analysis.circuits import (
    INPUT_SPACE,
    OFFSETS,
    QK_FORM,
    HeadFactors,
    LayerCircuits,
    circuit_summary,
    head_factors,
    measure_layer,
    ov_circuit,
    singular_vectors,
)
from mints.errors import UsageError
from mints.models.architecture import Architecture
from mints.pipeline.run import Run
from mints.report import circuits as figures
from mints.studies.shared.models import open_model


class Probe(NamedTuple):
    """A task's probe at the layer that validation chose."""

    layer: int
    weights: Float[ndarray, "d_model"]
    """Of raw residual vectors: a direction in the residual stream of that layer."""


def run_circuit_export(run: Run) -> None:
    """Export every head's QK and OV circuit with its spectrum, and audit OV against the probes' directions."""
    encoder = open_model(run).encoder
    architecture = encoder.architecture
    check_audited_head(run.config, architecture)
    probes = {task.name: _probe(run, task.name) for task in run.config.tasks}
    directions = {task: probe.weights for task, probe in probes.items()}
    statements = {
        "qk_form": np.array(QK_FORM[architecture.position]),
        "input_space": np.array(INPUT_SPACE[architecture.norm_placement]),
    }
    factors_by_layer: dict[str, ndarray] = {}
    measured: list[LayerCircuits] = []
    overlaps: dict[str, list[ov_readout.Overlaps]] = {task: [] for task in probes}
    for layer in run.track(range(architecture.n_layers), description="decomposing heads", unit="layers"):
        factors = head_factors(encoder, layer)
        factors_by_layer |= factor_arrays(factors, layer)
        measured.append(measure_layer(factors, rotary=architecture.position == "rotary"))
        vectors = singular_vectors(ov_circuit(factors))
        for task, met in ov_readout.overlaps(vectors, directions).items():
            overlaps[task].append(met)
    run.save("circuits/qk_ov_factors.npz", statements | factors_by_layer)
    run.save("circuits/spectra.npz", statements | spectrum_arrays(measured))
    summary = circuit_summary(measured, architecture)
    run.save("tables/circuit_summary.csv", summary)
    run.figure("circuit_spectra", figures.circuit_spectra_figure(summary))
    _audit(run, probes, overlaps, architecture)


def check_audited_head(config: Any, architecture: Architecture) -> None:
    """Raises UsageError where the audited task or head does not exist."""
    names = [task.name for task in config.tasks]
    if config.audited_task not in names:
        raise UsageError(f"--audited-task {config.audited_task} is none of this run's tasks: {', '.join(names)}")
    for option, number, count in (
        ("layer", config.audited_layer, architecture.n_layers),
        ("head", config.audited_head, architecture.n_heads),
    ):
        if not 0 <= number < count:
            raise UsageError(f"--audited-{option} {number} does not exist: the model has {option}s 0 to {count - 1}")


def factor_arrays(factors: HeadFactors, layer: int) -> dict[str, ndarray]:
    """Entries of one layer in the archive of factors, in float32."""
    return {f"layer_{layer}_{name}": array.astype(np.float32) for name, array in factors._asdict().items()}


def spectrum_arrays(layers: list[LayerCircuits]) -> dict[str, ndarray]:
    """Entries of the archive of spectra: one array per kind, layers stacked on the first axis."""
    arrays = {
        "qk_singular_values": np.stack([each.qk_values for each in layers]).astype(np.float32),
        "ov_singular_values": np.stack([each.ov_values for each in layers]).astype(np.float32),
        "ov_eigenvalues": np.stack([each.ov_eigenvalues for each in layers]).astype(np.complex64),
    }
    by_offset = [each.qk_values_by_offset for each in layers if each.qk_values_by_offset is not None]
    if by_offset:
        arrays["qk_offsets"] = np.array(OFFSETS)
        arrays["qk_singular_values_by_offset"] = np.stack(by_offset).astype(np.float32)
    return arrays


def _audit(
    run: Run, probes: dict[str, Probe], overlaps: dict[str, list[ov_readout.Overlaps]], architecture: Architecture
) -> None:
    """Every head against every task's probe, and the audited head vector by vector."""
    config, d_model = run.config, architecture.d_model
    rng = run.rng("random frames")
    nulls = ov_readout.random_nulls(d_model, architecture.d_head, ov_readout.NULL_DRAWS, rng)
    parts = []
    for task, probe in run.track(probes.items(), total=len(probes), description="auditing OV", unit="tasks"):
        part = ov_readout.readout_audit(overlaps[task], nulls, probe.layer)
        part.insert(0, "task", task)
        parts.append(part)
    audit = pd.concat(parts, ignore_index=True)
    run.save("tables/ov_readout_audit.csv", audit)
    run.figure("ov_readout_audit", figures.ov_readout_figure(audit))

    task, layer, head = config.audited_task, config.audited_layer, config.audited_head
    row = audit.query("task == @task and layer == @layer and head == @head").iloc[0]
    alignment = ov_readout.head_alignment(overlaps[task][layer], head, nulls, d_model)
    name = f"{task}_l{layer}h{head}_ov_probe_alignment"
    run.save(f"tables/{name}.csv", alignment)
    run.figure(name, figures.ov_alignment_figure(alignment, row))
    run.fact("audited_head", row.to_dict())


def _probe(run: Run, task: str) -> Probe:
    arrays = run.load(f"probes/{task}.npz")
    layer = int(arrays["chosen_layer"])
    return Probe(layer, arrays[f"layer_{layer}_weights"])
