"""Dashboards of latents: the list that finds them, and what is told of the chosen one."""

import pandas as pd
import pytest
from page.conftest import HOSTILE, until

from mints.report.page.views.latents import percent

SITE, OTHER = "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"


def example(kind="top"):
    marks = [[0, 4, "truth/exon"], [4, 6, f"truth/{HOSTILE}"]]
    return {
        "name": HOSTILE, "kind": kind, "sequence": "ACGTAGGTACGT", "active": [[4, 8, 3.0], [8, 10, 1.0]],
        "threshold": 1.5, "marks": marks,
    }  # fmt: skip


def latent(number, density, concept, f1):
    moved = (("AGGT", 2.0), ("A", 1.0), ("TTT", -1.2))
    rows = [{"token": token, "change": change, "low": change, "high": change} for token, change in moved]
    return {
        "latent": number, "density": density, "sequences": 0.5, "largest": 3.0, "mean": 1.5,
        "reasons": ["most frequent"],
        "histogram": {"edges": [0, 1, 2, 3], "counts": [4, 0, 2]},
        "examples": [example(), example("typical")],
        "concepts": [{"concept": concept, "validation_f1": f1, "f1": f1, "auroc": 0.7, "threshold": 1.0}],
        "logits": {"dose": 2.5, "random": 0.7, "promoted": rows[:2], "suppressed": rows[2:]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def page(make_page):
    silent = latent(12, 0.0, "truth/x", 0.0) | {
        "histogram": {"edges": [], "counts": []}, "examples": [], "concepts": [], "logits": None, "mean": None,
    }  # fmt: skip
    shown = [latent(3, 0.02, "truth/exon", 0.4), latent(7, 0.3, f"truth/{HOSTILE}", 0.9), silent]
    effects = pd.DataFrame({"site": SITE, "direction": ["denoising", "noising"], "readout": "probe", "latent": 7})
    for name, value in (("change", 0.25), ("beyond_matched", 0.125), ("pm", 0.5)):
        effects[name], effects[f"{name}_low"], effects[f"{name}_high"] = value, value - 0.1, value + 0.1
    doses = pd.DataFrame({"site": SITE, "latent": 7, "position": "hidden", "kind": "add", "dose": [0.0, 1.0]})
    doses = doses.assign(measure="target_log_odds", effect=[0, 0.6], low=[0, 0.4], high=[0, 0.8], sites=48)
    for null in ("directions", "latents"):
        doses[f"{null}_low"], doses[f"{null}_high"] = [0, -0.1], [0, 0.1]
    scores = pd.DataFrame({"site": [SITE], "annotation": "truth", "concept": "exon", "latent": 3, "f1": 0.4})
    scores = scores.assign(
        f1_low=0.35, f1_high=0.45, best_baseline="neurons", verdict="above every baseline", null_p95=0.1
    )
    return make_page(
        {
            f"latents/{SITE}.json": {"site": SITE, "split": "test", "windows": 4, "tokens": 40, "latents": shown},
            f"latents/{OTHER}.json": {"site": OTHER, "split": "test", "windows": 4, "tokens": 40, "latents": shown[:1]},
            "tables/latent_effects.csv": effects.assign(q=0.01, n_pairs=9),
            "tables/steering.csv": doses,
            "tables/concept_scores.csv": scores,
        }
    )


def listed(opened):
    return opened.eval_on_selector_all(".latent-list button strong", "all => all.map((each) => each.textContent)")


def test_latents_are_found_by_number_and_concept_and_sorted(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("latents")
        assert listed(opened) == ["F3", "F7", "F12"]
        opened.get_by_label("sort latents").select_option("density")
        assert listed(opened) == ["F7", "F3", "F12"]
        opened.get_by_label("filter latents").fill("exon")
        assert listed(opened) == ["F3"]
        opened.get_by_label("filter latents").fill("F12")
        assert listed(opened) == ["F12"]
        opened.get_by_label("filter latents").fill("nothing")
        assert "No latent of this site is called so." in opened.inner_text(".latent-list")
        opened.get_by_label("site").select_option(OTHER)
        assert listed(opened) == ["F3"]
        source = opened.locator("figure.latents > figcaption a.source")
        assert source.get_attribute("href") == f"../latents/{OTHER}.json"


def test_an_address_opens_a_latent_and_choosing_one_changes_the_address(page, revisit):
    with revisit(page) as seen:
        opened = seen.go(f"latents/{SITE}/7")
        assert opened.inner_text(".dashboard h4") == f"{SITE} · F7"
        opened.locator(".latent-list button[aria-current]").focus()
        opened.keyboard.press("ArrowUp")
        assert opened.inner_text(".dashboard h4") == f"{SITE} · F3"
        assert opened.evaluate("location.hash") == f"#/latents/{SITE}/3"
        opened.evaluate(f"location.hash = '#/latents/{OTHER}/3'")
        until(opened, f"document.querySelector('.dashboard h4').textContent.startsWith('{OTHER}')")


def test_figures_of_a_latent_that_is_left_are_let_go(page, revisit):
    with revisit(page) as seen:
        opened = seen.go(f"latents/{SITE}/7")
        assert opened.evaluate("CHARTS.size") > 0
        opened.locator(".latent-list button", has_text="F3").click()
        assert opened.evaluate("[...CHARTS.keys(), ...TABLES.keys()].every((each) => each.isConnected)")


def test_a_dashboard_tells_activations_tokens_concepts_effects_and_doses(page, revisit):
    with revisit(page) as seen:
        opened = seen.go(f"latents/{SITE}/7")
        opened.evaluate("drawAll()")
        board = opened.inner_text(".dashboard")
        assert "It is active on 30% of tokens, in 50% of the sequences: 1.5 on average where it is active" in board
        assert "0.250 [0.150, 0.350]" in board
        assert "48 sites; added at the hidden token." in board
        charts = opened.evaluate("[...document.querySelectorAll('.dashboard .plot')].map((plot) => plot.data[0].y)")
        assert charts[0] == [4, None, 2]
        assert charts[1] == ["AGGT", "A", "TTT"]
        assert opened.evaluate("window.hacked") is None


@pytest.mark.parametrize(("share", "told"), [(1.0, "100%"), (0.999, "100%"), (0.1, "10%"), (0.0434, "4.3%")])
def test_shares_are_percent_of_few_digits(share, told):
    assert percent(share) == told


def test_letters_are_marked_by_the_latent_and_by_the_annotation_that_is_asked_for(page, revisit):
    with revisit(page) as seen:
        opened = seen.go(f"latents/{SITE}/7")
        classes = "all => all.slice(0, 12).map((each) => each.className.replace(' top', '').replace('top', ''))"
        nothing, latent_, both = [""] * 4, ["latent"] * 4, ["both"] * 2
        assert opened.eval_on_selector_all(".letters i", classes) == [*nothing, *both, *latent_[:2], *nothing]
        opened.get_by_label("annotation").select_option("truth/exon")
        assert opened.eval_on_selector_all(".letters i", classes) == [*["annotated"] * 4, *latent_, *nothing]


def test_a_concept_s_verdict_stands_with_its_best_latent_alone(page, revisit):
    with revisit(page) as seen:
        opened = seen.go(f"latents/{SITE}/3")
        opened.evaluate("drawAll()")
        assert "above every baseline (F1 0.40 [0.35, 0.45], neurons)" in opened.inner_text(".dashboard")
        opened.locator(".latent-list button", has_text="F7").click()
        opened.evaluate("drawAll()")
        assert "another latent is better" in opened.inner_text(".dashboard")


def test_a_silent_latent_is_told_as_such(page, revisit):
    with revisit(page) as seen:
        opened = seen.go(f"latents/{SITE}/12")
        assert "It is silent on the test sequences." in opened.inner_text(".dashboard")


def test_without_dashboards_the_command_is_told(make_page, revisit):
    bare = make_page({}, makers={"latents/*.json": "latent_dashboards"})
    with revisit(bare) as seen:
        assert "--from-step latent_dashboards" in seen.go("latents").inner_text("main")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page, revisit, width):
    with revisit(page, width=width) as seen:
        opened = seen.go(f"latents/{SITE}/7")
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
