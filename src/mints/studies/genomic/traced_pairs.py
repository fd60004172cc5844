"""Part of a step: the pairs whose latents are traced, run up to the site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
import torch

from mints.analysis.patching import ProbeLogit
from mints.features.above import PairReadout
from mints.features.traced_pairs import PairRun, Traced
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run

ASKED = ("probe", "substitution")
"""Read-outs by whose attributions latents are ranked."""


class TracedProbe(NamedTuple):
    """What latents are traced with, a probe among it."""

    tokenizer: Tokenizer
    latents: Traced
    probe: ProbeLogit


def opened(run: Run, traced: TracedProbe, pairs: pd.DataFrame, purpose: str) -> Iterator[PairRun]:
    """Every pair, run up to the site."""
    above = traced.latents.above
    sides = [traced.tokenizer.encode_many(pairs[side].tolist()) for side in ("clean", "corrupted")]
    rows = list(zip(pairs["name"], pairs["cluster"], *sides, strict=True))
    for name, cluster, clean, corrupted in run.track(rows, description=purpose, unit="pairs"):
        ids = [torch.from_numpy(side.ids)[None].to(above.compute.device) for side in (clean, corrupted)]
        content = torch.from_numpy(~clean.special)[None].to(ids[0].device)
        clean_run, corrupted_run = (above.record(side) for side in ids)
        yield PairRun(name, cluster, clean_run, corrupted_run, PairReadout(traced.probe, ids[0], ids[1], content))
