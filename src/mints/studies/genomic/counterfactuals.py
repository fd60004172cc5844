"""Step: clean and corrupted sequences whose tokens stand for the same nucleotides, and how many could not be made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mints.data.counterfactuals import (
    Boundaries,
    Pair,
    Refused,
    SiteRule,
    control_edit,
    destroy_sites,
    is_aligned,
    replace_motif,
)
from mints.data.genome import Genome
from mints.data.natural_pairs import NaturalPair, natural_pairs, read_variants
from mints.errors import UsageError
from mints.locations import here
from mints.pipeline.run import Run
from mints.studies.genomic.questions import boundaries, open_question
from mints.studies.shared.models import open_model

COLUMNS = [
    "name",
    "cluster",
    "clean",
    "corrupted",
    "control",
    "start",
    "end",
    "positions",
    "substitutions",
    "gc_change",
    "score_clean",
    "score_corrupted",
]


def run_counterfactuals(run: Run) -> None:
    """Destroy every question's motif in its test positives, with every token boundary kept."""
    keep = boundaries(open_model(run).tokenizer)
    yields: list[dict[str, Any]] = []
    for asked in run.config.motif_questions:
        table = run.load(f"tasks/{asked.task}.parquet")
        rule = open_question(asked, table).rule()
        positives = table[(table["split"] == "test") & (table["label"] == 1)].reset_index(drop=True)
        rng = run.rng(asked.name)
        order = rng.permutation(len(positives))
        track = run.track(order, description=f"counterfactuals of {asked.name}", unit="sequences")
        pairs, counts = make_pairs(positives, track, rule, keep, rng, run.config.max_patching_pairs)
        run.save(f"counterfactuals/{asked.name}_pairs.csv", pairs)
        row = {"question": asked.name, "set": "boundary-preserving"} | counts
        yields.append(row | describe(pairs))
        if asked.edit is not None:
            motif, replacement = asked.edit
            edited = fixed_edits(positives, motif, replacement, keep)
            run.save(f"counterfactuals/{asked.name}_fixed_edit.csv", edited)
            yields.append({"question": asked.name, "set": "fixed edit"} | describe_fixed(edited, len(positives)))
        if asked.variants is not None:
            natural, refused = natural_table(run, asked, int(table["sequence"].str.len().median()), keep)
            run.save(f"counterfactuals/{asked.name}_natural_pairs.csv", natural)
            yields.append({"question": asked.name, "set": "natural", "accepted": len(natural)} | refused)
    run.save("tables/counterfactual_yield.csv", pd.DataFrame(yields))


def make_pairs(
    positives: pd.DataFrame,
    order: Iterable[int],
    rule: SiteRule,
    keep: Boundaries,
    rng: np.random.Generator,
    cap: int | None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Pairs of the positives, in this order, until there are `cap`; and how many were tried and refused, by reason."""
    rows: list[dict[str, Any]] = []
    refused: Counter[str] = Counter()
    tried = 0
    for place in order:
        if cap is not None and len(rows) >= cap:
            break
        tried += 1
        source = positives.iloc[place]
        pair = destroy_sites(source["sequence"], rule, keep, rng)
        if isinstance(pair, Refused):
            refused[pair.value] += 1
            continue
        rows.append(pair_row(source, pair, control_edit(pair, rule, keep, rng)))
    counts = {f"refused_{reason.value}": refused[reason.value] for reason in Refused}
    with_site = tried - refused[Refused.NO_SITE.value]
    return pd.DataFrame(rows, columns=COLUMNS), {"tried": tried, "with_site": with_site, "accepted": len(rows)} | counts


def pair_row(source: pd.Series[Any], pair: Pair, control: str | None) -> dict[str, Any]:
    """One pair as a row."""
    return {
        "name": source["name"],
        "cluster": source["cluster"],
        "clean": pair.clean,
        "corrupted": pair.corrupted,
        "control": control,
        "start": pair.start,
        "end": pair.end,
        "positions": " ".join(map(str, pair.positions)),
        "substitutions": len(pair.positions),
        "gc_change": pair.gc_change,
        "score_clean": pair.score_clean,
        "score_corrupted": pair.score_corrupted,
    }


def describe(pairs: pd.DataFrame) -> dict[str, Any]:
    """What the edits are like."""
    return {
        "with_control": int(pairs["control"].notna().sum()),
        "mean_substitutions": pairs["substitutions"].mean(),
        "mean_absolute_gc_change": pairs["gc_change"].abs().mean(),
        "misaligned_share": 0.0 if len(pairs) else np.nan,
    }


def fixed_edits(positives: pd.DataFrame, motif: str, replacement: str, keep: Boundaries) -> pd.DataFrame:
    """The fixed edit wherever the motif occurs, and whether it keeps the token boundaries."""
    rows = []
    for name, cluster, sequence in positives[["name", "cluster", "sequence"]].itertuples(index=False):
        edited = replace_motif(sequence, motif, replacement)
        if edited is not None:
            start = sequence.index(motif)
            row = {"name": name, "cluster": cluster, "clean": sequence, "corrupted": edited, "start": start}
            rows.append(row | {"end": start + len(motif), "aligned": is_aligned(sequence, edited, keep)})
    return pd.DataFrame(rows, columns=["name", "cluster", "clean", "corrupted", "start", "end", "aligned"])


def describe_fixed(edited: pd.DataFrame, tried: int) -> dict[str, Any]:
    """How often the fixed edit moves a token boundary."""
    misaligned = float((~edited["aligned"].astype(bool)).mean()) if len(edited) else np.nan
    counts = {"tried": tried, "with_site": len(edited), "accepted": int(edited["aligned"].sum())}
    return counts | {"misaligned_share": misaligned}


def natural_table(run: Run, asked: Any, width: int, keep: Boundaries) -> tuple[pd.DataFrame, dict[str, int]]:
    """Reference and variant windows from the user's table, as pairs without control."""
    if run.config.genome is None:
        raise UsageError(f"motif question {asked.name} has variants and needs a genome: give --genome")
    path = here(asked.variants)
    natural = natural_pairs(read_variants(path), Genome.open(here(run.config.genome)), width, keep, path)
    table = pd.DataFrame(natural.pairs, columns=list(NaturalPair._fields))
    table.insert(1, "cluster", np.arange(len(table)))
    changed = [sum(a != b for a, b in zip(pair.clean, pair.corrupted, strict=True)) for pair in natural.pairs]
    return table.assign(control=None, substitutions=changed), dict(natural.refused)
