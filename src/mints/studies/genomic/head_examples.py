"""Step: single tokens and sequences behind the statistics of every head, few enough to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.head_examples import (
    TokenReadings,
    centred,
    read_patterns,
    read_tokens,
    received_counts,
    sample_table,
    scored_tokens,
)
from mints.analysis.token_roles import TokenRoles, assign_roles
from mints.models.activations import TOKENS_PER_BATCH
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.studies.genomic.questions import OpenQuestion, asked_sequences, open_question
from mints.studies.shared.models import OpenModel, open_model

SEQUENCES = 200
"""Sequences of the alignment, at most, from which tokens are drawn and distributions are made."""

TOKENS = 300
"""Tokens of the scatter of key score and motif score."""

BINS = 24
EXAMPLES = {1: 2, 0: 1}
"""Sequences that are shown, by label; positives are drawn among those with a site."""

STRONGEST = 2
"""Heads whose patterns are saved, by each criterion."""

CRITERIA = {"alignment": "r", "enrichment": "rho", "restoration": "pm_low"}
"""Column of the evidence by which a criterion ranks the heads."""

MOST_TOKENS = 160
"""Patterns of longer sequences are not saved: they grow with the square of the length."""

OTHER, SUPPORT, BACKGROUND = range(3)


def run_head_examples(run: Run) -> None:
    """Take alignment and enrichment apart: single tokens of every head, and sequences with what is attended to."""
    model = open_model(run)
    evidence = run.load("tables/evidence.csv")
    for asked in run.track(run.config.motif_questions, description="reading heads", unit="questions"):
        question = open_question(asked, run.load(f"tasks/{asked.task}.parquet"))
        caps = [cap for cap in (SEQUENCES, run.config.max_qk_alignment_sequences) if cap is not None]
        table = asked_sequences(run, asked, min(caps))
        save_tokens(run, question, table, model, strongest_by(evidence[evidence["question"] == asked.name]))
        save_sequences(run, question, table, model, strongest_by(evidence[evidence["question"] == asked.name]))


def strongest_by(evidence: pd.DataFrame) -> dict[tuple[int, int], str]:
    """Criteria by which a head is among the strongest, by its layer and head."""
    strongest: dict[tuple[int, int], list[str]] = {}
    for criterion, column in CRITERIA.items():
        ranked = evidence.dropna(subset=column).sort_values(column, ascending=False, kind="stable")
        for layer, head in ranked[["layer", "head"]].to_numpy()[:STRONGEST].tolist():
            strongest.setdefault((layer, head), []).append(criterion)
    return {place: ", ".join(strongest[place]) for place in sorted(strongest)}


def save_tokens(
    run: Run, question: OpenQuestion, table: pd.DataFrame, model: OpenModel, strongest: dict[tuple[int, int], str]
) -> None:
    """Figures of the sampled sequences by head, distributions of the attention received, and a scatter's tokens."""
    rng = run.rng(f"{question.name} tokens")
    sequences, labels = table["sequence"].tolist(), table["label"].to_numpy(dtype=int)
    encodings = model.tokenizer.encode_many(sequences)
    roles = assign_roles(sequences, encodings, labels, question.asked(), 0, rng).roles
    readings = read(run, model, encodings)
    n_heads = model.encoder.architecture.n_heads
    heads = sample_table(readings, roles, n_heads)
    heads.insert(2, "sequences", len(table))
    places = heads[["layer", "head"]].itertuples(index=False, name=None)
    heads["strongest_by"] = [strongest.get(place, "") for place in places]
    run.save(f"head_examples/{question.name}_heads.csv", heads)
    counts = received_counts(readings, roles, n_heads, bins=BINS)
    run.save(f"head_examples/{question.name}_received.csv", counts)
    run.save(f"head_examples/{question.name}_tokens.npz", scatter_tokens(readings, roles, rng))


def read(run: Run, model: OpenModel, encodings: Sequence[Encoding]) -> TokenReadings:
    """Every token of these sequences, in batches of the configured size."""
    tokens_per_batch = run.config.tokens_per_batch or TOKENS_PER_BATCH[model.compute.device.type]
    return read_tokens(model.encoder, encodings, model.compute, tokens_per_batch)


def scatter_tokens(readings: TokenReadings, roles: TokenRoles, rng: np.random.Generator) -> dict[str, ndarray]:
    """Tokens drawn at random among all that are scored: what r correlates, both sides centred within sequence."""
    scored = np.flatnonzero(scored_tokens(roles))
    chosen = np.sort(rng.permutation(len(scored))[:TOKENS])
    sequence, tokens = roles.sequence[scored], scored[chosen]
    role = np.where(roles.support[tokens, 0], SUPPORT, np.where(roles.background[tokens, 0], BACKGROUND, OTHER))
    return {
        "role": role.astype(np.int8),
        "motif_score": centred(roles.bits[scored, :1], sequence)[chosen, 0].astype(np.float32),
        "key_scores": centred(readings.key_scores[scored], sequence)[chosen].astype(np.float32),
    }


def save_sequences(
    run: Run, question: OpenQuestion, table: pd.DataFrame, model: OpenModel, strongest: dict[tuple[int, int], str]
) -> None:
    """A few sequences with their sites, what each of their tokens receives, and patterns of the strongest heads."""
    windows = question.scorer.windows(table["sequence"].tolist())
    sites = [question.sites(*pair) for pair in zip(windows, table["label"].tolist(), strict=True)]
    chosen = examples(table["label"].to_numpy(dtype=int), sites, run.rng(f"{question.name} examples"))
    encodings = model.tokenizer.encode_many(table["sequence"].iloc[chosen].tolist())
    arrays: dict[str, ndarray] = {"pattern_heads": np.array(list(strongest), dtype=np.int64).reshape(-1, 2)}
    described = []
    for place, (row, encoding) in enumerate(zip(chosen, encodings, strict=True)):
        arrays[f"received_{place}"] = read(run, model, [encoding]).received
        if strongest and len(encoding.ids) <= MOST_TOKENS:
            arrays[f"pattern_{place}"] = half(read_patterns(model.encoder, encoding, list(strongest), model.compute))
        strand, bits = windows[row].strand, windows[row].bits
        found = [
            {"start": start, "end": end, "strand": int(strand[start]), "bits": float(bits[start])}
            for start, end in sites[row].tolist()
            if start < len(bits) and np.isfinite(bits[start])
        ]
        record = table.iloc[row]
        spans = encoding.spans[~encoding.special]
        described.append({key: record[key] for key in ("name", "label", "sequence")} | {"spans": spans, "sites": found})
    run.save(f"head_examples/{question.name}_sequences.json", described)
    run.save(f"head_examples/{question.name}_attention.npz", arrays)


def examples(
    labels: Int[ndarray, "sequence"], sites: Sequence[Int[ndarray, "site 2"]], rng: np.random.Generator
) -> list[int]:
    """Rows of the sequences that are shown: positives with a site, then negatives; fewer where there are fewer."""
    has_site = np.array([len(found) > 0 for found in sites], dtype=bool)
    chosen: list[int] = []
    for label, count in EXAMPLES.items():
        among = np.flatnonzero((labels == label) & (has_site if label else ~has_site))
        chosen += rng.permutation(among)[:count].tolist()
    return chosen


def half(values: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Half precision: three digits are enough to draw with."""
    return values.astype(np.float16)
