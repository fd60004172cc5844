"""Which sequences of a question are already in a corpus: what counts as a match, per query and over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.analysis.multiplicity import clopper_pearson
from mints.data.sequences import reverse_complement


class DistinctQueries(NamedTuple):
    """Sequences that are searched once, though they were given several times or on both strands."""

    same_as: Int[ndarray, "query"]
    """The first query that is this sequence or its reverse complement; itself where it is the first."""

    reversed: Bool[ndarray, "query"]
    """Whether it is the reverse complement of that one."""


class Thresholds(NamedTuple):
    """What counts as a match."""

    identity: float
    """Least share of identical columns of an alignment."""

    length: int
    """Least aligned bases of a query; a shorter query must align whole."""

    evalue: float
    """Largest E-value of an alignment."""

    coverage: float
    """Least share of a query's bases that the alignments of a match cover together."""


class ShareFound(NamedTuple):
    """How many of the distinct queries are in the corpus."""

    found: int
    queries: int
    share: float
    low: float
    high: float
    """Clopper-Pearson interval: queries are taken as drawn independently."""


MATCH_COLUMNS = ["query", "subject", "strand", "s_start", "s_end", "q_start", "q_end"]
MATCH_COLUMNS += ["covered", "coverage", "identity", "evalue", "alignments"]

VERDICT_COLUMNS = ["found", "coverage", "identity", "q_start", "q_end", "subject", "strand", "s_start", "s_end"]
VERDICT_COLUMNS += ["evalue", "alignments", "matches"]


def distinct_queries(sequences: Sequence[str]) -> DistinctQueries:
    """Group sequences that are equal or reverse complements. A sequence that is its own counts as equal."""
    first: dict[str, int] = {}
    same_as, turned = [], []
    for number, sequence in enumerate(sequences):
        other = reverse_complement(sequence)
        if sequence not in first and other not in first:
            first[sequence] = number
        same_as.append(first.get(sequence, first.get(other, number)))
        turned.append(sequence not in first)
    return DistinctQueries(np.array(same_as, dtype=np.int64), np.array(turned, dtype=bool))


def passing(hits: pd.DataFrame, lengths: Int[ndarray, "query"], thresholds: Thresholds) -> Bool[ndarray, "hit"]:
    """Alignments that are similar, long and improbable enough. hits: as of `data.blast.search`."""
    aligned = (hits["q_end"] - hits["q_start"]).to_numpy()
    least = np.minimum(thresholds.length, lengths[hits["query"].to_numpy(dtype=np.int64)])
    similar = hits["identity"].to_numpy() >= thresholds.identity
    passes: Bool[ndarray, "hit"] = similar & (aligned >= least) & (hits["evalue"].to_numpy() <= thresholds.evalue)
    return passes


def matches(hits: pd.DataFrame, lengths: Int[ndarray, "query"]) -> pd.DataFrame:
    """Alignments of a query with one strand of a subject, merged where they lie within its length; `MATCH_COLUMNS`.

    One row a match. covered: bases of the query that any of its alignments covers, each once. identity: mean over the
    alignments, weighted by length. evalue: the smallest of them. So are the halves of an interrupted copy one match,
    and two copies on a chromosome two.
    """
    table = hits.sort_values(["query", "subject", "strand", "s_start", "s_end", "q_start"], ignore_index=True)
    reached = _reached_before(table["s_end"], [table["query"], table["subject"], table["strand"]])
    own_length = lengths[table["query"].to_numpy(dtype=np.int64)]
    table["match"] = (reached.isna() | (table["s_start"] - reached > own_length)).cumsum()
    table["weighted"] = table["identity"] * table["length"]
    by_start = table.sort_values(["match", "q_start"])
    covered_before = _reached_before(by_start["q_end"], [by_start["match"]])
    first_new = np.fmax(by_start["q_start"], covered_before)
    table["covered"] = (by_start["q_end"] - first_new).clip(lower=0)
    groups = table.groupby("match")
    merged = groups[["query", "subject", "strand"]].first()
    merged = merged.join(groups[["s_start", "q_start", "evalue"]].min()).join(groups[["s_end", "q_end"]].max())
    merged = merged.assign(covered=groups["covered"].sum().astype("int64"), alignments=groups.size())
    merged["identity"] = groups["weighted"].sum() / groups["length"].sum()
    merged["coverage"] = merged["covered"] / lengths[merged["query"].to_numpy(dtype=np.int64)]
    return merged.reset_index(drop=True)[MATCH_COLUMNS]


def _reached_before(ends: pd.Series[Any], keys: list[pd.Series[Any]]) -> pd.Series[Any]:
    """Largest end among the earlier rows of the same keys; NaN for the first."""
    return ends.groupby(keys).cummax().groupby(keys).shift()


def verdicts(matched: pd.DataFrame, queries: int, thresholds: Thresholds) -> pd.DataFrame:
    """Whether each query is in the corpus, and its best match: the one that covers most, then the most similar.

    matched: as of `matches`, from alignments that pass. One row a query, by its number; `VERDICT_COLUMNS`, of which all
    but `found` and `matches` are missing where there is no match. matches: those that cover enough.
    """
    enough = matched["coverage"] >= thresholds.coverage
    order = ["coverage", "identity", "subject", "s_start", "strand"]
    ranked = matched.sort_values(order, ascending=[False, False, True, True, True])
    best = ranked.drop_duplicates("query").set_index("query").reindex(range(queries))
    counts = matched[enough].groupby("query").size().reindex(range(queries), fill_value=0)
    table = best.assign(found=counts > 0, matches=counts)[VERDICT_COLUMNS]
    whole = ["q_start", "q_end", "subject", "s_start", "s_end", "alignments"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def for_every_query(found: pd.DataFrame, distinct: DistinctQueries, lengths: Int[ndarray, "query"]) -> pd.DataFrame:
    """Verdicts of the distinct queries given to all: a reverse complement lies on the other strand, end for start.

    found: one row for each query that is the first of its kind, by its number. lengths: of all queries.
    """
    table = found.loc[distinct.same_as].reset_index(drop=True)
    turned = distinct.reversed
    strand = table["strand"].where(~turned, table["strand"].map({"+": "-", "-": "+"}))
    start = table["q_start"].where(~turned, pd.Series(lengths) - table["q_end"])
    end = table["q_end"].where(~turned, pd.Series(lengths) - table["q_start"])
    return table.assign(strand=strand, q_start=start, q_end=end)


def share_found(found: Bool[ndarray, "query"], level: float) -> ShareFound:
    """Share of distinct queries that are found, with its interval. Raises ValueError where there is no query."""
    if not len(found):
        raise ValueError("no query: a share of nothing is not defined")
    low, high = clopper_pearson(int(found.sum()), len(found), level)
    return ShareFound(int(found.sum()), len(found), float(found.mean()), low, high)
