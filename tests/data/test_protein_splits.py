"""Clusters of like proteins, and splits that no cluster crosses."""

import numpy as np
import pandas as pd
import pytest

from mints.data.protein_splits import describe_proteins, split_clusters
from mints.data.residues import RESIDUES
from mints.data.shared_words import RESIDUE_WORDS, near_copies, near_copy_clusters, shared, words
from mints.errors import MintsError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_protein(rng, length=200):
    return "".join(rng.choice(list(RESIDUES), length))


def mutated(rng, sequence, share):
    return "".join(rng.choice(list(RESIDUES)) if rng.random() < share else residue for residue in sequence)


def words_by_hand(sequence):
    found = {sequence[start : start + 5] for start in range(len(sequence) - 4)}
    return {word for word in found if set(word) <= set(RESIDUES)}


def test_words_of_residues_are_those_of_a_loop_in_one_direction_and_without_ambiguous_letters(rng):
    sequence = random_protein(rng, 60) + "X" + random_protein(rng, 30)
    numbers = words(sequence, RESIDUE_WORDS)
    spelt = {"".join(RESIDUES[(int(n) >> 5 * place) & 31] for place in range(4, -1, -1)) for n in numbers}
    assert spelt == words_by_hand(sequence)
    assert len(words("MKLV", RESIDUE_WORDS)) == 0
    assert not set(words("MKLVAYW", RESIDUE_WORDS)) & set(words("WYAVLKM", RESIDUE_WORDS))


def test_the_shared_part_of_two_proteins_is_that_of_a_loop(rng):
    first = random_protein(rng)
    others = [mutated(rng, first, 0.1), first[50:120], random_protein(rng)]
    expected = [len(words_by_hand(first) & words_by_hand(o)) / min(196, len(words_by_hand(o))) for o in others]
    np.testing.assert_allclose(shared([first], others, RESIDUE_WORDS)[0], expected)


def test_close_homologues_are_one_cluster_and_unrelated_proteins_are_not(rng):
    first = random_protein(rng)
    close, closer_still = mutated(rng, first, 0.2), mutated(rng, first, 0.1)
    with_domain = random_protein(rng, 80) + first[:120] + random_protein(rng, 80)
    distant = mutated(rng, first, 0.6)
    clusters = near_copy_clusters([first, close, closer_still, with_domain, distant, "MKL"], RESIDUE_WORDS)
    assert len(set(clusters[:4])) == 1
    assert len(set(clusters[3:])) == 3
    assert near_copies([first], [close, distant], RESIDUE_WORDS).tolist() == [True, False]


def test_a_cluster_is_never_split_and_reserved_clusters_go_to_the_test_set(rng):
    clusters = pd.Series(rng.integers(0, 200, 900))
    split = split_clusters(clusters, {3, 4, 5}, 0.15, 0.2, np.random.default_rng(1))
    table = pd.DataFrame({"cluster": clusters, "split": split, "sequence": "MKL"})
    assert table.groupby("cluster")["split"].nunique().max() == 1
    assert set(table.loc[table["cluster"].isin([3, 4, 5]), "split"]) == {"test"}
    count = table.groupby("split")["cluster"].nunique()
    assert count["validation"] in range(27, 31)
    assert count["test"] in range(40, 44)
    again = split_clusters(clusters, {3, 4, 5}, 0.15, 0.2, np.random.default_rng(1))
    pd.testing.assert_series_equal(split, again)


def test_the_summary_counts_what_is_there():
    table = pd.DataFrame({
        "sequence": ["MKL", "MKLV", "WW", "AAAA"],
        "cluster": [0, 0, 1, 2],
        "split": ["train", "train", "validation", "test"],
    })  # fmt: skip
    rows = describe_proteins(table).set_index("split")
    assert rows.loc["train"].to_dict() == {
        "proteins": 2, "clusters": 1, "residues": 7, "median_length": 3.5, "largest_cluster": 2,
    }  # fmt: skip


def test_too_few_clusters_for_three_splits_are_an_error():
    with pytest.raises(MintsError, match="2 clusters of like proteins leave none for test, validation"):
        split_clusters(pd.Series([0, 1]), set(), 0.15, 0.15, np.random.default_rng(0))
