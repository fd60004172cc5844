"""Counterfactual pairs: destroyed, without a new site, aligned, and as small as can be."""

from itertools import combinations, product

import numpy as np
import pytest

from mints.data.counterfactuals import (
    Pair,
    Refused,
    SiteRule,
    control_edit,
    destroy_sites,
    is_aligned,
    replace_motif,
)
from mints.models.tokenizers import FixedKmerTokenizer, train_bpe

MOTIF = "TATAAT"
"""Scores 2 bits for each letter that agrees, −2 for each that does not; a site agrees in five or six."""


def slow_scores(sequences):
    def strand_score(word):
        return sum(2.0 if a == b else -2.0 for a, b in zip(word, MOTIF, strict=True))

    complement = str.maketrans("ACGT", "TGCA")
    scored = []
    for sequence in sequences:
        words = [sequence[i : i + len(MOTIF)] for i in range(len(sequence) - len(MOTIF) + 1)]
        both = [max(strand_score(word), strand_score(word.translate(complement)[::-1])) for word in words]
        scored.append(np.array([-np.inf if "N" in word else bits for word, bits in zip(words, both, strict=True)]))
    return scored


RULE = SiteRule(slow_scores, len(MOTIF), 8.0)


def sites_of(sequence):
    return np.flatnonzero(slow_scores([sequence])[0] >= RULE.threshold)


def random_sequences(count, length, seed, motif=MOTIF):
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(count):
        letters = rng.choice(list("ACGT"), length)
        place = int(rng.integers(2, length - len(motif) - 2))
        letters[place : place + len(motif)] = list(motif)
        sequences.append("".join(letters))
    return sequences


def spans_of(tokenizer):
    return lambda sequences: [e.spans[~e.special] for e in tokenizer.encode_many(sequences)]


@pytest.fixture(scope="module")
def keep():
    """Boundaries of byte pairs learnt where the motif is no more frequent than chance makes it."""
    return spans_of(train_bpe(random_sequences(400, 200, seed=9, motif=""), 300))


def free(sequences):
    return [np.zeros((0, 2)) for _ in sequences]


def test_every_pair_is_destroyed_makes_no_new_site_and_keeps_the_boundaries(keep):
    rng = np.random.default_rng(0)
    accepted = 0
    for sequence in random_sequences(80, 90, seed=1):
        pair = destroy_sites(sequence, RULE, keep, rng)
        if isinstance(pair, Refused):
            continue
        accepted += 1
        assert (slow_scores([pair.corrupted])[0] < RULE.threshold).all()
        first, second = keep([pair.clean, pair.corrupted])
        assert np.array_equal(first, second)
        assert pair.positions == tuple(i for i in range(90) if pair.clean[i] != pair.corrupted[i])
        gc = [sequence.count("G") + sequence.count("C") for sequence in (pair.clean, pair.corrupted)]
        assert pair.gc_change == gc[1] - gc[0]
        assert pair.score_clean >= RULE.threshold > pair.score_corrupted
    assert accepted >= 0.95 * 80


@pytest.mark.parametrize("motif", [MOTIF, "TATACT"])
def test_an_edit_is_of_the_smallest_size_and_then_of_the_least_change_of_gc(motif, keep):
    rng = np.random.default_rng(0)
    for sequence in random_sequences(20, 30, seed=2, motif=motif):
        pair = destroy_sites(sequence, RULE, keep, rng)
        if isinstance(pair, Refused):
            continue
        sites = sites_of(sequence)
        places = sorted({place for site in sites for place in range(site, site + len(MOTIF))})
        fitting = {}
        for size in range(1, len(pair.positions) + 1):
            for chosen in combinations(places, size):
                for letters in product("ACGT", repeat=size):
                    edited = list(sequence)
                    for place, letter in zip(chosen, letters, strict=True):
                        edited[place] = letter
                    if any(edited[place] == sequence[place] for place in chosen):
                        continue
                    text = "".join(edited)
                    if (slow_scores([text])[0] >= RULE.threshold).any() or not is_aligned(sequence, text, keep):
                        continue
                    change = abs(sum(text.count(b) - sequence.count(b) for b in "GC"))
                    fitting[size] = min(fitting.get(size, 99), change)
        if len(np.split(sites, np.flatnonzero(np.diff(sites) >= len(MOTIF)) + 1)) == 1:
            assert min(fitting) == len(pair.positions)
            assert fitting[len(pair.positions)] == abs(pair.gc_change)


def test_fixed_k_mers_never_refuse_a_substitution():
    keep = spans_of(FixedKmerTokenizer.generate(6))
    rng = np.random.default_rng(0)
    pairs = [destroy_sites(sequence, RULE, keep, rng) for sequence in random_sequences(40, 60, seed=3)]
    assert all(isinstance(pair, Pair) for pair in pairs)


