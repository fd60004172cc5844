"""Signal pairs: what differs between their sides, their balance, and pairs from a model's own call."""

from collections import Counter
from itertools import groupby, pairwise, product

import numpy as np
import pandas as pd
import pytest

from mints.data.nanopore.called_pairs import CalledRead, called_pairs, stretches_of
from mints.data.nanopore.current import CurrentSettings
from mints.data.nanopore.levels import KmerLevels, kmer_numbers, simulate_levels
from mints.data.nanopore.normalisation import Normalisation
from mints.data.nanopore.pair_tables import pair_arrays, pair_table, pairs_of
from mints.data.nanopore.pairs import (
    CORRUPTIONS,
    GROUPS,
    RUN_LENGTHS,
    Ladder,
    corrupt,
    weakest_that_changes_the_call,
)
from mints.data.nanopore.simulated_pairs import SLACK, Recipe, simulate_pairs
from mints.data.sequences import encode
from mints.errors import UsageError
from mints.pipeline.artifacts import read, write

SILENT = CurrentSettings(noise=0, drift=0, gain=0, offset=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def pairs():
    return simulate_pairs(rng(), 1, Recipe(simulate_levels(rng(1), 5))).pairs


def test_every_stratum_has_exactly_as_many_pairs(pairs):
    strata = Counter((pair.group, pair.base, pair.run_length, pair.corruption) for pair in pairs)
    assert strata == Counter(product(GROUPS, "ACGT", RUN_LENGTHS, CORRUPTIONS))
    assert len({pair.read for pair in pairs}) == len(pairs)


def test_validation_and_test_have_equal_shares_of_every_group_base_and_corruption(pairs):
    halves = Counter((pair.group, pair.base, pair.corruption, pair.split) for pair in pairs)
    assert set(halves.values()) == {3}  # of six run lengths
    assert len(halves) == 2 * 4 * 4 * 2


def test_a_homopolymer_pair_has_its_run_alone_and_in_the_middle(pairs):
    for pair in pairs:
        if pair.group != "homopolymer":
            continue
        end = pair.run_first + pair.run_length
        assert pair.clean_sequence[pair.run_first : end] == pair.base * pair.run_length
        assert pair.clean_sequence[pair.run_first - 1] != pair.base
        assert pair.clean_sequence[end] != pair.base
        assert abs(pair.clean_boundaries[pair.run_first] + pair.clean_boundaries[end] - len(pair.clean)) <= 1
        assert pair.affected == end - 1


def test_a_stretch_of_the_other_group_has_no_two_equal_neighbours_before_or_after_a_base_is_left_out(pairs):
    for pair in pairs:
        if pair.group == "homopolymer":
            continue
        stretch = pair.clean_sequence[pair.run_first - 1 : pair.run_first + pair.run_length + 1]
        assert all(one != other for one, other in pairwise(stretch))
        assert pair.clean_sequence[pair.affected] == pair.base
        assert pair.affected - pair.run_first == pair.run_length // 2
        if pair.corruption == "repeat_fewer":
            changed = pair.corrupted_sequence[pair.run_first - 1 : pair.run_first + pair.run_length]
            assert all(one != other for one, other in pairwise(changed))


def test_the_six_bases_on_either_side_of_a_place_hold_no_other_run(pairs):
    for pair in pairs:
        first, end = pair.run_first, pair.run_first + pair.run_length
        for near in (pair.clean_sequence[first - 6 : first + 1], pair.clean_sequence[end - 1 : end + 6]):
            assert len(near) == 7
            assert all(one != other for one, other in pairwise(near))


def test_the_two_sides_differ_inside_their_place_and_nowhere_else(pairs):
    for pair in pairs:
        differs = np.flatnonzero(pair.clean != pair.corrupted)
        assert differs.size > 0
        assert pair.start <= differs[0]
        assert differs[-1] < pair.end
        assert len(pair.clean) == len(pair.corrupted) == 720
        if pair.corruption in ("noise", "dampening"):
            run = pair.clean_boundaries[[pair.run_first, pair.run_first + pair.run_length]]
            assert run.tolist() == [pair.start, pair.end]


def test_a_re_simulation_has_one_base_more_or_fewer_and_it_is_the_affected_one(pairs):
    for pair in pairs:
        if pair.corruption not in ("repeat_more", "repeat_fewer"):
            assert pair.corrupted_sequence is None
            continue
        letters = list(pair.clean_sequence)
        if pair.corruption == "repeat_more":
            letters.insert(pair.affected, letters[pair.affected])
        else:
            del letters[pair.affected]
        assert "".join(letters) == pair.corrupted_sequence


def test_a_run_lasts_longer_by_the_added_base_and_the_bases_behind_it_make_up_for_it(pairs):
    gained = []
    for pair in pairs:
        if pair.corruption != "repeat_more":
            continue
        first, end = pair.run_first, pair.run_first + pair.run_length
        clean, corrupted = np.diff(pair.clean_boundaries), np.diff(pair.corrupted_boundaries)
        assert clean.sum() == corrupted.sum()
        gained.append(corrupted[first : end + 1].sum() - clean[first:end].sum())
        assert np.array_equal(clean[:first], corrupted[:first])
        assert np.array_equal(clean[end + SLACK :], corrupted[end + SLACK + 1 :])
        assert corrupted.min() >= 1
    assert np.mean(gained) == pytest.approx(12.5, abs=2)


@pytest.mark.parametrize(("k", "before"), [(3, 1), (4, 2)])
def test_both_sides_are_the_levels_of_their_own_sequence(k, before):
    levels = KmerLevels(10.0 * np.arange(4**k), np.ones(4**k))
    in_pa = Normalisation(standardise=False)
    for pair in simulate_pairs(rng(2), 1, Recipe(levels, normalisation=in_pa, current=SILENT)).pairs:
        if pair.corruption not in ("repeat_more", "repeat_fewer"):
            continue
        for signal, sequence, borders in (
            (pair.clean, pair.clean_sequence, pair.clean_boundaries),
            (pair.corrupted, pair.corrupted_sequence, pair.corrupted_boundaries),
        ):
            for base, number in enumerate(kmer_numbers(encode(sequence), k), start=before):
                assert set(signal[borders[base] : borders[base + 1]].tolist()) == {10.0 * number}


def test_the_noise_outside_and_at_unchanged_levels_inside_is_the_same_draw():
    flat = KmerLevels(np.array([80.0, 80.0, 80.0, 120.0]), np.full(4, 2.0))  # only T is told apart
    recipe = Recipe(flat, normalisation=Normalisation(standardise=False))
    for pair in simulate_pairs(rng(3), 1, recipe).pairs:
        if pair.corruption in ("noise", "dampening"):
            continue
        step = np.abs(pair.clean - pair.corrupted)
        assert ((step < 1e-3) | (np.abs(step - 40) < 3)).all()  # 40 pA times the channel's gain


def test_a_table_in_which_nothing_differs_gives_no_re_simulation_and_says_so():
    levels = KmerLevels(np.full(4, 90.0), np.full(4, 2.0))
    found = simulate_pairs(rng(4), 1, Recipe(levels))
    assert {pair.corruption for pair in found.pairs} == {"noise", "dampening"}
    assert found.refused["refused_equal_levels"] == 20 * 96


def test_signals_too_short_for_the_longest_run_are_refused():
    with pytest.raises(UsageError, match="too short"):
        simulate_pairs(rng(5), 1, Recipe(simulate_levels(rng(1), 5), samples=300))


def test_equal_seeds_give_equal_pairs():
    recipe = Recipe(simulate_levels(rng(1), 5))
    one, again, other = (simulate_pairs(rng(seed), 1, recipe).pairs for seed in (6, 6, 7))
    assert all(np.array_equal(a.corrupted, b.corrupted) for a, b in zip(one, again, strict=True))
    assert [pair.clean_sequence for pair in one] != [pair.clean_sequence for pair in other]


def test_noise_and_dampening_by_hand():
    signal = np.array([0.0, 2.0, 4.0, 0.0], dtype=np.float32)
    draws = np.array([1.0, -1.0], dtype=np.float32)
    noisy = corrupt(signal, 1, 3, "noise", 0.5, draws)
    assert noisy == pytest.approx([0, 2 + 0.5 * signal.std(), 4 - 0.5 * signal.std(), 0])
    assert corrupt(signal, 1, 3, "dampening", 0.5, draws).tolist() == [0, 2.5, 3.5, 0]
    assert corrupt(signal, 1, 3, "dampening", 1.0, draws).tolist() == [0, 3, 3, 0]
    assert signal.tolist() == [0, 2, 4, 0]
    with pytest.raises(ValueError, match="changes the sequence"):
        corrupt(signal, 1, 3, "repeat_more", 1.0, draws)


def test_the_weakest_strength_that_changes_the_call_is_taken_and_else_the_strongest():
    ladder = Ladder(dampening=(0.25, 0.5, 1.0))
    signals = [np.array([0, 8, -8, 0], dtype=np.float32), np.array([0, 1, -1, 0], dtype=np.float32)]

    def call(batch):  # notices a peak of more than 5
        return ["A" if signal.max() > 5 else "C" for signal in batch]

    changed, unchanged = weakest_that_changes_the_call(signals, [(1, 3), (1, 3)], "dampening", ladder, call, rng())
    assert (changed.strength, changed.clean_call, changed.corrupted_call) == (0.5, "A", "C")
    assert changed.signal.tolist() == [0, 4, -4, 0]
    assert (unchanged.strength, unchanged.clean_call, unchanged.corrupted_call) == (1.0, "C", "C")


def test_simulated_pairs_carry_the_calls_of_the_caller_that_chose_their_strength():
    def call(batch):  # notices samples far from the others
        return [str(int(np.abs(signal).max() > 4)) for signal in batch]

    pairs = simulate_pairs(rng(8), 1, Recipe(simulate_levels(rng(1), 5)), caller=call).pairs
    noisy = [pair for pair in pairs if pair.corruption == "noise"]
    assert len({pair.strength for pair in noisy}) > 1
    for pair in pairs:
        assert [pair.clean_call, pair.corrupted_call] == call([pair.clean, pair.corrupted])
    for pair in noisy:
        assert pair.corrupted_call != pair.clean_call or pair.strength == 2.0


def test_pairs_come_back_from_their_table_and_arrays(pairs, tmp_path):
    write(tmp_path / "pairs.csv", pair_table(pairs), ".csv")
    write(tmp_path / "pairs.npz", pair_arrays(pairs), ".npz")
    back = pairs_of(read(tmp_path / "pairs.csv", ".csv"), read(tmp_path / "pairs.npz", ".npz"))
    assert len(back) == len(pairs)
    for pair, found in zip(pairs, back, strict=True):
        for name in pair._fields:
            assert np.array_equal(getattr(pair, name), getattr(found, name)), name
    assert isinstance(pair_table(pairs), pd.DataFrame)


def test_stretches_of_a_call_are_runs_and_places_without_runs():
    found = list(stretches_of("CAAAG" + "TACGACT" + "GGGGGGGGGA" + "TTTT"))
    assert [(each.group, each.base, each.first, each.length) for each in found] == [
        ("homopolymer", "A", 1, 3),
        ("other", "A", 5, 3),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_every_stretch_of_a_random_call_is_what_it_says(seed):
    sequence = "".join(rng(seed).choice(list("ACGT"), size=3000))
    found = list(stretches_of(sequence))
    runs = [(place, length) for place, length in run_places(sequence) if length in RUN_LENGTHS]
    assert [(each.first, each.length) for each in found if each.group == "homopolymer"] == [
        (place, length) for place, length in runs if place > 0 and place + length < len(sequence)
    ]
    others = [each for each in found if each.group == "other"]
    assert len({each.length for each in others}) == len(RUN_LENGTHS)
    for each in others:
        flanked = sequence[each.first - 1 : each.first + each.length + 1]
        assert all(one != other for one, other in pairwise(flanked))
        middle = each.first + each.length // 2
        assert sequence[middle] == each.base
        assert sequence[middle - 1] != sequence[middle + 1]
    assert all(one.first + one.length <= other.first for one, other in pairwise(others))


def run_places(sequence):
    place = 0
    for _, run in groupby(sequence):
        length = len(list(run))
        yield place, length
        place += length


def plain_read(sequence, dwell=12):
    """A read whose level is its base's number, and the places of its bases."""
    signal = np.repeat(encode(sequence).astype(np.float32), dwell)
    return CalledRead("r1", signal, 90.0, 20.0, "test", sequence, np.arange(len(sequence)) * dwell)


def call_by_level(batch):
    """A base for each twelve samples, by the mean of their levels, X where they are uneven."""
    cells = batch.reshape(len(batch), -1, 12)
    bases = np.clip(np.rint(cells.mean(axis=2)), 0, 3).astype(int)
    letters = np.where(cells.std(axis=2) > 0.5, "X", np.array(list("ACGT"))[bases])
    return ["".join(row) for row in letters]


def test_pairs_of_a_called_read_are_balanced_between_the_groups_and_change_the_call():
    sequence = "".join(rng(9).choice(list("ACGT"), size=6000))
    read_ = plain_read(sequence)
    found = called_pairs(rng(), [read_], call_by_level, samples=720, most=48)
    strata = Counter((pair.group, pair.base, pair.run_length, pair.corruption) for pair in found.pairs)
    assert found.pairs
    for (_, base, length, corruption), count in strata.items():
        assert strata["homopolymer", base, length, corruption] == strata["other", base, length, corruption] == count
    assert max(strata.values()) <= 2
    assert {pair.corruption for pair in found.pairs if pair.group == "homopolymer"} == {"noise"}  # a plateau stays one
    for pair in found.pairs:
        assert pair.corrupted_call != pair.clean_call
        assert pair.corrupted_sequence is None
        assert pair.clean_sequence[pair.affected] == pair.base
        differs = np.flatnonzero(pair.clean != pair.corrupted)
        assert pair.start <= differs[0]
        assert differs[-1] < pair.end
        assert (pair.end - pair.start) == 12 * pair.run_length
        assert (pair.read, pair.split, pair.shift) == ("r1", "test", 90.0)


def test_places_that_give_no_pair_are_counted_by_reason():
    edge = plain_read("CAAAG" + "CT" * 60 + "GTTTTTA" + "CT" * 60)
    stuck = called_pairs(rng(), [edge], lambda batch: ["X"] * len(batch), samples=720, most=48)
    assert stuck.pairs == []
    assert stuck.refused["refused_near_an_end"] == 1
    assert stuck.refused["refused_called_otherwise"] == 2  # the run of five, noisier and flatter
    long = plain_read("CT" * 60 + "GTTTTTA" + "CT" * 60, dwell=100)
    slow = called_pairs(rng(), [long], call_by_level, samples=720, most=48)
    assert slow.refused["refused_too_long"] == 1
    deaf = called_pairs(rng(), [edge], lambda batch: [edge.sequence] * len(batch), samples=720, most=48)
    assert deaf.refused["refused_call_unchanged"] == 2
