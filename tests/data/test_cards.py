"""Data cards against counts over all pairs of rows."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from mints.data.cards import describe_class, describe_splits, describe_twins, quantiles


def table(*rows):
    """Rows of sequence, split, label, chromosome, start, end."""
    frame = pd.DataFrame(rows, columns=["sequence", "split", "label", "chromosome", "start", "end"])
    return frame.astype({"start": "Int64", "end": "Int64"}).assign(cluster=range(len(frame)))


def slow_twins(frame, first, second):
    rows = list(frame.itertuples())
    pairs = [(a, b) for a, b in product(rows, rows) if a.split == first and b.split == second and a.Index != b.Index]
    relations = {
        "same_sequence": lambda a, b: a.sequence == b.sequence,
        "opposite_strand": lambda a, b: str(Seq(a.sequence).reverse_complement()) == b.sequence,
        "overlapping": lambda a, b: (
            a.chromosome is not None and a.chromosome == b.chromosome and a.start < b.end and b.start < a.end
        ),
    }
    return {kind: len({a.Index for a, b in pairs if related(a, b)}) for kind, related in relations.items()}


places = st.one_of(
    st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 40), st.integers(1, 9)),
    st.just((None, None, None)),
)
splits = st.sampled_from(["train", "validation", "test"])


@given(st.lists(st.tuples(st.text("ACGT", min_size=2, max_size=2), splits, places), max_size=14))
def test_twins_are_those_of_all_pairs(rows):
    frame = table(*[(s, split, 1, c, at, None if at is None else at + size) for s, split, (c, at, size) in rows])
    found = describe_twins(frame)
    assert list(found) == [
        "train", "validation", "test", "train, validation", "train, test", "validation, test"
    ]  # fmt: skip
    for name, counts in found.items():
        first, _, second = name.partition(", ")
        assert counts == slow_twins(frame, first, second or first)


def test_a_palindrome_is_no_twin_of_itself_and_two_of_them_are_twins_in_both_ways():
    one = describe_twins(table(("ACGT", "train", 1, None, None, None)))["train"]
    assert one == {"same_sequence": 0, "opposite_strand": 0, "overlapping": 0}
    two = describe_twins(table(*[("ACGT", "train", 1, None, None, None)] * 2))["train"]
    assert two == {"same_sequence": 2, "opposite_strand": 2, "overlapping": 0}


def test_quantiles_are_linear_over_the_values_that_there_are():
    assert quantiles(np.array([4.0, np.nan, 0.0, 1.0, 3.0, 2.0])) == pytest.approx(
        {"minimum": 0, "5%": 0.2, "25%": 1, "median": 2, "75%": 3, "95%": 3.8, "maximum": 4}
    )
    assert quantiles(np.array([np.nan])) is None


def test_a_class_is_described_by_lengths_composition_unknown_bases_and_signal():
    rows = pd.DataFrame({"sequence": ["ACGN", "GGGGGG", "AT"], "signal": [2.0, np.nan, 4.0]})
    described = describe_class(rows)
    assert described["sequences"] == 3
    assert described["length"]["minimum"] == 2
    assert described["length"]["median"] == 4
    assert described["length"]["maximum"] == 6
    assert described["gc"]["minimum"] == 0
    assert described["gc"]["median"] == pytest.approx(2 / 3)
    assert described["gc"]["maximum"] == 1
    assert described["n_share"] == pytest.approx(1 / 12)
    assert described["signal"]["median"] == 3
    assert described["without_signal"] == 1
    assert "signal" not in describe_class(rows[["sequence"]])


def test_every_split_tells_its_classes_clusters_and_chromosomes_in_order():
    frame = table(
        ("AC", "train", 1, "chr10", 0, 2),
        ("AG", "train", 0, "chr2", 0, 2),
        ("AT", "train", 1, "chr2", 9, 11),
        ("CC", "test", 0, None, None, None),
    ).assign(cluster=[0, 1, 0, 2])
    described = describe_splits(frame)
    assert list(described) == ["train", "test"]
    assert described["train"]["sequences"] == 3
    assert described["train"]["clusters"] == 2
    assert list(described["train"]["chromosomes"].items()) == [("chr2", 2), ("chr10", 1)]
    assert described["test"]["chromosomes"] == {"none": 1}
    assert {label: part["sequences"] for label, part in described["train"]["classes"].items()} == {"0": 1, "1": 2}
