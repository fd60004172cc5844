"""The page of one head: its circuits, its tokens, its patching, and sequences with what it attends to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.report.page.blocks import Block, Missing, Table, View, Widget, heading, table_block
from mints.report.page.marks import interval
from mints.report.page.saved import Saved
from mints.report.page.views.head_charts import (
    alignment_chart,
    eigenvalue_chart,
    received_chart,
    restoration_chart,
    spectra_chart,
)

EVIDENCE, SPECTRA = "tables/evidence.csv", "circuits/spectra.npz"
PATCHING = "patching/{}_batch_activation_patching.csv"
ALIGNMENT = "qk_alignment/{}_qk_alignment.csv"
HEADS, RECEIVED, TOKENS, SEQUENCES, ATTENTION = (
    f"head_examples/{{}}_{name}"
    for name in ("heads.csv", "received.csv", "tokens.npz", "sequences.json", "attention.npz")
)
PER_MILLE = 1000
CRITERIA = (
    ("QK alignment", "r", "r", "qk_r", "aligned", "r ≥ {:g}"),
    ("Attention enrichment", "ρ", "rho", "enrichment", "enriched", "ρ ≥ {:g}"),
    ("Causal restoration", "PM", "pm", "restoration", "restored", "lower bound of PM ≥ {:g}"),
)
"""Title, name of the value, column, registered threshold, column of the verdict, and what the threshold asks."""


def head(saved: Saved) -> View:
    """A page per question and head, shown by the address `#/head/QUESTION/L2H0`."""
    evidence = saved.table(EVIDENCE)
    question = "What is one head: where can it look, what does it look at, and what follows when it is patched?"
    if evidence.empty:
        return View("head", "One head", question, [Missing("the evidence", saved.advice(EVIDENCE))])
    pages = {str(name): pages_of(saved, str(name), rows) for name, rows in evidence.groupby("question", sort=False)}
    blocks: list[Block] = [Widget("head", "", {"questions": pages}, EVIDENCE)]
    return View("head", "One head", question, blocks)


def pages_of(saved: Saved, question: str, evidence: pd.DataFrame) -> dict[str, Any]:
    """Blocks of every head, and the example sequences that they share."""
    spectra, patching = saved.arrays(SPECTRA), saved.table(PATCHING.format(question))
    alignment, received = saved.table(ALIGNMENT.format(question)), saved.table(RECEIVED.format(question))
    sampled, tokens = saved.table(HEADS.format(question)), saved.arrays(TOKENS.format(question))
    attention, sequences = saved.arrays(ATTENTION.format(question)), saved.value(SEQUENCES.format(question))
    examples = (sequences or []) if attention else []
    n_heads = int(evidence["head"].max()) + 1
    heads = {}
    for record in evidence.to_dict("records"):
        row = {str(column): value for column, value in record.items()}
        place = int(row["layer"]), int(row["head"])
        blocks: list[Block] = [criteria_table(row, saved.configured("registered", {}))]
        if not of_head(sampled, place).empty and tokens:
            scores = tokens["key_scores"][:, place[0] * n_heads + place[1]]
            blocks.append(
                alignment_chart(row, of_head(sampled, place).iloc[0], tokens, scores, TOKENS.format(question))
            )
            figures, counts = of_head(sampled, place).iloc[0], of_head(received, place)
            blocks.append(
                Missing("the attention received", saved.advice(RECEIVED.format(question)))
                if counts.empty
                else received_chart(row, figures, counts, RECEIVED.format(question))
            )
        else:
            blocks.append(Missing("single tokens of this head", saved.advice(TOKENS.format(question))))
        if of_head(patching, place).empty:
            blocks.append(Missing("patching of this head", saved.advice(PATCHING.format(question))))
        else:
            limit = saved.configured("registered.restoration")
            blocks.append(restoration_chart(of_head(patching, place), limit, PATCHING.format(question)))
        if spectra:
            blocks += [spectra_chart(spectra, *place, SPECTRA), eigenvalue_chart(spectra, *place, SPECTRA)]
        else:
            blocks.append(Missing("the spectra", saved.advice(SPECTRA)))
        if not alignment.empty:
            blocks.append(alignment_table(of_head(alignment, place), ALIGNMENT.format(question)))
        blocks.append(whole_row(row))
        heads[name_of(place)] = {
            "verdict": row.get("verdict") or "no verdict",
            "told": "meets none of the three criteria" if row.get("verdict") == "none" else row.get("verdict"),
            "blocks": blocks,
            **attention_of(attention, place, n_heads, len(examples)),
        }
    return {
        "examples": [example(each) for each in examples],
        "with_patterns": [name_of(tuple(place)) for place in attention.get("pattern_heads", np.zeros((0, 2))).tolist()],
        "source": SEQUENCES.format(question),
        "advice": None if examples else saved.advice(SEQUENCES.format(question), ATTENTION.format(question)),
        "heads": heads,
    }


def name_of(place: tuple[int, int]) -> str:
    """A head's name, as its address has it."""
    return f"L{place[0]}H{place[1]}"


