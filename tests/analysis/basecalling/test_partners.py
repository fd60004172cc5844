import numpy as np
import pytest

from mints.analysis.basecalling.partners import pair_of_an_unrelated_read, pair_of_the_same_group

GROUPS = np.repeat(["homopolymer", "other"], [9, 7])
LENGTHS = np.array([3, 3, 4, 4, 5, 5, 6, 6, 6, 3, 3, 4, 4, 5, 5, 6])


def test_a_partner_of_the_same_group_is_another_pair_of_it_and_of_its_length_where_there_is_one():
    partner = pair_of_the_same_group(GROUPS, LENGTHS, np.random.default_rng(0))
    assert (partner != np.arange(16)).all()
    assert (GROUPS[partner] == GROUPS).all()
    assert sorted(partner) == list(range(16))
    assert (LENGTHS[partner[:6]] == LENGTHS[:6]).all()


def test_an_unrelated_partner_is_of_the_other_group_and_of_another_read():
    reads = np.array([f"read{number % 5}" for number in range(16)])
    partner = pair_of_an_unrelated_read(GROUPS, reads, LENGTHS, np.random.default_rng(0))
    assert (GROUPS[partner] != GROUPS).all()
    assert (reads[partner] == reads).sum() <= 3


def test_groups_of_one_size_give_to_each_other_and_keep_the_run_length():
    groups, lengths = np.repeat(["homopolymer", "other"], 6), np.tile([3, 4, 5, 6, 7, 8], 2)
    reads = np.arange(12).astype(str)
    partner = pair_of_an_unrelated_read(groups, reads, lengths, np.random.default_rng(1))
    assert (partner[partner] == np.arange(12)).all()
    assert (lengths[partner] == lengths).all()


def test_without_one_of_the_groups_there_is_no_unrelated_read():
    with pytest.raises(ValueError, match="there are 3 and 0 pairs"):
        pair_of_an_unrelated_read(np.repeat("homopolymer", 3), np.arange(3).astype(str), np.arange(3), np.random)
