"""Clusters against all pairs of rows, and splits that twins never straddle."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mints.data.sequences import reverse_complement
from mints.data.splits import assign_clusters, carve_validation, drop_leaked


def table(*rows):
    """Rows of sequence, chromosome, start, end, split."""
    frame = pd.DataFrame(rows, columns=["sequence", "chromosome", "start", "end", "split"])
    return frame.astype({"start": "Int64", "end": "Int64"})


def related(a, b) -> bool:
    same = b.sequence in (a.sequence, reverse_complement(a.sequence))
    placed = a.chromosome is not None and a.chromosome == b.chromosome
    return same or (placed and a.start < b.end and b.start < a.end)


def slow_clusters(frame) -> list[int]:
    rows = list(frame.itertuples(index=False))
    clusters = list(range(len(rows)))
    for _ in rows:
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                if related(a, b):
                    clusters[i] = clusters[j] = min(clusters[i], clusters[j])
    return pd.factorize(np.array(clusters))[0].tolist()


place = st.one_of(
    st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 40), st.integers(1, 9)),
    st.just((None, None, None)),
)


@given(st.lists(st.tuples(st.text("ACGT", min_size=3, max_size=3), place), min_size=1, max_size=14))
def test_clusters_are_those_of_all_pairs(rows):
    frame = table(*[(s, c, start, None if start is None else start + size, "train") for s, (c, start, size) in rows])
    assert assign_clusters(frame)["cluster"].tolist() == slow_clusters(frame)


def test_rows_that_only_touch_are_not_one_cluster():
    frame = table(("AAA", "chr1", 0, 10, "train"), ("CCC", "chr1", 10, 20, "train"), ("GCC", "chr2", 5, 15, "train"))
    assert assign_clusters(frame)["cluster"].tolist() == [0, 1, 2]


def test_clusters_do_not_depend_on_the_index_and_leave_the_table_alone():
    frame = table(("AAA", "chr1", 0, 9, "train"), ("CCC", None, None, None, "train"), ("GCG", "chr1", 8, 12, "train"))
    frame.index = pd.Index([7, 7, 8])
    assert assign_clusters(frame)["cluster"].tolist() == [0, 1, 0]
    assert "cluster" not in frame


@pytest.fixture
def placed():
    rng = np.random.default_rng(0)
    letters = ["".join(rng.choice(list("ACGT"), 12)) for _ in range(60)]
    rows = [
        (s, f"chr{20 + i % 3}", 100 * i, 100 * i + 12, "test" if i % 3 == 0 else "train") for i, s in enumerate(letters)
    ]
    return assign_clusters(table(*rows))


def test_validation_is_whole_chromosomes_where_there_are_any(placed):
    split = carve_validation(placed, ["chr22"], 0.1, np.random.default_rng(0))
    assert split.groupby("chromosome")["split"].unique().map(list).to_dict() == {
        "chr20": ["test"],
        "chr21": ["train"],
        "chr22": ["validation"],
    }


@pytest.mark.parametrize("chromosomes", [["chr5"], ["chr21", "chr22"], []])
def test_validation_is_a_share_of_clusters_where_chromosomes_do_not_divide_training(placed, chromosomes):
    split = carve_validation(placed, chromosomes, 0.2, np.random.default_rng(0))
    assert split["split"].value_counts().to_dict() == {"train": 32, "test": 20, "validation": 8}
    again = carve_validation(placed, chromosomes, 0.2, np.random.default_rng(0))
    pd.testing.assert_frame_equal(split, again)


def test_twins_go_to_validation_together():
    rows = [(s, None, None, None, "train") for s in ["AAAC", "CCAG", "GATC", "ATTA", "GGGT"]]
    twins = assign_clusters(table(*rows, *[(reverse_complement(row[0]), *row[1:]) for row in rows]))
    for seed in range(5):
        split = carve_validation(twins, [], 0.4, np.random.default_rng(seed))
        assert split.groupby("cluster")["split"].nunique().max() == 1
        assert (split["split"] == "validation").sum() == 4


def test_rows_whose_twin_is_held_out_are_dropped_and_the_held_out_stay():
    frame = assign_clusters(
        table(
            ("AAAC", None, None, None, "train"),
            ("GTTT", None, None, None, "test"),
            ("CCAG", "chr1", 0, 10, "validation"),
            ("TTAG", "chr1", 5, 15, "train"),
            ("CCCC", None, None, None, "validation"),
            ("GGGG", None, None, None, "test"),
            ("ACAC", None, None, None, "train"),
        )
    )
    kept = drop_leaked(frame)
    assert kept["sequence"].tolist() == ["GTTT", "CCAG", "GGGG", "ACAC"]
    assert len(frame) == 7


def test_known_twins_of_a_real_benchmark_are_found(shared):
    folder = shared / "real" / "promoters"
    parts = [
        pd.read_csv(folder / f"gue_prom_300_tata_{split}.csv")[["sequence"]].assign(split=split)
        for split in ("train", "test")
    ]
    both = pd.concat(parts, ignore_index=True).assign(chromosome=None, start=None, end=None)
    kept = drop_leaked(assign_clusters(both))
    shared_exactly = set(parts[0]["sequence"]) & set(parts[1]["sequence"])
    assert len(shared_exactly) == 6
    assert not shared_exactly & set(kept.loc[kept["split"] == "train", "sequence"])
    assert (kept["split"] == "test").sum() == len(parts[1])
