"""Motif scores, their p-values, sites, and what they say about tokens; every fast path beside a slow loop."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mints.data import motif_scores
from mints.data.motif_scores import (
    SITE_P,
    Windows,
    estimate_motif,
    motif_scorer,
    permuted,
    sites,
    token_scores,
    token_support,
)
from mints.data.motifs import UNIFORM, Motif, load_motif
from mints.data.sequences import reverse_complement
from mints.errors import MintsError, UsageError

AT_RICH = (0.35, 0.15, 0.1, 0.4)
SHORT = Motif("short", "short", np.array([[9, 0, 1, 0], [0, 7, 0, 3], [2, 2, 5, 1], [0, 0, 0, 10], [4, 3, 2, 1.0]]))
CTCF = load_motif("MA0139.1")


def random_sequence(length, rng, letters="ACGT"):
    return "".join(rng.choice(list(letters), size=length))


def slow_bits(scorer, word):
    """Score of one window on one strand, letter by letter."""
    units = [scorer.columns[place]["ACGT".index(letter)] for place, letter in enumerate(word)]
    return sum(units) / scorer.units_per_bit


def slow_windows(scorer, sequence):
    """(bits, strand) of every window, one by one."""
    found = []
    for start in range(len(sequence) - scorer.width + 1):
        word = sequence[start : start + scorer.width]
        if set(word) <= set("ACGT"):
            forward, reverse = slow_bits(scorer, word), slow_bits(scorer, reverse_complement(word))
            found.append((max(forward, reverse), 1 if forward >= reverse else -1))
        else:
            found.append((-np.inf, 1))
    return found


def assert_as_slow(scorer, sequence, windows):
    slow = slow_windows(scorer, sequence)
    assert windows.bits.tolist() == [bits for bits, _ in slow]
    assert windows.strand.tolist() == [strand for _, strand in slow]
    assert (windows.bits.dtype, windows.strand.dtype) == (np.float32, np.int8)


@pytest.mark.parametrize("background", [UNIFORM, AT_RICH])
def test_p_values_are_those_of_all_words(background):
    scorer = motif_scorer(SHORT, background=background)
    words = ["".join(word) for word in product("ACGT", repeat=5)]
    scores = np.array([slow_bits(scorer, word) for word in words])
    shares = np.array([np.prod([background["ACGT".index(letter)] for letter in word]) for word in words])
    asked = np.concatenate([scores, scores - 1e-9, scores + 1e-9])
    expected = [shares[scores >= bits].sum() for bits in asked]
    np.testing.assert_allclose(scorer.p_value(asked), expected, rtol=1e-9, atol=0)


def test_the_threshold_is_the_least_attainable_score_that_is_rare_enough():
    scorer = motif_scorer(SHORT, background=AT_RICH)
    scores = np.array([slow_bits(scorer, word) for word in product("ACGT", repeat=5)])
    for p in (1, 0.5, 0.03, 1e-3):
        assert scorer.threshold(p) == min(bits for bits in scores if scorer.p_value(bits) <= p)
    rarest = float(scorer.p_value(scores.max()))
    assert scorer.threshold(rarest) == scores.max()
    assert scorer.threshold(rarest * 0.999) == np.inf


def test_p_values_at_the_ends():
    scorer = motif_scorer(CTCF)
    assert scorer.p_value([-np.inf, -1e9, 1e9, np.inf]).tolist() == [1, 1, 0, 0]
    assert scorer.p_value(-np.inf).shape == ()


def test_the_site_threshold_of_ctcf_is_the_published_one():
    assert motif_scorer(CTCF).threshold() == pytest.approx(8.3, abs=0.1)


def test_random_sequence_passes_the_site_threshold_as_often_as_its_p_value_says():
    scorer = motif_scorer(CTCF)
    sequence = random_sequence(2_000_000, np.random.default_rng(0))
    count = len(sites(scorer.windows([sequence])[0], scorer.width, scorer.threshold()))
    assert count == pytest.approx(2 * SITE_P * len(sequence), abs=4 * np.sqrt(2 * SITE_P * len(sequence)))


def test_rounding_is_finer_than_a_hundredth_of_a_bit_per_column_and_keeps_the_settings():
    scorer = motif_scorer(CTCF, pseudocount=0.25, background=AT_RICH)
    assert (scorer.motif, scorer.pseudocount, scorer.background, scorer.width) == (CTCF, 0.25, AT_RICH, 19)
    exact = CTCF.log_odds(AT_RICH, 0.25)
    assert np.abs(scorer.columns / scorer.units_per_bit - exact).max() <= 0.5 / scorer.units_per_bit < 0.01


@pytest.mark.parametrize("motif_id", ["MA0139.1", "MA0108.2", "MA0060.3"])
def test_windows_have_the_scores_of_a_slow_loop_on_both_strands(motif_id):
    rng = np.random.default_rng(1)
    scorer = motif_scorer(load_motif(motif_id), background=AT_RICH)
    sequences = [random_sequence(length, rng, "ACGTACGTACGTN") for length in (300, 61, 0, 12, 19, 20, 1)]
    for sequence, windows in zip(sequences, scorer.windows(sequences), strict=True):
        assert_as_slow(scorer, sequence, windows)


@pytest.mark.parametrize("width", range(1, 26))
def test_windows_of_every_width_have_the_scores_of_a_slow_loop(width):
    rng = np.random.default_rng(width)
    scorer = motif_scorer(Motif("any", "any", rng.integers(0, 50, (width, 4)).astype(float)))
    sequence = random_sequence(60, rng)
    assert_as_slow(scorer, sequence, scorer.windows([sequence])[0])


@settings(max_examples=60)
@given(st.data())
def test_windows_of_any_motif_and_sequence_are_those_of_the_slow_loop(data):
    width = data.draw(st.integers(1, 14))
    counts = data.draw(st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=width, max_size=width))
    scorer = motif_scorer(Motif("any", "any", np.array(counts, dtype=float)), pseudocount=0.1)
    sequences = data.draw(st.lists(st.text("ACGTN", max_size=40), max_size=4))
    for sequence, windows in zip(sequences, scorer.windows(sequences), strict=True):
        assert_as_slow(scorer, sequence, windows)


def test_chunks_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    scorer = motif_scorer(CTCF)
    sequences = [random_sequence(length, rng, "ACGTACGTACGTACGTACGTN") for length in (200, 5, 333, 19)]
    for chunk in (1, 7, 64):
        monkeypatch.setattr(motif_scores, "CHUNK", chunk)
        for sequence, windows in zip(sequences, scorer.windows(sequences), strict=True):
            assert_as_slow(scorer, sequence, windows)


def test_the_best_word_scores_the_maximum_on_its_strand():
    scorer = motif_scorer(CTCF)
    best = "".join("ACGT"[base] for base in scorer.columns.argmax(axis=1))
    forward, reverse = scorer.windows([best, reverse_complement(best)])
    assert (forward.strand[0], reverse.strand[0]) == (1, -1)
    assert forward.bits[0] == reverse.bits[0] == pytest.approx(CTCF.log_odds().max(axis=1).sum(), abs=0.05)


def test_a_tie_of_the_strands_is_forward():
    scorer = motif_scorer(SHORT)
    palindromic = Motif("even", "even", np.array([[8, 1, 1, 2], [1, 5, 2, 1], [1, 2, 5, 1], [2, 1, 1, 8.0]]))
    windows = motif_scorer(palindromic).windows([random_sequence(100, np.random.default_rng(3))])[0]
    assert (windows.strand == 1).all()
    assert set(scorer.windows([random_sequence(100, np.random.default_rng(3))])[0].strand) == {1, -1}


def test_letters_other_than_acgt_count_as_n():
    scorer = motif_scorer(SHORT)
    with_n, with_others = scorer.windows(["ACGTANGTACGTNACGTA", "ACGTARGTACGTaACGTA"])
    np.testing.assert_array_equal(with_n.bits, with_others.bits)
    assert np.isneginf(with_n.bits).tolist() == [0] + [1] * 5 + [0] * 2 + [1] * 5 + [0]


def test_sites_are_the_windows_from_the_threshold_on():
    windows = Windows(np.array([1, 5, -np.inf, 4.5, 4.25], dtype=np.float32), np.ones(5, dtype=np.int8))
    assert sites(windows, 6, 4.5).tolist() == [[1, 7], [3, 9]]
    assert sites(windows, 6, np.inf).shape == (0, 2)


@pytest.mark.parametrize("chunk", [5, 64, 1 << 19])
def test_hits_are_the_sites_among_all_windows(chunk, monkeypatch):
    monkeypatch.setattr(motif_scores, "CHUNK", chunk)
    rng = np.random.default_rng(5)
    scorer = motif_scorer(SHORT, background=AT_RICH)
    sequence = random_sequence(700, rng) + "N" * 60 + random_sequence(300, rng, "ACGTACGTN")
    for p in (1, 0.1, 0.01, 1e-9):
        hits = scorer.hits(sequence, p)
        slow = [(start, *found) for start, found in enumerate(slow_windows(scorer, sequence))]
        expected = [row for row in slow if row[1] > -np.inf and scorer.p_value(row[1]) <= p]
        assert list(zip(hits.start, hits.bits, hits.strand, strict=True)) == expected
        assert hits.p_value.tolist() == [scorer.p_value(row[1]) for row in expected]
    assert scorer.hits("ACG").start.shape == (0,)


def slow_token_score(windows, width, span):
    """Best window with a base in the span, window by window."""
    places = set(range(*span))
    overlapping = [float(bits) for start, bits in enumerate(windows.bits) if places & set(range(start, start + width))]
    return max(overlapping, default=-np.inf)


@settings(max_examples=60)
@given(st.text("ACGTTACGGN", max_size=60), st.lists(st.integers(0, 60), max_size=12), st.randoms())
def test_token_scores_are_the_best_windows_over_the_span(sequence, cuts, shuffler):
    scorer = motif_scorer(SHORT)
    windows = scorer.windows([sequence])[0]
    bounds = sorted({0, len(sequence), *(min(cut, len(sequence)) for cut in cuts)})
    spans = [(0, 0), *zip(bounds[:-1], bounds[1:], strict=True), (len(sequence), len(sequence))]
    shuffler.shuffle(spans)
    found = token_scores(windows, scorer.width, np.array(spans))
    assert found.dtype == np.float32
    assert found.tolist() == [slow_token_score(windows, scorer.width, span) for span in spans]


def test_token_scores_follow_from_the_sequence_alone():
    rng = np.random.default_rng(4)
    scorer = motif_scorer(CTCF)
    sequence = random_sequence(250, rng, "ACGTACGTACGTACGTACGTN")
    bounds = np.unique(np.concatenate([[0, 250], rng.integers(0, 250, 50)]))
    spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
    slow = slow_windows(scorer, sequence)
    expected = [max(slow[at][0] for at in range(len(slow)) if at < b and at + 19 > a) for a, b in spans.tolist()]
    assert token_scores(scorer.windows([sequence])[0], 19, spans).tolist() == expected


def test_a_token_of_a_sequence_shorter_than_the_motif_has_no_score():
    scorer = motif_scorer(CTCF)
    windows = scorer.windows(["ACGTACGT"])[0]
    assert len(windows.bits) == 0
    assert np.isneginf(token_scores(windows, 19, np.array([[0, 0], [0, 4], [4, 8]]))).all()
    assert token_scores(windows, 19, np.empty((0, 2), dtype=int)).shape == (0,)
    assert sites(windows, 19, 8.3).shape == (0, 2)


spans_strategy = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12)), max_size=8)


@given(spans_strategy.map(lambda rows: [(a, a + n + 1) for a, n in rows]), spans_strategy)
def test_support_is_an_overlap_by_at_least_a_base(found, tokens):
    spans = [(a, a + n) for a, n in tokens]
    support = token_support(np.array(found, dtype=int).reshape(-1, 2), np.array(spans, dtype=int).reshape(-1, 2))
    slow = [any(set(range(*span)) & set(range(*site)) for site in found) for span in spans]
    assert support.dtype == bool
    assert support.tolist() == slow


def test_a_permuted_motif_has_the_same_columns_in_another_order():
    for seed in range(20):
        other = permuted(SHORT, np.random.default_rng(seed))
        assert sorted(other.counts.tolist()) == sorted(SHORT.counts.tolist())
        assert not np.array_equal(other.counts, SHORT.counts)
    assert other.id == "short permuted"
    two = Motif("two", "two", np.array([[1, 0, 0, 0], [0, 1, 0, 0.0]]))
    assert all(permuted(two, np.random.default_rng(seed)).counts[0, 1] == 1 for seed in range(20))


def test_a_motif_of_like_columns_cannot_be_permuted():
    with pytest.raises(MintsError, match="motif even cannot be permuted: all its columns are alike"):
        permuted(Motif("even", "even", np.ones((6, 4))), np.random.default_rng(0))


def test_an_estimated_motif_counts_the_bases_of_the_aligned_sequences():
    sequences = ["AACGTT", "AATGNA", "AAC", "CCCGTAAAA"]
    motif = estimate_motif(sequences, 2, 3, motif_id="mine.1", name="mine")
    assert (motif.id, motif.name) == ("mine.1", "mine")
    assert motif.counts.tolist() == [[0, 2, 0, 1], [0, 0, 3, 0], [0, 0, 0, 2]]
    with pytest.raises(MintsError, match="motif mine.1 cannot be estimated: no sequence reaches position 12"):
        estimate_motif(sequences, 9, 3, motif_id="mine.1", name="mine")


@pytest.mark.parametrize("background", [(0.5, 0.5), (0.5, 0.5, 0.5, -0.5), (0.3, 0.3, 0.3, 0.3), (1, 0, 0, 0)])
def test_an_impossible_background_is_refused(background):
    with pytest.raises(UsageError, match="is not four positive shares of A, C, G and T that sum to 1"):
        motif_scorer(CTCF, background=background)


def test_a_pseudocount_that_leaves_infinite_or_far_scores_is_refused():
    with pytest.raises(UsageError, match="pseudocount 0 is too small: scores of motif MA0139.1 span inf bits"):
        motif_scorer(CTCF, pseudocount=0)
    wide = Motif("wide", "wide", np.tile([1e9, 0, 0, 0], (60, 1)))
    with pytest.raises(UsageError, match="pseudocount 1e-12 is too small: scores of motif wide span 4186 bits"):
        motif_scorer(wide, pseudocount=1e-12)


def test_scores_that_spread_far_are_rounded_coarser_and_stay_exact():
    wide = Motif("wide", "wide", np.tile([1000.0, 0, 0, 0], (60, 1)))
    scorer = motif_scorer(wide)
    assert scorer.units_per_bit < motif_scorer(SHORT).units_per_bit
    sequence = "A" * 40 + "T" * 30 + "C" * 30
    assert_as_slow(scorer, sequence, scorer.windows([sequence])[0])
