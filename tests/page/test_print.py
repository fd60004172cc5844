"""The page on paper: light, no wider than the sheet, and saying what is cut; afterwards the screen as it was."""

import pandas as pd
import pytest
from page.conftest import until
from page.test_page import controls, evidence

SHEET = "document.getElementById('content').clientWidth"
WIDEST = """Math.max(...[...document.querySelectorAll("figure *:not(.draglayer, .draglayer *)")]
    .map((each) => each.getBoundingClientRect().right))"""
CHARTS = "[...document.querySelectorAll('.js-plotly-plot')].map((plot) => plot._fullLayout.width)"


@pytest.fixture(scope="module")
def page(make_page):
    tall = pd.concat([evidence(f"motif{number}") for number in range(8)])
    tables = {"tables/linear_probe_controls.csv": controls("a"), "tables/evidence.csv": tall.assign(ceiling=0.4)}
    return make_page(tables, {"registered": {"qk_r": 0.5}})


def printed(seen, chapter):
    """Open a chapter as the browser lays it out for paper: told beforehand, while the screen's style still holds."""
    opened = seen.go(chapter)
    opened.evaluate("toPaper()")
    opened.emulate_media(media="print")
    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_light_and_has_no_navigation_and_no_buttons(page, visit, scheme):
    with visit(page, color_scheme=scheme) as seen:
        opened = printed(seen, "heads")
        shown = "(where) => [...document.querySelectorAll(where)].filter((each) => each.offsetParent).length"
        assert opened.evaluate(shown, "#top, .dt-buttons, .dt-search, .dt-paging, select, input") == 0
        assert opened.evaluate(shown, "button") == 1  # the motif that is chosen, as text
        assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 38)"
        ink = opened.evaluate("document.querySelector('.xtick text').style.fill")
        assert ink == "rgb(29, 33, 38)"
        assert opened.inner_text(".only-print").endswith("profile embedded · Heads")


@pytest.mark.parametrize("chapter", ["front", "probes", "heads"])
def test_nothing_is_wider_than_the_sheet(page, visit, chapter):
    with visit(page, color_scheme="light") as seen:
        opened = printed(seen, chapter)
        assert 670 < opened.evaluate(SHEET) <= 681  # A4 between margins of 15 mm
        assert opened.evaluate(WIDEST) <= opened.evaluate(SHEET) + 1
        assert all(width <= 681 for width in opened.evaluate(CHARTS))


def test_a_table_that_is_cut_says_what_is_left_out_and_is_whole_again_on_the_screen(page, visit):
    with visit(page) as seen:
        opened = printed(seen, "heads")
        table = opened.locator("figure.table")
        told = table.locator(".only-print").inner_text()
        kept = table.locator("thead th").evaluate_all("cells => new Set(cells.map((cell) => cell.textContent)).size")
        assert table.locator("tbody tr").count() == 25
        cut = f"the first 25 of 48 rows and the first {kept} of 17 columns; the page on a screen has all"
        assert told == f"On paper: {cut}."
        assert 5 <= kept < 17
        opened.emulate_media(media="screen")
        opened.evaluate("fromPaper()")
        assert table.locator("tbody tr").count() == 10
        assert table.locator(".dt-scroll-head th").count() == 17
        assert not table.locator(".only-print").is_visible()


def test_figures_have_the_screen_s_width_and_colours_again_after_printing(page, visit):
    with visit(page, color_scheme="dark") as seen:
        opened = seen.go("probes")
        before = opened.evaluate(CHARTS)
        ink = "document.querySelector('.xtick text').style.fill"
        dark = opened.evaluate(ink)
        opened.evaluate("toPaper()")
        opened.emulate_media(media="print")
        assert opened.evaluate(CHARTS) != before
        opened.emulate_media(media="screen")
        opened.evaluate("fromPaper()")
        until(opened, f"{CHARTS}.join() === '{','.join(map(str, before))}'")
        assert opened.evaluate(ink) == dark == "rgb(230, 233, 237)"


def test_the_browser_s_own_printing_lays_the_page_out(page, visit):
    with visit(page) as seen:
        opened = seen.go("probes")
        opened.evaluate(
            "window.addEventListener('beforeprint', () =>"
            " { window.wide = onPaper() && document.querySelector('.plot')._fullLayout.width; })"
        )
        opened.pdf(format="A4")
        assert 500 < opened.evaluate("window.wide") <= 681
        assert not opened.evaluate("onPaper()")
