"""The simulated tasks: labels that are true, decoys as hard as they claim, splits that share nothing."""

import re
from math import log2

import numpy as np
import pytest

from mints.config import Simulation
from mints.data.simulation import simulate_genome, simulate_tasks
from mints.data.simulation.elements import DONOR
from mints.data.simulation.tasks import exchange_flanks, transcript_start_index
from mints.data.simulation.windows import Coverage, split_chromosomes, window_text, windows_on
from mints.errors import UsageError

SMALL = Simulation(
    seed=3,
    chromosomes=6,
    chromosome_length=150_000,
    train_sequences=200,
    validation_sequences=60,
    test_sequences=120,
)
SPLICE = (
    "splice_sites_donors",
    "splice_sites_acceptors",
    "splice_sites_donors_matched",
    "splice_sites_donors_swapped",
)
PROMOTERS = ("promoter_tata", "promoter_no_tata")


@pytest.fixture(scope="module")
def genome():
    return simulate_genome(SMALL)


@pytest.fixture(scope="module")
def tasks(genome):
    return simulate_tasks(genome, SMALL)


def read_header(name):
    chromosome, start, end, label = re.fullmatch(r"(chr\d+):(\d+)-(\d+)\|([01])", name).groups()
    return chromosome, int(start), int(end), int(label)


def forward_text(genome, chromosome, start, end):
    return "".join("ACGT"[code] for code in genome.chromosomes[chromosome][start:end])


def reverse_complement(text):
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def first_bases(genome, kind):
    """(chromosome, forward coordinate of the first base in its own sense, strand) of every feature of a kind."""
    rows = genome.annotation[genome.annotation["kind"] == kind]
    return {(r.chromosome, r.start if r.strand == "+" else r.end - 1, r.strand) for r in rows.itertuples()}


def site_of(genome, row, index):
    """Where a row's base at `index` lies, found by comparing its sequence with the genome."""
    chromosome, start, end, _ = read_header(row.name)
    forward = forward_text(genome, chromosome, start, end)
    if row.sequence == forward:
        return chromosome, start + index, "+"
    assert row.sequence == reverse_complement(forward)
    return chromosome, end - 1 - index, "-"


def rows_of(tasks, task):
    return [row for table in tasks[task] for row in table.itertuples(index=False, name="Row")]


def test_all_tasks_are_there_balanced_and_not_larger_than_asked(tasks):
    assert set(tasks) == {*SPLICE, *PROMOTERS}
    for splits in tasks.values():
        for table, size in zip(splits, (200, 60, 120), strict=True):
            assert list(table.columns) == ["name", "sequence", "label"]
            assert 0 < len(table) <= size
            assert table["label"].mean() == 0.5
    assert [len(table) for table in tasks["splice_sites_donors"]] == [200, 60, 120]


def test_the_same_seed_gives_the_same_tasks(genome, tasks):
    again = simulate_tasks(genome, SMALL)
    assert all(again[task][split].equals(tasks[task][split]) for task in tasks for split in range(3))


def test_the_last_chromosome_is_for_validation_and_the_two_before_it_for_test(tasks):
    for splits in tasks.values():
        used = [{read_header(name)[0] for name in table["name"]} for table in splits]
        assert used[0] <= {"chr1", "chr2", "chr3"}
        assert used[1] == {"chr6"}
        assert used[2] == {"chr4", "chr5"}


def test_twenty_two_chromosomes_split_as_the_real_sets_do():
    splits = split_chromosomes([f"chr{number}" for number in range(1, 23)])
    assert splits.validation == ["chr22"]
    assert splits.test == ["chr20", "chr21"]
    assert splits.train[-1] == "chr19"


def test_three_chromosomes_are_too_few_and_the_error_says_so():
    three = SMALL.model_copy(update={"chromosomes": 3})
    with pytest.raises(UsageError, match="simulation.chromosomes is 3: at least 4"):
        simulate_tasks(simulate_genome(three), three)


def test_windows_of_a_task_never_overlap(tasks):
    for task in tasks:
        intervals = sorted(read_header(row.name)[:3] for row in rows_of(tasks, task))
        for (chromosome, _, end), (next_chromosome, next_start, _) in zip(intervals, intervals[1:], strict=False):
            assert chromosome != next_chromosome or end <= next_start


def test_headers_carry_the_label_and_the_length(tasks):
    for task in tasks:
        for row in rows_of(tasks, task):
            _, start, end, label = read_header(row.name)
            assert label == row.label
            assert end - start == len(row.sequence) == (300 if task in PROMOTERS else 200)


@pytest.mark.parametrize(("task", "wanted"), [("promoter_tata", True), ("promoter_no_tata", False)])
def test_a_promoter_starts_its_transcript_at_base_249_and_has_the_box_that_its_task_names(genome, tasks, task, wanted):
    starts, boxes = first_bases(genome, "tss"), first_bases(genome, "tata")
    for row in rows_of(tasks, task):
        if row.label == 1:
            chromosome, start, strand = site_of(genome, row, 249)
            box = (chromosome, start - 32 if strand == "+" else start + 32, strand)
            assert (chromosome, start, strand) in starts
            assert (box in boxes) == wanted


