"""Windows on peaks, and their matches, on a small genome with a known composition."""

import numpy as np
import pandas as pd
import pytest

from mints.data.composition import gc_content
from mints.data.genome import Genome
from mints.data.peaks import CALIPER, matched_negatives, peak_windows
from mints.errors import MintsError

WIDTH = 50
LENGTH = 60_000


def peaks(*rows):
    """Rows of chromosome, start, end, summit."""
    table = pd.DataFrame(rows, columns=["chromosome", "start", "end", "summit"])
    return table.assign(signal=np.arange(len(table), dtype=float)).astype({"summit": "Int64"})


@pytest.fixture
def genome(tmp_path):
    """Two chromosomes whose GC content rises from 0.2 to 0.8, with a run of N."""
    rng = np.random.default_rng(0)
    texts = []
    for name in ("chr1", "chr2"):
        gc = np.linspace(0.2, 0.8, LENGTH)
        letters = np.where(rng.random(LENGTH) < gc, rng.choice(list("GC"), LENGTH), rng.choice(list("AT"), LENGTH))
        letters[5_000:5_100] = "N"
        texts.append(f">{name}\n{''.join(letters)}\n")
    path = tmp_path / "genome.fa"
    path.write_text("".join(texts))
    return Genome.open(path, tmp_path / "genomes")


def test_windows_are_centred_on_the_summit_else_on_the_middle(genome):
    windows = peak_windows(peaks(("chr1", 1000, 1100, 1030), ("chr2", 1000, 1101, None)), genome, WIDTH)
    assert windows.table["start"].tolist() == [1005, 1025]
    assert windows.table["sequence"].tolist() == [genome.fetch("chr1", 1005, 1055), genome.fetch("chr2", 1025, 1075)]
    assert windows.table["signal"].tolist() == [0.0, 1.0]
    assert set(windows.dropped.values()) == {0}


def test_peaks_that_give_no_window_of_their_own_are_counted_by_reason(genome):
    asked = peaks(
        ("chr1", 0, 20, 10),
        ("chr1", LENGTH - 10, LENGTH, LENGTH - 5),
        ("chr1", 1000, 1100, 1050),
        ("chr1", 900, 1200, 1050),
        ("chr2", 1000, 1100, 1050),
        ("chr1", 4_900, 5_000, 4_980),
        ("chr1", 4_900, 5_000, 4_975),
    )
    windows = peak_windows(asked, genome, WIDTH)
    assert windows.dropped == {
        "beyond_the_chromosome": 2,
        "on_the_blacklist": 0,
        "same_window_as_another": 1,
        "has_n": 1,
    }
    places = windows.table[["chromosome", "start", "end"]].to_numpy().tolist()
    assert places == [["chr1", 1025, 1075], ["chr1", 4950, 5000], ["chr2", 1025, 1075]]


def test_of_peaks_with_one_summit_the_strongest_gives_the_window(genome):
    asked = peaks(("chr1", 900, 1200, 1050), ("chr1", 1000, 1100, 1050), ("chr1", 1040, 1060, 1050))
    windows = peak_windows(asked.assign(signal=[2.0, 7.0, np.nan]), genome, WIDTH)
    assert windows.table[["start", "signal"]].to_numpy().tolist() == [[1025, 7.0]]
    assert windows.dropped["same_window_as_another"] == 2


def blacklist(*rows):
    return pd.DataFrame(rows, columns=["chromosome", "start", "end"])


def test_peaks_on_the_blacklist_are_left_out_by_window_or_by_peak_and_those_beside_it_stay(genome):
    asked = peaks(
        ("chr1", 1000, 1100, 1050),  # window 1025-1075: touches the interval before it, shares nothing
        ("chr1", 2040, 2060, 2050),  # window 2025-2075: its last base is listed, its peak is not
        ("chr1", 3000, 3100, 3010),  # window 2985-3035: not listed, its peak is
        ("chr2", 1000, 1100, 1050),  # another chromosome
    )
    listed = blacklist(("chr1", 0, 1000), ("chr1", 1100, 1200), ("chr1", 2074, 2099), ("chr1", 3099, 4000))
    windows = peak_windows(asked, genome, WIDTH, listed)
    assert windows.table[["chromosome", "start"]].to_numpy().tolist() == [["chr1", 1025], ["chr2", 1025]]
    assert windows.dropped["on_the_blacklist"] == 2
    assert len(peak_windows(asked, genome, WIDTH).table) == 4


