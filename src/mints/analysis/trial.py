"""One whole measurement of the evidence stack on one model: what the calibration repeats."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.analysis.attention_enrichment import enrichment_table
from mints.analysis.attention_statistics import sum_attention
from mints.analysis.bootstrap import Resamples
from mints.analysis.ceiling import Ceiling
from mints.analysis.evidence import Thresholds, evidence_table
from mints.analysis.head_sums import resample
from mints.analysis.patching import Readout
from mints.analysis.patching_sweep import PairSet, denoise_heads
from mints.analysis.patching_tables import denoising_rows
from mints.analysis.qk_alignment import TOKEN_SETS, alignment_table
from mints.analysis.token_roles import TokenRoles
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding


class Scene(NamedTuple):
    """Sequences, pairs and resamples of a trial; the same for every model that it is repeated on."""

    encodings: Sequence[Encoding]
    roles: TokenRoles
    weights: Int[ndarray, "resample sequence"]
    pairs: PairSet
    with_control: Bool[ndarray, "pair"]
    judge: Resamples
    ceilings: Sequence[Ceiling]


class Setting(NamedTuple):
    """How a trial is run and judged."""

    compute: Compute
    tokens_per_batch: int
    thresholds: Thresholds
    level: float


def measure(
    encoder: Encoder,
    scene: Scene,
    readout: Readout,
    setting: Setting,
    heads: Collection[tuple[int, int]] | None = None,
) -> pd.DataFrame:
    """The evidence table of a model, as the pipeline's own steps would make it from these sequences and pairs.

    heads: (layer, head) that are patched; default all. The others count as not restoring.
    """
    compute, tokens_per_batch, thresholds, level = setting
    n_heads = encoder.architecture.n_heads
    sums = sum_attention(encoder, scene.encodings, scene.roles, compute, tokens_per_batch)
    resampled = resample(sums.rows, scene.weights)
    alignment = alignment_table(resampled, sums.permuted, scene.ceilings, n_heads, level=level)
    alignment = alignment[alignment["token_set"] == TOKEN_SETS[0]].reset_index(drop=True)
    enrichment = enrichment_table(resampled, sums.permuted, n_heads, level=level)
    denoising = denoise_heads(encoder, scene.pairs, readout, compute, tokens_per_batch, heads)
    patching = denoising_rows(denoising, scene.with_control, scene.judge)
    return evidence_table(alignment, enrichment, patching, thresholds)
