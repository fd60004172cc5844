"""Does a result look as if the checkpoint had been loaded wrongly? Rules that read the data alone, and say so aloud.

A model whose tensors were put in the wrong places still runs, and its probes still tell sequences apart by composition.
What it does not do is predict hidden tokens as well as it could: each rule below catches one way in which this shows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import interval
from mints.analysis.cross_model import GC, MEAN, PROBE, TWIN, JudgedTask
from mints.analysis.metrics import Judged
from mints.models.encoder import Encoder

LEAST_SHARE = 0.5
"""A probe should give at least this share of what its best floor's AUROC has above chance."""


class Check(NamedTuple):
    """One rule applied to one model, on one task or on held-out sequence."""

    model: str
    check: str
    task: str
    value: float
    low: float
    high: float
    threshold: float
    passes: bool
    statement: str
    """What failed, with its figures; empty where the rule is met."""


def probe_checks(tasks: Sequence[JudgedTask], level: float) -> list[Check]:
    """Rules that read probes, floors and untrained twins, over all tasks together.

    One task alone proves little: composition decides some of them, where an untrained model does as well, and few
    training sequences are enough for k-mer counts where they are not for a probe.
    """
    checks = []
    for model in tasks[0].models:
        for name, (statement, gap_of) in PROBE_RULES.items():
            gaps = [gap_of(task, model) for task in tasks]
            value = float(np.mean([gap[0] for gap in gaps]))
            low, high = interval(np.mean([gap[1:] for gap in gaps], axis=0), level)
            passes = low > 0 if name == TWIN_RULE else not high < 0
            figures = f" (mean of {len(tasks)} tasks: {value:+.3f} [{low:+.3f}, {high:+.3f}])"
            checks.append(_check((model, name, MEAN), (value, low, high), 0, bool(passes), statement + figures))
    return checks


def _areas(judged: Judged) -> Float[ndarray, "resample"]:
    """AUROC of the data, and after it of every resample."""
    areas: Float[ndarray, "resample"] = np.concatenate([[judged.value["auroc"]], judged.resampled["auroc"]])
    return areas


def _beyond_twin(task: JudgedTask, model: str) -> Float[ndarray, "resample"]:
    gap: Float[ndarray, "resample"] = _areas(task.models[model][PROBE]) - _areas(task.models[model][TWIN])
    return gap


def _beyond_gc(task: JudgedTask, model: str) -> Float[ndarray, "resample"]:
    gap: Float[ndarray, "resample"] = _areas(task.models[model][PROBE]) - _areas(task.floors[GC])
    return gap


def _beyond_share(task: JudgedTask, model: str) -> Float[ndarray, "resample"]:
    floor = _areas(task.floors[task.scores.best_floor])
    return _areas(task.models[model][PROBE]) - 0.5 - LEAST_SHARE * (floor - 0.5)


TWIN_RULE = "probes above their untrained twins"

PROBE_RULES: Mapping[str, tuple[str, Callable[[JudgedTask, str], Float[ndarray, "resample"]]]] = {
    TWIN_RULE: ("its probes are not above those of its randomly initialised twin", _beyond_twin),
    "probes above GC content": ("its probes tell less than GC content alone", _beyond_gc),
    "probes above half of the k-mer floors": (
        "its probes' AUROC beyond chance is less than half of what k-mer counts give",
        _beyond_share,
    ),
}
"""What each rule says where it fails, and what must not lie below 0 (above a twin: must lie above 0)."""


def published_checks(
    rows: pd.DataFrame, published: Sequence[Mapping[str, Any]], checkpoints: Mapping[str, str], data: Mapping[str, str]
) -> list[Check]:
    """Every result against the published figures that belong to it.

    rows: of `probe_rows`. published: figures with model (start of its location; empty for a floor), predictor, data
    (part of the location of the task's training table), task, auroc, tolerance, source. checkpoints, data: location of
    every model and of every task's training table.
    """
    checks = []
    for row in rows.to_dict("records"):
        for figure in published:
            belongs = checkpoints[row["model"]].startswith(figure["model"]) and row["task"] == figure["task"]
            if not belongs or figure["data"] not in data[row["task"]]:
                continue
            is_probe = figure["predictor"] == PROBE
            value = row["auroc"] if is_probe else row[figure["predictor"]]
            low, high = (row["auroc_low"], row["auroc_high"]) if is_probe else (np.nan, np.nan)
            least = figure["auroc"] - figure["tolerance"]
            checks.append(
                _check(
                    (row["model"], f"{figure['predictor']} near the published figure", row["task"]),
                    (value, low, high),
                    least,
                    not (high if is_probe else value) < least,
                    f"{figure['predictor']}: AUROC {value:.3f} lies {figure['auroc'] - value:.3f} below the published"
                    f" {figure['auroc']:.3f} ({figure['source']})",
                )
            )
    return checks


