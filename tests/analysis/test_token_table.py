"""The flat table of tokens against loops over letters, and the roles that are made from it."""

from itertools import permutations

import numpy as np
import pytest

from mints.analysis.background import END_CALIPER, GC_CALIPER
from mints.analysis.token_roles import AskedMotif, assign_roles, part_of
from mints.analysis.token_table import SitePlaces, best_windows, site_places, token_motif, token_table
from mints.data.motif_scores import motif_scorer, sites
from mints.data.motifs import Motif
from mints.models.tokenizers import FixedKmerTokenizer, train_bpe

MOTIF = Motif("short", "short", np.array([[9, 0, 1, 0], [0, 7, 0, 3], [2, 2, 5, 1], [0, 0, 0, 10], [4, 3, 2, 1.0]]))
SCORER = motif_scorer(MOTIF)
THRESHOLD = SCORER.threshold(0.01)


def random_sequences(lengths, seed, letters="ACGT"):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for length in lengths]


SEQUENCES = [
    *random_sequences((200, 131, 62, 33, 20, 7, 1), seed=1),
    *random_sequences((90, 25), seed=2, letters="ACGTN"),
    "N" * 12,
    "GC" * 40,
    "ACG",  # shorter than the motif
]
TOKENIZERS = {
    "bpe": train_bpe(random_sequences([200] * 100, seed=3), 120),
    "6-mers": FixedKmerTokenizer.generate(),
    "3-mers": FixedKmerTokenizer.generate(3),
}


@pytest.fixture(params=TOKENIZERS)
def encodings(request):
    return TOKENIZERS[request.param].encode_many(SEQUENCES)


def content(encodings):
    """(index of the sequence, index in the encoding, start, end) of every token that stands for letters."""
    for index, encoding in enumerate(encodings):
        for position, (start, end) in enumerate(encoding.spans.tolist()):
            if not encoding.special[position]:
                yield index, position, start, end


def slow_gc(sequence, start, end):
    """Share of G and C among the 50 letters around the middle, fewer at the sequence's ends."""
    middle = (start + end) // 2
    letters = [letter for place, letter in enumerate(sequence) if middle - 25 <= place < middle + 25]
    return sum(letter in "GC" for letter in letters) / len(letters)


def test_the_table_equals_a_loop_over_tokens_and_letters(encodings):
    table = token_table(SEQUENCES, encodings)
    rows = [*content(encodings)]
    assert len(table.sequence) == len(rows) > 150
    for row, (index, position, start, end) in enumerate(rows):
        assert (table.sequence[row], table.position[row], table.start[row]) == (index, position, start)
        assert table.length[row] == len(SEQUENCES[index][start:end])
        middle = start + (end - start) / 2
        assert table.to_end[row] == min(middle, len(SEQUENCES[index]) - middle)
        assert table.gc[row] == pytest.approx(slow_gc(SEQUENCES[index], start, end))


def test_gc_of_a_token_is_that_of_its_fifty_bases():
    sequence = "A" * 75 + "G" * 75
    table = token_table([sequence], [TOKENIZERS["3-mers"].encode(sequence)])
    assert table.gc[0] == 0  # the first 26 bases
    assert table.gc[25] == pytest.approx(26 / 50)  # bases 51 to 101
    assert table.gc[49] == 1
    assert table.to_end[[0, 25, 49]].tolist() == [1.5, 73.5, 1.5]


def slow_motif(index, start, end, windows):
    """Best score of a window that shares a base with the token, and whether one of those is a site."""
    mine = set(range(start, end))
    overlapping = [
        float(bits)
        for window, bits in enumerate(windows[index].bits)
        if mine & set(range(window, window + SCORER.width))
    ]
    return max(overlapping, default=-np.inf), any(bits >= THRESHOLD for bits in overlapping)


def found(windows, label):
    return sites(windows, SCORER.width, THRESHOLD)


def test_bits_and_support_equal_a_loop_over_windows(encodings):
    windows = SCORER.windows(SEQUENCES)
    known = site_places([found(of_sequence, 0) for of_sequence in windows])
    motif = token_motif(SCORER, windows, known, token_table(SEQUENCES, encodings))
    supported = 0
    for row, token in enumerate(content(encodings)):
        index, _, start, end = token
        bits, support = slow_motif(index, start, end, windows)
        assert motif.bits[row] == bits
        assert motif.support[row] == support
        supported += support
    assert 10 < supported < len(motif.support) / 2
    assert np.isinf(motif.bits).any()


def test_sites_may_be_known_without_scanning():
    """A known site belongs to its own sequence alone, whatever its letters score."""
    sequences = random_sequences((30, 30), seed=5)
    encodings = TOKENIZERS["3-mers"].encode_many(sequences)

    anchored = site_places([np.zeros((0, 2), dtype=int), np.array([[10, 15]])])
    motif = token_motif(SCORER, SCORER.windows(sequences), anchored, token_table(sequences, encodings))
    assert np.flatnonzero(motif.support).tolist() == [10 + 3, 10 + 4]  # bases 9 to 12 and 12 to 15


# Roles


PERMUTATIONS = 2


