import numpy as np
import pytest

from mints.analysis.bootstrap import cluster_weights, interval


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_rows_of_one_cluster_are_always_drawn_together(rng):
    clusters = np.array([7, 3, 7, 3, 9])
    weights = cluster_weights(clusters, 200, rng)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 3]).all()
    assert not (weights[:, 0] == weights[:, 4]).all()


def test_every_resample_draws_as_many_clusters_as_there_are(rng):
    clusters = np.array([0, 0, 1, 2, 2, 2])
    weights = cluster_weights(clusters, 100, rng)
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_each_cluster_is_drawn_once_on_average(rng):
    weights = cluster_weights(np.arange(20), 5000, rng)
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=0.06)


def test_the_same_generator_state_gives_the_same_resamples():
    clusters = np.arange(10)
    first, second = (cluster_weights(clusters, 5, np.random.default_rng(4)) for _ in range(2))
    assert (first == second).all()


def test_an_interval_is_the_quantiles_over_resamples_without_the_undefined_ones(rng):
    values = rng.normal(size=(999, 3))
    gaps = values.copy()
    gaps[::3, 1] = np.nan
    low, high = interval(gaps, 0.9)
    assert low[0] == pytest.approx(np.quantile(values[:, 0], 0.05))
    assert high[1] == pytest.approx(np.quantile(gaps[~np.isnan(gaps[:, 1]), 1], 0.95))


def test_an_interval_of_nothing_is_undefined():
    low, high = interval(np.full(5, np.nan), 0.95)
    assert np.isnan([low, high]).all()


def test_intervals_of_clustered_rows_cover_the_truth_where_intervals_of_rows_do_not(rng):
    """200 studies of 60 clusters of 8 equal rows: the mean must lie in its 90% interval 90 times in 100."""
    covered = {"cluster": 0, "row": 0}
    for _ in range(200):
        values = np.repeat(rng.normal(size=60), 8)
        for unit, clusters in (("cluster", np.repeat(np.arange(60), 8)), ("row", np.arange(480))):
            weights = cluster_weights(clusters, 300, rng)
            low, high = interval(weights @ values / weights.sum(axis=1), 0.9)
            covered[unit] += bool(low <= 0 <= high)
    assert 166 <= covered["cluster"] <= 194  # 90% of 200, three standard errors to either side
    assert covered["row"] < 120


def test_without_rows_there_is_nothing_to_draw():
    rng = np.random.default_rng(0)
    assert cluster_weights(np.zeros(0, dtype=int), 7, rng).shape == (7, 0)
    assert rng.random() == np.random.default_rng(0).random()
