"""The simulated proteins: families with a profile, membrane and secreted proteins, and scans whose truth is known."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from mints.data.annotation import read_annotation
from mints.data.deep_mutational_scan import read_scan
from mints.data.residues import RESIDUES, decode_residues, read_proteins
from mints.data.simulation.protein_families import draw_families
from mints.data.simulation.protein_files import write_proteins
from mints.data.simulation.protein_plans import Plan
from mints.data.simulation.protein_scans import simulate_scans
from mints.data.simulation.proteins import draw_residues, simulate_proteins
from mints.data.simulation.residue_kinds import BACKGROUND, COMPOSITION, KINDS
from mints.errors import UsageError
from mints.protein_config import ProteinSimulation

SMALL = ProteinSimulation(seed=3, proteins=800)


@pytest.fixture(scope="module")
def world():
    return simulate_proteins(SMALL)


@pytest.fixture(scope="module")
def scans(world):
    return simulate_scans(SMALL, world)


@pytest.fixture(scope="module")
def letters(world):
    """Residues by accession, before any is written as an ambiguous letter."""
    return {protein.accession: decode_residues(protein.codes) for protein in world.proteins}


def annotated(world, feature, note=None):
    table = world.features()
    return table[(table["feature"] == feature) & (True if note is None else table["note"] == note)]


def texts(letters, table):
    return [letters[row.accession][row.start_1based - 1 : row.end_incl] for row in table.itertuples()]


def share(texts, residues):
    joined = "".join(texts)
    return sum(joined.count(residue) for residue in residues) / len(joined)


def test_the_same_seed_gives_the_same_proteins_and_another_seed_other_ones(world):
    again, other = simulate_proteins(SMALL), simulate_proteins(SMALL.model_copy(update={"seed": 4}))
    assert [p.sequence for p in again.proteins] == [p.sequence for p in world.proteins]
    assert len({p.sequence for p in other.proteins} & {p.sequence for p in world.proteins}) == 0


def test_families_depend_on_the_seed_and_not_on_the_number_of_proteins(world):
    few = simulate_proteins(SMALL.model_copy(update={"proteins": 5}))
    for family, same in zip(world.families, few.families, strict=True):
        np.testing.assert_array_equal(family.profile, same.profile)
        assert family.constraint == same.constraint


def test_every_signal_peptide_has_its_three_regions_and_small_residues_before_the_cut(world, letters):
    peptides = texts(letters, annotated(world, "Signal peptide"))
    assert len(peptides) > 150
    assert {len(peptide) for peptide in peptides} <= set(range(16, 27))
    assert {peptide[-3] for peptide in peptides} <= set("AVSTGC")
    assert {peptide[-1] for peptide in peptides} <= set("AGSC")
    assert all(peptide.startswith("M") for peptide in peptides)
    segments = world.segments()
    regions = {kind: texts(letters, segments[segments["segment"] == f"signal_{kind}"]) for kind in "nhc"}
    assert share(regions["n"], "KR") > 0.5 > 0.05 > share(regions["h"], "KRDE")
    assert share(regions["h"], "LAVFI") > 0.9
    rebuilt = Counter("M" + n + h + c for n, h, c in zip(*regions.values(), strict=True))
    assert rebuilt == Counter(peptides)


def test_transmembrane_helices_are_hydrophobic_with_aromatic_ends_and_positive_charge_inside(world, letters):
    helices = annotated(world, "Transmembrane")
    spans = texts(letters, helices)
    assert {len(span) for span in spans} <= set(range(19, 24))
    assert share([span[:3] + span[-3:] for span in spans], "WY") > 0.3 > 0.05 > share([s[3:-3] for s in spans], "WY")
    assert share([span[3:-3] for span in spans], "KRDEQHN") < 0.03
    ends = {(row.accession, row.end_incl) for row in helices.itertuples()}
    starts = {(row.accession, row.start_1based) for row in helices.itertuples()}
    beside = {"Cytoplasmic": [], "Extracellular": []}
    for row in annotated(world, "Topological domain").itertuples():
        whole = letters[row.accession][row.start_1based - 1 : row.end_incl]
        if (row.accession, row.end_incl + 1) in starts:
            beside[row.note].append(whole[-4:])
        if (row.accession, row.start_1based - 1) in ends:
            beside[row.note].append(whole[:4])
    assert min(map(len, beside.values())) > 150
    assert share(beside["Cytoplasmic"], "KR") > 0.5 > 0.12 > share(beside["Extracellular"], "KR")


def test_topology_covers_membrane_proteins_and_changes_sides_at_every_helix(world, letters):
    table = world.features()
    of_membrane = table[table["feature"].isin(["Transmembrane", "Topological domain", "Signal peptide"])]
    for accession, rows in of_membrane.groupby("accession"):
        if "Transmembrane" not in set(rows["feature"]):
            continue
        ordered = rows.sort_values("start_1based")
        assert ordered["start_1based"].iloc[0] == 1
        assert ordered["end_incl"].iloc[-1] == len(letters[accession])
        assert (ordered["start_1based"].to_numpy()[1:] == ordered["end_incl"].to_numpy()[:-1] + 1).all()
        sides = ordered.loc[ordered["feature"] == "Topological domain", "note"].tolist()
        assert all(one != next_one for one, next_one in zip(sides[:-1], sides[1:], strict=True))


def test_decoys_look_like_membrane_helices_and_signal_peptides_and_are_annotated_as_neither(world, letters):
    segments = world.segments()
    buried = segments[segments["segment"] == "buried_helix"]
    assert len(buried) > 40
    assert share(texts(letters, buried), "LVIAFM") > 0.75
    membrane = set(annotated(world, "Transmembrane")["accession"])
    assert not membrane & set(buried["accession"])
    anchors = annotated(world, "Transmembrane", "Helical%3B Signal-anchor for type II membrane protein")
    assert len(anchors) > 40
    assert anchors["start_1based"].max() < 10
    assert not set(anchors["accession"]) & set(annotated(world, "Signal peptide")["accession"])


def test_members_of_a_family_have_its_profile_and_its_pairs():
    families = draw_families(np.random.default_rng(5))
    family = families[0]
    plan = Plan("soluble")
    plan.positions = [(family.name, position) for position in range(len(family.constraint))]
    plan.domains = [type("Domain", (), {"family": 0, "start": 0})]
    members = np.stack(draw_residues(families, [plan] * 6000, np.random.default_rng(0)))
    found = np.stack([np.bincount(column, minlength=20) / len(members) for column in members.T])
    assert np.abs(found - family.profile).max() < 4 * np.sqrt(0.25 / 6000)
    for pair in family.pairs:
        joint = np.zeros((20, 20))
        np.add.at(joint, (members[:, pair.first], members[:, pair.second]), 1 / len(members))
        assert np.abs(joint - pair.joint).max() < 4 * np.sqrt(0.25 / 6000)
        independent = np.outer(joint.sum(1), joint.sum(0))
        assert np.abs(joint - independent).max() > 0.05


def log_odds_by_hand(family, sequence):
    """Position by position and pair by pair."""
    paired, total = set(), 0.0
    for pair in family.pairs:
        first, second = RESIDUES.index(sequence[pair.first]), RESIDUES.index(sequence[pair.second])
        total += np.log(pair.joint[first, second] / (BACKGROUND[first] * BACKGROUND[second]))
        paired |= {pair.first, pair.second}
    for position, letter in enumerate(sequence):
        if position not in paired:
            code = RESIDUES.index(letter)
            total += np.log(family.profile[position, code] / BACKGROUND[code])
    return total


def test_the_truth_of_a_scan_is_the_change_of_the_family_s_log_odds(world, scans):
    for scan in scans:
        family = next(family for family in world.families if family.name == scan.family)
        protein = next(protein for protein in world.proteins if protein.accession == scan.accession)
        wild_type = decode_residues(protein.codes)[scan.start : scan.start + len(family.constraint)]
        before = log_odds_by_hand(family, wild_type)
        effect = scan.truth.set_index("mutant")["effect"]
        for row in scan.measured.iloc[::37].itertuples():
            changed = list(wild_type)
            for part in row.mutant.split(":"):
                position = int(part[1:-1]) - 1
                assert wild_type[position] == part[0] != part[-1]
                changed[position] = part[-1]
            assert row.mutated_sequence == "".join(changed)
            assert effect[row.mutant] == pytest.approx(log_odds_by_hand(family, row.mutated_sequence) - before)


def test_neutral_positions_cost_nothing_and_only_paired_ones_depend_on_each_other(scans):
    for scan in scans:
        truth = scan.truth
        single = ~truth["mutant"].str.contains(":")
        per_position = truth.loc[single, "mutant"].str[1:-1].astype(int).value_counts()
        assert per_position.between(14, 19).all()
        assert truth.loc[single & (truth["constraint"] == "neutral"), "effect"].abs().max() < 1e-9
        assert truth.loc[single, "epistasis"].abs().max() < 1e-9
        assert truth.loc[truth["constraint"] == "core:surface", "epistasis"].abs().max() < 1e-9
        coupled = truth[~single & (truth["epistasis"].abs() > 0.1)]
        assert len(coupled) > 40
        assert set(coupled["constraint"]) <= {"salt_bridge:salt_bridge", "disulfide:disulfide"}
        median = truth[single].groupby("constraint")["effect"].median()
        assert median["invariant"] < median["core"] < median["surface"] < median["neutral"] + 1e-9
        effects = truth["effect"].to_numpy()
        assert scan.measured["DMS_score"].corr(pd.Series(effects), method="spearman") > 0.85


def test_a_paralogue_is_its_ancestor_with_up_to_a_quarter_of_its_residues_drawn_again(world):
    by_name = {protein.accession: protein for protein in world.proteins}
    alike = [
        (protein.codes == by_name[protein.ancestor].codes).mean() for protein in world.proteins if protein.ancestor
    ]
    assert 0.07 < len(alike) / len(world.proteins) < 0.17
    assert min(alike) > 0.6
    assert np.mean(alike) == pytest.approx(1 - 0.15 * 0.86, abs=0.04)


def test_the_composition_is_about_that_of_real_proteins(letters):
    counts = Counter("".join(letters.values()))
    total = counts.total()
    for residue, per_cent in COMPOSITION.items():
        assert 100 * counts[residue] / total == pytest.approx(per_cent, abs=1.6)
    assert all(abs(row.sum() - 1) < 1e-9 and row.min() >= 0 for row in KINDS.values())


def test_the_files_are_read_as_the_real_ones_are(tmp_path, world, scans):
    summary = write_proteins(SMALL, tmp_path)
    proteins = read_proteins(tmp_path / "proteins.fasta")
    assert [p.sequence for p in proteins] == [p.sequence for p in world.proteins]
    annotation = read_annotation(tmp_path / "features.tsv")
    peptides = annotation[annotation["kind"] == "Signal peptide"].set_index("chromosome")
    planned = {p.accession: f.end for p in world.proteins for f in p.plan.features if f.feature == "Signal peptide"}
    assert peptides["end"].to_dict() == planned
    assert (peptides["start"] == 0).all()
    for scan in scans:
        read = read_scan(tmp_path / "dms" / f"{scan.name}.csv")
        protein = next(protein for protein in proteins if protein.accession == scan.accession)
        assert protein.sequence[scan.start :].startswith(read.wild_type)
        assert len(read.variants) == len(scan.measured)
        assert len(read.variants) - len(read.singles()) == 400 == summary["scans"][scan.name]["doubles"]
        truth = pd.read_csv(tmp_path / "truth" / f"{scan.name}.csv")
        assert truth["mutant"].tolist() == scan.measured["mutant"].tolist()


def test_too_few_proteins_for_a_scan_are_an_error():
    few = ProteinSimulation(proteins=3)
    with pytest.raises(UsageError, match=r"simulation\.proteins is 3"):
        simulate_scans(few, simulate_proteins(few))
