"""Integrated gradients of latents and error: complete, antisymmetric, exact where they must be, and captum's."""

import numpy as np
import pytest
import torch
from architectures import POST, PRE
from latent_pairs import CHANGED, make_case, random_autoencoder
from optional import oracle
from torch.testing import assert_close

from mints.features.above import READOUTS
from mints.features.integrated_gradients import (
    attribute,
    attribute_changed,
    gauss_legendre,
    gini,
    left_riemann,
    mean_gradients,
    sparse_uniform,
    top_share,
)
from mints.features.latent_effects import effects_of_values


@pytest.fixture(scope="module", params=[POST, PRE], ids=["post_norm", "pre_norm"])
def case(request):
    return make_case(request.param)


def attributed(case, nodes, forwards=True):
    base, source = (case.corrupted, case.clean) if forwards else (case.clean, case.corrupted)
    rng = np.random.default_rng(0)
    return attribute(case.above, case.autoencoder, base, source.x, case.changed[None], case.readout, nodes, rng)


def test_nodes_integrate_polynomials_exactly():
    for count in (1, 3, 10):
        places, weights = gauss_legendre(count)
        for power in range(2 * count):
            assert (weights * places**power).sum() == pytest.approx(1 / (power + 1), abs=1e-12)
    assert left_riemann(4).places.tolist() == [0, 0.25, 0.5, 0.75]
    assert left_riemann(4).weights.sum() == 1


def test_attributions_and_the_error_s_add_up_to_the_effect(case):
    errors = {count: np.abs(attributed(case, gauss_legendre(count)).missing).max() for count in (1, 2, 4, 10, 40)}
    found = attributed(case, gauss_legendre(40))
    assert errors[40] < 1e-4 * np.abs(found.effect).max()
    assert errors[40] < errors[4] < errors[1]
    direct = effects_of_values(case.above, case.corrupted, case.clean.x, case.readout)[0]
    assert_close(found.effect[:, 0], direct, atol=1e-4, rtol=1e-4)
    assert_close(found.missing, found.latents.sum(2) + found.error - found.effect)
    assert np.abs(found.error).min() > 1e-3  # what is not reconstructed has its share


def test_ten_nodes_miss_less_than_ten_left_steps(case):
    ours, published = (np.abs(attributed(case, nodes(10)).missing) for nodes in (gauss_legendre, left_riemann))
    assert (ours < 0.2 * published).all()


def test_attributions_of_the_way_back_are_the_negative_ones(case):
    nodes = gauss_legendre(10)
    there, back = attributed(case, nodes), attributed(case, nodes, forwards=False)
    assert_close(there.latents, -back.latents, atol=1e-4, rtol=1e-4)
    assert_close(there.error, -back.error, atol=1e-4, rtol=1e-4)


def test_one_node_is_exact_for_a_linear_read_out(case):
    """The probe on the site's own stream."""
    linear = make_case(case.encoder.architecture, probe_layer=1)
    found = attributed(linear, gauss_legendre(1))
    assert abs(found.missing[0, 0]) < 1e-5
    by_hand = np.zeros(60)
    latents = [linear.autoencoder.encode(run.x[0]) for run in (linear.clean, linear.corrupted)]
    for place in range(1, 8):
        difference = (latents[0][place] - latents[1][place]) / 0.7 / 7
        by_hand += (difference.double() * (linear.autoencoder.W_dec.double() @ linear.probe.weights)).numpy()
    assert_close(found.latents[0, 0], by_hand, atol=1e-5, rtol=1e-4)


def test_integrated_gradients_are_captum_s(case):
    captum = oracle("captum.attr")
    autoencoder = case.autoencoder
    sides = [(autoencoder.encode(run.x), run.x - autoencoder(run.x).output) for run in (case.clean, case.corrupted)]
    for place in range(len(READOUTS)):

        def forward(latents, error, place=place):
            x = autoencoder.decode(latents, autoencoder.frame(latents[..., : autoencoder.d_in])) + error
            return case.above.readouts(x, case.corrupted, case.readout)[:, place]

        theirs, their_error = captum.IntegratedGradients(forward, multiply_by_inputs=True).attribute(
            sides[0], baselines=sides[1], n_steps=10, method="gausslegendre"
        )
        found = attributed(case, gauss_legendre(10))
        assert_close(found.latents[place, 0], theirs[0].sum(0).double().numpy(), atol=2e-4, rtol=1e-3)
        assert found.error[place, 0] == pytest.approx(float(their_error.sum()), abs=5e-4, rel=1e-3)


