"""The simulated genome: sequence, planted truth, and the statistics of the recipe."""

from collections import Counter
from itertools import product
from math import log2

import numpy as np
import pandas as pd
import pytest

from mints.config import Simulation
from mints.data.motifs import load_motif
from mints.data.simulation import simulate_genome
from mints.data.simulation.background import (
    CHAIN_LENGTH,
    CHAINS,
    CPG_FACTOR,
    Supply,
    draw_background,
    markov_block,
    sample_rows,
)
from mints.data.simulation.elements import DONOR, MOTIFS, codon_usage, site_models
from mints.data.simulation.stretch import Feature, Stretch
from mints.errors import UsageError

SMALL = Simulation(seed=7, chromosomes=5, chromosome_length=150_000)


@pytest.fixture(scope="module")
def genome():
    return simulate_genome(SMALL)


@pytest.fixture(scope="module")
def texts(genome):
    return {name: text_of(codes) for name, codes in genome.chromosomes.items()}


def text_of(codes):
    return "".join("ACGT"[code] for code in codes)


def reverse_complement(text):
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def kinds(genome, *wanted):
    return genome.annotation[genome.annotation["kind"].isin(wanted)]


def sense_text(texts, row, before=0, after=0):
    """Letters of a feature as its own strand reads it, with some context on either side."""
    text = texts[row.chromosome]
    if row.strand == "-":
        return reverse_complement(text[row.start - after : row.end + before])
    return text[row.start - before : row.end + after]


def test_the_same_seed_gives_the_same_genome_and_another_seed_another_one(genome):
    again = simulate_genome(SMALL)
    other = simulate_genome(SMALL.model_copy(update={"seed": 8}))
    pd.testing.assert_frame_equal(again.annotation, genome.annotation)
    for name, codes in genome.chromosomes.items():
        np.testing.assert_array_equal(again.chromosomes[name], codes)
        assert (other.chromosomes[name] == codes).mean() < 0.35


def test_a_chromosome_depends_neither_on_how_many_there_are_nor_on_what_follows_its_last_gene(genome):
    fewer_and_shorter = simulate_genome(SMALL.model_copy(update={"chromosomes": 2, "chromosome_length": 90_000}))
    for name, codes in fewer_and_shorter.chromosomes.items():
        annotation = fewer_and_shorter.annotation
        end = annotation.loc[annotation["chromosome"] == name, "end"].max()
        assert end > 70_000
        np.testing.assert_array_equal(codes[:end], genome.chromosomes[name][:end])


def test_chromosomes_have_the_names_and_lengths_asked_for(genome):
    assert {name: len(codes) for name, codes in genome.chromosomes.items()} == {
        f"chr{number}": 150_000 for number in range(1, 6)
    }
    assert all(codes.dtype == np.uint8 and codes.max() == 3 for codes in genome.chromosomes.values())


def test_a_chromosome_too_short_for_a_gene_is_refused():
    with pytest.raises(UsageError, match="simulation.chromosome_length is 500: too short for a single gene"):
        simulate_genome(SMALL.model_copy(update={"chromosome_length": 500}))


def test_annotation_is_sorted_and_lies_within_its_chromosome(genome):
    for _, rows in genome.annotation.groupby("chromosome"):
        assert rows["start"].is_monotonic_increasing
        assert (rows["start"] >= 0).all()
        assert (rows["start"] < rows["end"]).all()
        assert (rows["end"] <= 150_000).all()


@pytest.mark.parametrize("kind", MOTIFS)
def test_a_planted_jaspar_instance_lies_where_the_annotation_says_and_scores_its_strength(genome, texts, kind):
    matrix = load_motif(MOTIFS[kind]).log_odds()
    rows = kinds(genome, kind)
    assert len(rows) > 20
    for row in rows.itertuples():
        instance = sense_text(texts, row)
        assert len(instance) == len(matrix)
        bits = sum(matrix[position]["ACGT".index(base)] for position, base in enumerate(instance))
        assert row.strength == pytest.approx(bits)


def test_planted_ctcf_sites_stand_out_as_draws_from_their_matrix_do(genome):
    model = site_models()["ctcf"]
    expected = (model.probabilities * model.log_odds).sum()
    strength = kinds(genome, "ctcf")["strength"]
    assert strength.mean() == pytest.approx(expected, abs=4 * strength.std() / len(strength) ** 0.5)


def test_a_donor_s_strength_is_its_nine_bases_log_odds(genome, texts):
    for row in kinds(genome, "donor").itertuples():
        site = sense_text(texts, row, before=3, after=4)
        bits = sum(log2((DONOR[at]["ACGT".index(base)] + 0.005) / 1.02 / 0.25) for at, base in enumerate(site))
        assert row.strength == pytest.approx(bits)


