"""The clamp steering of a published system, by hand from its written definition, and where it is faulty.

Two dimensions, three latents with decoder rows w₀ = (1, 0), w₁ = (0, 1), w₂ = (0.6, 0.8), encoder rows the same, no
biases, ReLU. For x = (3, 4) the latents are (3, 4, 5), the reconstruction (3, 4) + 5 · (0.6, 0.8) = (6, 8), and the
error x − reconstruction = (−3, −4).
"""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.testing import assert_close

from mints.features.autoencoder import SparseAutoencoder
from mints.features.intervention import change_latents, set_latents
from mints.features.steering_latents import latent_use

ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
X = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
"""One sequence of two tokens; the latents of the second are (1, 0, 0.6)."""


@pytest.fixture
def autoencoder():
    made = SparseAutoencoder(2, 3, "relu")
    with torch.no_grad():
        made.W_dec.copy_(ROWS)
        made.W_enc.copy_(ROWS.T)
    return made.requires_grad_(False)


def seed_clamp(x, latent, value, place, scale=1.0):
    """steered = decode(latents′) + (x − decode(latents)), latents of x · scale: the definition, token by token."""
    steered = x.clone()
    latents = [
        max(0.0, sum(a * b for a, b in zip((scale * x[0, place]).tolist(), row, strict=True))) for row in ROWS.tolist()
    ]
    changed = [*latents]
    changed[latent] = value
    for axis in range(2):
        before = sum(z * row[axis] for z, row in zip(latents, ROWS.tolist(), strict=True))
        after = sum(z * row[axis] for z, row in zip(changed, ROWS.tolist(), strict=True))
        steered[0, place, axis] = after + (float(x[0, place, axis]) - before)
    return steered


def at(place):
    return torch.tensor([[place == 0, place == 1]])


def test_a_clamp_with_the_error_kept_is_the_published_definition(autoencoder):
    ours = change_latents(autoencoder, set_latents(torch.tensor([2]), 7.0), at(0))(X)
    assert_close(ours[0, 0], torch.tensor([4.2, 5.6]))  # x + (7 − 5) w₂
    assert_close(ours, seed_clamp(X, 2, 7.0, 0))
    negative = change_latents(autoencoder, set_latents(torch.tensor([2]), -50.0), at(0))(X)
    assert_close(negative[0, 0], torch.tensor([-30.0, -40.0]))  # a clamp may be negative, as there: x − 55 w₂
    assert_close(negative, seed_clamp(X, 2, -50.0, 0))


def test_its_fault_of_two_scales_nearly_trebles_the_dose(autoencoder):
    """Its training encodes x, its steering x · √d/‖x‖: the clamped value and the latent it replaces differ in scale."""
    faulty = seed_clamp(X, 2, 7.0, 0, scale=2**0.5 / 5)
    assert_close(faulty[0, 0], torch.tensor([6.35147, 8.46863]))  # x + (7 − 1.41421) w₂
    ours = change_latents(autoencoder, set_latents(torch.tensor([2]), 7.0), at(0))(X)
    assert float((faulty - X).norm()) == pytest.approx(5.58579, abs=1e-4)
    assert float((ours - X).norm()) == pytest.approx(2.0, abs=1e-5)
    same = seed_clamp(X, 2, 2**0.5, 0, scale=2**0.5 / 5)
    assert_close(same, X)  # its clamp to the value already there still changes nothing: the fault hides there


def test_its_largest_activation_is_another_latent_s(autoencoder):
    """Its `max_activation` is the largest value of all latents and positions, 5 of latent 2, whatever is steered."""
    latents = autoencoder.encode(X)
    assert float(latents.max()) == 5.0
    seed = change_latents(autoencoder, set_latents(torch.tensor([0]), float(latents.max())), at(0))(X)
    assert_close(seed[0, 0], torch.tensor([5.0, 4.0]))
    use = latent_use(csr_array(latents[0].numpy().astype(float)))
    assert use.scale == pytest.approx([2.98, 4.0, 4.956])  # 99th percentiles of (3, 1), of 4 alone, of (5, 0.6)
    assert use.frequency.tolist() == [1.0, 0.5, 1.0]
    ours = change_latents(autoencoder, set_latents(torch.tensor([0]), float(use.scale[0])), at(0))(X)
    assert_close(ours[0, 0], torch.tensor([2.98, 4.0]))
    assert not np.isclose(float(seed[0, 0, 0]), float(ours[0, 0, 0]))
