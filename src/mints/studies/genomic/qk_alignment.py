"""Step: the one pass of the attention statistics, and QK alignment from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.analysis.attention_statistics import sum_attention
from mints.analysis.bootstrap import cluster_weights
from mints.analysis.ceiling import Ceiling, CrossProducts, ceilings, cross_products, fold_of
from mints.analysis.head_sums import HeadSums, PermutedSums, add, from_arrays, resample, to_arrays
from mints.analysis.qk_alignment import alignment_table
from mints.analysis.token_roles import Assigned, assign_roles, part_of
from mints.data.composition import dinucleotide_shuffle
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.encoder import Encoder, randomly_initialised
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report.head_maps import alignment_ceiling_figure, head_map
from mints.studies.genomic.fields import SUM_VARIANTS
from mints.studies.genomic.questions import DRAWN_BY, OpenQuestion, asked_sequences, open_question
from mints.studies.shared.models import OpenModel, open_model

SHARD = 1024
"""Sequences of one shard."""

CEILING_SEQUENCES, FOLDS = 4000, 5
"""The ceiling needs the layer's cross-products, which so many sequences settle."""


class Prepared(NamedTuple):
    """Tokens of one pass and what the statistics must know about them."""

    encodings: list[Encoding]
    assigned: Assigned


class Scene(NamedTuple):
    """A question, its sequences, and the resamples that all models and variants share."""

    question: OpenQuestion
    table: pd.DataFrame
    weights: Int[ndarray, "resample sequence"]


class Measured(NamedTuple):
    """What one pass gave."""

    assigned: Assigned
    sums: dict[str, ndarray]
    """Resampled sums of the motif, totals of its permutations, and the number of heads, for a file."""

    table: pd.DataFrame


def run_qk_alignment(run: Run) -> None:
    """Correlate every head's key scores with motif scores, its nulls and its ceiling beside it."""
    model = open_model(run)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    matching: list[dict[str, Any]] = []
    for asked in run.config.motif_questions:
        scene = open_scene(run, asked, run.config.max_qk_alignment_sequences)
        tables = []
        for variant in SUM_VARIANTS:
            encoder = untrained if variant == "random_initialisation" else model.encoder
            measured = measure(run, scene, model, encoder, variant)
            matching += matching_rows(asked.name, variant, measured.assigned)
            run.save(f"qk_alignment/{asked.name}_{variant}_sums.npz", measured.sums)
            tables.append(measured.table)
        result = pd.concat(tables, ignore_index=True)
        run.save(f"qk_alignment/{asked.name}_qk_alignment.csv", result)
        draw(run, asked.name, result)
    run.save("tables/background_matching.csv", pd.DataFrame(matching))


def open_scene(run: Run, asked: Any, cap: int | None) -> Scene:
    """The question on at most `cap` sequences, the same ones in every step that asks with this cap."""
    table = asked_sequences(run, asked, cap)
    rng = run.rng(f"{asked.name} resamples", DRAWN_BY)
    weights = cluster_weights(table["cluster"].to_numpy(), run.config.probe_bootstrap_samples, rng)
    return Scene(open_question(asked, run.load(f"tasks/{asked.task}.parquet")), table, weights)


def measure(run: Run, scene: Scene, model: OpenModel, encoder: Encoder, variant: str, label: str = "") -> Measured:
    """One variant's pass over the scene's sequences. label: goes before those of its shards."""
    prepared = prepare(run, scene.question, scene.table, model, variant)
    label = f"{label} {scene.question.name} {variant}".strip()
    sums, permuted = stream(run, encoder, model, prepared, scene.weights, label)
    limits = measure_ceilings(run, encoder, model, prepared, scene.table, f"{label} ceiling")
    n_heads = model.encoder.architecture.n_heads
    table = alignment_table(sums, permuted, limits, n_heads, level=run.config.probe_ci_level)
    table.insert(0, "variant", variant)
    arrays = to_arrays(sums) | to_arrays(permuted, "permuted") | {"n_heads": np.array(n_heads)}
    return Measured(prepared.assigned, arrays, table)