def of_head(table: pd.DataFrame, place: tuple[int, int]) -> pd.DataFrame:
    """Rows of one head."""
    return table[(table["layer"] == place[0]) & (table["head"] == place[1])] if len(table) else table


def criteria_table(row: Mapping[str, Any], registered: Mapping[str, Any]) -> Table:
    """The three criteria with interval, threshold, nulls and verdict."""
    rows = []
    for title, value_name, column, threshold, passes, asks in CRITERIA:
        found = interval(row[column], row[f"{column}_low"], row[f"{column}_high"], 3)
        verdict = "passes" if row.get(passes) else "fails"
        limit = registered.get(threshold)
        asked = None if limit is None else asks.format(limit)
        rows.append([title, verdict, f"{value_name} {found}", asked, row.get(f"{column}_q")])
    columns = ["criterion", "verdict", "estimate", "registered", "q"]
    note = (
        f"Ceiling of r at this layer: {row.get('ceiling', float('nan')):.2f}."
        " A criterion also asks for more than its nulls give, which stand below."
    )
    return Table("The three criteria", columns, rows, EVIDENCE, note)


def alignment_table(rows: pd.DataFrame, source: str) -> Table:
    """Correlation r on every declared set of tokens, of the model, of an untrained twin and on shuffled sequences."""
    columns = ["variant", "token_set", "r", "r_low", "r_high", "q", "r_position", "null_r", "p_permuted", "n_tokens"]
    shown = rows[[column for column in columns if column in rows]]
    return table_block(shown, "Alignment on every set of tokens, and its nulls", source, page_length=12)


def whole_row(row: Mapping[str, Any]) -> Widget:
    """Every column of the evidence."""
    shown = {heading(key): value for key, value in row.items() if key not in ("question", "layer", "head")}
    return Widget("columns", "The whole row of the evidence", {"row": shown}, EVIDENCE)


def example(record: Mapping[str, Any]) -> dict[str, Any]:
    """A sequence as the page draws it: where its tokens start, the last one's end, and its sites."""
    spans = record["spans"]
    cuts = [span[0] for span in spans] + ([spans[-1][1]] if spans else [])
    return {key: record[key] for key in ("name", "label", "sequence", "sites")} | {"cuts": cuts}


def attention_of(
    arrays: Mapping[str, ndarray], place: tuple[int, int], n_heads: int, examples: int
) -> dict[str, list[Any]]:
    """What the tokens of every example receive from one head, and its patterns where they were saved; per mille."""
    kept = [tuple(each) for each in arrays.get("pattern_heads", np.zeros((0, 2))).tolist()]
    received, patterns = [], []
    for index in range(examples):
        of_example: Float[ndarray, "token head"] = arrays[f"received_{index}"]
        received.append(np.round(PER_MILLE * of_example[:, place[0] * n_heads + place[1]], 2))
        if place in kept and f"pattern_{index}" in arrays:
            pattern = arrays[f"pattern_{index}"][kept.index(place)].astype(float)
            patterns.append(np.round(PER_MILLE * pattern).astype(int))
    return {"received": received, "patterns": patterns}
