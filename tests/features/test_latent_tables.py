"""Tables of latents and sets: figures by hand from a few pairs, nulls, and what is left out."""

import numpy as np
import pandas as pd
import pytest

from mints.analysis.bootstrap import Resamples, cluster_weights
from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.above import READOUTS
from mints.features.latent_effects import PairEffects
from mints.features.latent_tables import Sets, cumulative_sets, gather, latent_table, set_table

D_SAE, PAIRS = 12, 20
FREQUENCIES = np.linspace(0.05, 0.6, D_SAE)


def make_pairs(planted=0.5):
    """Latent 2 carries the effect of the probe wherever it changes; latent 11 changes in four pairs alone."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(PAIRS):
        latents = np.sort(rng.choice(11, 7, replace=False))
        latents = np.append(latents, 11) if index < 4 else latents
        own, random = rng.normal(0, 0.05, (2, len(latents), len(READOUTS)))
        own[latents == 2, 0] += planted
        nulls = {"random": (random, -random)}
        pairs.append(PairEffects(latents, rng.uniform(1, 2, len(latents)), own, own + 0.01, nulls, own * 1.1))
    totals = 1 + rng.normal(0, 0.1, (PAIRS, len(READOUTS)))
    return pairs, totals


@pytest.fixture(scope="module")
def judge():
    return Resamples(cluster_weights(np.arange(PAIRS) // 2, 300, np.random.default_rng(1)), 0.95)


def test_a_latent_that_carries_the_effect_is_told_from_its_nulls_and_from_the_others(judge):
    pairs, totals = make_pairs()
    table = latent_table(gather(pairs, FREQUENCIES, READOUTS), totals, FREQUENCIES, judge)
    assert set(table["direction"]) == {"denoising", "noising"}
    probe = table[(table["readout"] == "probe") & (table["direction"] == "denoising")].set_index("latent")
    with_two = [pair for pair in pairs if 2 in pair.latents]
    total = sum(float(pair.denoised[pair.latents == 2, 0][0]) for pair in with_two)
    carrier = probe.loc[2]
    assert carrier["n_pairs"] == len(with_two)
    assert carrier["frequency"] == FREQUENCIES[2]
    assert carrier["change"] == pytest.approx(total / PAIRS)
    assert carrier["pm"] == pytest.approx(total / totals[:, 0].sum())
    assert carrier["effect"] == pytest.approx(totals[:, 0].mean())
    assert carrier["estimate"] == pytest.approx(1.1 * total / PAIRS)
    assert carrier["change_low"] > 0.1
    assert carrier["beyond_matched_low"] > 0.1
    assert carrier["beyond_random_low"] > 0.1
    assert carrier["q"] < 0.001
    others = probe.drop(index=2)
    assert (others["q"] > 0.01).sum() >= len(others) - 1
    assert probe["q"].tolist() == benjamini_hochberg(probe["p"].to_numpy()).tolist()
    noising = table[(table["readout"] == "probe") & (table["direction"] == "noising")].set_index("latent")
    assert noising.loc[2, "change"] == pytest.approx((total + 0.01 * len(with_two)) / PAIRS)
    assert noising["estimate"].isna().all()


def test_the_null_of_a_latent_is_the_median_of_the_nearest_others_of_the_same_pair():
    pairs, _ = make_pairs()
    effects = gather(pairs, FREQUENCIES, READOUTS)
    pair = pairs[7]
    for place, latent in enumerate(pair.latents):
        rank = np.argsort(np.argsort(pair.lengths)), np.argsort(np.argsort(FREQUENCIES[pair.latents]))
        distance = [
            sum(abs(int(ranks[place]) - int(ranks[other])) for ranks in rank) if other != place else 99
            for other in range(len(pair.latents))
        ]
        five = sorted(range(len(distance)), key=lambda other, distance=distance: (distance[other], other))[:5]
        column = effects.latents.tolist().index(latent)
        assert effects.nulls["matched"][0, 7, column] == pytest.approx(np.median(pair.denoised[five], axis=0))
        assert effects.own[1, 7, column] == pytest.approx(pair.noised[place])
        assert effects.nulls["random"][1, 7, column] == pytest.approx(pair.nulls["random"][1][place])
    absent = np.setdiff1d(effects.latents, pair.latents)
    for part in (effects.own[0], effects.nulls["matched"][0], effects.nulls["random"][1]):
        assert not part[7, np.isin(effects.latents, absent)].any()


def test_a_latent_that_changes_in_too_few_pairs_is_not_tested():
    pairs, totals = make_pairs()
    effects = gather(pairs, FREQUENCIES, READOUTS)
    assert 11 not in effects.latents
    assert (effects.n_pairs >= 5).all()
    assert effects.length[0] == pytest.approx(
        np.mean([pair.lengths[pair.latents == 0][0] for pair in pairs if 0 in pair.latents])
    )


def test_no_pairs_give_an_empty_table_with_its_columns():
    nothing = Resamples(np.zeros((10, 0), dtype=np.int64), 0.95)
    totals = np.zeros((0, len(READOUTS)))
    full = latent_table(
        gather(make_pairs()[0], FREQUENCIES, READOUTS),
        *make_pairs()[1:],
        FREQUENCIES,
        Resamples(np.ones((3, PAIRS), dtype=int), 0.95),
    )
    empty = latent_table(gather([], FREQUENCIES, READOUTS), totals, FREQUENCIES, nothing)
    assert empty.empty
    assert empty.columns.tolist() == full.columns.tolist()
    sets = cumulative_sets("change", np.arange(D_SAE), [1, 2])
    table = set_table(sets, np.zeros((0, 2, len(READOUTS))), totals, nothing, READOUTS)
    assert len(table) == 2 * len(READOUTS)
    assert table[["pm", "change", "effect"]].isna().all().all()


def test_cumulative_sets_are_nested_and_draws_of_a_null_are_averaged(judge):
    order = np.array([4, 9, 1, 0])
    sets = cumulative_sets("gradients", order, [1, 3])
    assert [members.tolist() for members in sets.members] == [[4], [4, 9, 1]]
    sets = sets.joined(Sets(["null"] * 3, [1, 1, 3], [order[:1]] * 3))
    rng = np.random.default_rng(0)
    changes, totals = rng.normal(size=(PAIRS, 5, len(READOUTS))), 2 + rng.uniform(size=(PAIRS, len(READOUTS)))
    table = set_table(sets, changes, totals, judge, READOUTS).set_index(["readout", "ranking", "size"])
    for place, readout in enumerate(READOUTS):
        assert table.loc[(readout, "gradients", 3), "change"] == pytest.approx(changes[:, 1, place].mean())
        drawn = changes[:, 2:4, place].mean(1)
        assert table.loc[(readout, "null", 1), "change"] == pytest.approx(drawn.mean())
        assert table.loc[(readout, "null", 1), "pm"] == pytest.approx(drawn.sum() / totals[:, place].sum())
        resampled = judge.weights @ drawn / judge.weights.sum(1)
        low, high = np.quantile(resampled, [0.025, 0.975])
        row = table.loc[(readout, "null", 1)]
        assert (row["change_low"], row["change_high"]) == (pytest.approx(low), pytest.approx(high))
    assert isinstance(table, pd.DataFrame)