def test_matches_keep_away_from_the_blacklist_and_what_was_left_out_is_counted(genome, some_peaks):
    listed = blacklist(("chr1", 10_000, 30_000), ("chr1", 29_000, 40_000), ("chr1", 45_010, 45_020))
    windows = peak_windows(some_peaks, genome, WIDTH, listed).table
    matches = matched_negatives(windows, genome, some_peaks, np.random.default_rng(0), listed)
    for row in matches.table.itertuples():
        for place in listed[listed["chromosome"] == row.chromosome].itertuples():
            assert row.end <= place.start or row.start >= place.end
    share = matches.candidates["on_the_blacklist"] / matches.candidates["drawn"]
    assert share == pytest.approx(30_000 / LENGTH / 2, abs=0.02)  # half of one of two chromosomes
    assert 0 < matches.candidates["has_n"] < matches.candidates["drawn"] * 0.01
    free = matched_negatives(windows, genome, some_peaks, np.random.default_rng(0))
    assert "on_the_blacklist" not in free.candidates
    assert free.candidates["on_a_peak"] > 0


@pytest.fixture
def some_peaks():
    rng = np.random.default_rng(1)
    summits = rng.integers(200, LENGTH - 200, 40)
    return peaks(*[(f"chr{1 + i % 2}", s - 60, s + 90, s) for i, s in enumerate(summits.tolist())])


def test_matches_are_alike_in_number_width_chromosome_and_gc(genome, some_peaks):
    windows = peak_windows(some_peaks, genome, WIDTH).table
    matches = matched_negatives(windows, genome, some_peaks, np.random.default_rng(0)).table
    assert (matches["end"] - matches["start"]).unique().tolist() == [WIDTH]
    for chromosome, rows in windows.groupby("chromosome"):
        own = matches[matches["chromosome"] == chromosome]
        assert len(own) == len(rows)
        assert own["sequence"].tolist() == [
            genome.fetch(chromosome, s, e) for s, e in zip(own["start"], own["end"], strict=True)
        ]
        differences = np.sort(gc_content(own["sequence"].tolist())) - np.sort(gc_content(rows["sequence"].tolist()))
        assert np.abs(differences).max() <= CALIPER + 1e-12


def test_matches_share_no_base_with_a_peak_a_window_or_one_another_and_have_no_n(genome, some_peaks):
    windows = peak_windows(some_peaks, genome, WIDTH).table
    matches = matched_negatives(windows, genome, some_peaks, np.random.default_rng(0)).table
    for chromosome in ("chr1", "chr2"):
        used = np.zeros(genome.lengths[chromosome], dtype=int)
        for table in (some_peaks, windows):
            for row in table[table["chromosome"] == chromosome].itertuples():
                used[row.start : row.end] = 1
        for row in matches[matches["chromosome"] == chromosome].itertuples():
            assert not used[row.start : row.end].any()
            used[row.start : row.end] = 1
    assert not matches["sequence"].str.contains("N").any()


def test_the_same_generator_draws_the_same_matches(genome, some_peaks):
    windows = peak_windows(some_peaks, genome, WIDTH).table
    first, second = (matched_negatives(windows, genome, some_peaks, np.random.default_rng(4)).table for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_a_window_unlike_everything_else_stays_without_a_match(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\n" + "A" * 500 + "G" * 50 + "A" * 500 + "\n")
    genome = Genome.open(path, tmp_path / "genomes")
    asked = peaks(("chr1", 500, 550, 525), ("chr1", 100, 150, 125))
    windows = peak_windows(asked, genome, WIDTH).table
    assert len(matched_negatives(windows, genome, asked, np.random.default_rng(0)).table) == 1
    with pytest.raises(MintsError, match=r"no window of .*genome.fa away from the peaks matches them"):
        matched_negatives(windows[windows["start"] == 500], genome, asked, np.random.default_rng(0))


def test_matches_find_room_between_one_another_where_it_is_narrow(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\n" + "ACGT" * 100 + "N" * 400 + "\n")
    genome = Genome.open(path, tmp_path / "genomes")
    asked = peaks(*[("chr1", start, start + 50, start + 25) for start in (0, 50, 100)])
    windows = peak_windows(asked, genome, WIDTH).table
    for seed in range(5):
        matches = matched_negatives(windows, genome, asked, np.random.default_rng(seed)).table.sort_values("start")
        assert matches["start"].min() >= 150
        assert matches["end"].max() <= 400
        assert (matches["start"].to_numpy()[1:] >= matches["end"].to_numpy()[:-1]).all()


def test_a_chromosome_as_long_as_a_window_has_no_other_place(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\n" + "ACGTA" * 10 + "\n")
    genome = Genome.open(path, tmp_path / "genomes")
    asked = peaks(("chr1", 0, 50, 25))
    windows = peak_windows(asked, genome, WIDTH).table
    assert len(windows) == 1
    with pytest.raises(MintsError, match=r"no window of .*genome.fa away from the peaks"):
        matched_negatives(windows, genome, asked, np.random.default_rng(0))
