"""The step that reads the tasks, on files in the layouts of the published ones."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mints.config import Config
from mints.data.genome import Genome
from mints.errors import MintsError
from mints.studies.genomic.study import open_pipeline

CHROMOSOMES = ["chr1", "chr2", "chr20", "chr21", "chr22"]
LENGTH = 40_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, so that the genome's copy lies there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def letters():
    rng = np.random.default_rng(0)
    return {name: "".join(rng.choice(list("ACGTacgt"), LENGTH)) for name in CHROMOSOMES}


def ingest(folder, **fields):
    """Run the step alone; the tables and cards of its tasks, and what its manifest says."""
    results = folder / "results"
    config = Config(results=results, **fields)
    open_pipeline(config, quiet=True).run(only_step="ingest")
    tables = {task.name: pd.read_parquet(results / f"tasks/{task.name}.parquet") for task in config.tasks}
    cards = {task.name: json.loads((results / f"cards/{task.name}.json").read_text()) for task in config.tasks}
    return tables, cards, json.loads((results / "manifests/ingest.json").read_text())["facts"]


@pytest.fixture
def published(folder, letters):
    """train and test, each as parquet with several tasks and as FASTA with one; names carry the coordinates."""
    rng = np.random.default_rng(1)
    rows = []
    for task in ("splice_sites_donors", "promoter_tata"):
        for number in range(120):
            chromosome, start = CHROMOSOMES[number % 5], 300 * (number // 5) + int(rng.integers(0, 200))
            name = f"{chromosome}:{start}-{start + 60}|{number % 2}"
            rows.append((letters[chromosome][start : start + 60], name, number % 2, task))
    frame = pd.DataFrame(rows, columns=["sequence", "name", "label", "task"])
    held_out = frame["name"].str.match(r"chr2[01]:")
    for split, part in (("train", frame[~held_out]), ("test", frame[held_out])):
        part.to_parquet(folder / f"{split}.parquet")
        donors = part[part["task"] == "splice_sites_donors"]
        text = "".join(f">{row.name}\n{row.sequence}\n" for row in donors[["name", "sequence"]].itertuples(index=False))
        (folder / f"{split}.fna").write_text(text)
    return frame


def test_parquet_with_several_tasks_and_fasta_with_one_give_the_same_splits(folder, published):
    tasks = [
        {"name": "splice_site_donor", "train": folder / "train.parquet", "test": folder / "test.parquet"},
        {"name": "donors_fna", "train": folder / "train.fna", "test": folder / "test.fna"},
    ]
    tables, cards, _ = ingest(folder, tasks=tasks)
    pd.testing.assert_frame_equal(tables["splice_site_donor"], tables["donors_fna"])
    table = tables["splice_site_donor"]
    assert len(table) == 120
    by_split = table.groupby("split")["chromosome"].agg(set).to_dict()
    assert by_split == {"train": {"chr1", "chr2"}, "validation": {"chr22"}, "test": {"chr20", "chr21"}}
    wanted = published[published["task"] == "splice_sites_donors"].set_index("name")["sequence"].str.upper()
    assert table.set_index("name")["sequence"].to_dict() == wanted.to_dict()
    assert (table["end"] - table["start"] == 60).all()
    assert cards["splice_site_donor"]["left_out"]["of_another_task"] == 120
    assert cards["donors_fna"]["left_out"]["of_another_task"] == 0
    digest = hashlib.sha256((folder / "test.parquet").read_bytes()).hexdigest()
    assert cards["splice_site_donor"]["sources"][1] == {"use": "test", "file": "test.parquet", "sha256": digest}


def test_the_card_counts_twins_before_and_after_they_are_dropped_and_what_the_caps_leave_out(folder, published):
    first = published[published["task"] == "splice_sites_donors"]
    test = first[first["name"].str.startswith("chr20:")].iloc[:2]
    leaked = test.assign(name=["chr9:0-60|1", "chr9:100-160|1"], label=1)
    train = pd.concat([first[first["name"].str.match(r"chr(1|2|22):")], leaked])
    train.to_parquet(folder / "train.parquet")
    task = {"name": "splice_sites_donors", "train": folder / "train.parquet", "test": folder / "test.parquet"}
    tables, cards, facts = ingest(folder, tasks=[task], max_probe_train=30)
    card = cards["splice_sites_donors"]
    assert card["twins"]["as_read"]["train, test"] == {"same_sequence": 2, "opposite_strand": 0, "overlapping": 0}
    assert card["twins"]["as_used"]["train, test"] == {"same_sequence": 0, "opposite_strand": 0, "overlapping": 0}
    assert card["left_out"]["twin_in_a_held_out_split"] == 2
    assert card["left_out"]["cap"] == 48 - 30
    assert card["splits"]["train"]["sequences"] == 30
    assert sum(card["splits"]["train"]["chromosomes"].values()) == 30
    assert card["splits"]["train"]["classes"]["1"]["length"]["median"] == 60
    assert facts["splice_sites_donors"]["rows_dropped_because_a_twin_is_in_the_test_set"] == 2
    assert len(tables["splice_sites_donors"]) == 30 + 24 + 48


@pytest.fixture
def peaks(folder, letters):
    """A packed genome, peaks every 500 bases of which one stands twice, and a blacklist of the first of each."""
    text = "".join(f">{name}\n{sequence}\n" for name, sequence in letters.items())
    (folder / "genome.fa.gz").write_bytes(gzip.compress(text.encode(), 1))
    rows = [(name, start) for name in CHROMOSOMES for start in range(1000, LENGTH - 1000, 500)]
    lines = [f"{name}\t{start}\t{start + 40}\tp\t0\t.\t5\t-1\t-1\t20\n" for name, start in [*rows, rows[0]]]
    (folder / "peaks.narrowPeak.gz").write_bytes(gzip.compress("".join(lines).encode()))
    (folder / "blacklist.bed.gz").write_bytes(
        gzip.compress("".join(f"{name}\t900\t1200\tHigh_Signal\n" for name in [*CHROMOSOMES, "chrM"]).encode())
    )
    return len(rows) + 1


def test_peaks_become_windows_off_the_blacklist_and_the_card_accounts_for_every_peak(folder, letters, peaks):
    task = {"name": "ctcf", "peaks": folder / "peaks.narrowPeak.gz", "window": 100}
    fields = {"tasks": [task], "genome": folder / "genome.fa.gz", "blacklist": folder / "blacklist.bed.gz"}
    tables, cards, facts = ingest(folder, **fields)
    table, card = tables["ctcf"], cards["ctcf"]
    assert card["peaks"] == facts["ctcf peaks"]
    assert card["peaks"]["read"] == peaks
    assert card["peaks"]["used"] == (table["label"] == 1).sum() == peaks - 6
    assert card["peaks"]["not_used"] == {
        "beyond_the_chromosome": 0,
        "on_the_blacklist": 6,  # the first of every chromosome, and the repeated one
        "same_window_as_another": 0,
        "has_n": 0,
        "cap": 0,
    }
    assert card["peaks"]["candidates_for_matches"]["on_the_blacklist"] > 0
    assert ((table["start"] >= 1200) | (table["end"] <= 900)).all()
    for row in table.itertuples():
        assert row.sequence == letters[row.chromosome][row.start : row.end].upper()
    assert [source["use"] for source in card["sources"]] == ["peaks", "blacklist", "genome"]
    assert card["sources"][2]["sha256"] == Genome.open(folder / "genome.fa.gz").sha256
    assert card["splits"]["test"]["classes"]["1"]["signal"]["median"] == 5
    assert card["splits"]["test"]["classes"]["0"]["without_signal"] == (table["split"] == "test").sum() / 2
    assert sorted(path.suffix for path in Path("data/genomes").iterdir()) == [".bases", ".json", ".lock"]
    *_, without = ingest(folder, **fields | {"blacklist": None})
    assert without["ctcf peaks"]["used"] == peaks - 1
    assert without["ctcf peaks"]["not_used"]["same_window_as_another"] == 1


def test_when_every_peak_is_left_out_the_reasons_are_told(folder, peaks):
    (folder / "blacklist.bed.gz").write_bytes(
        gzip.compress("".join(f"{name}\t0\t{LENGTH}\n" for name in CHROMOSOMES).encode())
    )
    task = {"name": "ctcf", "peaks": folder / "peaks.narrowPeak.gz", "window": 100}
    with pytest.raises(MintsError, match=rf"gives a window of 100 bases: {peaks} on the blacklist$"):
        ingest(folder, tasks=[task], genome=folder / "genome.fa.gz", blacklist=folder / "blacklist.bed.gz")
