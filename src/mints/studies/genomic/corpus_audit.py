"""Step: are the sequences in question already in a corpus?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.analysis.contamination import (
    VERDICT_COLUMNS,
    DistinctQueries,
    Thresholds,
    distinct_queries,
    for_every_query,
    matches,
    passing,
    share_found,
    verdicts,
)
from mints.data.blast import HIT_COLUMNS, Database, make_database, search
from mints.data.composition import dinucleotide_shuffle
from mints.data.sequences import FastaRecord, read_fasta
from mints.errors import MintsError, UsageError
from mints.locations import here
from mints.pipeline.run import Run
from mints.programs import BLAST_INSTALLATION
from mints.report.contamination import QUERY, SHUFFLED, corpus_audit_figure

SEARCHED_EVALUE = 10.0
"""Largest E-value of what is listed: BLAST's own, far above what counts, so that the figure shows what lies below."""

TABLE_COLUMNS = ["query", "length", "same_as", *VERDICT_COLUMNS]
CONTROL_COLUMNS = ["found", "coverage", "identity"]
"""Of the shuffled query, with `control_` before them."""


class Audit(NamedTuple):
    """One search and what it says."""

    hits: pd.DataFrame
    """Alignments with names, and whether each passes."""

    verdicts: pd.DataFrame
    """One row per query."""


def run_corpus_audit(run: Run) -> None:
    """Search a corpus for the sequences in question, and for shuffled ones as a control."""
    queries = list(read_fasta(here(run.config.features.audit_queries)))
    distinct = distinct_queries([query.sequence for query in queries])
    if run.config.blast_version is None:
        run.warn(f"NCBI BLAST+ is missing, and nothing was searched: {BLAST_INSTALLATION}, then the same command again")
        save_unsearched(run, queries, distinct)
        return
    thresholds, planted = read_thresholds(run), read_planted(run, queries)
    database = make_database(corpus_of(run), run.scratch("blast"))
    run.fact("corpus", {"records": database.counts.records, "bases": database.counts.bases})
    first = np.flatnonzero(distinct.same_as == np.arange(len(queries)))
    rng = run.rng("shuffled queries")
    shuffled = {int(number): dinucleotide_shuffle(queries[number].sequence, rng) for number in first}
    found = audit(database, {int(number): queries[number].sequence for number in first}, queries, thresholds)
    control = audit(database, shuffled, queries, thresholds)
    table = audit_table(queries, distinct, found.verdicts, control.verdicts, database)
    hits = pd.concat([found.hits.assign(sequence=QUERY), control.hits.assign(sequence=SHUFFLED)], ignore_index=True)
    summary = summarise(run, table, database, planted)
    run.save("audit/hits.csv", hits)
    run.save("tables/corpus_audit.csv", table)
    run.save("tables/corpus_audit_summary.json", summary)
    run.figure("corpus_audit", corpus_audit_figure(hits, summary))


def read_thresholds(run: Run) -> Thresholds:
    """What counts as a match."""
    features = run.config.features
    return Thresholds(features.audit_identity, features.audit_length, features.audit_evalue, features.audit_coverage)


def corpus_of(run: Run) -> Path:
    """The corpus that is searched: its own field, that of the autoencoders, or the genome."""
    features = run.config.features
    location = features.audit_corpus or features.corpus or run.config.genome
    if location is None:
        raise UsageError("features.audit_queries needs a corpus: features.audit_corpus, features.corpus or --genome")
    return here(location)


def audit(
    database: Database, searched: dict[int, str], queries: Sequence[FastaRecord], thresholds: Thresholds
) -> Audit:
    """Search sequences, each under the number of its query."""
    numbers = np.array(list(searched), dtype=np.int64)
    hits = search(database, list(searched.values()), evalue=SEARCHED_EVALUE, threads=os.cpu_count() or 1)
    hits["query"] = numbers[hits["query"].to_numpy(dtype=np.int64)]
    lengths = lengths_of(queries)
    passes = passing(hits, lengths, thresholds)
    judged = verdicts(matches(hits[passes], lengths), len(queries), thresholds)
    named = hits.assign(
        query=[queries[number].name for number in hits["query"]],
        subject=[database.subjects[number] for number in hits["subject"]],
        passes=passes,
    )
    return Audit(named[[*HIT_COLUMNS, "passes"]], judged)


