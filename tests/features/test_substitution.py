"""Substitution scores: which substitutions are the exchange of one token, and both marginals by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import POST, PRE, scattered
from patching_pairs import FP32
from scipy.stats import spearmanr

from mints.analysis.bootstrap import cluster_weights
from mints.analysis.rank_correlation import rank_correlations
from mints.features.substitution import (
    Substitutions,
    masked_marginals,
    mutant,
    site_substitutions,
    token_changes,
    wild_type_marginals,
)
from mints.features.substitution_summary import site_against_control
from mints.models.tokenizers import FixedKmerTokenizer, OverlappingKmerTokenizer, train_bpe

SEQUENCES = ["ACGTTGCATGCCATGAACGT", "TTGACCATGGCANCGTTGACCATGACTTAC"]


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    return train_bpe(["".join(rng.choice(list("ACGT"), 400)) for _ in range(20)], 40)


def everything(tokenizer, sequences=SEQUENCES):
    rows = [
        (index, position, base)
        for index, sequence in enumerate(sequences)
        for position, letter in enumerate(sequence)
        for base in "ACGT"
        if letter != "N" and base != letter
    ]
    index, position, bases = zip(*rows, strict=True)
    asked = Substitutions(np.array(index), np.array(position), list(bases))
    return asked, token_changes(sequences, tokenizer.encode_many(sequences), asked, tokenizer)


def test_controls_stand_outside_all_sites_on_the_same_base_and_take_the_offset_of_their_place():
    scorer = SimpleNamespace(columns=np.arange(12).reshape(3, 4) ** 2, units_per_bit=2)
    sites = pd.DataFrame(
        {"name": ["a"], "cluster": [7], "sequence": ["GACTTACGNA"], "start": [1], "end": [4], "strand": ["-"]}
    )
    found = pd.DataFrame({"name": ["a", "a", "b"], "start": [1, 4, 0], "end": [4, 5, 10]})
    table = site_substitutions(sites, found, scorer, np.random.default_rng(0))
    at_sites, controls = (table[table["kind"] == kind] for kind in ("site", "control"))
    assert len(at_sites) == 9
    first = at_sites[(at_sites["position"] == 1) & (at_sites["mutant"] == "C")].iloc[0]
    assert (first["offset"], first["motif_wild_type"], first["motif_mutant"]) == (2, "T", "G")  # the other strand
    assert first["bits_change"] == (10**2 - 11**2) / 2
    assert set(controls["position"]) <= {0, 5, 6, 7, 9}
    assert controls["position"].groupby(controls["wild_type"]).first().to_dict().keys() == {"A", "C"}  # no T is left
    assert all("GACTTACGNA"[row.position] == row.wild_type for row in controls.itertuples())
    assert set(controls.loc[controls["wild_type"] == "A", "offset"]) == {2}


def test_a_mutant_differs_in_one_place():
    assert mutant("ACG", 1, "T") == "ATG"


def test_every_kept_substitution_exchanges_one_token_and_every_other_is_counted(pairs):
    asked, changes = everything(pairs)
    assert len(changes.kept) + sum(changes.refused.values()) == len(asked.letter) == 3 * 49
    assert changes.refused == {
        "unchanged": 0,
        "boundaries": 147 - len(changes.kept),
        "several_tokens": 0,
        "unknown_letter": 0,
    }
    assert 10 < len(changes.kept) < 140
    refused = set(range(len(asked.letter))) - set(changes.kept.tolist())
    for index in range(len(asked.letter)):
        sequence, position, base = asked.sequence[index], asked.position[index], asked.letter[index]
        before, after = (
            [pairs.vocabulary[token] for token in pairs.encode(text).ids]
            for text in (SEQUENCES[sequence], mutant(SEQUENCES[sequence], position, base))
        )
        differ = [place for place, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
        one_token = len(before) == len(after) and len(differ) == 1 and len(before[differ[0]]) == len(after[differ[0]])
        assert one_token == (index not in refused)
        if one_token:
            row = changes.kept.tolist().index(index)
            assert changes.place[row] == differ[0]
            assert pairs.vocabulary[changes.wild_type[row]] == before[differ[0]]
            assert pairs.vocabulary[changes.mutant[row]] == after[differ[0]]
            assert (
                changes.encodings[row].ids.tolist()
                == pairs.encode(mutant(SEQUENCES[sequence], position, base)).ids.tolist()
            )


def test_fixed_k_mers_keep_every_substitution_and_overlapping_ones_none():
    sequence = [SEQUENCES[0]]
    asked, fixed = everything(FixedKmerTokenizer.generate(3), sequence)
    assert len(fixed.kept) == len(asked.letter)
    assert not any(fixed.refused.values())
    _, overlapping = everything(OverlappingKmerTokenizer.generate(3), sequence)
    inner = 3 * (len(sequence[0]) - 2)  # the first and the last base are in one token alone
    assert overlapping.refused["several_tokens"] == inner
    assert len(overlapping.kept) == 6


def test_what_is_no_substitution_is_refused(pairs):
    asked = Substitutions(np.array([0, 0]), np.array([0, 0]), ["A", "N"])
    changes = token_changes(SEQUENCES, pairs.encode_many(SEQUENCES), asked, pairs)
    assert len(changes.kept) == 0
    assert changes.refused["unchanged"] == 1
    assert sum(changes.refused.values()) == 2


@pytest.mark.parametrize("architecture", [POST, PRE], ids=["post_norm", "pre_norm"])
def test_both_marginals_are_those_of_one_sequence_and_one_token_at_a_time(pairs, architecture):
    encoder = scattered(replace(architecture, vocabulary_size=len(pairs.vocabulary), pad_id=pairs.pad_id))
    encodings = pairs.encode_many(SEQUENCES)
    _, changes = everything(pairs)
    wild = wild_type_marginals(encoder, encodings, changes, FP32)
    masked = masked_marginals(encoder, encodings, changes, pairs.mask_id, FP32)
    assert set(changes.sequence) == {0, 1}  # of different lengths: one is padded
    for row in range(len(changes.kept)):
        place, before, after = changes.place[row], changes.wild_type[row], changes.mutant[row]
        ids = torch.from_numpy(encodings[changes.sequence[row]].ids)[None]
        hidden = ids.clone()
        hidden[0, place] = pairs.mask_id
        for scores, read in ((wild, ids), (masked, hidden)):
            with torch.no_grad():
                p = torch.softmax(encoder(read)[0, place].double(), -1)
            assert scores[row] == pytest.approx(float(p[after].log() - p[before].log()), abs=1e-4)
    assert np.abs(wild - masked).max() > 0.1  # the token's own identity is seen in the first alone


# At sites against elsewhere


def table_of(difference, rng, sequences=30):
    rows = []
    for sequence in range(sequences):
        own = rng.normal()
        for kind, shift in (("site", difference), ("control", 0.0)):
            for _ in range(6):
                bits = rng.normal() if kind == "site" else np.nan
                rows.append((sequence, sequence**2 // 60, kind, bits, own + shift + 0.3 * rng.normal(), rng.normal()))
    columns = ["sequence", "cluster", "kind", "bits_change", "moved", "noise"]
    table = pd.DataFrame(rows, columns=columns)
    table.loc[table["kind"] == "site", "moved"] += 0.2 * table["bits_change"]
    return table


def test_the_difference_between_sites_and_controls_is_that_of_sequence_means():
    table = table_of(0.8, np.random.default_rng(3))
    summary = site_against_control(
        table, ["moved", "noise"], resamples=500, level=0.95, rng=np.random.default_rng(1)
    ).set_index("measure")
    means = table.groupby(["kind", "sequence"])["moved"].mean()
    by_hand = np.mean([means["site", sequence] - means["control", sequence] for sequence in range(30)])
    moved, noise = summary.loc["moved"], summary.loc["noise"]
    assert moved["difference"] == pytest.approx(by_hand) == pytest.approx(moved["site"] - moved["control"])
    assert moved["difference_low"] < 0.8 < moved["difference_high"]
    clusters = np.arange(30) ** 2 // 60
    weights = cluster_weights(clusters, 500, np.random.default_rng(1))
    paired = [means["site", sequence] - means["control", sequence] for sequence in range(30)]
    resampled = [np.average(paired, weights=row) for row in weights]
    assert moved["difference_low"] == pytest.approx(np.quantile(resampled, 0.025))
    assert moved["q"] < 1e-6
    assert noise["difference_low"] < 0 < noise["difference_high"]
    assert noise["p"] > 0.05
    site = table[table["kind"] == "site"]
    assert moved["bits_correlation"] == pytest.approx(spearmanr(site["moved"], site["bits_change"]).statistic)
    assert moved["bits_correlation_low"] < moved["bits_correlation"] < moved["bits_correlation_high"]


def test_a_sequence_without_controls_does_not_count_and_none_at_all_gives_an_empty_table():
    table = table_of(0.8, np.random.default_rng(0), sequences=8)
    without = table[~((table["sequence"] == 3) & (table["kind"] == "control"))]
    settings = {"resamples": 20, "level": 0.95}
    assert site_against_control(without, ["moved"], **settings, rng=np.random.default_rng(1))["sequences"][0] == 7
    nothing = site_against_control(table.iloc[:0], ["moved"], **settings, rng=np.random.default_rng(1))
    assert len(nothing) == 0
    assert "difference_low" in nothing


def test_weighted_rank_correlations_are_spearman_s_with_rows_repeated_and_ranks_kept():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 12))
    weights = rng.integers(0, 3, size=(3, 12))
    weights[0] = 1
    found = rank_correlations(x, y, weights)
    assert found[0] == pytest.approx(spearmanr(x, y).statistic)
    ranks = [values.argsort().argsort() for values in (x, y)]
    for row in (1, 2):
        repeated = [np.repeat(rank, weights[row]) for rank in ranks]
        assert found[row] == pytest.approx(np.corrcoef(*repeated)[0, 1])