@pytest.mark.parametrize("tokens_per_batch", [9, 40, 1000])
def test_the_batch_changes_nothing(case, tokens_per_batch):
    nodes, whole = (
        gauss_legendre(6),
        mean_gradients(case.above, case.corrupted, case.clean.x, case.readout, gauss_legendre(6)),
    )
    parts = mean_gradients(
        case.above, case.corrupted, case.clean.x, case.readout, nodes, tokens_per_batch=tokens_per_batch
    )
    assert_close(parts, whole, atol=1e-5, rtol=1e-4)
    by_hand = 0
    for place, weight in zip(*nodes, strict=True):
        x = case.corrupted.x + place * (case.clean.x - case.corrupted.x)
        by_hand = by_hand + weight * case.above.gradients(x.float(), case.corrupted, case.readout).double()
    assert_close(whole, by_hand, atol=1e-5, rtol=1e-4)


def test_cases_that_change_one_token_are_attributed_row_by_row_at_that_token(case):
    """Rows with read-outs of their own, in one batch, equal each case alone."""
    ids = case.clean_ids.repeat(3, 1)
    places = torch.tensor([2, 5, 2])
    ids[torch.arange(3), places] = torch.tensor([19, 20, 25])
    base, source = case.above.record(ids), case.clean.x.expand(3, -1, -1)
    readout = case.readout._replace(corrupted=ids)
    nodes, asked = gauss_legendre(3), ("probe", "substitution")
    together = attribute_changed(case.above, case.autoencoder, base, source, places, readout, nodes, asked)
    for row in range(3):
        which = torch.tensor([row])
        alone = attribute(
            case.above, case.autoencoder, base.rows(which), case.clean.x, ids[[row]] != case.clean_ids,
            readout.rows(which), nodes, np.random.default_rng(0),
        )  # fmt: skip
        for place, name in enumerate(asked):
            assert_close(
                together[place, row], alone.at_changed[READOUTS.index(name), 0].astype(np.float32), atol=1e-4, rtol=1e-3
            )
    assert np.abs(together).max() > 0.01


def test_only_what_is_asked_is_attributed_at_the_changed_tokens(case):
    found = attributed(case, gauss_legendre(2))
    unchanged = case.changed.clone()
    unchanged[CHANGED[0]] = False
    one = attribute(
        case.above, case.autoencoder, case.corrupted, case.clean.x, unchanged[None], case.readout, gauss_legendre(2),
        np.random.default_rng(0), ("other_tokens",),
    )  # fmt: skip
    assert one.latents.shape == (1, 1, 60)
    assert_close(one.latents[0], found.latents[READOUTS.index("other_tokens")])
    assert not np.allclose(one.at_changed[0], found.at_changed[READOUTS.index("other_tokens")])


# Concentration


def test_share_of_the_largest_and_gini_by_hand():
    values = np.array([[0.0, -3.0, 1.0, 0.0], [2.0, 2.0, -2.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert top_share(values, 1).tolist()[:2] == [0.75, 0.25]
    pairs = np.abs(np.abs(values[0])[:, None] - np.abs(values[0])[None]).sum()
    assert gini(values)[0] == pytest.approx(pairs / (2 * 4 * 4))  # mean difference over twice the mean
    assert gini(values)[1] == pytest.approx(0)
    assert np.isnan(top_share(values)[2])
    assert np.isnan(gini(values)[2])


def test_equal_attributions_to_32_of_4096_latents_already_look_concentrated():
    """Published shares of the top 20 (0.95) and Gini (0.997) have to be read against these."""
    share, coefficient = sparse_uniform(np.array([32]), 4096)
    equal = np.zeros(4096)
    equal[:32] = -1.5
    assert share[0] == top_share(equal) == 0.625
    assert coefficient[0] == pytest.approx(gini(equal)) == pytest.approx(0.992, abs=5e-4)


def test_the_gradient_of_random_direction_keeps_its_length_at_every_token():
    """With one latent a dimension, what it is given is the difference times the gradient's component."""
    case = make_case(POST, autoencoder=random_autoencoder(POST.d_model))
    draws = [
        attribute(
            case.above, case.autoencoder, case.corrupted, case.clean.x, case.changed[None], case.readout,
            gauss_legendre(2), np.random.default_rng(seed),
        )
        for seed in range(2)
    ]  # fmt: skip
    assert_close(draws[0].latents, draws[1].latents)
    assert not np.allclose(draws[0].along_random, draws[1].along_random)
    changing = draws[0].latents[0, 0] != 0
    assert (draws[0].along_random[0, 0] != 0).tolist() == changing.tolist()
    ratio = np.abs(draws[0].along_random).sum(2) / np.abs(draws[0].latents).sum(2)
    assert (ratio > 0.3).all()
    assert (ratio < 3).all()