def lengths_of(queries: Sequence[FastaRecord]) -> Int[ndarray, "query"]:
    """Bases of every query."""
    return np.array([len(query.sequence) for query in queries], dtype=np.int64)


def audit_table(
    queries: Sequence[FastaRecord],
    distinct: DistinctQueries,
    found: pd.DataFrame,
    control: pd.DataFrame,
    database: Database,
) -> pd.DataFrame:
    """One row per query as it was given: its verdict, and that of the shuffled one."""
    table = described(queries, distinct)
    judged = for_every_query(found, distinct, lengths_of(queries))
    names = [database.subjects[number] if pd.notna(number) else "" for number in judged["subject"]]
    table = table.join(judged.assign(subject=names))
    shuffled = for_every_query(control, distinct, lengths_of(queries))[CONTROL_COLUMNS]
    return table[TABLE_COLUMNS].join(shuffled.add_prefix("control_"))


def described(queries: Sequence[FastaRecord], distinct: DistinctQueries) -> pd.DataFrame:
    """Name and length of every query, and the one of which it is a repetition."""
    first = [queries[number].name if number != own else "" for own, number in enumerate(distinct.same_as)]
    names = [query.name for query in queries]
    return pd.DataFrame({"query": names, "length": lengths_of(queries), "same_as": first})


def summarise(
    run: Run, table: pd.DataFrame, database: Database, planted: Bool[ndarray, "query"] | None
) -> dict[str, Any]:
    """Shares found among the distinct queries and among the shuffled ones; of the planted, where these are known."""
    level = run.config.probe_ci_level
    distinct = (table["same_as"] == "").to_numpy()
    found, control = (table[name].to_numpy(dtype=bool) for name in ("found", "control_found"))
    summary: dict[str, Any] = {
        "searched": True,
        "blast": run.config.blast_version,
        "corpus": {"records": database.counts.records, "bases": database.counts.bases},
        "thresholds": read_thresholds(run),
        "queries": {"given": len(table), "distinct": int(distinct.sum())},
        "level": level,
        "found": share_found(found[distinct], level),
        "shuffled_found": share_found(control[distinct], level),
    }
    if planted is not None:
        for name, chosen in (("planted_found", distinct & planted), ("not_planted_found", distinct & ~planted)):
            if chosen.any():
                summary[name] = share_found(found[chosen], level)
    return summary


def read_planted(run: Run, queries: Sequence[FastaRecord]) -> Bool[ndarray, "query"] | None:
    """Which of the queries were planted; None where that is not known.

    Raises MintsError for a table that does not say it of each of them.
    """
    if run.config.features.audit_truth is None:
        return None
    path = here(run.config.features.audit_truth)
    try:
        table = pd.read_csv(path, dtype={"query": str})
        known = dict(zip(table["query"], table["planted"] == 1, strict=True))
        return np.array([known[query.name] for query in queries], dtype=bool)
    except KeyError as error:
        raise MintsError(f"{path} has no column or query {error}: expected columns query and planted") from None
    except (ValueError, OSError) as error:
        raise MintsError(f"{path} cannot be read as a table of what was planted: {error}") from None


def save_unsearched(run: Run, queries: Sequence[FastaRecord], distinct: DistinctQueries) -> None:
    """Tables and a figure that say that nothing was searched."""
    columns = [*VERDICT_COLUMNS, *(f"control_{name}" for name in CONTROL_COLUMNS)]
    table = described(queries, distinct).reindex(columns=["query", "length", "same_as", *columns])
    hits = pd.DataFrame(columns=[*HIT_COLUMNS, "passes", "sequence"])
    summary = {
        "searched": False,
        "reason": "NCBI BLAST+ is not installed",
        "installation": BLAST_INSTALLATION,
        "queries": {"given": len(queries), "distinct": int((distinct.same_as == np.arange(len(queries))).sum())},
    }
    run.save("audit/hits.csv", hits)
    run.save("tables/corpus_audit.csv", table)
    run.save("tables/corpus_audit_summary.json", summary)
    run.figure("corpus_audit", corpus_audit_figure(hits, summary))
