"""Simulated current: k-mer tables, strands, dwells and training chunks."""

from itertools import groupby, pairwise

import numpy as np
import pytest

from mints.data.nanopore.current import (
    CurrentSettings,
    draw_dwells,
    simulate_reads,
    targets_of,
    training_chunks,
)
from mints.data.nanopore.levels import (
    KmerLevels,
    kmer_letters,
    kmer_numbers,
    read_levels,
    simulate_levels,
    write_levels,
)
from mints.data.nanopore.normalisation import Normalisation
from mints.data.nanopore.strands import StrandSettings, draw_strands
from mints.data.sequences import decode, encode
from mints.errors import MintsError

SILENT = CurrentSettings(noise=0, drift=0, gain=0, offset=0)
IN_PA = Normalisation(standardise=False)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unmistakable_levels(k: int = 3) -> KmerLevels:
    """Every k-mer has a level of its own, ten times its number, so that it can be read off."""
    return KmerLevels(10.0 * np.arange(4**k), np.ones(4**k))


def test_a_kmer_s_number_is_its_letters_in_base_four_the_first_most_significant():
    assert kmer_letters(3)[27] == "CGT"
    assert kmer_numbers(encode("CGTA"), 3).tolist() == [1 * 16 + 2 * 4 + 3, 2 * 16 + 3 * 4 + 0]


@pytest.mark.parametrize("k", [5, 6])
def test_simulated_levels_have_the_pore_s_mean_and_spread_and_tell_neighbouring_kmers_apart(k):
    levels = simulate_levels(rng(1), k)
    assert levels.mean.mean() == pytest.approx(93.7)
    assert levels.mean.std() == pytest.approx(23.5)
    following = [(one, (one * 4 + base) % 4**k) for one in range(4**k) for base in range(4)]
    steps = [abs(levels.mean[a] - levels.mean[b]) for a, b in following if a != b]
    assert np.mean(np.array(steps) > 3.0) > 0.9  # more than the noise of one sample
    assert len(np.unique(levels.mean)) == 4**k


def test_the_central_base_has_the_most_to_say_about_a_level():
    mean = simulate_levels(rng(2), 5).mean.reshape(4, 4, 4, 4, 4)
    told = [mean.mean(axis=tuple(other for other in range(5) if other != place)).std() for place in range(5)]
    assert max(told) == told[2]
    assert min(told[1], told[3]) > max(told[0], told[4])


def test_a_table_is_read_back_as_it_was_written_and_in_any_order(tmp_path):
    levels = simulate_levels(rng(3), 3)
    write_levels(levels, tmp_path / "levels.tsv")
    header, *lines = (tmp_path / "levels.tsv").read_text().splitlines()
    (tmp_path / "turned.tsv").write_text("\n".join([header, *reversed(lines)]))
    for name in ("levels.tsv", "turned.tsv"):
        found = read_levels(tmp_path / name)
        assert found.k == 3
        assert np.allclose(found.mean, levels.mean, atol=1e-4)
        assert np.allclose(found.deviation, levels.deviation, atol=1e-4)


def test_a_table_as_oxford_nanopore_publishes_it_has_two_columns_and_no_header(tmp_path):
    path = tmp_path / "2mer_levels.txt"
    path.write_text("".join(f"{kmer}\t{value:.3f}\n" for kmer, value in zip(kmer_letters(2), range(16), strict=True)))
    levels = read_levels(path)
    assert levels.mean.tolist() == list(range(16))
    assert levels.deviation.tolist() == [3.0] * 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no k-mer"),
        ("kmer\tlevel_mean\nAXA\t1.0\n", "line 2: expected a k-mer of ACGT"),
        ("AAA 1.0\n", "line 1: expected a k-mer"),
        ("AAA\tone\n", "are no numbers"),
        ("AAA\tnan\n", "cannot be"),
        ("AAA\t1\nAAA\t2\n", "line 2: AAA was given before"),
        ("AAA\t1\nAA\t2\n", "another length"),
        ("A\t1\nC\t1\nT\t1\n", "3 of the 4 k-mers of length 1: G is missing"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "levels.tsv").write_text(content)
    with pytest.raises(MintsError, match=message) as caught:
        read_levels(tmp_path / "levels.tsv")
    assert "levels.tsv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_strands_have_their_composition_and_long_runs_of_every_base():
    strands = draw_strands(rng(4), 200, 1000, StrandSettings(gc_low=0.3, gc_high=0.6))
    gc = np.isin(strands, (1, 2)).mean(axis=1)
    assert gc.mean() == pytest.approx(0.45, abs=0.02)
    assert 0.2 < gc.min() < 0.36
    assert 0.54 < gc.max() < 0.7
    longest = {base: max(len(list(run)) for code, run in groupby(strands.ravel()) if code == base) for base in range(4)}
    assert min(longest.values()) >= 8


def test_without_extension_a_run_of_three_is_as_rare_as_chance_has_it():
    strands = draw_strands(rng(5), 100, 2000, StrandSettings(gc_low=0.5, gc_high=0.5, extended=0))
    runs = [len(list(run)) for row in strands for _, run in groupby(row)]
    assert np.mean(np.array(runs) >= 3) == pytest.approx(1 / 16, abs=0.004)


def test_dwells_have_the_mean_of_sample_rate_over_speed_and_the_deviation_asked_for():
    dwells = draw_dwells(rng(6), (100_000,), CurrentSettings(dwell_deviation=4.0))
    assert dwells.mean() == pytest.approx(5000 / 400, abs=0.1)
    assert dwells.std() == pytest.approx(4.0, abs=0.1)
    assert dwells.min() >= 2


