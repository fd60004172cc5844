"""What counts as a match, against sets of bases counted one by one, and against cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from mints.analysis.contamination import (
    Thresholds,
    distinct_queries,
    for_every_query,
    matches,
    passing,
    share_found,
    verdicts,
)
from mints.data.sequences import reverse_complement

THRESHOLDS = Thresholds(identity=0.9, length=50, evalue=1e-5, coverage=0.5)
LENGTHS = np.array([200, 200, 40, 300])


def hits(*rows):
    """Alignments from (query, subject, strand, q_start, q_end, s_start, s_end, identity, evalue)."""
    columns = ["query", "subject", "strand", "q_start", "q_end", "s_start", "s_end", "identity", "evalue"]
    kinds = {"subject": int, "strand": object, "identity": float, "evalue": float}
    table = pd.DataFrame(rows, columns=columns).astype({name: kinds.get(name, int) for name in columns})
    return table.assign(length=table["q_end"] - table["q_start"])


def test_a_sequence_given_again_or_as_its_reverse_complement_is_searched_once():
    first, second, own_complement = "ACGGT", "TTTTA", "ACGCGT"
    given = [first, second, reverse_complement(first), first, own_complement, own_complement, "TAAAA"]
    same_as, turned = distinct_queries(given)
    assert same_as.tolist() == [0, 1, 0, 0, 4, 4, 1]
    assert turned.tolist() == [False, False, True, False, False, False, True]


def test_an_alignment_counts_at_its_thresholds_and_not_below_any():
    rows = [
        (0, 0, "+", 10, 60, 0, 50, 0.90, 1e-5),
        (0, 0, "+", 10, 59, 0, 49, 0.99, 1e-9),
        (0, 0, "+", 10, 60, 0, 50, 0.899, 1e-9),
        (0, 0, "+", 10, 60, 0, 50, 0.95, 1.1e-5),
        (2, 0, "+", 0, 40, 0, 40, 0.95, 1e-7),
        (2, 0, "+", 0, 39, 0, 39, 0.95, 1e-7),
    ]
    # A query of 40 bases cannot align over 50: it has to align whole.
    assert passing(hits(*rows), LENGTHS, THRESHOLDS).tolist() == [True, False, False, False, True, False]


def test_halves_of_an_interrupted_copy_are_one_match_and_two_copies_are_two():
    rows = [
        (0, 3, "+", 0, 90, 1000, 1090, 1.0, 1e-30),
        (0, 3, "+", 80, 200, 1150, 1270, 0.9, 1e-40),
        (0, 3, "+", 20, 120, 5000, 5100, 0.95, 1e-20),
        (0, 3, "-", 20, 120, 1000, 1100, 0.92, 1e-10),
        (0, 1, "+", 0, 100, 1000, 1100, 0.91, 1e-9),
    ]
    found = matches(hits(*rows), LENGTHS).set_index(["subject", "strand", "s_start"])
    assert len(found) == 4
    joined = found.loc[(3, "+", 1000)]
    assert joined[["s_end", "q_start", "q_end", "covered", "alignments"]].tolist() == [1270, 0, 200, 200, 2]
    assert joined["identity"] == pytest.approx((90 * 1.0 + 120 * 0.9) / 210)
    assert joined["coverage"] == 1
    assert joined["evalue"] == 1e-40
    assert found.loc[(3, "+", 5000), "coverage"] == 0.5


def matches_one_by_one(table, lengths):
    """Matches as sets: (query, subject, strand, start, end, covered bases, alignments)."""
    found = []
    for query, subject, strand in sorted(set(zip(table["query"], table["subject"], table["strand"], strict=True))):
        own = table[(table["query"] == query) & (table["subject"] == subject) & (table["strand"] == strand)]
        open_match = None
        for hit in sorted(own.itertuples(), key=lambda hit: (hit.s_start, hit.s_end, hit.q_start)):
            if open_match is None or hit.s_start - open_match["end"] > lengths[query]:
                open_match = {"start": hit.s_start, "end": hit.s_end, "bases": set(), "count": 0}
                found.append((query, subject, strand, open_match))
            open_match["end"] = max(open_match["end"], hit.s_end)
            open_match["bases"] |= set(range(hit.q_start, hit.q_end))
            open_match["count"] += 1
    return [(q, s, strand, m["start"], m["end"], len(m["bases"]), m["count"]) for q, s, strand, m in found]


@pytest.mark.parametrize("seed", range(5))
def test_matches_are_those_of_a_walk_over_the_alignments_one_by_one(seed):
    rng = np.random.default_rng(seed)
    count = 300
    query = rng.integers(0, 4, count)
    start = (rng.random(count) * (LENGTHS[query] - 10)).astype(int)
    end = start + 1 + (rng.random(count) * (LENGTHS[query] - start - 1)).astype(int)
    place = rng.integers(0, 4000, count)
    strand = rng.choice(["+", "-"], count)
    columns = [query, rng.integers(0, 3, count), strand, start, end, place, place + end - start]
    table = hits(*zip(*columns, np.full(count, 0.95), np.full(count, 1e-9), strict=True))
    found = matches(table, LENGTHS)
    named = ["query", "subject", "strand", "s_start", "s_end", "covered", "alignments"]
    assert [tuple(row) for row in found[named].itertuples(index=False)] == matches_one_by_one(table, LENGTHS)
    np.testing.assert_allclose(found["coverage"], found["covered"] / LENGTHS[found["query"]])


def test_a_query_is_found_where_a_match_covers_enough_of_it_and_the_best_match_is_reported():
    rows = [
        (0, 5, "+", 0, 120, 0, 120, 0.92, 1e-20),
        (0, 6, "-", 0, 150, 900, 1050, 0.91, 1e-30),
        (0, 7, "+", 0, 150, 300, 450, 0.99, 1e-50),
        (1, 5, "+", 0, 99, 400, 499, 1.0, 1e-40),
        (3, 5, "+", 0, 150, 800, 950, 0.9, 1e-40),
    ]
    table = verdicts(matches(hits(*rows), LENGTHS), 4, THRESHOLDS)
    assert table["found"].tolist() == [True, False, False, True]
    assert table["matches"].tolist() == [3, 0, 0, 1]
    assert table.loc[0, ["subject", "strand", "s_start", "s_end", "coverage"]].tolist() == [7, "+", 300, 450, 0.75]
    assert table.loc[1, "coverage"] == pytest.approx(99 / 200)
    assert table.loc[2].drop(["found", "matches"]).isna().all()


def test_nothing_found_is_a_table_of_noes():
    table = verdicts(matches(hits(), LENGTHS), 4, THRESHOLDS)
    assert table["found"].tolist() == [False] * 4
    assert table["matches"].tolist() == [0] * 4


def test_a_reverse_complement_has_its_twin_s_match_on_the_other_strand_end_for_start():
    distinct = distinct_queries(["A" * 150 + "C" * 50, "G" * 50 + "T" * 150, "A" * 150 + "C" * 50])
    found = verdicts(matches(hits((0, 8, "-", 20, 140, 700, 820, 0.97, 1e-40)), np.array([200] * 3)), 3, THRESHOLDS)
    table = for_every_query(found, distinct, np.array([200, 200, 200]))
    assert table["found"].tolist() == [True] * 3
    assert table[["q_start", "q_end"]].to_numpy().tolist() == [[20, 140], [60, 180], [20, 140]]
    assert table["strand"].tolist() == ["-", "+", "-"]
    assert table["s_start"].tolist() == [700] * 3


def test_the_share_found_has_the_exact_interval_of_a_binomial():
    found = share_found(np.array([True] * 7 + [False] * 33), 0.95)
    expected = binomtest(7, 40).proportion_ci(0.95, method="exact")
    assert found[:3] == (7, 40, 0.175)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    none = share_found(np.zeros(54, dtype=bool), 0.95)
    assert (none.low, none.high) == pytest.approx((0, 1 - 0.025 ** (1 / 54)))
    with pytest.raises(ValueError, match="no query"):
        share_found(np.zeros(0, dtype=bool), 0.95)
