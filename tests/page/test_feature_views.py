"""Chapters of the dictionaries and of the models: every part is drawn, and the front has their answers."""

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE

from mints.report.page.saved import Saved
from mints.report.page.views.steering import steering_claims

SITE = "blocks.1.hook_resid_post"


def with_interval(table, *names, half=0.05):
    for name in names:
        table = table.assign(**{f"{name}_low": table[name] - half, f"{name}_high": table[name] + half})
    return table


def sweep():
    rows = [("model", 16, split) for split in ("validation", "test")] + [("random_initialisation", 16, "test")]
    table = pd.DataFrame(rows, columns=["encoder", "k", "split"]).assign(site=SITE, expansion=8, seed=0, latents=64)
    table = table.assign(variance_explained=[0.9, 0.88, 0.95], l0=16.0, dead=0.1, dense=0.0)
    recovered = {"recovered_of_mean": [0.8, 0.78, np.nan], "recovered_of_zero": [0.9, 0.88, np.nan]}
    return with_interval(table.assign(**recovered), *recovered)


def concepts():
    verdicts = ["above every baseline", "not above the null"]
    scores = pd.DataFrame({"site": SITE, "annotation": "truth", "concept": ["exon", HOSTILE], "latent": [3.0, 7.0]})
    scores = scores.assign(f1=[0.72, 0.05], null_p95=0.1, best_baseline="neurons", verdict=verdicts, scored=True)
    baselines = pd.DataFrame({"site": SITE, "concept": ["exon", HOSTILE], "baseline": "neurons", "f1": [0.5, 0.06]})
    baselines = baselines.assign(difference=[0.22, -0.001])
    summary = pd.DataFrame({"site": [SITE], "concepts": 3, "scored": 2, "judged": 2, "above_the_null": 1})
    summary = summary.assign(above_every_baseline=1, statement="told better than by every baseline (F1): exon (0.72)")
    return with_interval(scores, "f1"), with_interval(baselines, "f1", "difference"), summary


def search():
    table = pd.DataFrame({"question": "ctcf", "stream": SITE, "units": ["latents", "neurons"], "unit": [1, 2]})
    table = table.assign(r=[0.6, 0.4], low=[0.55, 0.35], high=[0.65, 0.45], q_within_label=[0.01, 0.5])
    return table.assign(lead=[np.nan, 0.2], lead_low=[np.nan, 0.1], lead_high=[np.nan, 0.3])


def steering():
    doses = pd.DataFrame({"site": SITE, "latent": 7, "position": "hidden", "kind": "add", "dose": [0.0, 1.0]})
    doses = doses.assign(measure="target_log_odds", effect=[0, 0.6], low=[0, 0.4], high=[0, 0.8], sites=48)
    for null in ("directions", "latents"):
        doses[f"{null}_low"], doses[f"{null}_high"] = [0, -0.1], [0, 0.1]
    summary = doses.iloc[:1].assign(area=0.3, q_area_directions=0.01, q_area_latents=0.02)
    return doses, with_interval(summary, "area")


def meta():
    curve = pd.DataFrame({"site": SITE, "rows": ["decoder rows", "random rows"] * 2, "k": [2, 2, 4, 4], "seed": 0})
    curve = curve.assign(left=[0.6, 0.8, 0.5, 0.7], left_pursuit=np.nan)
    probe = pd.DataFrame({"site": SITE, "concept": "exon", "probe": ["meta-latent", "logistic"], "f1": [0.3, 0.8]})
    return curve, with_interval(probe.assign(f1_of_all=0.2), "f1")


def models():
    probes = pd.DataFrame({"task": "ctcf", "model": ["first", HOSTILE], "auroc": [0.9, 0.8]})
    probes = probes.assign(random_initialisation=[0.7, 0.6], kmer_logistic=0.85, kmer_boosted=0.86)
    differences = pd.DataFrame(
        {"task": ["ctcf", "mean of tasks"], "kind": "models", "metric": "auroc", "first": "first"}
    )
    differences = differences.assign(second=HOSTILE, difference=[0.1, 0.12])
    losses = pd.DataFrame({"model": ["first", HOSTILE], "masking": "15% hidden", "predictor": "model"})
    heads = pd.DataFrame(
        {"question": "ctcf", "model": ["first", HOSTILE], "largest_r": [0.2, 0.4], "largest_rho": [1.1, 1.3]}
    )
    checks = pd.DataFrame({"model": ["first", HOSTILE], "check": "probes above GC content", "passes": [True, False]})
    return {
        "probes": with_interval(probes, "auroc"),
        "differences": with_interval(differences, "difference"),
        "masked_token_loss": with_interval(losses.assign(bits_per_base=[1.9, 1.95]), "bits_per_base"),
        "alignment_summary": with_interval(heads, "largest_r", "largest_rho"),
        "checks": checks,
    }


