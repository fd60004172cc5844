"""How steps open the basecaller, and what it calls of signals and of whole reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from torch import Tensor

from mints.data.nanopore.chunks import cut, stitch
from mints.data.nanopore.normalisation import Normalisation
from mints.errors import MintsError, UsageError
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.basecaller import crf, ctc
from mints.models.basecaller.crf import Called
from mints.models.basecaller.files import load_basecaller
from mints.models.basecaller.model import Basecaller
from mints.models.batching import in_batches
from mints.models.compute import Compute, resolve_compute
from mints.pipeline.run import Run

Result = TypeVar("Result")


class OpenBasecaller(NamedTuple):
    """The basecaller of a run, on its device."""

    basecaller: Basecaller
    normalisation: Normalisation
    sample_rate: int
    """Samples per second of the signal that it was trained on."""

    compute: Compute
    positions_per_batch: int


def model_folder(config: Any) -> Path:
    """Folder of the configured model. Raises MintsError where it is not on this machine."""
    folder: Path | None = config.model_files
    if folder is None or not folder.is_dir():
        raise MintsError(f"{config.model} is no folder on this machine: --model names an unpacked Bonito model")
    return folder


def open_basecaller(run: Run, *, fused_attention: bool = True) -> OpenBasecaller:
    """Load the configured basecaller and record what it is and where it runs.

    fused_attention: wherever a step does not ask for the attention's own sites.
    """
    config = run.config
    compute = resolve_compute(config.device, config.precision)
    loaded = load_basecaller(model_folder(config), fused_attention=fused_attention)
    run.fact("model_weights_sha256", loaded.weights_sha256)
    run.fact("device", compute.device.type)
    run.fact("precision", compute.precision)
    compute.work.warn = run.warn
    run.account("model_work", compute.work.facts)
    budget = config.tokens_per_batch or TOKENS_PER_BATCH[compute.device.type]
    basecaller = loaded.basecaller.to(compute.device)
    return OpenBasecaller(basecaller, Normalisation(**loaded.normalisation), loaded.sample_rate, compute, budget)


def decode(basecaller: Basecaller, scores: Float[Tensor, "time read score"]) -> list[Called]:
    """What the scores call: of a CRF by its best path, of a CTC head by its likeliest labels."""
    return ctc.decode(scores) if basecaller.state_length is None else crf.decode(scores, basecaller.state_length)


def call_signals(opened: OpenBasecaller, signals: Float32[ndarray, "signal sample"]) -> list[Called]:
    """Calls of normalised signals of one length, batch by batch."""
    return _of_each(opened, signals, lambda scores: decode(opened.basecaller, scores))


def call_read(opened: OpenBasecaller, signal: Float32[ndarray, "sample"], *, size: int, overlap: int) -> Called:
    """Call of a whole read, whose scores are put together from overlapping chunks.

    Raises UsageError where the chunks do not fit the model's stride.
    """
    stride, step = opened.basecaller.stride, opened.basecaller.samples_per_score
    if size % stride or overlap % stride or overlap >= size:
        raise UsageError(
            f"chunks of {size} samples with an overlap of {overlap}: both must be multiples of {stride}, the model's "
            "stride, and the overlap smaller than the chunk"
        )
    chunks = cut(signal, size=size, overlap=overlap, step=stride)
    scores = _of_each(opened, chunks.signal, lambda scores: list(scores.transpose(0, 1).cpu().numpy()))
    whole = stitch(np.stack(scores), chunks._replace(step=step))
    (called,) = decode(opened.basecaller, torch.from_numpy(whole)[:, None])
    return called


def _of_each(
    opened: OpenBasecaller,
    signals: Float32[ndarray, "signal sample"],
    function: Callable[[Float[Tensor, "time read score"]], list[Result]],
) -> list[Result]:
    """What `function` makes of each signal's scores, in the order of the signals."""

    def of_batch(rows: Int[ndarray, "batch"]) -> list[Result]:
        with opened.compute.inference():
            scores = opened.basecaller(torch.from_numpy(signals[rows]).to(opened.compute.device))
        return function(scores.float())

    positions = -(-signals.shape[1] // opened.basecaller.stride)
    found: dict[int, Result] = {}
    for rows, results in in_batches(of_batch, [positions] * len(signals), opened.positions_per_batch, opened.compute):
        found |= dict(zip(rows.tolist(), results, strict=True))
    return [found[row] for row in range(len(signals))]
