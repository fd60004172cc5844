"""Step: the same questions to several models, and whether each was loaded as it was trained."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mints.analysis.cross_model import (
    FLOORS,
    OWN_CONTROLS,
    PROBE,
    JudgedTask,
    ScoredModel,
    TaskScores,
    difference_table,
    judge_task,
    probe_rows,
    score_model,
)
from mints.analysis.loading_checks import (
    Check,
    exchange_checks,
    exchanged,
    loss_checks,
    probe_checks,
    published_checks,
)
from mints.analysis.tokenization import tokenization_row
from mints.config import Config
from mints.models.activations import mean_residuals
from mints.models.encoder import Encoder
from mints.models.masking import MaskedBatch, token_stream
from mints.models.pretraining import batch_losses
from mints.pipeline.run import Run
from mints.report import cross_model as figures
from mints.studies.genomic.contestants import Contestant, open_contestants
from mints.studies.genomic.cross_model_heads import compare_heads
from mints.studies.genomic.masked_token_loss import BATCH, COLUMNS, SHARES, Corpus, hidden_batches, measure, read_corpus
from mints.studies.genomic.residual_cache import cache_variants
from mints.studies.genomic.vectors import layer_vectors

TIMED_SEQUENCES = 256
"""Sequences on which the speed is measured."""

EXCHANGE_MASKING = "15% hidden"


def run_cross_model(run: Run) -> None:
    """Compare all models on the same test rows, per base, and head by head; say aloud what looks wrongly loaded."""
    config = run.config
    contestants = open_contestants(run)
    corpus = read_corpus(run)
    losses = pd.concat([loss_table(run, each, corpus) for each in contestants], ignore_index=True)
    loading = [check for each in contestants for check in loading_checks(run, each, corpus, losses)]
    for other in contestants[1:]:
        cache_variants(run, other.model, other.section, other.folder)
    judged = judge_tasks(run, contestants)
    probes = pd.DataFrame([row for task in judged for row in probe_rows(task, config.probe_ci_level)])
    differences = difference_table(judged, config.probe_ci_level)
    checks = probe_checks(judged, config.probe_ci_level) + loading
    checks += published_checks(
        probes,
        tomllib.loads(config.published_probes.read_text(encoding="utf-8"))["figures"],
        {each.name: each.section.model for each in contestants},
        {task.name: str(task.train or task.peaks) for task in config.tasks},
    )
    probes["flag"] = flags(probes, checks)
    tokenization = tokenization_table(run, contestants)
    heads = compare_heads(run, contestants)
    tables = {
        "probes": probes,
        "differences": differences,
        "tokenization": tokenization,
        "masked_token_loss": losses,
        "alignment": heads.table,
        "alignment_summary": heads.summary,
        "alignment_differences": heads.differences,
        "checks": pd.DataFrame(checks, columns=Check._fields),
    }
    for name, table in tables.items():
        run.save(f"tables/cross_model_{name}.csv", table)
    run.save("tables/cross_model_tokenization_comparison.json", summary(contestants, tables))
    run.fact("bases_per_second", {each.name: speed(run, each) for each in contestants})
    level = config.probe_ci_level
    run.figure("cross_model_probes", figures.probes_figure(probes, level=level))
    run.figure("cross_model_differences", figures.differences_figure(differences, level=level))
    run.figure("cross_model_tokenization", figures.tokenization_figure(tokenization, losses, level=level))
    run.figure("cross_model_alignment", figures.heads_figure(heads.summary, thresholds_shown(config), level=level))
    for check in checks:
        if not check.passes:
            run.warn(f"{check.model} may not be loaded as it was trained ({check.task}): {check.statement}")


def loss_table(run: Run, contestant: Contestant, corpus: Corpus) -> pd.DataFrame:
    """Masked-token losses of one model and of its tokenizer's floors."""
    table: pd.DataFrame
    if contestant.is_own:
        table = run.load("tables/masked_token_loss.csv")
    elif contestant.model.encoder.head is None:
        run.warn(f"{contestant.name} has no masked-language head: its masked-token loss was not measured")
        table = pd.DataFrame(columns=COLUMNS)
    else:
        table = measure(run, contestant.model, corpus)
    table.insert(0, "model", contestant.name)
    return table


def loading_checks(run: Run, contestant: Contestant, corpus: Corpus, losses: pd.DataFrame) -> list[Check]:
    """What the masked-token loss says: against token frequencies, and against the model with exchanged tensors."""
    model = contestant.model
    if model.encoder.head is None:
        return []
    stream = token_stream(model.tokenizer, corpus.heldout)
    batches = hidden_batches(run, model, stream, SHARES[EXCHANGE_MASKING])

    def window_losses(encoder: Encoder) -> np.ndarray:
        return np.concatenate([_window_losses(encoder, batch, contestant) for batch in batches])

    found = {"": window_losses(model.encoder)}
    found |= {name: window_losses(other) for name, other in exchanged(model.encoder)}
    windows = len(found[""])
    rng = run.rng(f"{contestant.name} exchanges")
    weights = rng.multinomial(windows, np.full(windows, 1 / windows), size=run.config.probe_bootstrap_samples)
    of_model = losses[losses["model"] == contestant.name]
    level = run.config.probe_ci_level
    return loss_checks(contestant.name, of_model) + exchange_checks(contestant.name, found, weights, level)


