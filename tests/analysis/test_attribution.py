"""Attribution patching: where the gradient's estimate is exact, how it converges, and how well it ranks."""

from types import SimpleNamespace

import numpy as np
import pytest
from architectures import POST, PRE, scattered
from patching_pairs import FP32, WINDOWS, batch_of, make_pairs, unit_weights
from scipy.stats import spearmanr

from mints.analysis.attribution import attribute_heads
from mints.analysis.patching import ProbeLogit, heads_of, record, sweep_heads
from mints.analysis.patching_sweep import sweep_pairs
from mints.models.encoder import randomly_initialised


def make_case(encoder, layer):
    """Recordings of both sides in float64, where small differences can be told from rounding."""
    rng = np.random.default_rng(3)
    readout = ProbeLogit(layer, unit_weights(encoder.architecture, rng), 0.3)
    pairs = make_pairs(rng)
    clean, corrupted = (
        record(encoder.double(), batch_of(side, encoder.architecture.pad_id), readout, FP32)
        for side in (pairs.clean, pairs.corrupted)
    )
    return SimpleNamespace(encoder=encoder, readout=readout, clean=clean, corrupted=corrupted)


def between(base, source, share):
    """A source that differs from the base by a share of what it differs."""
    z = [own + share * (given - own) for own, given in zip(base.z, source.z, strict=True)]
    return base._replace(z=z)


def estimate_and_exact(case, share):
    """(estimated, exact) changes of the read-out, heads up to the read-out."""
    source = between(case.corrupted, case.clean, share)
    exact = sweep_heads(case.encoder, case.corrupted, source, case.readout, FP32, heads_of(case.encoder))
    exact = exact - case.corrupted.readout.numpy()[:, None, None]
    estimated = attribute_heads(case.encoder, case.corrupted, source, case.readout, FP32)
    layers = case.readout.layer + 1
    return estimated[:, :layers], exact[:, :layers]


both_kinds = pytest.mark.parametrize("architecture", [POST, PRE], ids=["post_norm", "pre_norm"])


@both_kinds
def test_the_estimates_relative_error_shrinks_with_the_difference(architecture):
    """First order: an error of second order, so that halving the difference halves the relative error."""
    case = make_case(scattered(architecture), layer=1)
    errors = []
    for share in (1e-2, 5e-3, 2.5e-3, 1e-4):
        estimated, exact = estimate_and_exact(case, share)
        errors.append(np.linalg.norm(estimated - exact) / np.linalg.norm(exact))
    np.testing.assert_allclose(np.array(errors[:2]) / errors[1:3], 2, atol=0.1)
    assert errors[0] < 0.05
    assert errors[3] < 5e-4


def test_the_estimate_is_exact_where_the_readout_is_linear_in_the_head():
    """Pre-norm, and a feed-forward that gives nothing: the stream after the last layer is a sum of its heads."""
    encoder = scattered(PRE)
    encoder.block(2).mlp.output.weight.data.zero_()
    estimated, exact = estimate_and_exact(make_case(encoder, layer=2), 1.0)
    np.testing.assert_allclose(estimated[:, 2], exact[:, 2], rtol=1e-9, atol=1e-12)
    assert np.abs(exact[:, 2]).min() > 1e-5
    assert np.abs(estimated[:, 0] - exact[:, 0]).max() > 1e-3


@both_kinds
@pytest.mark.parametrize("layer", [0, 1])
def test_the_estimate_is_nothing_above_the_readout(architecture, layer):
    case = make_case(scattered(architecture), layer)
    estimates = attribute_heads(case.encoder, case.corrupted, case.clean, case.readout, FP32)
    assert (estimates[:, layer + 1 :] == 0).all()
    assert (estimates[:, : layer + 1] != 0).all()


@both_kinds
def test_the_estimate_ranks_heads_as_exact_patching_does(architecture):
    """Freshly initialised models, whose heads do little: the regime that a screen by gradient is for."""
    rng = np.random.default_rng(1)
    ranks = []
    for seed in range(3):
        readout = ProbeLogit(2, unit_weights(architecture, rng), 0.0)
        sweep = sweep_pairs(randomly_initialised(architecture, seed), make_pairs(rng), readout, FP32, WINDOWS, 1000)
        exact = sweep.denoising.heads - sweep.denoising.corrupted[:, None, None]
        ranks.append(spearmanr(exact.ravel(), sweep.estimated_heads.ravel()).statistic)
    assert min(ranks) > 0.95
