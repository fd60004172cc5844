"""Step: what is linearly decodable from the residual stream, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mints.analysis.probes import fit_layers, probe_metrics, reliability
from mints.pipeline.run import Run
from mints.report import figures
from mints.studies.genomic.vectors import layer_vectors


def run_linear_probes(run: Run) -> None:
    """Fit a logistic probe per task and layer, with penalty and layer chosen on validation, and judge it on test."""
    config = run.config
    metrics: list[dict[str, object]] = []
    calibration: list[dict[str, object]] = []
    for task in run.track(config.tasks, description="fitting probes", unit="tasks"):
        table = run.load(f"tasks/{task.name}.parquet")
        layers = layer_vectors(run, f"{task.name}_residual_mean", table)
        fitted = fit_layers(layers, config.probe_penalties, config.probe_layer)
        rows = probe_metrics(
            fitted,
            layers,
            table.loc[table["split"] == "test", "cluster"].to_numpy(),
            resamples=config.probe_bootstrap_samples,
            level=config.probe_ci_level,
            rng=run.rng(task.name),
        )
        metrics += [{"task": task.name} | row for row in rows]
        test, probe = layers[fitted.chosen].test, fitted.probes[fitted.chosen]
        curve = reliability(test.labels, probe.model.logits(test.features), config.probe_ci_level)
        calibration += [{"task": task.name, "layer": fitted.chosen} | row for row in curve]
        arrays = {f"layer_{layer}_weights": each.model.weights for layer, each in fitted.probes.items()}
        arrays |= {f"layer_{layer}_bias": np.array(each.model.bias) for layer, each in fitted.probes.items()}
        run.save(f"probes/{task.name}.npz", arrays | {"chosen_layer": np.array(fitted.chosen)})
    metrics_table, calibration_table = pd.DataFrame(metrics), pd.DataFrame(calibration)
    run.save("tables/linear_probe_metrics.csv", metrics_table)
    run.save("tables/linear_probe_reliability.csv", calibration_table)
    run.figure("linear_probe_layers", figures.probe_layers_figure(metrics_table, level=config.probe_ci_level))
    run.figure("linear_probe_reliability", figures.reliability_figure(calibration_table, level=config.probe_ci_level))
