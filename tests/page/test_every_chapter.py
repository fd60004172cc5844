"""Every chapter of every study's page in the browser: accessible in light and dark, and unmoved by hostile names."""

import importlib
import json
import re

import pandas as pd
import pytest
from page.short_runs import STUDIES, write_short_run

from mints.report.page.build import VIEWS, build_page
from mints.report.page.saved import Saved
from mints.studies.shared.report import makers_of

LONG = "long" * 50
BAIT = f"<script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"q' & \u2028 é漢 {LONG}"
NAMES = {
    *("task", "concept", "model", "first", "second", "domain", "name", "read", "stream", "predictor", "behaviour"),
    *("site", "protein", "annotation", "stratum", "token", "criterion", "null", "source_site", "target_site", "floor"),
    *("best_baseline", "baseline", "statement", "scorer", "probe", "rows"),
}
"""Columns of tables that hold names."""

KEYS = {*("id", "src", "dst", "name", "accession", "concept", "behavior", "token", "site", "sae_sites", "marks")}
"""Keys of JSON artifacts that hold names."""


def page_below(results, study):
    """The page of a short run, beside its results."""
    makers = makers_of(importlib.import_module(f"mints.studies.{study}.study").FINDINGS)
    page = results / "index.html"
    page.write_text(build_page(Saved(results, makers)), encoding="utf-8")
    return page


@pytest.fixture(scope="module", params=STUDIES)
def short_page(request, tmp_path_factory):
    results = tmp_path_factory.mktemp(request.param)
    write_short_run(request.param, results)
    return page_below(results, request.param), anchors(request.param, results)


def anchors(study, results):
    return [view(Saved(results, {})).anchor for view in VIEWS[study]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_chapter_has_a_serious_violation_of_accessibility(short_page, visit, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed (make test does)")
    page, chapters = short_page
    with visit(page, color_scheme=scheme) as seen:
        for chapter in chapters:
            found = axe.Axe().run(seen.go(chapter)).response["violations"]
            serious = [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] != "minor"]
            assert serious == [], chapter


def baited(content, key=None):
    """Names of a JSON artifact with the bait at their ends."""
    if isinstance(content, dict):
        return {name: baited(value, name) for name, value in content.items()}
    if isinstance(content, list):
        return [baited(value, key) for value in content]
    return content + BAIT if isinstance(content, str) and key in KEYS else content


@pytest.fixture(scope="module", params=STUDIES)
def hostile_page(request, tmp_path_factory):
    results = tmp_path_factory.mktemp(request.param)
    write_short_run(request.param, results)
    for path in results.rglob("*.csv"):
        table = pd.read_csv(path)
        for column in NAMES & set(table.select_dtypes(["object", "string"])):
            table[column] = table[column].map(lambda name: f"{name}{BAIT}", na_action="ignore")
        table.to_csv(path, index=False)
    for path in [
        *results.glob("latents/*.json"),
        *results.glob("circuits/*.json"),
        *results.glob("head_examples/*.json"),
    ]:
        path.write_text(json.dumps(baited(json.loads(path.read_text()))))
    return page_below(results, request.param), anchors(request.param, results)


def test_names_with_scripts_quotes_line_ends_and_two_hundred_letters_are_shown_not_run_and_fit(hostile_page, visit):
    page, chapters = hostile_page
    met = ""
    with visit(page, width=390) as seen:
        for chapter in chapters:
            opened = seen.go(chapter)
            others = opened.locator("article [role=tab][aria-selected=false]:visible")
            if others.count():
                others.last.click()
                opened.evaluate("drawAll()")
            assert opened.evaluate("document.documentElement.scrollWidth") <= 390, chapter
            assert opened.evaluate("window.hacked") is None, chapter
            met += opened.inner_text("main")
    assert "<script>window.hacked=1</script>" in re.sub(r"\s", "", met)