def test_inner_tokens_are_those_over_which_no_window_is_cut_off(assigned):
    """As many windows overlap them as would in an endless sequence."""
    sequences, encodings, of_roles = assigned
    for row, (index, _, start, end) in enumerate(content(encodings)):
        width, length = SCORER.width, len(sequences[index])
        overlapping = [first for first in range(length - width + 1) if first < end and first + width > start]
        assert of_roles.roles.inner[row] == (len(overlapping) == end - start + width - 1)
    assert 0.5 < of_roles.roles.inner.mean() < 0.99


def rare_sites(windows, label):
    return sites(windows, SCORER.width, SCORER.threshold(0.005))


@pytest.fixture(scope="module")
def assigned():
    """Many short sequences, their tokens, and roles for the motif and its permutations."""
    sequences = random_sequences([60] * 80 + [4], seed=7)
    encodings = TOKENIZERS["bpe"].encode_many(sequences)
    motif = AskedMotif(SCORER, rare_sites)
    roles = assign_roles(sequences, encodings, np.arange(81) % 2, motif, PERMUTATIONS, np.random.default_rng(0))
    return sequences, encodings, roles


def test_the_motif_in_question_has_its_own_scores_and_the_matched_ones_of_its_support_tokens(assigned):
    sequences, encodings, (roles, support_tokens, matched_tokens, balance) = assigned
    windows = SCORER.windows(sequences)
    rare = site_places([rare_sites(of_sequence, 0) for of_sequence in windows])
    motif = token_motif(SCORER, windows, rare, token_table(sequences, encodings))
    np.testing.assert_array_equal(roles.bits[:, 0], motif.bits)
    assert not (roles.support[:, 0] & ~motif.support).any()
    assert support_tokens == motif.support.sum()
    assert matched_tokens == roles.support[:, 0].sum() > 50
    assert roles.positive.tolist() == [index % 2 == 1 for index in range(81)]
    assert {row.covariate for row in balance} == {"length", "gc", "to_end"}


def test_every_motifs_support_tokens_have_as_many_alike_that_are_no_support(assigned):
    sequences, encodings, (roles, *_) = assigned
    table = token_table(sequences, encodings)
    for column in range(1 + PERMUTATIONS):
        support, background = roles.support[:, column], roles.background[:, column]
        assert not (support & background).any()
        assert np.isfinite(roles.bits[support | background, column]).all()
        lengths = [sorted(table.length[side]) for side in (support, background)]
        assert lengths[0] == lengths[1]
        assert abs(table.gc[support].mean() - table.gc[background].mean()) < GC_CALIPER
        assert abs(table.to_end[support].mean() - table.to_end[background].mean()) < END_CALIPER


def test_a_permuted_motif_has_the_same_columns_in_another_order_and_as_many_sites(assigned):
    """Its scores are those of one of the 119 other orders, and its support tokens lie at that order's best windows."""
    sequences, encodings, (roles, *_) = assigned
    n_sites = sum(len(rare_sites(windows, 0)) for windows in SCORER.windows(sequences))
    scorers = [motif_scorer(Motif("", "", MOTIF.counts[list(order)])) for order in permutations(range(5))][1:]
    table, nowhere = token_table(sequences, encodings), SitePlaces(*np.zeros((2, 0), dtype=int))
    for column in range(1, 1 + PERMUTATIONS):
        assert (roles.bits[:, column] != roles.bits[:, 0]).any()
        (windows,) = (
            windows
            for scorer, windows in ((scorer, scorer.windows(sequences)) for scorer in scorers)
            if np.array_equal(token_motif(scorer, windows, nowhere, table).bits, roles.bits[:, column])
        )
        best = sorted((float(bits) for of_sequence in windows for bits in of_sequence.bits), reverse=True)[:n_sites]
        supporting = roles.bits[roles.support[:, column], column]
        assert supporting.min() >= best[-1]
        unmatched = (roles.bits[:, column] >= best[-1]) & ~roles.support[:, column]
        assert unmatched.sum() < 0.2 * len(supporting)
    assert len(table.sequence) == len(roles.bits)


@pytest.mark.parametrize("count", [0, 1, 40, 10_000])
def test_the_best_windows_are_as_many_as_asked_for_and_no_better_ones_are_left(count):
    windows = SCORER.windows(SEQUENCES)
    best = best_windows(windows, count)
    chosen, left = [], []
    for index, scored in enumerate(windows):
        starts = {int(start) for start in best.start[best.sequence == index]}
        for start, bits in enumerate(scored.bits.tolist()):
            (chosen if start in starts else left).append(bits)
    if count == 10_000:  # more than there are
        assert not chosen
        return
    assert len([bits for bits in chosen if bits > min(chosen)]) < max(1, count) <= max(1, len(chosen))
    assert bool(chosen) == bool(count)
    assert not chosen or min(chosen) > max(left)


def test_parts_of_the_roles_put_together_are_the_whole(assigned):
    roles = assigned[2].roles
    bounds = [(0, 30), (30, 31), (31, 81)]
    parts = [part_of(roles, start, stop) for start, stop in bounds]
    starts = [start for start, _ in bounds]
    back = [part._replace(sequence=part.sequence + start) for part, start in zip(parts, starts, strict=True)]
    for together, whole in zip(zip(*back, strict=True), roles, strict=True):
        np.testing.assert_array_equal(np.concatenate(together), whole)
    assert all(part.sequence.min() == 0 for part in parts)