def prepare(run: Run, question: OpenQuestion, table: pd.DataFrame, model: OpenModel, variant: str) -> Prepared:
    """Tokens of one pass with their roles; permuted motifs accompany the model's own pass alone."""
    rng = run.rng(f"{question.name} {variant} tokens")
    sequences = table["sequence"].tolist()
    if variant == "shuffled":
        sequences = [dinucleotide_shuffle(sequence, rng) for sequence in sequences]
        # Shuffling has moved a known site to nowhere: what is left of the motif is found by scanning.
        question = question._replace(anchor=None)
    encodings = model.tokenizer.encode_many(sequences)
    permutations = run.config.permuted_motifs if variant == "model" else 0
    labels = table["label"].to_numpy(dtype=int)
    return Prepared(encodings, assign_roles(sequences, encodings, labels, question.asked(), permutations, rng))


def stream(
    run: Run,
    encoder: Encoder,
    model: OpenModel,
    prepared: Prepared,
    weights: Int[ndarray, "resample sequence"],
    label: str,
) -> tuple[HeadSums, PermutedSums]:
    """Resampled sums over all sequences, one shard in memory at a time."""
    tokens_per_batch = run.config.tokens_per_batch or TOKENS_PER_BATCH[model.compute.device.type]

    def sum_shard(start: int) -> dict[str, ndarray]:
        stop = min(start + SHARD, len(prepared.encodings))
        roles = part_of(prepared.assigned.roles, start, stop)
        sums = sum_attention(encoder, prepared.encodings[start:stop], roles, model.compute, tokens_per_batch)
        return to_arrays(resample(sums.rows, weights[:, start:stop])) | to_arrays(sums.permuted, "permuted")

    total: tuple[HeadSums, PermutedSums] | None = None
    for arrays in run.map(sum_shard, range(0, len(prepared.encodings), SHARD), label=label):
        part = from_arrays(HeadSums, arrays), from_arrays(PermutedSums, arrays, "permuted")
        total = part if total is None else (add(total[0], part[0]), add(total[1], part[1]))
    assert total is not None
    return total


def measure_ceilings(
    run: Run, encoder: Encoder, model: OpenModel, prepared: Prepared, table: pd.DataFrame, label: str
) -> list[Ceiling]:
    """Ceiling of every layer, from at most `CEILING_SEQUENCES` sequences in folds of whole clusters."""
    rng = run.rng(label)
    chosen = np.sort(rng.permutation(len(table))[:CEILING_SEQUENCES])
    folds = fold_of(table["cluster"].to_numpy()[chosen], FOLDS, rng)
    first = np.searchsorted(prepared.assigned.roles.sequence, np.arange(len(table) + 1))
    bits = prepared.assigned.roles.bits[:, 0]
    tokens_per_batch = run.config.tokens_per_batch or TOKENS_PER_BATCH[model.compute.device.type]

    def sum_fold(fold: int) -> dict[str, ndarray]:
        rows: Sequence[int] = chosen[folds == fold].tolist()
        encodings = [prepared.encodings[row] for row in rows]
        scores = [bits[first[row] : first[row + 1]] for row in rows]
        products = cross_products(encoder, encodings, scores, model.compute, tokens_per_batch)
        return {name: np.asarray(value) for name, value in products._asdict().items()}

    parts = run.map(sum_fold, range(FOLDS), label=label)
    products = [CrossProducts(p["xx"], p["xy"], float(p["yy"]), p["mean"], int(p["n"])) for p in parts]
    return ceilings(products, run.config.probe_ci_level)


def matching_rows(question: str, variant: str, assigned: Assigned) -> list[dict[str, Any]]:
    """How many support tokens found a match, and how alike the two sets are in each covariate."""
    counts = {"support_tokens": assigned.support_tokens, "matched_tokens": assigned.matched_tokens}
    return [{"question": question, "variant": variant} | counts | row._asdict() for row in assigned.balance]


def draw(run: Run, name: str, table: pd.DataFrame) -> None:
    """The heat map of r, and every head against its layer's ceiling."""
    registered = run.config.registered.qk_r
    shown = table[(table["variant"] == "model") & (table["token_set"] == "all_tokens")]
    plain = name.replace("_", " ")
    title = f"QK alignment with {plain}: r of key score and motif score, all tokens"
    heat_map = head_map(shown, "r", title=title, label="Pearson r", centre=0, threshold=registered)
    run.figure(f"{name}_qk_alignment_pearson_heatmap", heat_map)
    run.figure(f"{name}_qk_alignment_ceiling", alignment_ceiling_figure(shown, registered, question=plain))