@pytest.mark.parametrize(("k", "before", "after"), [(3, 1, 1), (4, 2, 1)])
def test_a_silent_read_is_the_level_of_each_base_s_kmer_held_for_its_dwell(k, before, after):
    levels = unmistakable_levels(k)
    (read,) = simulate_reads(rng(7), 1, levels=levels, bases=60, current=SILENT)
    assert read.boundaries[0] == 0
    assert read.boundaries[-1] == len(read.current)
    for base in range(before, 60 - after):
        dwell = read.current[read.boundaries[base] : read.boundaries[base + 1]]
        expected = levels.mean[kmer_letters(k).index(read.sequence[base - before : base + after + 1])]
        assert set(dwell.tolist()) == {expected}


def test_the_level_of_every_kmer_is_recovered_from_noisy_reads():
    levels = simulate_levels(rng(8), 3)
    reads = simulate_reads(rng(9), 40, levels=levels, bases=400, current=CurrentSettings(drift=0, gain=0, offset=0))
    samples: list[list[float]] = [[] for _ in range(64)]
    for read in reads:
        inner = kmer_numbers(encode(read.sequence), 3)
        for base, number in enumerate(inner, start=1):
            samples[number] += read.current[read.boundaries[base] : read.boundaries[base + 1]].tolist()
    assert np.array([np.mean(each) for each in samples]) == pytest.approx(levels.mean, abs=0.8)
    assert np.array([np.std(each) for each in samples]) == pytest.approx(levels.deviation, abs=0.5)


def test_gain_offset_and_drift_move_a_read_as_much_as_they_are_set_to():
    settings = SILENT._replace(gain=0.05, offset=2.0, drift=1.0)
    flat = KmerLevels(np.full(4, 100.0), np.ones(4))
    reads = simulate_reads(rng(10), 300, levels=flat, bases=200, current=settings)
    starts = np.array([read.current[0] for read in reads])
    assert starts.mean() == pytest.approx(100, abs=1)
    assert starts.std() == pytest.approx(np.sqrt(5**2 + 2**2 + 1**2), rel=0.12)
    within = np.array([read.current[1000] - read.current[0] for read in reads])  # two independent values of the drift
    assert within.std() == pytest.approx(np.sqrt(2), rel=0.12)


def test_the_targets_of_a_chunk_are_the_bases_whose_dwell_has_its_middle_in_it():
    levels = unmistakable_levels()
    chunks = next(training_chunks(rng(11), batch=6, samples=500, levels=levels, normalisation=IN_PA, current=SILENT))
    assert chunks.signal.shape == (6, 500)
    for signal, targets, length in zip(chunks.signal, chunks.targets, chunks.lengths, strict=True):
        assert (targets[:length] > 0).all()
        assert (targets[length:] == 0).all()
        # The middle letter of the k-mer at every sample; a change of level is a change of base.
        numbers = np.rint(signal / 10).astype(int)
        seen = decode(np.array([number // 4 % 4 for number, _ in groupby(numbers)], dtype=np.uint8))
        called = decode((targets[:length] - 1).astype(np.uint8))
        joined = "".join(letter for letter, _ in groupby(seen))
        assert "".join(letter for letter, _ in groupby(called)) in joined
        assert len(joined) - len("".join(letter for letter, _ in groupby(called))) <= 2


def test_a_base_belongs_to_a_chunk_by_the_middle_of_its_dwell():
    codes = np.array([[0, 1, 2, 3]] * 3, dtype=np.uint8)
    dwells = np.full((3, 4), 4)  # middles at 2, 6, 10 and 14
    targets, lengths = targets_of(codes, dwells, np.array([0, 1, 3]), 9)
    assert lengths.tolist() == [2, 2, 2]
    assert targets.tolist() == [[1, 2], [1, 2], [2, 3]]
    targets, lengths = targets_of(codes, dwells, np.array([0, 1, 3]), 10)
    assert lengths.tolist() == [2, 3, 2]
    assert targets.tolist() == [[1, 2, 0], [1, 2, 3], [2, 3, 0]]


def test_a_chunk_has_as_many_targets_as_its_samples_have_dwells():
    chunks = next(training_chunks(rng(12), batch=64, samples=2000, levels=simulate_levels(rng(0))))
    assert chunks.lengths.mean() == pytest.approx(2000 / 12.5, rel=0.02)
    assert chunks.signal.dtype == np.float32
    assert abs(chunks.signal.mean()) < 0.2
    assert chunks.signal.std() == pytest.approx(1, abs=0.1)


def test_equal_seeds_give_equal_chunks_and_reads_and_others_do_not():
    levels = simulate_levels(rng(0))
    for draw in (
        lambda seed: next(training_chunks(rng(seed), batch=4, samples=300, levels=levels)).signal,
        lambda seed: simulate_reads(rng(seed), 2, levels=levels, bases=50)[1].current,
    ):
        assert np.array_equal(draw(1), draw(1))
        assert not np.array_equal(draw(1)[..., :50], draw(2)[..., :50])


def test_runs_are_whole_in_the_sequence_that_a_read_reports():
    (read,) = simulate_reads(rng(13), 1, levels=simulate_levels(rng(0)), bases=500)
    assert len(read.sequence) == 500
    assert len(read.boundaries) == 501
    assert all(later - earlier >= 2 for earlier, later in pairwise(read.boundaries))
