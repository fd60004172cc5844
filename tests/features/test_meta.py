"""Dictionaries of decoder rows: training, sparse codes, and controls that lose only where there is structure."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp
from torch.testing import assert_close

from mints.features.autoencoder import SparseAutoencoder
from mints.features.meta import (
    Member,
    MetaRecipe,
    children,
    covariance_rows,
    isotropic_rows,
    own_fit,
    pursuit,
    pursuit_fit,
    train_together,
    unit_rows,
)
from mints.features.meta_tables import COVARIANCE, DECODER, ISOTROPIC, UNTRAINED, meta_dictionaries

QUICK = MetaRecipe(meta_latents=12, steps=150, batch=128)


def hierarchical_rows(rng, parents=12, count=400, d_in=24, noise=0.05):
    """Rows that are sums of two of a few parents, as a dictionary's children of shared features would be."""
    atoms = unit_rows(torch.from_numpy(rng.standard_normal((parents, d_in))))
    pairs = np.array([rng.choice(parents, 2, replace=False) for _ in range(count)])
    rows = atoms[pairs].sum(1) + noise * torch.from_numpy(rng.standard_normal((count, d_in))).float()
    return unit_rows(rows), pairs


def left_over(rows, seed=0):
    found = meta_dictionaries(rows, [2], 2, QUICK, np.random.default_rng(seed)).table
    return found.groupby("rows")["left_pursuit"]


def test_random_controls_lose_on_planted_hierarchical_rows():
    rows, pairs = hierarchical_rows(np.random.default_rng(0))
    by_rows = left_over(rows)
    assert by_rows.max()[DECODER] < 0.25
    for control in (ISOTROPIC, COVARIANCE, UNTRAINED):
        assert by_rows.min()[control] > by_rows.max()[DECODER] + 0.2
    (autoencoder,) = train_together([Member(rows, 2, 0)], QUICK)
    found = children(autoencoder, rows, 10)
    families = [pairs[[child.row for child in found if child.meta_latent == meta]] for meta in range(12)]
    shared = [np.bincount(family.ravel()).max() / len(family) for family in families if len(family) == 10]
    assert len(shared) >= 10
    assert np.mean(shared) > 0.9  # a meta-latent's children have a parent in common


def test_random_controls_do_not_lose_on_random_rows():
    rng = np.random.default_rng(1)
    spread = torch.from_numpy(np.linspace(0.2, 1.5, 24)).float()
    for rows in (
        isotropic_rows(torch.zeros(400, 24), rng),
        unit_rows(torch.from_numpy(rng.standard_normal((400, 24))).float() * spread),
    ):
        by_rows = left_over(rows)
        assert by_rows.mean()[COVARIANCE] == pytest.approx(by_rows.mean()[DECODER], abs=0.02)
    # Rows that merely lie in few dimensions beat the isotropic control, and only that.
    assert by_rows.mean()[ISOTROPIC] > by_rows.mean()[DECODER] + 0.05


def test_members_that_are_trained_together_are_those_trained_alone():
    rng = np.random.default_rng(2)
    members = [Member(isotropic_rows(torch.zeros(90, 10), rng), k, seed) for k, seed in ((1, 0), (3, 0), (3, 5))]
    recipe = MetaRecipe(meta_latents=8, steps=25, batch=32)
    for member, together in zip(members, train_together(members, recipe), strict=True):
        (alone,) = train_together([member], recipe)
        assert together.k == alone.k == member.k
        for name, tensor in together.state_dict().items():
            assert_close(tensor, alone.state_dict()[name], atol=1e-5, rtol=1e-4)
        assert_close(together.W_dec.norm(dim=1), torch.ones(8))


def test_training_follows_a_loop_over_the_core_s_own_autoencoder():
    rows = isotropic_rows(torch.zeros(60, 6), np.random.default_rng(3))
    recipe = MetaRecipe(meta_latents=5, steps=8, batch=16, learning_rate=0.01)
    (found,) = train_together([Member(rows, 2, 4)], recipe)
    generator = torch.Generator().manual_seed(4)
    start = torch.randperm(60, generator=generator)[:5]
    slow = SparseAutoencoder(6, 5, "topk", k=2)
    with torch.no_grad():
        slow.b_dec.copy_(rows.mean(0))
        slow.W_dec.copy_(unit_rows(rows[start] - rows.mean(0)))
        slow.W_enc.copy_(slow.W_dec.T)
    optimiser = torch.optim.Adam(slow.parameters(), lr=0.01)
    for step in range(8):
        optimiser.param_groups[0]["lr"] = 0.01 * (1.0 if step < 4 else 2 * (1 - step / 8))
        x = rows[torch.randint(60, (16,), generator=generator)]
        loss = (slow(x).output - x).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            slow.W_dec.copy_(unit_rows(slow.W_dec))
    for name, tensor in found.state_dict().items():
        assert_close(tensor, slow.state_dict()[name], atol=1e-5, rtol=1e-4)