@pytest.fixture(scope="module")
def page(make_page):
    scores, baselines, summary = concepts()
    doses, areas = steering()
    curve, probe = meta()
    training = pd.DataFrame({"encoder": "model", "site": SITE, "k": 16, "expansion": 8, "seed": 0, "tokens": [1, 2]})
    share = {"found": 2, "queries": 4, "share": 0.5, "low": 0.07, "high": 0.93}
    limits = {"identity": 0.9, "length": 50, "evalue": 1e-5, "coverage": 0.5}
    audit = {
        "searched": True,
        "thresholds": limits,
        "found": share,
        "shuffled_found": share | {"found": 0, "share": 0.0},
    }
    return make_page(
        {
            "tables/sparse_autoencoders.csv": sweep(),
            "tables/sparse_autoencoder_training.csv": training.assign(variance_explained=[0.1, 0.9]),
            "tables/concept_scores.csv": scores,
            "tables/concept_baselines.csv": baselines,
            "tables/concept_summary.csv": summary,
            "tables/distributed_feature_search.csv": search(),
            "tables/steering.csv": doses,
            "tables/steering_summary.csv": areas,
            "tables/meta_sae.csv": curve,
            "tables/meta_sae_probe.csv": probe,
            "tables/corpus_audit_summary.json": audit,
            **{f"tables/cross_model_{name}.csv": table for name, table in models().items()},
        }
    )


def test_the_front_answers_for_concepts_motifs_steering_corpus_and_models(page, revisit):
    with revisit(page) as seen:
        told = seen.go().inner_text(".claims")
    assert "1 of 2 pairs of concept and site, by concept at its best site: exon, F1 0.72 [0.67, 0.77]." in told
    assert f"Exploratory: 1 of 1 pairs of motif and stream: ctcf at {SITE} (r = 0.60 [0.55, 0.65])." in told
    assert f"F7 of {SITE} raises the hidden token by 0.30 [0.25, 0.35] nats" in told
    assert "2 of 4 distinct queries, 0.50 [0.07, 0.93]; of their shuffled twins 0." in told
    assert f"first is ahead of {HOSTILE} in 1 of 1 tasks and behind in 0; mean 0.120 [0.070, 0.170] of AUROC." in told
    assert f"Fails: {HOSTILE}: probes above GC content." in told


@pytest.mark.parametrize(("latents", "tone"), [([7], "no"), ([7, 8], "open")])
def test_what_no_latent_of_several_could_have_passed_is_not_denied(make_page, latents, tone):
    doses, areas = steering()
    areas = pd.concat([areas.assign(latent=latent, q_area_latents=0.19) for latent in latents])
    page = make_page({"tables/steering.csv": doses, "tables/steering_summary.csv": areas})
    (claim,) = steering_claims(Saved(page.parents[1], {}))
    assert claim.tone == tone
    assert "the smallest q against both nulls is 0.19" in claim.answer


def test_every_part_is_drawn_with_its_values_and_runs_no_name(page, revisit):
    drawn = "[...document.querySelectorAll('.plot')].map((plot) => plot.data.map((trace) => trace.x))"
    with revisit(page) as seen:
        opened = seen.go("dictionaries")
        found = {}
        for part in ("reconstruction", "concepts", "feature search", "steering", "meta-dictionaries", "corpus audit"):
            opened.get_by_role("tab", name=part, exact=True).click()
            opened.evaluate("drawAll()")
            found[part] = opened.evaluate(drawn)
        assert found["reconstruction"][0] == [[16], [16]]
        assert found["reconstruction"][1] == [[0.78], [0.88]]
        assert found["concepts"][0][:2] == [[0.72, 0.05], [0.5, 0.06]]
        assert found["feature search"][0] == [[0.6], [0.4]]
        assert found["meta-dictionaries"][0][0] == [2, 4]
        assert found["corpus audit"][0] == [[0.5, 0.0]]
        opened = seen.go("models")
        opened.evaluate("drawAll()")
        assert opened.evaluate(drawn)[0] == [[0.9], [0.8], [0.7], [0.6], [0.86]]
        assert opened.evaluate("window.hacked") is None


def test_a_star_marks_what_no_baseline_reaches(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("dictionaries")
        opened.get_by_role("tab", name="concepts", exact=True).click()
        opened.evaluate("drawAll()")
        ticks = opened.evaluate("document.querySelector('.plot').layout.yaxis.ticktext")
    assert ticks == ["★ exon · F3", f"{HOSTILE} · F7"]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page, revisit, width):
    with revisit(page, width=width) as seen:
        for chapter in ("dictionaries", "models"):
            assert seen.go(chapter).evaluate("document.documentElement.scrollWidth") <= width
