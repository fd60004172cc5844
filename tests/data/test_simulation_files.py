"""The simulated experiment and its files: read back by other code than wrote them."""

import gzip
from hashlib import sha256

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from scipy.stats import spearmanr

from mints.config import Simulation
from mints.data.simulation import (
    ctcf_signal,
    simulate_ctcf_peaks,
    simulate_genome,
    simulate_tasks,
    write_simulation,
)

SMALL = Simulation(
    seed=5,
    chromosomes=5,
    chromosome_length=150_007,
    train_sequences=80,
    validation_sequences=20,
    test_sequences=40,
)


@pytest.fixture(scope="module")
def genome():
    return simulate_genome(SMALL)


@pytest.fixture(scope="module")
def peaks(genome):
    return simulate_ctcf_peaks(genome, SMALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulation") / "simulated_genome"
    return folder, write_simulation(SMALL, folder)


def nearest_site(genome, peaks):
    """Distance from each summit to the nearest site's centre, and that site's strength."""
    sites = genome.annotation[genome.annotation["kind"] == "ctcf"]
    distances, strengths = [], []
    for peak in peaks.itertuples():
        own = sites[sites["chromosome"] == peak.chromosome]
        distance = abs((own["start"] + own["end"]) // 2 - (peak.start + peak.summit))
        distances.append(distance.min())
        strengths.append(own.loc[distance.idxmin(), "strength"])
    return np.array(distances), np.array(strengths)


def test_summits_lie_within_15_bases_of_a_site_but_for_one_in_twenty_which_lies_far_off(genome, peaks):
    distance, _ = nearest_site(genome, peaks)
    assert (distance <= 15).mean() == pytest.approx(0.95, abs=0.01)
    assert distance[distance > 15].min() > 480


def test_peaks_contain_their_summit_and_have_the_widths_of_the_recipe(peaks):
    inner = peaks[(peaks["start"] > 0) & (peaks["end"] < 150_007)]
    assert (inner["end"] - inner["start"]).between(150, 400).all()
    assert (peaks["summit"] >= 0).all()
    assert (peaks["start"] + peaks["summit"] < peaks["end"]).all()
    assert inner["summit"].div(inner["end"] - inner["start"]).between(0.38, 0.61).all()


def test_a_peak_s_signal_grows_with_its_site_s_strength(genome, peaks):
    distance, strength = nearest_site(genome, peaks)
    true = distance <= 15
    assert spearmanr(strength[true], peaks["signal"][true]).statistic > 0.5
    assert peaks["signal"][~true].mean() < 0.6 * peaks["signal"][true].mean()


def test_only_weak_sites_go_without_a_peak_and_about_a_tenth_of_them():
    large = Simulation(seed=5, chromosomes=5, chromosome_length=600_000)
    genome = simulate_genome(large)
    peaks = simulate_ctcf_peaks(genome, large)
    summits = {name: own["start"] + own["summit"] for name, own in peaks.groupby("chromosome")}
    sites = genome.annotation[genome.annotation["kind"] == "ctcf"]
    found = [abs(summits[r.chromosome] - (r.start + r.end) // 2).min() <= 15 for r in sites.itertuples()]
    weak = (sites["strength"] < 14).to_numpy()
    assert np.all(np.array(found)[~weak])
    assert 1 - np.mean(np.array(found)[weak]) == pytest.approx(0.10, abs=0.05)


def test_the_signal_is_one_away_from_peaks_and_peaks_at_summits(genome, peaks):
    signals = ctcf_signal(genome, peaks, SMALL)
    for name, own in peaks.groupby("chromosome"):
        at = ((own["start"] + own["summit"]) // 10).to_numpy()
        at_summits = signals[name][at]
        assert at_summits == pytest.approx(own["signal"].to_numpy(), rel=0.5, abs=8)
        far = np.min(abs(np.arange(15_000)[:, None] - at), axis=1) > 25
        assert signals[name][far].mean() == pytest.approx(1, abs=0.05)


def test_the_same_configuration_gives_the_same_bytes(written, tmp_path):
    folder, summary = written
    assert write_simulation(SMALL, tmp_path) == summary
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(names) == 7 + 6 * 3
    for name in names:
        assert sha256((tmp_path / name).read_bytes()).digest() == sha256((folder / name).read_bytes()).digest(), name


def test_the_fasta_holds_the_genome_in_lines_of_60_with_repeats_in_lower_case(written, genome):
    records = (written[0] / "genome.fa").read_text().split(">")[1:]
    for record, (name, codes) in zip(records, genome.chromosomes.items(), strict=True):
        header, *lines = record.splitlines()
        assert header == name
        assert {len(line) for line in lines[:-1]} == {60}
        text = "".join(lines)
        assert text.upper() == "".join("ACGT"[code] for code in codes)
        masked = np.zeros(len(text), dtype=bool)
        for row in genome.annotation[genome.annotation["chromosome"] == name].itertuples():
            if row.kind in ("repeat", "microsatellite"):
                masked[row.start : row.end] = True
        assert [letter.islower() for letter in text] == masked.tolist()


def test_the_truth_is_bed_with_strength_and_detail(written, genome):
    lines = (written[0] / "truth.bed").read_text().splitlines()
    assert lines[0].startswith("#chromosome\tstart\tend\tkind\tscore\tstrand\tstrength\tdetail")
    assert len(lines) == len(genome.annotation) + 1
    for line, row in zip(lines[1:], genome.annotation.itertuples(), strict=True):
        chromosome, start, end, kind, score, strand, strength, detail = line.split("\t")
        assert (chromosome, int(start), int(end), kind, strand) == row[1:6]
        assert score == "0"
        assert detail == (row.detail or ".")
        assert (strength == ".") if np.isnan(row.strength) else float(strength) == pytest.approx(row.strength, abs=1e-4)


def test_the_narrow_peak_file_has_ten_columns_and_no_time_stamp(written, peaks):
    raw = (written[0] / "ctcf.narrowPeak.gz").read_bytes()
    assert raw[4:8] == b"\0\0\0\0"
    rows = [line.split("\t") for line in gzip.decompress(raw).decode().splitlines()]
    assert {len(row) for row in rows} == {10}
    assert [(row[0], int(row[1]), int(row[2]), int(row[9])) for row in rows] == list(
        peaks[["chromosome", "start", "end", "summit"]].itertuples(index=False, name=None)
    )
    assert all(0 <= int(row[4]) <= 1000 and row[5] == "." for row in rows)
    assert [float(row[6]) for row in rows] == pytest.approx(peaks["signal"].tolist())


def test_the_bigwig_gives_the_signal_back(written, genome, peaks):
    signals = ctcf_signal(genome, peaks, SMALL)
    with pyBigWig.open(str(written[0] / "ctcf.bigWig")) as file:
        assert file.chroms() == dict.fromkeys(genome.chromosomes, 150_007)
        for name, signal in signals.items():
            values = np.array(file.values(name, 0, 150_000)).reshape(-1, 10)
            assert (values == values[:, :1]).all()
            np.testing.assert_array_equal(values[:, 0].astype(np.float32), signal)


def test_task_files_hold_the_tasks_tables(written, genome):
    for task, splits in simulate_tasks(genome, SMALL).items():
        for split, table in splits._asdict().items():
            lines = (written[0] / "tasks" / f"{task}.{split}.fna").read_text().splitlines()
            assert [line[1:] for line in lines[::2]] == table["name"].tolist()
            assert lines[1::2] == table["sequence"].tolist()


def test_the_summary_counts_what_was_written(written, genome, peaks):
    _, summary = written
    bases = np.concatenate(list(genome.chromosomes.values()))
    assert summary["bases"] == 5 * 150_007
    assert summary["gc"] == pytest.approx(np.isin(bases, (1, 2)).mean())
    assert summary["genes"] == (genome.annotation["kind"] == "tss").sum()
    assert pd.Series(summary["features"]).sum() == len(genome.annotation)
    assert summary["ctcf_peaks"] == len(peaks)
    assert summary["tasks"]["splice_sites_donors"] == {"train": 80, "validation": 20, "test": 40}
