"""Fixed directions against latents, means and a trained probe: what each is fitted and chosen on."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from mints.features.concepts import ConceptLabels
from mints.features.meta import unit_rows
from mints.features.meta_probe import (
    CHILDREN,
    DIFFERENCE,
    LATENT,
    LATENT_DIRECTION,
    LOGISTIC,
    META,
    META_SEED,
    RANDOM,
    Directions,
    SplitTokens,
    contestants,
    supported,
)

D, FAMILY = 16, 5
"""Dimensions, and latents that share one parent direction."""


def concept_labels(carried):
    """Labels whose every positive token is a region of its own."""
    token, concept = np.nonzero(carried)
    regions = csr_array((np.ones(len(token)), (token, np.arange(len(token)))), shape=(len(carried), len(token)))
    return ConceptLabels([f"c{index}" for index in range(carried.shape[1])], regions, concept)


def planted(rng, count=900):
    """A concept that is one direction of which each latent sees a fifth; the first two dimensions are large noise."""
    carried = np.stack([rng.random(count) < 0.3, rng.random(count) < 0.01], axis=1)
    x = rng.normal(size=(count, D)) * np.where(np.arange(D) < 2, 5.0, 1.0)
    x[:, 7] += 3.0 * carried[:, 0]
    which = rng.integers(0, FAMILY, count)
    latents = np.zeros((count, 12))
    on = carried[:, 0]
    latents[np.flatnonzero(on), which[on]] = 1 + rng.random(on.sum())
    latents[:, FAMILY:] = rng.random((count, 7)) * (rng.random((count, 7)) < 0.1)
    window = np.sort(rng.integers(0, 30, count))
    return SplitTokens(x.astype(np.float32), csr_array(latents), concept_labels(carried), window)


@pytest.fixture(scope="module")
def splits():
    return [planted(np.random.default_rng(seed)) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def directions():
    rng = np.random.default_rng(0)
    parent = np.eye(D)[7]
    decoder = rng.normal(size=(12, D))
    decoder[:FAMILY] = parent + 0.3 * rng.normal(size=(FAMILY, D))
    decoder = unit_rows(torch.from_numpy(decoder)).numpy()
    meta = np.stack([np.eye(D)[3], parent, np.eye(D)[0]]).astype(np.float32)
    children = [np.array([8, 9]), np.arange(FAMILY), np.zeros(0, dtype=int)]
    return Directions(meta, children, decoder, unit_rows(torch.from_numpy(rng.normal(size=(3, D)))).numpy())


def test_concepts_without_support_in_every_split_are_not_probed(splits):
    assert supported(splits, 5, 3, 6).tolist() == [0, 1]
    assert supported(splits, 50, 3, 6).tolist() == [0]
    assert supported(splits, 5, 3, 1).tolist() == [0]
    assert supported(splits, 1, 31, 6).tolist() == []
    everywhere = concept_labels(np.ones((900, 1), dtype=bool))
    assert supported([split._replace(labels=everywhere) for split in splits], 1, 1, 6).tolist() == []


def test_every_probe_is_what_it_says(splits, directions):
    train, validation, test = splits
    (found,) = contestants(*splits, np.array([0]), directions, [1e-3, 1.0])
    by_name = {contestant.name: contestant for contestant in found}
    assert list(by_name) == [META, META_SEED, LATENT, LATENT_DIRECTION, CHILDREN, DIFFERENCE, LOGISTIC, RANDOM]
    truth = [split.labels.tokens[:, [0]].toarray()[:, 0] for split in splits]
    centre = train.activations.mean(0)
    assert by_name[META].chosen == 1
    assert by_name[LATENT].chosen in range(FAMILY)
    assert by_name[LATENT_DIRECTION].chosen in range(FAMILY)
    expected = {
        META: directions.meta[1],
        META_SEED: directions.meta[1] / train.activations.std(0),
        LATENT_DIRECTION: directions.decoder[by_name[LATENT_DIRECTION].chosen],
        CHILDREN: directions.decoder[:FAMILY].mean(0),
        DIFFERENCE: train.activations[truth[0]].mean(0) - train.activations[~truth[0]].mean(0),
        RANDOM: directions.random[by_name[RANDOM].chosen],
    }
    for name, vector in expected.items():
        np.testing.assert_allclose(by_name[name].test, (test.activations - centre) @ vector, atol=1e-3)
    np.testing.assert_array_equal(by_name[LATENT].test, test.latents.toarray()[:, by_name[LATENT].chosen])
    fitted = LogisticRegression(C=1.0, max_iter=2000).fit(train.activations / train.activations.std(0), truth[0])
    slow = fitted.decision_function(test.activations / train.activations.std(0))
    assert np.corrcoef(by_name[LOGISTIC].test, slow)[0, 1] > 0.999
    auroc = {name: roc_auc_score(truth[2], contestant.test) for name, contestant in by_name.items()}
    assert auroc[META] > 0.95
    assert auroc[META] > auroc[LATENT] + 0.2  # each latent sees a part of the concept, their parent all of it
    assert auroc[META] > max(auroc[RANDOM], auroc[LATENT_DIRECTION]) + 0.01


def test_a_direction_of_raw_activations_is_another_on_z_scored_ones(splits, directions):
    """The published evaluation applied one to the other: where the dimensions' spreads differ, the fault costs F1."""
    truth = [split.labels.tokens[:, [0]].toarray()[:, 0] for split in splits]
    # Half of a wide dimension's noise is in the concept's own; along e₇ − e₀/2 the two cancel, and only there.
    shared = np.eye(D)[7] - np.eye(D)[0] / 2
    mixed = directions._replace(meta=np.stack([shared] * 3).astype(np.float32))
    leak = np.eye(D) + np.outer(np.eye(D)[0], np.eye(D)[7]) / 2
    along = [split._replace(activations=(split.activations @ leak).astype(np.float32)) for split in splits]
    (found,) = contestants(*along, np.array([0]), mixed, [1.0])
    right, faulty = (roc_auc_score(truth[2], contestant.test) for contestant in found[:2])
    assert right > 0.95
    assert faulty < right - 0.05


def test_labels_of_the_test_windows_are_never_looked_at(splits, directions):
    train, validation, test = splits
    honest = contestants(*splits, np.array([0]), directions, [1e-3, 1.0])
    other = concept_labels(np.random.default_rng(8).random((900, 2)) < 0.5)
    blind = contestants(train, validation, test._replace(labels=other), np.array([0]), directions, [1e-3, 1.0])
    for one, two in zip(honest[0], blind[0], strict=True):
        assert (one.name, one.chosen) == (two.name, two.chosen)
        np.testing.assert_array_equal(one.test, two.test)
        np.testing.assert_array_equal(one.validation, two.validation)


def test_shuffled_labels_give_every_probe_the_f1_of_calling_everything(splits, directions):
    rng = np.random.default_rng(10)
    shuffled = [
        split._replace(labels=concept_labels(rng.permutation(split.labels.tokens.toarray()))) for split in splits
    ]
    (found,) = contestants(*shuffled, np.array([0]), directions, [1e-3, 1.0])
    truth = shuffled[2].labels.tokens[:, [0]].toarray()[:, 0]
    everything = f1_score(truth, np.ones(900, dtype=bool))
    scores = pd.Series({c.name: roc_auc_score(truth, c.test) for c in found})
    assert (scores - 0.5).abs().max() < 0.06
    assert max(f1_score(truth, c.test >= np.median(c.test)) for c in found) < everything + 0.03