def test_every_donor_is_gt_and_every_acceptor_ag_after_a_pyrimidine_tract(genome, texts):
    donors = [sense_text(texts, row) for row in kinds(genome, "donor").itertuples()]
    acceptors = [sense_text(texts, row, before=16) for row in kinds(genome, "acceptor").itertuples()]
    assert set(donors) == {"GT"}
    assert {site[-2:] for site in acceptors} == {"AG"}
    tract = "".join(site[:14] for site in acceptors)
    assert (tract.count("C") + tract.count("T")) / len(tract) == pytest.approx(0.87, abs=0.02)


def test_introns_run_from_donor_to_acceptor_with_a_branch_point_near_the_end(genome):
    ends = {"+": ("start", "end"), "-": ("end", "start")}
    for strand, (first, last) in ends.items():
        rows = genome.annotation[genome.annotation["strand"] == strand]
        places = {kind: set(zip(own["chromosome"], own[first], strict=True)) for kind, own in rows.groupby("kind")}
        ends_of = {kind: set(zip(own["chromosome"], own[last], strict=True)) for kind, own in rows.groupby("kind")}
        assert places["donor"] == places["intron"]
        assert ends_of["acceptor"] == ends_of["intron"]
        introns = rows[rows["kind"] == "intron"].sort_values(["chromosome", "start"])
        branch_points = rows[rows["kind"] == "branch_point"].sort_values(["chromosome", "start"])
        distance = abs(introns[last].to_numpy() - branch_points[last].to_numpy())
        assert distance.min() >= 18 + 2
        assert distance.max() <= 18 + 9 + 15


def test_spliced_exons_are_one_open_frame_from_start_to_stop_codon(genome, texts):
    stops = {"TAA", "TAG", "TGA"}
    genes = kinds(genome, "exon").groupby("detail")
    assert len(genes) > 100
    for _, exons in genes:
        rows = list(exons.itertuples())
        pieces = [sense_text(texts, row) for row in (rows if rows[0].strand == "+" else rows[::-1])]
        coding = "".join(pieces)
        codons = [coding[at : at + 3] for at in range(0, len(coding), 3)]
        assert len(coding) % 3 == 0
        assert codons[0] == "ATG"
        assert codons[-1] in stops
        assert not stops & set(codons[:-1])


def test_codons_follow_the_sharpened_human_usage(genome, texts):
    codons, usage = codon_usage()
    assert -(usage * np.log2(usage)).sum() == pytest.approx(5.46, abs=0.005)
    counts = Counter()
    for _, exons in kinds(genome, "exon").groupby("detail"):
        rows = list(exons.itertuples())
        coding = "".join(sense_text(texts, row) for row in (rows if rows[0].strand == "+" else rows[::-1]))
        counts.update(coding[at : at + 3] for at in range(3, len(coding) - 3, 3))
    total = sum(counts.values())
    seen = np.array([counts[text_of(codon)] / total for codon in codons])
    assert np.corrcoef(seen, usage)[0, 1] > 0.98


def test_shares_of_the_genome_are_those_of_the_recipe(genome):
    bases = sum(map(len, genome.chromosomes.values()))
    share = {kind: (rows["end"] - rows["start"]).sum() / bases for kind, rows in genome.annotation.groupby("kind")}
    assert share["exon"] == pytest.approx(0.24, abs=0.03)
    assert share["intron"] == pytest.approx(0.28, abs=0.03)
    assert share["repeat"] == pytest.approx(0.11, abs=0.03)
    density = {kind: count / bases for kind, count in genome.annotation["kind"].value_counts().items()}
    assert density["ctcf"] == pytest.approx(11_201 / 24e6, rel=0.15)
    assert density["tss"] == pytest.approx(5_793 / 24e6, rel=0.15)


def test_promoters_have_islands_and_tata_boxes_as_often_as_the_recipe_says(genome):
    starts = kinds(genome, "tss")
    boxes = kinds(genome, "tata")
    assert (starts["detail"] == "island").mean() == pytest.approx(0.7, abs=0.1)
    assert (starts["detail"] == "island").sum() == len(kinds(genome, "cpg_island"))
    assert len(boxes) / len(starts) == pytest.approx(0.7 * 0.2 + 0.3 * 0.5, abs=0.1)
    placed = set(zip(starts["chromosome"], starts["start"], starts["strand"], strict=True))
    for box in boxes.itertuples():
        start = box.start + 32 if box.strand == "+" else box.end - 1 - 32
        assert (box.chromosome, start, box.strand) in placed


def test_islands_keep_their_cpg_and_other_background_has_lost_most_of_it(genome, texts):
    def observed_over_expected(rows):
        pieces = [sense_text(texts, row) for row in rows.itertuples()]
        joined = "".join(pieces)
        cpg = sum(piece.count("CG") for piece in pieces)
        return cpg * len(joined) / (joined.count("C") * joined.count("G")), joined

    islands, island_text = observed_over_expected(kinds(genome, "cpg_island"))
    introns, intron_text = observed_over_expected(kinds(genome, "intron"))
    assert (island_text.count("G") + island_text.count("C")) / len(island_text) == pytest.approx(0.66, abs=0.04)
    assert islands > 0.8
    assert introns < 0.45
    assert intron_text.count("T") / len(intron_text) > intron_text.count("A") / len(intron_text) + 0.05