def test_the_same_generator_gives_the_same_pair(keep):
    sequence = random_sequences(1, 90, seed=4)[0]
    first, second = (destroy_sites(sequence, RULE, keep, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_all_sites_of_a_sequence_are_destroyed():
    sequence = "GCGCGCG" + MOTIF + "GCGCGCGCGCG" + MOTIF + "GCGCGCG"
    pair = destroy_sites(sequence, RULE, free, np.random.default_rng(0))
    assert len(pair.positions) >= 4
    assert (pair.start, pair.end) == (7, 7 + 6 + 11 + 6)


def test_a_later_edit_makes_up_for_the_change_of_gc_of_an_earlier_one():
    def one_letter(sequences):
        return [np.array([1.0 if letter in "AC" else 0.0 for letter in text]) for text in sequences]

    def third_letter_stays_a_purine(sequences):
        return [np.array([[0, 1 if text[2:3] in "AG" else 2]]) for text in sequences]

    rule = SiteRule(one_letter, 1, 1.0)
    pair = destroy_sites("TTATTTCTT", rule, third_letter_stays_a_purine, np.random.default_rng(0))
    assert (pair.corrupted, pair.gc_change) == ("TTGTTTTTT", 0)


def test_an_anchored_site_is_edited_in_its_core_and_other_sites_stay():
    sequence = "GCGCGCG" + MOTIF + "GCGCGCGCGCG" + MOTIF + "GCGCGCG"
    rule = RULE._replace(anchor=7, core=(2, 4))
    pair = destroy_sites(sequence, rule, free, np.random.default_rng(0))
    assert set(pair.positions) <= {9, 10}
    assert slow_scores([pair.corrupted])[0][24] >= rule.threshold


def test_every_site_that_an_anchored_edit_touches_falls():
    sequence = "GCGCGCG" + "TATAATAAT" + "GCGCGCG"
    assert sites_of(sequence).tolist() == [7, 8, 10]
    for seed in range(10):
        for core in (None, (0, 1), (3, 6)):
            rule = RULE._replace(anchor=7, core=core)
            pair = destroy_sites(sequence, rule, free, np.random.default_rng(seed))
            left = sites_of(pair.corrupted)
            assert all(not site <= place < site + len(MOTIF) for site in left for place in pair.positions)
            assert 7 not in left


def test_an_anchored_site_is_edited_elsewhere_where_its_core_will_not_do():
    sequence = "GCGCGCG" + MOTIF + "GCGCGCG"

    def only_outside_the_core(sequences):
        return [np.array([[0, 1 if text[9:11] == sequence[9:11] else 2]]) for text in sequences]

    rule = RULE._replace(anchor=7, core=(2, 4))
    pair = destroy_sites(sequence, rule, only_outside_the_core, np.random.default_rng(0))
    assert not set(pair.positions) & {9, 10}
    assert slow_scores([pair.corrupted])[0][7] < rule.threshold


@pytest.mark.parametrize(
    ("sequence", "rule", "reason"),
    [
        ("GCGCGCGCGCGC", RULE, Refused.NO_SITE),
        ("GCG", RULE, Refused.UNKNOWN_LETTERS),
        ("NNNNNNNNNN", RULE, Refused.UNKNOWN_LETTERS),
        ("GCGTATNATGCG", RULE._replace(anchor=3), Refused.UNKNOWN_LETTERS),
        ("GCGCGCGCGCGC", RULE._replace(anchor=3), Refused.NO_SITE),
        ("GCGTATAATGCG", RULE._replace(threshold=-99.0), Refused.NOT_DESTROYED),
    ],
)
def test_a_refusal_names_its_reason(sequence, rule, reason):
    assert destroy_sites(sequence, rule, free, np.random.default_rng(0)) is reason


def test_a_pair_whose_boundaries_always_move_is_refused():
    def moving(sequences):
        return [np.array([[0, hash(sequence)]]) for sequence in sequences]

    result = destroy_sites("GCGCGC" + MOTIF + "GCGCGC", RULE, moving, np.random.default_rng(0))
    assert result is Refused.NOT_ALIGNED


def test_a_control_makes_the_same_substitutions_away_from_every_site(keep):
    rng = np.random.default_rng(0)
    made = 0
    for sequence in random_sequences(45, 120, seed=6):
        pair = destroy_sites(sequence, RULE, keep, rng)
        control = None if isinstance(pair, Refused) else control_edit(pair, RULE, keep, rng)
        if control is None:
            continue
        made += 1
        places = [i for i in range(len(sequence)) if control[i] != sequence[i]]
        swaps = sorted((sequence[i], control[i]) for i in places)
        assert swaps == sorted((sequence[i], pair.corrupted[i]) for i in pair.positions)
        sites = sites_of(sequence)
        assert all(not site <= place < site + len(MOTIF) for site in sites for place in places)
        assert np.array_equal(slow_scores([control])[0] >= RULE.threshold, slow_scores([sequence])[0] >= RULE.threshold)
        assert is_aligned(sequence, control, keep)
    assert made > 35


def test_overlapping_sites_are_destroyed_one_by_one_where_few_edits_destroy_all_of_them(monkeypatch):
    monkeypatch.setattr("mints.data.counterfactuals.COMBINATIONS", 500)
    sequence = "GCGCGCGAC" + "TATAA" * 5 + "GACGCGTCCGAC"
    assert len(sites_of(sequence)) == 14
    pair = destroy_sites(sequence, RULE, free, np.random.default_rng(0))
    assert not len(sites_of(pair.corrupted))
    assert len(pair.positions) > 3


def edits_of(clean, control):
    return {i: b for i, (a, b) in enumerate(zip(clean, control, strict=True)) if a != b}


def test_a_control_keeps_the_distances_of_the_edited_places_where_it_can():
    clean = "GCGCGCG" + MOTIF + "GCGCGCGCAGCAGCGCA"
    pair = Pair(clean, "GCGCGCG" + "TCTAGT" + clean[13:], 7, 13, (8, 11), 12.0, 4.0, 2)
    for seed in range(20):
        control = control_edit(pair, RULE, free, np.random.default_rng(seed))
        assert edits_of(clean, control) == {21: "C", 24: "G"}


def test_a_control_scatters_its_substitutions_where_their_distances_fit_nowhere():
    clean = "GCGCGCG" + MOTIF + "GCGCAGCGCGCTGCGCA"
    pair = Pair(clean, "GCGCGCG" + "GCTAAT" + clean[13:], 7, 13, (7, 8), 12.0, 4.0, 2)
    assert not {24, 17, 29} & set(pair.positions)
    controls = [control_edit(pair, RULE, free, np.random.default_rng(seed)) for seed in range(20)]
    edits = [edits_of(clean, control) for control in controls]
    assert {24: "G", 17: "C"} in edits
    assert {24: "G", 29: "C"} in edits
    assert all(edit in ({24: "G", 17: "C"}, {24: "G", 29: "C"}) for edit in edits)


def test_a_control_puts_each_substitution_at_a_place_of_its_own():
    clean = "GCGCGCG" + MOTIF + "GCGCAGCGCGCGCGC"
    pair = Pair(clean, "GCGCGCG" + "TATCGT" + clean[13:], 7, 13, (10, 11), 12.0, 4.0, 2)
    assert control_edit(pair, RULE, free, np.random.default_rng(0)) is None
    clean = "GCGCGCG" + MOTIF + "GCGCAGCGCACGCGC"
    two = Pair(clean, "GCGCGCG" + "TATCCT" + clean[13:], 7, 13, (10, 11), 12.0, 4.0, 2)
    for seed in range(10):
        assert edits_of(clean, control_edit(two, RULE, free, np.random.default_rng(seed))) == {17: "C", 22: "C"}


def test_a_control_lies_neither_between_the_destroyed_sites_nor_on_a_site_that_stays():
    clean = "GCGCGCG" + MOTIF + "GCGCGAGCGCG" + "TATACT" + "GCGCACG"
    pair = destroy_sites(clean, RULE, free, np.random.default_rng(0))
    two = pair._replace(corrupted=clean[:8] + "C" + clean[9:], positions=(8,))
    one = two._replace(end=13)
    places = {
        rule: {
            next(iter(edits_of(clean, control_edit(edited, rule, free, np.random.default_rng(seed)))))
            for seed in range(20)
        }
        for edited, rule in ((two, RULE), (one, RULE._replace(anchor=7)))
    }
    assert list(places.values()) == [{34}, {18, 34}]


def test_there_is_no_control_where_the_letters_occur_in_the_site_alone():
    pair = destroy_sites("GCGCGCG" + MOTIF + "GCGCGCG", RULE, free, np.random.default_rng(0))
    assert control_edit(pair, RULE, free, np.random.default_rng(0)) is None


def test_the_fixed_edit_replaces_the_first_motif_alone():
    assert replace_motif("GGTATAAACCTATAAA", "TATAAA", "GCGCGC") == "GGGCGCGCCCTATAAA"
    assert replace_motif("GGGG", "TATAAA", "GCGCGC") is None
    with pytest.raises(ValueError, match="differ in length"):
        replace_motif("GG", "TATA", "G")
