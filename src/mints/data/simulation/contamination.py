"""The simulated audit: query sequences, a corpus in which some of them are planted, and which ones these are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray

from mints.config import Simulation
from mints.data.sequences import decode
from mints.data.simulation.background import Supply, markov_block
from mints.data.simulation.genome import AUDIT, NATURE, random_stream
from mints.data.simulation.materials import draw_nature

Codes = UInt8[ndarray, "position"]

QUERY_LENGTHS = (150, 600)
RECORD_LENGTHS = (1500, 4000)
RECORDS = 80

PLANTED, DIVERGED, FRAGMENTS, ABSENT = 20, 4, 4, 26
"""Distinct queries by what becomes of them; the last are nowhere in the corpus."""

DIVERGENCES = {"planted": (0.0, 0.08), "diverged": (0.25, 0.35), "fragment": (0.0, 0.0)}
"""Share of substituted bases: of a copy that counts as one, of a relative that does not, and of a fragment."""

TRUNCATED = 0.5
KEPT = (0.6, 1.0)
"""Chance that a planted query is cut, and the share of it that is left then."""

FRAGMENT_LENGTHS = (30, 46)
"""Bases of a fragment, too short to count: from the first to one below the second."""

REPEATED = 3
"""Planted queries that are given a second time, and as many absent ones; every other as its reverse complement."""

TRUTH_COLUMNS = ["query", "kind", "planted", "same_as", "subject", "start", "end", "strand"]
TRUTH_COLUMNS += ["query_start", "query_end", "divergence"]


class SimulatedAudit(NamedTuple):
    """Queries, corpus and truth."""

    queries: pd.DataFrame
    """name, sequence."""

    corpus: pd.DataFrame
    """name, sequence."""

    truth: pd.DataFrame
    """One row a query. kind: planted, diverged, fragment, absent. planted: whether an audit should find it.

    same_as: the query of which it is a duplicate, where it is one. subject, start, end, strand: where it lies in the
    corpus. query_start, query_end: its part there. Coordinates are 0-based, half-open.
    """


def simulate_audit(simulation: Simulation) -> SimulatedAudit:
    """Queries and corpus of the genome's composition, from random numbers of their own; the same for the same seed."""
    rng = random_stream(simulation, AUDIT)
    chains = draw_nature(random_stream(simulation, NATURE)).background.isochores
    supply = Supply(lambda: markov_block(rng, chains[rng.integers(len(chains))]))
    kinds = ["planted"] * PLANTED + ["diverged"] * DIVERGED + ["fragment"] * FRAGMENTS + ["absent"] * ABSENT
    queries = [supply.take(int(rng.integers(*QUERY_LENGTHS, endpoint=True))) for _ in kinds]
    records = {
        f"record_{number:03d}": supply.take(int(rng.integers(*RECORD_LENGTHS, endpoint=True))).copy()
        for number in range(1, RECORDS + 1)
    }
    hosts = [str(name) for name in rng.permutation(list(records))]
    facts = [
        _plant(rng, kind, query, host, records[host]) for kind, query, host in zip(kinds, queries, hosts, strict=False)
    ]
    for place, turned in _drawn_duplicates(rng):
        queries.append(_turned(queries[place]) if turned else queries[place])
        facts.append(_duplicate(facts[place], place, len(queries[place]), turned=turned))
    order = rng.permutation(len(queries))
    names = {int(place): f"query_{number:03d}" for number, place in enumerate(order, start=1)}
    truth = pd.DataFrame([facts[place] for place in order])
    truth = truth.assign(query=list(names.values()), same_as=[names.get(each, "") for each in truth["same_as"]])
    whole = ["start", "end", "query_start", "query_end"]
    return SimulatedAudit(
        pd.DataFrame({"name": truth["query"], "sequence": [decode(queries[place]) for place in order]}),
        pd.DataFrame({"name": list(records), "sequence": [decode(codes) for codes in records.values()]}),
        truth[TRUTH_COLUMNS].astype(dict.fromkeys(whole, "Int64")),
    )


def _plant(rng: np.random.Generator, kind: str, query: Codes, host: str, record: Codes) -> dict[str, Any]:
    """Put what a query's kind asks for into a record, in place; returns its row of the truth."""
    row: dict[str, Any] = dict.fromkeys(TRUTH_COLUMNS) | {
        "kind": kind,
        "planted": int(kind == "planted"),
        "same_as": -1,
    }
    if kind == "absent":
        return row
    length = len(query)
    if kind == "fragment":
        length = int(rng.integers(*FRAGMENT_LENGTHS))
    elif kind == "planted" and rng.random() < TRUNCATED:
        length = round(rng.uniform(*KEPT) * length)
    begin = int(rng.integers(len(query) - length + 1))
    piece = query[begin : begin + length].copy()
    changed = rng.choice(length, size=round(rng.uniform(*DIVERGENCES[kind]) * length), replace=False)
    piece[changed] = (piece[changed] + rng.integers(1, 4, len(changed))) % 4
    strand = "+" if rng.random() < 0.5 else "-"
    start = int(rng.integers(len(record) - length + 1))
    record[start : start + length] = piece if strand == "+" else _turned(piece)
    place = {"subject": host, "start": start, "end": start + length, "strand": strand}
    return row | place | {"query_start": begin, "query_end": begin + length, "divergence": len(changed) / length}


def _drawn_duplicates(rng: np.random.Generator) -> list[tuple[int, bool]]:
    """Queries that are given again, and whether as their reverse complement: of the planted and of the absent ones."""
    absent = PLANTED + DIVERGED + FRAGMENTS
    places = [*rng.choice(PLANTED, REPEATED, replace=False), *(absent + rng.choice(ABSENT, REPEATED, replace=False))]
    return [(int(place), bool(number % 2)) for number, place in enumerate(places)]


def _duplicate(row: dict[str, Any], place: int, length: int, *, turned: bool) -> dict[str, Any]:
    """Truth of a query that is given again."""
    if not turned or row["strand"] is None:
        return row | {"same_as": place}
    strand = {"+": "-", "-": "+"}[row["strand"]]
    ends = {"query_start": length - row["query_end"], "query_end": length - row["query_start"]}
    return row | {"same_as": place, "strand": strand} | ends


def _turned(codes: Codes) -> Codes:
    return 3 - codes[::-1]