@pytest.mark.parametrize(("family", "length"), [(1, 300), (2, 300), (6, 180), (7, 180), (8, 180), (9, 180)])
def test_copies_of_a_repeat_family_differ_from_their_consensus_in_5_to_15_percent(genome, texts, family, length):
    rows = kinds(genome, "repeat")
    whole = rows[(rows["detail"] == f"family{family}") & (rows["end"] - rows["start"] == length)]
    copies = np.array([list(sense_text(texts, row)) for row in whole.itertuples()])
    assert len(copies) > 5
    votes = np.stack([(copies == base).sum(axis=0) for base in "ACGT"])
    consensus = np.array(list("ACGT"))[votes.argmax(axis=0)]
    divergence = (copies != consensus).mean(axis=1)
    assert divergence.mean() == pytest.approx(0.10, abs=0.025)
    assert divergence.max() < 0.23


def test_microsatellites_repeat_their_unit(genome, texts):
    for row in kinds(genome, "microsatellite").itertuples():
        text = texts[row.chromosome][row.start : row.end]
        assert any(text[unit:] == text[:-unit] for unit in (1, 2, 3, 4))


def test_both_strands_carry_genes_and_sites(genome):
    for kind in ("tss", "ctcf", "sp1", "repeat"):
        assert (kinds(genome, kind)["strand"] == "+").mean() == pytest.approx(0.5, abs=0.13)


def test_a_markov_block_has_the_chain_s_transition_frequencies():
    rng = np.random.default_rng(0)
    chain = draw_background(rng).intron
    runs = markov_block(rng, chain).reshape(CHAINS, CHAIN_LENGTH)
    counts = np.zeros((64, 4))
    for a, b, c, d in product(range(4), repeat=4):
        matches = (runs[:, :-3] == a) & (runs[:, 1:-2] == b) & (runs[:, 2:-1] == c) & (runs[:, 3:] == d)
        counts[16 * a + 4 * b + c, d] = matches.sum()
    seen = counts / counts.sum(axis=1, keepdims=True)
    error = np.sqrt(chain * (1 - chain) / counts.sum(axis=1, keepdims=True))
    assert (abs(seen - chain) < 5 * error).all()


def test_background_chains_are_depleted_of_cpg_by_the_factor_given():
    background = draw_background(np.random.default_rng(3))
    after_c = np.arange(64) % 4 == 1
    ratio = background.intron[after_c, 2].mean() / background.intron[~after_c, 2].mean()
    assert ratio == pytest.approx(CPG_FACTOR, rel=0.35)
    assert all(chain.sum(axis=1) == pytest.approx(1) for chain in background.isochores)


def test_matrix_instances_have_the_matrix_s_frequencies_and_never_an_impossible_base():
    rows = sample_rows(np.random.default_rng(0), DONOR, 20_000)
    seen = np.stack([(rows == base).mean(axis=0) for base in range(4)], axis=1)
    assert seen == pytest.approx(DONOR, abs=0.02)
    assert (rows[:, 3] == 2).all()
    assert (rows[:, 4] == 3).all()


def test_a_supply_hands_out_every_row_once_and_in_order():
    blocks = iter(np.arange(100).reshape(10, 10))
    supply = Supply(lambda: next(blocks))
    taken = [supply.take(count).tolist() for count in (3, 0, 9, 25, 1)]
    assert sum(taken, []) == list(range(38))


def test_what_is_written_into_a_taken_piece_does_not_come_back():
    supply = Supply(lambda: np.arange(10))
    supply.take(4)[:] = 99
    assert supply.take(6).tolist() == [4, 5, 6, 7, 8, 9]


def test_the_reverse_complement_of_a_stretch_turns_its_features_with_it():
    stretch = Stretch()
    stretch.add(np.array([0, 1, 2], np.uint8), "exon", detail="a gene")
    stretch.add(np.array([3, 3], np.uint8), "repeat", "-")
    stretch.mark(1, 2, "microsatellite", ".")
    turned = stretch.reverse_complement()
    assert text_of(turned.codes()) == reverse_complement("ACGTT")
    assert turned.features == [
        Feature(2, 5, "exon", "-", "a gene"),
        Feature(0, 2, "repeat", "+", ""),
        Feature(3, 4, "microsatellite", ".", ""),
    ]


def test_an_appended_stretch_moves_its_features_along():
    whole, part = Stretch(), Stretch()
    whole.add(np.zeros(10, np.uint8))
    part.add(np.ones(3, np.uint8), "ctcf")
    whole.append(part)
    assert whole.length == 13
    assert whole.features == [Feature(10, 13, "ctcf", "+", "")]