def test_rows_are_as_sparse_as_asked_and_the_table_says_how_much_is_left():
    rows, _ = hierarchical_rows(np.random.default_rng(5), count=150)
    found = meta_dictionaries(rows, [1, 3], 2, QUICK, np.random.default_rng(0))
    assert len(found.table) == 4 * 2 * 2
    one = found.table[(found.table["rows"] == DECODER) & (found.table["k"] == 3) & (found.table["seed"] == 1)].iloc[0]
    autoencoder = found.trained[3, 1]
    latents, output = autoencoder(rows)
    assert one["l0"] == pytest.approx(float((latents > 0).sum() / len(rows)))
    assert 2 < one["l0"] <= 3
    spread = (rows - rows.mean(0)).square().sum()
    assert one["left"] == pytest.approx(float((rows - output).square().sum() / spread), rel=1e-4)
    assert own_fit(autoencoder, rows).left == pytest.approx(one["left"])


def test_pursuit_is_scikit_learn_s_orthogonal_matching_pursuit():
    rng = np.random.default_rng(6)
    atoms = unit_rows(torch.from_numpy(rng.standard_normal((20, 8)))).double()
    x = torch.from_numpy(rng.standard_normal((15, 8)))
    for k in (1, 2, 5):
        weights = orthogonal_mp(atoms.numpy().T, x.numpy().T, n_nonzero_coefs=k)
        assert_close(pursuit(atoms, x, k), torch.from_numpy((atoms.numpy().T @ weights).T), atol=1e-8, rtol=1e-8)
    left = [pursuit_fit(atoms, torch.zeros(8), x, k).left for k in (1, 2, 5, 8)]
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(0, abs=1e-9)  # as many atoms as dimensions leave nothing


def test_random_rows_have_unit_length_and_the_covariance_asked_for():
    rng = np.random.default_rng(7)
    like = unit_rows(torch.from_numpy(rng.standard_normal((3000, 6)) * [3, 2, 1, 0.5, 0.2, 0.1] + [1, 0, 0, 0, 0, 0]))
    for drawn in (isotropic_rows(like, rng), covariance_rows(like, rng)):
        assert drawn.shape == like.shape
        assert_close(drawn.norm(dim=1), torch.ones(3000))
    matched = covariance_rows(like, rng)
    assert_close(matched.mean(0), like.mean(0), atol=0.06, rtol=0)
    assert_close(torch.cov(matched.T), torch.cov(like.T), atol=0.1, rtol=0)
    assert torch.cov(isotropic_rows(like, rng).T).diagonal().std() < 0.01 < torch.cov(like.T).diagonal().std()


def test_children_are_the_rows_that_a_meta_latent_is_active_for_strongest_first():
    rows, _ = hierarchical_rows(np.random.default_rng(8), count=80)
    (autoencoder,) = train_together([Member(rows, 2, 0)], QUICK)
    latents = autoencoder.encode(rows).numpy()
    found = children(autoencoder, rows, 4)
    for meta in range(12):
        of_meta = [child for child in found if child.meta_latent == meta]
        assert [child.rank for child in of_meta] == list(range(1, len(of_meta) + 1))
        expected = sorted(latents[:, meta][latents[:, meta] > 0], reverse=True)[:4]
        assert [child.activation for child in of_meta] == pytest.approx(expected)
        for child in of_meta:
            assert child.activation == latents[child.row, meta]
            assert child.cosine == pytest.approx(float(rows[child.row] @ autoencoder.W_dec[meta]), abs=1e-5)


def test_too_few_rows_for_the_meta_latents_are_refused():
    with pytest.raises(ValueError, match="8 rows are too few for 12 meta-latents"):
        train_together([Member(torch.randn(8, 4), 2, 0)], QUICK)
