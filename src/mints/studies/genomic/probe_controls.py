"""Step: every control beside the probe, from cached activations alone."""

from __future__ import annotations

import pandas as pd

from mints.analysis.controls import TaskActivations, beyond_composition, probe_controls
from mints.pipeline.run import Run
from mints.report import figures
from mints.studies.genomic.vectors import layer_vectors, split_rows


def _activations(run: Run, name: str) -> TaskActivations:
    """Everything cached for one task, at the layer that the probe step chose."""
    table = run.load(f"tasks/{name}.parquet")
    layer = int(run.load(f"probes/{name}.npz")["chosen_layer"])
    return TaskActivations(
        name=name,
        layer=layer,
        rows=split_rows(table),
        residual=layer_vectors(run, f"{name}_residual_mean", table)[layer],
        random_initialisation=layer_vectors(run, f"{name}_random_initialisation", table)[layer],
        shuffled=layer_vectors(run, f"{name}_shuffled", table)[layer],
    )


def run_probe_controls(run: Run) -> None:
    """Measure what else could explain the probes: composition, position, chance, an untrained model, order."""
    config = run.config
    tables = []
    for task in run.track(config.tasks, description="measuring controls", unit="tasks"):
        controls = probe_controls(
            _activations(run, task.name),
            penalties=config.probe_penalties,
            resamples=config.probe_bootstrap_samples,
            level=config.probe_ci_level,
            random_label_runs=config.probe_control_random_label_runs,
            rng=run.rng(task.name),
        )
        run.save(f"probes/{task.name}_test_scores.npz", controls.test_scores)
        tables.append(controls.table)
    table = pd.concat(tables, ignore_index=True)
    run.save("tables/linear_probe_controls.csv", table)
    run.save("tables/beyond_composition.csv", beyond_composition(table))
    run.figure("linear_probe_controls", figures.probe_controls_figure(table, level=config.probe_ci_level))
