"""Concept scores through the command line: what the tables say follows from what the files hold."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

BASELINES = {
    "neurons",
    "dimensions",
    "principal_components",
    "random_directions",
    "token_identity",
    "word_identity",
    "untrained_latents",
    "every_token",
}


@pytest.fixture(scope="module")
def results(finished):
    return finished[0].results


@pytest.fixture(scope="module")
def scores(results):
    table = pd.read_csv(results / "tables/concept_scores.csv")
    assert table["scored"].any()
    return table


def test_the_chosen_latent_is_the_best_of_validation_and_its_figures_follow_from_the_counts_of_all_pairs(
    results, scores
):
    for site, rows in scores[scores["scored"]].groupby("site"):
        with np.load(results / f"concepts/{site}_pairs.npz") as pairs:
            held = {name: pairs[name] for name in pairs.files}
        assert [name.partition("/")[2] for name in held["concepts"]] == rows["concept"].tolist()
        below = held["validation_called"] + held["validation_positives"]
        validation = 2 * held["validation_true_positives"] / below
        for concept, row in enumerate(rows.itertuples()):
            latent = int(row.latent)
            assert latent == validation[:, concept].argmax()
            assert row.validation_f1 == pytest.approx(validation[latent, concept], rel=1e-6)
            hits, called = held["test_true_positives"][latent, concept], held["test_called"][latent, concept]
            positives = held["test_positives"][concept]
            assert positives == row.test_tokens
            if not positives:
                assert np.isnan(row.f1)
                continue
            assert row.f1 == pytest.approx(2 * hits / (called + positives), rel=1e-6, abs=1e-12)
            assert row.region_recall == pytest.approx(held["test_regions_found"][latent, concept] / row.test_regions)
            assert row.auroc == pytest.approx(held["test_auroc"][latent, concept], rel=1e-5)


def test_support_is_counted_on_validation_and_nothing_that_the_annotation_knows_is_missing(results, scores):
    kinds = pd.read_csv(results / "simulated_genome/truth.bed", sep="\t")
    expected = set(kinds["kind"]) | {"intergenic"} | {f"repeat:{d}" for d in kinds["detail"] if d.startswith("family")}
    for _, rows in scores.groupby("site"):
        assert set(rows["concept"]) == expected
    enough = (scores["validation_regions"] >= 5) & (scores["validation_tokens"] >= 20)
    assert (scores["scored"] <= enough).all()
    assert scores.loc[~scores["scored"], "verdict"].str.startswith("not scored").all()


def test_q_values_are_benjamini_and_hochberg_s_over_the_concepts_of_a_site(scores):
    for _, rows in scores[scores["p"].notna()].groupby("site"):
        np.testing.assert_allclose(rows["q"], false_discovery_control(rows["p"]), rtol=1e-6)


def test_every_baseline_is_beside_every_concept_and_the_best_is_validation_s(results, scores):
    baselines = pd.read_csv(results / "tables/concept_baselines.csv")
    key = ["site", "annotation", "concept"]
    for where, rows in baselines.groupby(key):
        assert set(rows["baseline"]) == BASELINES
        row = scores.set_index(key).loc[where]
        best = rows.loc[rows["validation_f1"].idxmax()]
        assert row["best_baseline"] == best["baseline"]
        if not np.isnan(row["f1"]):
            assert row["difference"] == pytest.approx(row["f1"] - best["f1"], abs=1e-7)
            above = (rows["difference_low"] > 0).all() and row["q"] <= 0.05
            assert (row["verdict"] == "above every baseline") == above
        for other in rows.itertuples():
            assert row[f"f1_{other.baseline}"] == pytest.approx(other.f1, nan_ok=True)


def test_the_summary_counts_the_verdicts(results, scores):
    summary = pd.read_csv(results / "tables/concept_summary.csv").set_index("site")
    for site, rows in scores.groupby("site"):
        assert summary.loc[site, "concepts"] == len(rows)
        assert summary.loc[site, "scored"] == rows["scored"].sum()
        assert summary.loc[site, "above_every_baseline"] == (rows["verdict"] == "above every baseline").sum()
        assert summary.loc[site, "above_the_null"] == rows["verdict"].str.startswith("above").sum()


def test_calling_every_token_gives_the_f1_of_the_base_rate(scores):
    judged = scores[scores["f1"].notna()]
    expected = 2 * judged["base_rate"] / (1 + judged["base_rate"])
    np.testing.assert_allclose(judged["f1_every_token"], expected, rtol=1e-6)


def test_the_windows_and_the_near_copies_are_told(results):
    facts = json.loads((results / "manifests/concept_scoring.json").read_text())["facts"]["windows"]
    assert facts["validation"] == 60
    assert facts["test"] + facts["near_copies_left_out"] == 60