@pytest.mark.parametrize("task", PROMOTERS)
def test_negatives_of_a_promoter_task_stay_300_bases_off_every_transcript_start(genome, tasks, task):
    starts = first_bases(genome, "tss")
    for row in rows_of(tasks, task):
        if row.label == 0:
            chromosome, start, end, _ = read_header(row.name)
            assert not any(c == chromosome and start - 300 <= p < end + 300 for c, p, _ in starts)


def test_promoters_keep_their_composition_confound(tasks):
    def gc(table):
        return np.mean([(s.count("G") + s.count("C")) / len(s) for s in table["sequence"]])

    table = tasks["promoter_no_tata"].train
    assert gc(table[table["label"] == 1]) > gc(table[table["label"] == 0]) + 0.08


@pytest.mark.parametrize(
    ("task", "kind", "pair"), [(SPLICE[0], "donor", "GT"), (SPLICE[1], "acceptor", "AG"), (SPLICE[2], "donor", "GT")]
)
def test_splice_windows_have_their_letters_in_the_centre_and_are_sites_exactly_if_labelled_so(
    genome, tasks, task, kind, pair
):
    sites = first_bases(genome, kind)
    for row in rows_of(tasks, task):
        assert row.sequence[100:102] == pair
        assert (site_of(genome, row, 100) in sites) == bool(row.label)


def donor_score(sequence):
    site = sequence[97:106]
    return sum(log2((DONOR[at]["ACGT".index(base)] + 0.005) / 1.02 / 0.25) for at, base in enumerate(site))


def test_matched_decoys_have_the_donors_scores_and_random_ones_do_not(tasks):
    def scores(task, label):
        return np.sort([donor_score(row.sequence) for row in rows_of(tasks, task) if row.label == label])

    positives, negatives = scores(SPLICE[2], 1), scores(SPLICE[2], 0)
    np.testing.assert_array_equal(np.floor(positives / 0.25), np.floor(negatives / 0.25))
    assert scores(SPLICE[0], 1).mean() > scores(SPLICE[0], 0).mean() + 4


def test_matched_decoys_lie_half_within_exons_and_half_within_introns_of_their_strand(genome, tasks):
    def lies_within(row, kind):
        chromosome, start, end, _ = read_header(row.name)
        strand = site_of(genome, row, 100)[2]
        annotation = genome.annotation
        rows = annotation[(annotation["kind"] == kind) & (annotation["chromosome"] == chromosome)]
        return ((rows["strand"] == strand) & (rows["start"] <= start) & (rows["end"] >= end)).any()

    for table in tasks[SPLICE[2]]:
        decoys = [row for row in table.itertuples(index=False, name="Row") if row.label == 0]
        exonic = [lies_within(row, "exon") for row in decoys]
        intronic = [lies_within(row, "intron") for row in decoys]
        assert sum(exonic) == sum(intronic) == len(decoys) / 2


def test_swapped_windows_are_other_donors_with_their_flanks_exchanged(genome, tasks):
    sites, used = first_bases(genome, "donor"), []
    for row in rows_of(tasks, SPLICE[3]):
        original = row if row.label == 1 else row._replace(sequence=exchange_flanks(row.sequence))
        site = site_of(genome, original, 100)
        assert site in sites
        assert row.sequence[100:102] == "GT"
        used.append(site)
    assert len(set(used)) == len(used)


def test_exchanged_flanks_keep_the_site_in_place_and_every_base_once():
    window = "AAA" + "C" * 94 + "ACGGTAAGT" + "T" * 94
    swapped = exchange_flanks(window)
    assert swapped == "AAA" + "T" * 94 + "ACGGTAAGT" + "C" * 94
    assert exchange_flanks(swapped) == window


def test_the_transcript_start_lies_at_249_of_300():
    assert transcript_start_index(300) == 249


def test_a_window_on_the_reverse_strand_has_its_site_at_the_same_index():
    codes = np.random.default_rng(0).integers(0, 4, 400).astype(np.uint8)
    forward, backward = (
        windows_on("chr1", np.array([200]), np.array([reverse]), width=30, index=7, length=400).iloc[0]
        for reverse in (False, True)
    )
    letter = "ACGT"[codes[200]]
    assert window_text(codes, forward["start"], 30, False)[7] == letter
    assert window_text(codes, backward["start"], 30, True)[7] == reverse_complement(letter)


def test_windows_that_reach_over_an_end_are_left_out():
    sites = np.array([6, 7, 77, 78])
    kept = windows_on("chr1", sites, np.zeros(4, bool), width=30, index=7, length=100)
    assert kept["site"].tolist() == [7, 77]


def test_coverage_gives_away_no_base_twice_and_none_that_is_blocked():
    candidates = windows_on("c", np.array([0, 5, 10, 30, 41, 60]), np.zeros(6, bool), width=10, index=0, length=100)
    coverage = Coverage({"c": np.zeros(100, np.uint8)}, ["c"], 10)
    coverage.block("c", 35, 38)
    assert coverage.claim(candidates, 2)["start"].tolist() == [0, 10]
    assert coverage.claim(candidates)["start"].tolist() == [41, 60]
