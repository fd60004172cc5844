"""What a latent looks like: checked by hand on three short sequences."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from mints.features.activations import Tokens
from mints.features.latent_portraits import Latents, choose

TOKENS = Tokens(
    sequence=np.array([0, 0, 1, 1, 2]),
    place=np.array([1, 2, 1, 2, 1]),
    start=np.array([0, 2, 0, 3, 0]),
    end=np.array([2, 4, 3, 4, 4]),
    ids=np.arange(5),
)
MATRIX = csr_array(np.array([[4.0, 0, 0], [1, 0, 2], [0, 0, 0], [2, 0, 0], [6, 0, 0]]))


@pytest.fixture
def latents():
    return Latents(MATRIX, TOKENS, [4, 4, 4])


def test_a_portrait_counts_active_tokens_and_sequences(latents):
    drawn = latents.portrait(0)
    assert drawn.density == 4 / 5
    assert drawn.sequences == 1.0
    assert (drawn.largest, drawn.mean) == (6.0, 13 / 4)
    assert drawn.counts.sum() == 4
    assert drawn.edges[0] == 0
    assert drawn.edges[-1] == 6
    assert drawn.counts[[4, 8, 16, 23]].tolist() == [1, 1, 1, 1]  # 1, 2, 4 and 6 in 24 bins of a quarter
    assert latents.frequency().tolist() == [0.8, 0.0, 0.2]


def test_a_silent_latent_has_an_empty_portrait_and_no_example(latents):
    drawn = latents.portrait(1)
    assert (drawn.density, drawn.largest, len(drawn.counts)) == (0.0, 0.0, 0)
    assert np.isnan(drawn.mean)
    assert latents.examples(1, 3, 1) == []


def test_examples_come_by_their_largest_activation_and_cover_whole_tokens(latents):
    first, second = latents.examples(0, 2, 0)
    assert (first.sequence, first.active) == (2, [(0, 4, 6.0)])
    assert (second.sequence, second.active) == (0, [(0, 2, 4.0), (2, 4, 1.0)])
    # The letters are at 4, 4, 1, 1: their 90th percentile is 4, half of the maximum 2.
    assert second.threshold == 4.0


def test_typical_examples_are_about_the_median_and_none_is_shown_twice(latents):
    found = latents.examples(0, 1, 5)
    assert [(each.kind, each.sequence) for each in found] == [("top", 2), ("typical", 0), ("typical", 1)]


def test_rules_take_turns_until_there_are_enough_and_every_rule_that_names_a_latent_is_told():
    chosen = choose({"circuit": [7, 3, 9], "frequent": [3, 5, 1]}, 3)
    assert chosen == {3: ["circuit", "frequent"], 5: ["frequent"], 7: ["circuit"]}
    assert list(choose({"a": [7, 3, 9], "b": [3, 5, 1]}, 99)) == [1, 3, 5, 7, 9]
    assert choose({}, 3) == {}
