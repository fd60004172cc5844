"""Which tokens carry which concepts: the one-base rule, regions of several parts, windows of several chromosomes."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from mints.features.activations import Tokens
from mints.features.columns import token_identity, word_identity
from mints.features.concepts import label_tokens, shifted

WINDOWS = pd.DataFrame(
    {"chromosome": ["chr1", "chr1", "chr2"], "start": [100, 200, 50], "end": [112, 212, 62], "sequence": "x"}
)


def three_tokens_a_window():
    """Tokens of four bases, three in each of three windows."""
    start = np.tile([0, 4, 8], 3)
    place = np.tile([1, 2, 3], 3)
    return Tokens(np.repeat(np.arange(3), 3), place, start, start + 4, np.arange(9))


def places(*rows):
    return pd.DataFrame(rows, columns=["chromosome", "start", "end", "concept", "region"])


def carried(*rows):
    labels = label_tokens(three_tokens_a_window(), WINDOWS, places(*rows))
    return labels, labels.tokens.toarray()


def test_a_token_carries_a_concept_from_one_shared_base_on():
    # chr1:100-104, 104-108, 108-112 and so on; half-open, so that an end at 104 shares nothing with the second token.
    for start, end, expected in (
        (103, 104, [1, 0, 0]),
        (103, 105, [1, 1, 0]),
        (104, 105, [0, 1, 0]),
        (111, 112, [0, 0, 1]),
        (112, 200, [0, 0, 0]),
        (0, 101, [1, 0, 0]),
        (90, 100, [0, 0, 0]),
        (90, 300, [1, 1, 1]),
    ):
        _, found = carried(("chr1", start, end, "c", 0))
        assert found[:3, 0].tolist() == [bool(each) for each in expected], (start, end)


def test_the_same_place_on_another_chromosome_is_another_place():
    _, found = carried(("chr2", 50, 51, "c", 0), ("chr3", 100, 112, "c", 1))
    assert found[:, 0].tolist() == [False] * 6 + [True, False, False]


def test_parts_that_share_a_number_are_one_region_even_across_windows():
    labels, found = carried(
        ("chr1", 100, 104, "joined", 7), ("chr1", 208, 212, "joined", 7), ("chr1", 204, 205, "alone", 8)
    )
    assert labels.names == ["alone", "joined"]
    assert np.flatnonzero(found[:, 1]).tolist() == [0, 5]
    assert labels.positives.tolist() == [1, 2]
    assert labels.region_counts.tolist() == [1, 1]


def test_regions_that_overlap_keep_their_identity_and_count_a_token_once():
    labels, found = carried(("chr1", 100, 108, "c", 0), ("chr1", 104, 112, "c", 1))
    assert labels.regions.toarray()[:3].tolist() == [[1, 0], [1, 1], [0, 1]]
    assert found[:3, 0].tolist() == [True] * 3
    assert labels.positives.tolist() == [3]


def test_some_of_the_concepts_are_the_same_labels_with_fewer_columns():
    labels, found = carried(("chr1", 100, 104, "a", 0), ("chr1", 104, 108, "b", 1), ("chr1", 108, 112, "c", 2))
    part = labels.of(np.array([2, 0]))
    assert part.names == ["c", "a"]
    assert (part.tokens.toarray() == found[:, [2, 0]]).all()
    assert part.region_counts.tolist() == [1, 1]


def test_labels_are_those_of_a_loop_over_all_tokens_and_places():
    rng = np.random.default_rng(0)
    tokens = three_tokens_a_window()
    rows = []
    for region in range(40):
        chromosome = str(rng.choice(["chr1", "chr2"]))
        start = int(rng.integers(40, 215))
        rows.append((chromosome, start, start + int(rng.integers(1, 15)), str(rng.choice(["a", "b"])), region // 2))
    # A region has one concept: the second of a pair takes the first one's.
    rows = [(*row[:3], rows[row[4] * 2][3], row[4]) for row in rows]
    labels = label_tokens(tokens, WINDOWS, places(*rows))
    for token in range(9):
        window = WINDOWS.iloc[tokens.sequence[token]]
        span = set(range(window.start + tokens.start[token], window.start + tokens.end[token]))
        for concept, name in enumerate(labels.names):
            hit = any(r[0] == window.chromosome and r[3] == name and span & set(range(r[1], r[2])) for r in rows)
            assert labels.tokens.toarray()[token, concept] == hit


def test_tokens_that_do_not_follow_one_another_are_refused():
    tokens = three_tokens_a_window()
    with pytest.raises(ValueError, match="tokens on chr1 are not in the order"):
        label_tokens(
            tokens._replace(start=tokens.start[::-1], end=tokens.end[::-1]), WINDOWS, places(("chr1", 1, 2, "c", 0))
        )


def test_a_shift_moves_every_label_by_as_many_tokens_and_round_the_end():
    matrix = csr_array(np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=bool))
    assert shifted(matrix, 1).toarray().tolist() == np.roll(matrix.toarray(), 1, axis=0).tolist()
    assert shifted(matrix, 1).toarray()[0].tolist() == [False, True]


def test_words_stand_at_a_token_s_middle_and_none_has_an_n_or_reaches_over_the_end():
    tokens = Tokens(
        np.array([0, 0, 1]), np.array([1, 2, 1]), np.array([0, 4, 0]), np.array([4, 8, 3]), np.array([5, 2, 0])
    )
    sequences = ["ACGTTGCA", "ACN"]
    words = word_identity(tokens, sequences)
    assert words.shape == (3, 64 + 256 + 1024 + 4096)

    def code(word):
        return sum("ACGT".index(letter) * 4 ** (len(word) - 1 - place) for place, letter in enumerate(word))

    # ACGT: the 3-word at its middle starts at 0, the 4-word is itself; TGCA likewise; 5 and 6 reach over its end.
    assert words[[0]].indices.tolist() == [code("ACG"), 64 + code("ACGT")]
    assert words[[1]].indices.tolist()[:2] == [code("TGC"), 64 + code("TGCA")]
    assert words[[2]].nnz == 0
    assert token_identity(tokens, 6).toarray().argmax(1).tolist() == [5, 2, 0]