def _window_losses(encoder: Encoder, batch: MaskedBatch, contestant: Contestant) -> np.ndarray:
    losses = batch_losses(encoder, batch, contestant.model.compute).numpy().reshape(BATCH, -1)
    means: np.ndarray = losses.mean(axis=1)
    return means


def judge_tasks(run: Run, contestants: Sequence[Contestant]) -> list[JudgedTask]:
    """Every task's models and floors on the same test rows and resamples."""
    floors = run.load("tables/beyond_composition.csv").set_index("task")["best_floor"]
    judged = []
    for task in run.track(run.config.tasks, description="comparing probes", unit="tasks"):
        table = run.load(f"tasks/{task.name}.parquet")
        test = table[table["split"] == "test"]
        saved = run.load(f"probes/{task.name}_test_scores.npz")
        models = {
            each.name: own_scores(run, task.name, saved) if each.is_own else scores(run, each, task.name, table)
            for each in contestants
        }
        of_floors = {name: saved[name] for name in FLOORS}
        labels, clusters = test["label"].to_numpy(dtype=int), test["cluster"].to_numpy()
        compared = TaskScores(task.name, labels, clusters, models, of_floors, floors[task.name])
        judged.append(judge_task(compared, run.config.probe_bootstrap_samples, run.rng(task.name)))
    return judged


def own_scores(run: Run, task: str, saved: Mapping[str, np.ndarray]) -> ScoredModel:
    """The run's own model, from what the probe steps saved."""
    metrics = run.load("tables/linear_probe_metrics.csv")
    chosen = metrics[(metrics["task"] == task) & metrics["chosen"]].iloc[0]
    kept = {name: saved[name] for name in (PROBE, *OWN_CONTROLS)}
    return ScoredModel(int(chosen["layer"]), float(chosen["penalty"]), float(chosen["validation_auroc"]), kept)


def scores(run: Run, contestant: Contestant, task: str, table: pd.DataFrame) -> ScoredModel:
    """Another model's probe and controls, from its cached vectors."""
    residual = layer_vectors(run, f"{task}_residual_mean", table, contestant.folder)
    controls = {name: layer_vectors(run, f"{task}_{VECTORS[name]}", table, contestant.folder) for name in OWN_CONTROLS}
    return score_model(residual, controls, run.config.probe_penalties, contestant.section.probe_layer)


VECTORS = {"random_initialisation": "random_initialisation", "shuffled_sequences": "shuffled"}
"""Cached variant of each control."""


def tokenization_table(run: Run, contestants: Sequence[Contestant]) -> pd.DataFrame:
    """One row per model and task: the tokenizer's rates per base."""
    rows = []
    for task in run.config.tasks:
        sequences = run.load(f"tasks/{task.name}.parquet")["sequence"].tolist()
        bases = sum(map(len, sequences))
        for each in contestants:
            tokenizer = each.model.tokenizer
            rates = tokenization_row(tokenizer, tokenizer.encode_many(sequences), bases)
            rows.append({"task": task.name, "model": each.name} | rates)
    return pd.DataFrame(rows)


def flags(probes: pd.DataFrame, checks: Sequence[Check]) -> list[str]:
    """What each row fails, and what its model fails altogether; `none` where nothing."""
    tasks = set(probes["task"])
    found = []
    for row in probes.itertuples():
        failed = [check for check in checks if check.model == row.model and not check.passes]
        names = [check.check for check in failed if check.task == row.task or check.task not in tasks]
        found.append(f"fails: {'; '.join(names)}" if names else "none")
    return found


def speed(run: Run, contestant: Contestant) -> float:
    """Bases per second of a forward pass through all layers, after a first one."""
    table = run.load(f"tasks/{run.config.tasks[0].name}.parquet")
    sequences = table["sequence"].tolist()[:TIMED_SEQUENCES]
    encoder, tokenizer, compute = contestant.model
    encodings, last = tokenizer.encode_many(sequences), [encoder.architecture.n_layers - 1]
    mean_residuals(encoder, encodings[:16], last, compute, run.config.tokens_per_batch)
    started = time.perf_counter()
    mean_residuals(encoder, encodings, last, compute, run.config.tokens_per_batch)
    return sum(map(len, sequences)) / (time.perf_counter() - started)


def thresholds_shown(config: Config) -> dict[str, float]:
    """Registered thresholds of the two measures."""
    return {"r": config.registered.qk_r, "rho": config.registered.enrichment}


def summary(contestants: Sequence[Contestant], tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The comparison in one document: who took part, and every table but the one of all heads."""
    documented = {name: table for name, table in tables.items() if name != "alignment"}
    return {
        "models": [each.described() for each in contestants],
        "suspicious": sorted({row.model for row in tables["checks"].itertuples() if not row.passes}),
        **{name: table.to_dict("records") for name, table in documented.items()},
    }
