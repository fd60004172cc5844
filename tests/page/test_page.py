"""The page in a browser: it opens from disk, asks for nothing, shows names as they are, and says what is missing."""

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE, until

from mints.report.page.blocks import table_block


def evidence(question="ctcf"):
    rows = [(question, layer, head) for layer in range(2) for head in range(3)]
    table = pd.DataFrame(rows, columns=["question", "layer", "head"])
    for value, base in (("r", 0.1), ("rho", 1.2), ("pm", 0.4)):
        table[value] = base + 0.1 * table["layer"] + 0.01 * table["head"]
        table[f"{value}_low"], table[f"{value}_high"] = table[value] - 0.05, table[value] + 0.05
    return table.assign(aligned=False, enriched=False, restored=table["head"] == 2, ceiling=0.4, verdict="none")


def controls(task):
    names = ["residual_probe", "kmer_logistic", "kmer_boosted", "gc_content"]
    auroc = np.array([0.9, 0.8, 0.85, 0.6])
    columns = {"task": task, "control": names, "label": names, "layer": 1, "n_test": 100, "auroc": auroc}
    return pd.DataFrame(columns | {"auroc_low": auroc - 0.02, "auroc_high": auroc + 0.02})


@pytest.fixture(scope="module")
def page(make_page):
    verdicts = pd.DataFrame(
        {"task": [HOSTILE, "b"], "difference": [0.05, -0.01], "difference_low": [0.02, -0.03]}
    ).assign(difference_high=[0.08, 0.01])
    sensitivity = pd.DataFrame({"criterion": ["registered stack"], "statement": ["3 of 4 detectors were found"]})
    return make_page(
        {
            "tables/beyond_composition.csv": verdicts,
            "tables/linear_probe_controls.csv": pd.concat([controls(HOSTILE), controls("b")]),
            "tables/evidence.csv": pd.concat([evidence(), evidence("tata")]),
            "tables/calibration_sensitivity.csv": sensitivity,
        },
        makers={"tables/linear_probe_metrics.csv": "linear_probes"},
    )


def test_the_front_says_what_was_found_and_what_could_have_been_seen(page, revisit):
    with revisit(page) as seen:
        told = seen.go().inner_text(".claims")
    assert "1 of 2 labels" in told
    assert "0.050 [0.020, 0.080]" in told
    assert "0 of 12 pairs of head and motif" in told
    figures = "r 0.220 [0.170, 0.270] (ceilings up to 0.40), ρ 1.320 [1.270, 1.370], PM 0.520 [0.470, 0.570]"
    assert f"ctcf: {figures};\ntata: {figures}." in told
    assert "Registered stack: 3 of 4 detectors were found." in told


def test_names_with_markup_and_quotes_are_shown_and_not_run(page, revisit):
    with revisit(page) as seen:
        for chapter in ("front", "probes", "heads"):
            seen.go(chapter)
        assert seen.page.evaluate("window.hacked") is None
        seen.go("probes")
        assert seen.page.locator("[role=tab]").first.inner_text() == HOSTILE
        assert seen.page.locator("td", has_text=HOSTILE).count() > 0


def test_a_head_that_is_pointed_at_or_chosen_is_marked_in_all_maps(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("heads")
        shapes = "[...document.querySelectorAll('.map')].map((map) => map.layout.shapes.length)"
        assert opened.evaluate(shapes) == [0, 0, 2]  # two heads restore, and are outlined
        opened.locator(".map .nsewdrag").first.hover(position={"x": 20, "y": 20})
        until(opened, f"{shapes}.join() === '1,1,3'")
        opened.select_option("select[aria-label=head]", "L1H2")
        assert "L1H2: none" in opened.inner_text(".details")
        assert "Pearson r 0.220 [0.170, 0.270], registered 0.500" in opened.inner_text(".details")


def test_tables_filter_sort_and_download(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("heads")
        table = opened.locator("figure.table").last
        table.locator("input[type=search]").fill("tata")
        assert table.locator("tbody tr").count() == 6
        table.locator("th", has_text="pm").first.click()
        with opened.expect_download() as download:
            table.get_by_text("CSV", exact=True).click()
        lines = list(filter(None, download.value.path().read_text().splitlines()))
        assert len(lines) == 7
        assert lines[1].split(",")[3:6] == ['"0.1"', '"0.05"', '"0.15"']


def test_a_columns_numbers_have_as_many_decimals_in_every_row(make_page, visit):
    table = pd.DataFrame({"task": ["a", "b", "c"], "difference": [0.3, -0.0252, 1.55e-6], "n": [1, 2, 2400]})
    table = table.assign(difference_low=-1.0, difference_high=1.0)
    with visit(make_page({"tables/beyond_composition.csv": table})) as seen:
        rows = seen.go("probes").locator("figure.table").first.locator("tbody tr").all_inner_texts()
    assert [row.split()[:3] for row in rows] == [["a", "0.3000", "1"], ["b", "-0.0252", "2"], ["c", "0.0000", "2,400"]]


def test_columns_are_named_as_a_reader_writes_them():
    table = table_block(pd.DataFrame(columns=["auroc_low", "n_test", "rho"]), "", "")
    assert table.columns == ["AUROC low", "n test", "ρ"]


def test_no_figure_offers_an_upload_and_the_browser_refuses_every_request(page, visit):
    with visit(page) as seen:
        opened = seen.go("probes")
        titles = opened.eval_on_selector_all(
            ".modebar-btn", "all => all.map((each) => each.getAttribute('aria-label'))"
        )
        assert "Download plot" in titles
        assert not [title for title in titles if "Share" in title or "cloud" in title.lower()]
        refused = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
        assert opened.evaluate(refused) == "refused"
        assert any("Content Security Policy" in said for said in seen.wrong)
        seen.wrong.clear()


def test_what_is_missing_says_which_command_makes_it(make_page, visit):
    bare = make_page({}, makers={"tables/linear_probe_controls.csv": "probe_controls"})
    with visit(bare) as seen:
        told = seen.go("probes").inner_text("main")
    assert "This makes it: python main.py --profile embedded --from-step probe_controls" in told


def test_arrows_turn_chapters_and_every_figure_links_to_its_file(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("front")
        opened.keyboard.press("ArrowRight")
        opened.wait_for_selector("#view-probes")
        sources = opened.eval_on_selector_all("a.source", "links => links.map((link) => link.getAttribute('href'))")
    assert "../tables/linear_probe_controls.csv" in sources


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_nothing_is_wider_than_the_screen(page, visit, width, scheme):
    with visit(page, width=width, color_scheme=scheme) as seen:
        for chapter in ("front", "probes", "heads"):
            opened = seen.go(chapter)
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
