"""Latents on the regions of two behaviours and on decoys, by hand."""

import numpy as np
import pandas as pd
import pytest
from residue_tokens import residues
from scipy.sparse import csr_array
from scipy.stats import hypergeom
from sklearn.metrics import roc_auc_score

from mints.features.specificity import Region, overlap_table, region_means, specificity_table


def test_means_are_over_the_tokens_of_each_region():
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((30, 6)) < 0.5, rng.random((30, 6)), 0).astype(np.float32)
    regions = [Region(1, 2, 5), Region(0, 0, 10), Region(2, 9, 12), Region(2, 11, 14)]
    means = region_means(csr_array(dense), residues([10, 8, 12]), regions, np.array([4, 1]))
    expected = [dense[12:15], dense[:10], dense[27:30], dense[29:30]]
    np.testing.assert_allclose(means, [part[:, [4, 1]].mean(axis=0) for part in expected], rtol=1e-6)


def test_the_area_is_of_own_regions_against_each_other_kind():
    rng = np.random.default_rng(2)
    means = {"tm": rng.random((12, 2)) + 0.3, "decoys": rng.random((9, 2)), "sp": rng.random((7, 2))}
    means["sp"][3:, 1] = 0
    weights = {kind: np.ones((1, len(of))) for kind, of in means.items()}
    table = specificity_table(means, weights, "tm", np.array([3, 8]), 0.95)
    for place in range(2):
        for kind in ("decoys", "sp"):
            labels = np.repeat([1, 0], [12, len(means[kind])])
            scores = np.concatenate([means["tm"][:, place], means[kind][:, place]])
            assert table[f"auroc_{kind}"].iloc[place] == pytest.approx(roc_auc_score(labels, scores))
    assert table["fires_sp"].tolist() == [1.0, 3 / 7]
    assert table["mean_tm"].tolist() == pytest.approx(means["tm"].mean(axis=0))
    empty = means | {"sp": np.zeros((0, 2))}, weights | {"sp": np.ones((1, 0))}
    nothing = specificity_table(*empty, "tm", np.array([3, 8]), 0.95)
    assert nothing["auroc_sp"].isna().all()


def test_shared_latents_are_held_against_what_chance_would_share():
    def edges(latents, q):
        return pd.DataFrame({"source_site": "a", "source": latents, "weight": 1.0, "q": q})

    of = {"tm": edges([1, 2, 3, -1], [0.01, 0.02, 0.5, np.nan]), "sp": edges([2, 7, 1], [0.01, 0.05, 0.9])}
    estimates = {"tm": {"a": np.array([3.0, -2.0, 1.0])}, "sp": {"a": np.array([1.0, 2.0, -3.0])}}
    (row,) = overlap_table(of, estimates, {"a": 50}).to_dict("records")
    assert (row["first_latents"], row["second_latents"], row["shared"], row["latents"]) == (2, 2, 1, "F2")
    assert row["expected"] == pytest.approx(2 * 2 / 50)
    assert row["p"] == pytest.approx(1 - hypergeom.pmf(0, 50, 2, 2))
    assert row["rank_correlation"] == pytest.approx(-1)
