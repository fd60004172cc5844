"""Step: where the motif of every question occurs, with exact p-values, and which tokens support it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mints.analysis.token_table import TokenMotif, site_places, token_motif, token_table
from mints.data.motif_scores import Windows
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report.motifs import motif_support_figure
from mints.studies.genomic.questions import OpenQuestion, open_question
from mints.studies.shared.models import open_model


def run_motif_scoring(run: Run) -> None:
    """Scan every question's sequences on both strands and say what was found."""
    tokenizer = open_model(run).tokenizer
    summary: list[dict[str, Any]] = []
    motifs: dict[str, Any] = {}
    for asked in run.track(run.config.motif_questions, description="scoring motifs", unit="motifs"):
        table = run.load(f"tasks/{asked.task}.parquet")
        question = open_question(asked, table)
        sequences, labels = table["sequence"].tolist(), table["label"].tolist()
        windows = question.scorer.windows(sequences)
        encodings = tokenizer.encode_many(sequences)
        sites = site_places([question.sites(*pair) for pair in zip(windows, labels, strict=True)])
        tokens = token_motif(question.scorer, windows, sites, token_table(sequences, encodings))
        found = site_table(question, table, windows)
        run.save(f"motif_scoring/{asked.name}_motif.json", describe(question))
        run.save(f"motif_scoring/{asked.name}_sites.csv", found)
        summary += [{"question": asked.name} | row for row in summary_rows(table, found, tokens, encodings)]
        motifs[asked.name] = (question.scorer.motif.probabilities(), found)
        if run.config.token_dump:
            run.save(f"motif_scoring/{asked.name}_tokens.npz", token_dump(sequences, encodings, tokens))
    support = pd.DataFrame(summary)
    run.save("tables/motif_support.csv", support)
    run.figure("motif_support", motif_support_figure(motifs))


def describe(question: OpenQuestion) -> dict[str, Any]:
    """Everything that a score can be re-derived from."""
    scorer = question.scorer
    return {
        "motif": scorer.motif.id,
        "name": scorer.motif.name,
        "bases": "ACGT",
        "counts": scorer.motif.counts,
        "pseudocount": scorer.pseudocount,
        "background": list(scorer.background),
        "units_per_bit": scorer.units_per_bit,
        "width": scorer.width,
        "threshold_bits": question.threshold,
        "threshold_p": float(scorer.p_value(np.array([question.threshold]))[0]),
        "anchor": question.anchor,
    }


def site_table(question: OpenQuestion, table: pd.DataFrame, windows: Sequence[Windows]) -> pd.DataFrame:
    """One row per site: coordinates are half-open, in bases of its sequence."""
    rows: list[dict[str, Any]] = []
    records = zip(table["name"], table["sequence"], table["label"], table["split"], windows, strict=True)
    for name, sequence, label, split, scored in records:
        for start, end in question.sites(scored, label).tolist():
            if end > len(sequence):
                continue
            row = {"name": name, "split": split, "label": label, "length": len(sequence), "start": start, "end": end}
            rows.append(row | {"strand": "+" if scored.strand[start] > 0 else "-", "bits": scored.bits[start]})
    columns = ["name", "split", "label", "length", "start", "end", "strand", "bits"]
    found = pd.DataFrame(rows, columns=columns)
    found["p"] = question.scorer.p_value(found["bits"].to_numpy(dtype=float))
    return found


def summary_rows(
    table: pd.DataFrame, found: pd.DataFrame, tokens: TokenMotif, encodings: Sequence[Encoding]
) -> list[dict[str, Any]]:
    """Per label: sequences, how many have a site, sites, tokens and support tokens."""
    lengths = [int((~encoding.special).sum()) for encoding in encodings]
    label_of_token = np.repeat(table["label"].to_numpy(), lengths)
    rows = []
    for label in sorted(table["label"].unique()):
        here = found[found["label"] == label]
        of_label = label_of_token == label
        sequences = int((table["label"] == label).sum())
        rows.append(
            {
                "label": label,
                "sequences": sequences,
                "sequences_with_site": here["name"].nunique(),
                "share_with_site": here["name"].nunique() / sequences,
                "sites": len(here),
                "mean_bits": here["bits"].mean(),
                "tokens": int(of_label.sum()),
                "support_tokens": int(tokens.support[of_label].sum()),
            }
        )
    return rows


def token_dump(sequences: Sequence[str], encodings: Sequence[Encoding], tokens: TokenMotif) -> dict[str, np.ndarray]:
    """Every content token: its sequence (row of the task's table), span, motif score and support."""
    spans = np.concatenate([encoding.spans[~encoding.special] for encoding in encodings]).astype(np.int32)
    return {
        "sequence": token_table(sequences, encodings).sequence.astype(np.int32),
        "span": spans,
        "bits": tokens.bits.astype(np.float32),
        "support": tokens.support,
    }
