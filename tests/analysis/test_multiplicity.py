import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control

from mints.analysis.multiplicity import benjamini_hochberg, clopper_pearson, holm


@pytest.fixture
def p():
    return np.random.default_rng(3).random(40) ** 3


def test_q_values_equal_scipy_s(p):
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p, method="bh"))


def test_holm_multiplies_the_smallest_p_by_the_family_and_never_falls():
    assert holm(np.array([0.03, 0.01, 0.04])) == pytest.approx([0.06, 0.03, 0.06])


def test_holm_calls_what_a_step_down_by_hand_calls(p):
    """Holm's own description: go up from the smallest p, stop at the first that exceeds level / tests left."""
    level, called = 0.05, np.zeros(len(p), dtype=bool)
    for place, test in enumerate(np.argsort(p)):
        if p[test] > level / (len(p) - place):
            break
        called[test] = True
    assert ((holm(p) <= level) == called).all()
    assert called.any()
    assert not called.all()


def test_no_adjusted_value_exceeds_one():
    assert benjamini_hochberg(np.array([0.9, 0.95])).max() <= 1
    assert holm(np.array([0.9, 0.95])).tolist() == [1, 1]


def test_the_bounds_of_a_share_are_where_the_binomial_tails_hold_half_the_rest():
    low, high = clopper_pearson(3, 20, 0.95)
    assert binom.sf(2, 20, low) == pytest.approx(0.025)
    assert binom.cdf(3, 20, high) == pytest.approx(0.025)


def test_no_success_in_n_trials_has_a_lower_bound_of_zero_and_a_known_upper_one():
    low, high = clopper_pearson(0, 100, 0.95)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert clopper_pearson(100, 100, 0.95) == pytest.approx((1 - high, 1))