def loss_checks(model: str, table: pd.DataFrame) -> list[Check]:
    """A trained model predicts hidden tokens better than token frequencies do.

    table: of the masked-token loss, with the paired gain over the unigram floor.
    """
    checks = []
    for row in table[table["predictor"] == "model"].to_dict("records"):
        checks.append(
            _check(
                (model, f"masked-token loss below the unigram floor, {row['masking']}", "held-out sequence"),
                (row["gain"], row["gain_low"], row["gain_high"]),
                0,
                bool(row["gain_low"] > 0),
                f"its masked-token loss of {row['loss']:.2f} nats is not below that of token frequencies",
            )
        )
    return checks


def exchange_checks(
    model: str,
    losses: Mapping[str, Float[ndarray, "window"]],
    weights: Int[ndarray, "resample window"],
    level: float,
) -> list[Check]:
    """A checkpoint as it was trained predicts better than with its tensors exchanged, or without its queries.

    losses: mean loss of every window: of the model as it was loaded ("") and of each of `EXCHANGES`. An exchange is
    suspicious where it is better with its whole interval; silenced queries, where they are not worse.
    """
    checks = []
    for name, values in losses.items():
        if not name:
            continue
        rise = values - losses[""]
        low, high = interval(weights @ rise / weights.sum(1), level)
        must_rise = name == SILENCED
        checks.append(
            _check(
                (model, f"masked-token loss rises with {name}", "held-out sequence"),
                (float(rise.mean()), low, high),
                0,
                bool(low > 0) if must_rise else not high < 0,
                f"its masked-token loss {'does not rise' if must_rise else 'falls'} with {name}"
                f" ({rise.mean():+.3f} nats [{low:+.3f}, {high:+.3f}])",
            )
        )
    return checks


def exchanged(encoder: Encoder) -> Iterator[tuple[str, Encoder]]:
    """Copies of the encoder, each with one kind of tensor exchanged in all layers; the encoder stays as it is."""
    for name, change in EXCHANGES.items():
        if name == GATES and not encoder.architecture.mlp_is_gated:
            continue
        other = copy.deepcopy(encoder)
        with torch.no_grad():
            change(other)
        yield name, other


def _exchange(first: int, second: int) -> Callable[[Encoder], None]:
    """Exchange two of query, key and value: the fused projection's rows in that order."""

    def change(encoder: Encoder) -> None:
        for layer in range(encoder.architecture.n_layers):
            for parameter in encoder.block(layer).attn.qkv.parameters():
                parts = list(parameter.clone().chunk(3))
                parts[first], parts[second] = parts[second], parts[first]
                parameter.copy_(torch.cat(parts))

    return change


def _silence_queries(encoder: Encoder) -> None:
    for layer in range(encoder.architecture.n_layers):
        for parameter in encoder.block(layer).attn.qkv.parameters():
            parameter.chunk(3)[0].zero_()


def _exchange_gates(encoder: Encoder) -> None:
    for layer in range(encoder.architecture.n_layers):
        for parameter in encoder.block(layer).mlp.input.parameters():
            parameter.copy_(torch.cat(list(parameter.clone().chunk(2))[::-1]))


def _reverse_layers(encoder: Encoder) -> None:
    encoder.blocks = torch.nn.ModuleList(list(encoder.blocks)[::-1])


SILENCED, GATES = "its queries silenced", "the halves of its gated feed-forward exchanged"

EXCHANGES: Mapping[str, Callable[[Encoder], None]] = {
    "queries and keys exchanged": _exchange(0, 1),
    "keys and values exchanged": _exchange(1, 2),
    GATES: _exchange_gates,
    "its layers in reverse order": _reverse_layers,
    SILENCED: _silence_queries,
}
"""Ways in which tensors of equal shape end in one another's place, and attention that reads nothing."""


def _check(
    named: tuple[str, str, str], figures: tuple[Any, Any, Any], threshold: float, passes: bool, statement: str
) -> Check:
    value, low, high = (float(figure) for figure in figures)
    return Check(*named, value, low, high, float(threshold), passes, "" if passes else statement)
