"""Correlations with a scan: figures by hand, positions as the unit, and baselines that need no model."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from mints.analysis.bootstrap import cluster_weights, crossed_weights
from mints.analysis.scan_correlation import scan_correlations
from mints.analysis.substitution_baselines import BASELINES, blosum62, hydrophobicity

SETTINGS = {"resamples": 400, "level": 0.95}


def make_scan(spread=0.3, places=30):
    """Twenty singles at every place, and doubles at some pairs of places; a place has an effect of its own."""
    rng = np.random.default_rng(0)
    of_place = rng.normal(size=places)
    rows = [((at,), of_place[at] + spread * rng.normal()) for at in range(places) for _ in range(20)]
    pairs = [(2, 9), (2, 11), (5, 6), (12, 13), (14, 15), (16, 17)]
    rows += [(pair, of_place[list(pair)].sum() + spread * rng.normal()) for pair in pairs for _ in range(15)]
    positions = [places for places, _ in rows]
    score = np.array([value for _, value in rows])
    table = pd.DataFrame({"mutations": [len(places) for places in positions], "DMS_score": score})
    table["DMS_score_bin"] = pd.array((score > 0).astype(int), dtype="Int64")
    table["model"] = score + rng.normal(size=len(table))
    table["baseline"] = rng.normal(size=len(table))
    table["of_the_place"] = [of_place[list(places)].sum() for places in positions]
    return table, positions


def found(table, positions, scores=("model", "baseline", "of_the_place"), **settings):
    return scan_correlations(
        table, positions, scores, "baseline", "DMS_score", rng=np.random.default_rng(1), **(SETTINGS | settings)
    ).set_index(["mutants", "score"])


def test_correlation_and_auroc_are_those_of_scipy_and_scikit_learn_for_singles_doubles_and_all():
    table, positions = make_scan()
    result = found(table, positions)
    kinds = {"all": table["mutations"] > 0, "singles": table["mutations"] == 1, "doubles": table["mutations"] == 2}
    assert {kind for kind, _ in result.index} == set(kinds)  # nothing of three substitutions
    for kind, chosen in kinds.items():
        part = table[chosen]
        for score in ("model", "baseline"):
            row = result.loc[(kind, score)]
            assert row["spearman"] == pytest.approx(spearmanr(part[score], part["DMS_score"]).statistic)
            assert row["auroc"] == pytest.approx(roc_auc_score(part["DMS_score_bin"].astype(int), part[score]))
            assert row["n"] == len(part)
        over = result.loc[(kind, "model"), "spearman"] - result.loc[(kind, "baseline"), "spearman"]
        assert result.loc[(kind, "model"), "beyond_baseline"] == pytest.approx(over)
    assert result.loc[("doubles", "model"), "positions"] == 11
    assert result.loc[("all", "model"), "positions"] == 30
    assert result.loc[("singles", "model"), "beyond_baseline_low"] > 0
    assert result.loc[("singles", "model"), "q"] < 1e-6
    assert result.loc[("singles", "baseline"), "p"] > 0.05


def test_a_score_that_knows_places_alone_has_an_interval_over_places_and_not_over_mutants():
    table, positions = make_scan(spread=0.1)
    row = found(table, positions).loc[("singles", "of_the_place")]
    wide = row["auroc_high"] - row["auroc_low"], row["spearman_high"] - row["spearman_low"]
    alone = [(at,) for at in range(len(positions))]
    narrow = found(table, alone).loc[("singles", "of_the_place")]
    assert wide[1] > 2 * (narrow["spearman_high"] - narrow["spearman_low"])


def test_a_mutant_occurs_as_often_as_the_product_of_its_positions_draws():
    units = [(4,), (7,), (4, 7), (9, 4), (4,)]
    weights = crossed_weights(units, 200, np.random.default_rng(0))
    assert weights.shape == (200, 5)
    assert np.array_equal(weights[:, 2], weights[:, 0] * weights[:, 1])
    assert np.array_equal(weights[:, 0], weights[:, 4])
    nine = np.divide(weights[:, 3], weights[:, 0], where=weights[:, 0] > 0, out=np.full(200, np.nan))
    drawn = weights[:, 0] + weights[:, 1] + nine  # three positions, drawn three times
    assert set(drawn[weights[:, 0] > 0]) == {3}
    clusters = np.array([3, 3, 1, 5])
    plain = crossed_weights([(cluster,) for cluster in clusters], 50, np.random.default_rng(2))
    assert np.array_equal(plain, cluster_weights(clusters, 50, np.random.default_rng(2)))
    assert crossed_weights([], 5, np.random.default_rng(0)).shape == (5, 0)


def test_resampled_correlations_are_those_of_rows_repeated_with_their_ranks_kept():
    table, positions = make_scan()
    doubles = table[table["mutations"] == 2]
    units = [positions[row] for row in doubles.index]
    row = found(doubles, units).loc[("doubles", "model")]
    rng = np.random.default_rng(1)
    crossed_weights(units, 400, rng)  # those of all mutants, which come first
    weights = crossed_weights(units, 400, rng)
    ranks = [rankdata(doubles[name]) for name in ("model", "DMS_score")]
    drawn = [np.corrcoef(*(np.repeat(rank, times) for rank in ranks))[0, 1] for times in weights if times.sum() > 1]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    assert (row["spearman_low"], row["spearman_high"]) == (pytest.approx(low), pytest.approx(high))


def test_few_positions_give_a_correlation_and_no_interval():
    table, positions = make_scan()
    few = [row for row, places in enumerate(positions) if len(places) == 1 or max(places) < 12]
    result = found(table.iloc[few], [positions[row] for row in few])
    row = result.loc[("doubles", "model")]
    assert (row["n"], row["positions"]) == (45, 5)
    assert np.isfinite(row[["spearman", "beyond_baseline", "auroc"]].to_numpy(dtype=float)).all()
    assert row[["spearman_low", "spearman_high", "p", "q", "beyond_baseline_low", "auroc_high"]].isna().all()
    assert result.loc[("singles", "model"), ["spearman_low", "q"]].notna().all()


def test_without_a_class_there_is_no_auroc_and_few_mutants_give_no_row():
    table, positions = make_scan()
    table["DMS_score_bin"] = pd.array([None] * len(table), dtype="Int64")
    assert found(table, positions)["auroc"].isna().all()
    assert found(table.iloc[:19], positions[:19]).empty


def test_baselines_are_published_figures():
    assert blosum62("W", "W") == 11
    assert blosum62("W", "G") == blosum62("G", "W") == -2
    assert blosum62("I", "V") == 3
    assert hydrophobicity("I", "R") == pytest.approx(-9.0)  # 4.5 and −4.5 on the scale of Kyte and Doolittle
    assert hydrophobicity("K", "R") == pytest.approx(-0.6)
    assert set(BASELINES) == {"blosum62", "hydrophobicity"}
