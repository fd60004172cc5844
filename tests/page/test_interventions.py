"""The genomic chapter of what latents do: substitutions, exchanged latents, integrated gradients and universality."""

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE

SITE = "blocks.2.hook_resid_post"
FOUND = """(title) => {
    const figures = [...document.querySelectorAll("figure")];
    const figure = figures.find((each) => each.querySelector("h3")?.textContent === title);
    const plot = figure.querySelector(".plot");
    return { data: plot.data, axis: plot.layout.xaxis.title.text, note: figure.querySelector(".note").textContent };
}"""


def around(table, name, half=0.05):
    return table.assign(**{f"{name}_low": table[name] - half, f"{name}_high": table[name] + half})


def substituted():
    """Two sites of a motif GT, and a control of each: every cell's mean is known."""
    rows = [
        ("site", 0, "G", "A", -0.4), ("site", 0, "G", "A", -0.2), ("site", 0, "C", "T", 0.1),
        ("site", 1, "T", "C", 0.6), ("control", 0, "G", "A", 0.2), ("control", 1, "T", "C", -0.1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["kind", "offset", "motif_wild_type", "motif_mutant", "masked_marginal"])
    measures = ("wild_type_marginal", "other_tokens", "probe", "probe_elsewhere")
    return table.assign(name=HOSTILE, **dict.fromkeys(measures, table["masked_marginal"]))


def summary():
    table = pd.DataFrame({"measure": ["wild_type_marginal", "masked_marginal", "probe", "probe_elsewhere", HOSTILE]})
    table = table.assign(sequences=48, site=-5.0, control=-5.1, difference=[-0.3, 0.02, 0.01, 0.2, -0.4])
    table = table.assign(q=[0.01, 0.5, 0.6, 0.001, 0.2], bits_correlation=[0.3, 0.0, 0.1, -0.2, 0.0])
    return around(around(table, "difference"), "bits_correlation")


def effects():
    """F3 and F5 beat all nulls, F7 beats matched latents only, F9 does not; F3 is best at its own tokens."""
    rows = [
        ("denoising", "probe_elsewhere", 3, -0.4, 0.01, -0.39, -0.38), ("noising", "probe", 5, 0.3, 0.02, 0.28, 0.27),
        ("denoising", "probe", 7, 0.2, 0.01, 0.19, 0.01), ("denoising", "probe", 9, 0.1, 0.7, 0.02, 0.08),
        ("denoising", "substitution", 3, 5.0, 0.001, 4.9, 4.8),
    ]  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["direction", "readout", "latent", "change", "q", "beyond_matched", "beyond_random"]
    )
    table = table.assign(site=SITE, n_pairs=[6, 8, 7, 9, 6], matched=0.01, random=-0.01, effect=-1.0)
    table.loc[table["readout"] == "probe", "effect"] = 0.02
    table["pm"] = table["change"] / table["effect"]
    for name in ("change", "beyond_matched", "beyond_random", "effect", "pm"):
        table = around(table, name)
    return table[["site", *(name for name in table if name != "site")]]


def sets():
    rows = [
        ("integrated gradients, probe", 4, 0.3), ("integrated gradients, probe", 16, 0.6),
        ("integrated gradients, probe", 32, 0.9), ("matched latents, probe", 16, 0.1), ("change", 16, 0.5),
        ("all latents", 64, 0.95), ("error alone", 0, 0.2), ("latents and error", 0, 1.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["ranking", "size", "pm"]).assign(
        site=SITE, tokens="changed tokens", direction="denoising", effect=-1.0
    )
    both = [table.assign(readout="probe_elsewhere"), table.assign(readout="probe", effect=0.02)]
    whole = pd.concat(both, ignore_index=True)
    whole["change"] = whole["pm"] * whole["effect"]
    return around(around(around(whole, "pm"), "change"), "effect")


def gradients():
    table = pd.DataFrame({"site": SITE, "name": ["chr1:1-9", HOSTILE], "cluster": [1, 2], "readout": "probe"})
    table = table.assign(effect=[-0.3, 0.2], latents=[-0.2, 0.2], error=[-0.1, 0.0])
    table = table.assign(completeness_error=[-1e-7, 0.0], completeness_error_left_riemann=[0.01, -0.02])
    for name, values in (("top_20", [0.6, 0.4]), ("gini", [0.9, 0.8])):
        table[name], table[f"{name}_uniform"], table[f"{name}_random_gradient"] = values, 0.1, 0.5
    return pd.concat([table, table.assign(readout=HOSTILE)])


def universal():
    rows = [
        ("probe", "base", 3, "G", 0.1, 0.05, 0.3), ("probe", "token", 3, "GGT", 0.9, 0.04, 0.005),
        ("substitution", "token", 7, HOSTILE, 0.6, 0.02, 0.01),
        ("substitution", "base", 7, "T", np.nan, np.nan, np.nan),
    ]  # fmt: skip
    columns = ["readout", "identity_kind", "latent", "identity", "f1", "f1_expected", "q"]
    return pd.DataFrame(rows, columns=columns).assign(site=SITE)


def dashboard(number):
    return {
        "latent": number, "density": 0.0, "sequences": 0.0, "largest": 0, "mean": None, "reasons": ["exchanged"],
        "histogram": {"edges": [], "counts": []}, "examples": [], "concepts": [], "logits": None,
    }  # fmt: skip


FACTS = {
    "substitutions": {"sites": 2, "tried": 2592, "kept": 1255, "unchanged": 0, "boundaries": 1337},
    "sanity": {"largest change when a run is patched with itself": 0.0},
}


@pytest.fixture(scope="module")
def page(make_page):
    shown = {"site": SITE, "split": "test", "windows": 4, "tokens": 40, "latents": [dashboard(3), dashboard(9)]}
    return make_page(
        {
            "features/substitution_effects.csv": substituted(),
            "tables/substitution_summary.csv": summary(),
            "tables/latent_effects.csv": effects(),
            "tables/latent_sets.csv": sets(),
            "tables/integrated_gradients.csv": gradients(),
            "tables/universality.csv": universal(),
            f"latents/{SITE}.json": shown,
        },
        facts={"feature_causality": FACTS},
    )


def opened_part(seen, name):
    opened = seen.go("interventions")
    opened.get_by_role("tab", name=name, exact=True).click()
    opened.evaluate("drawAll()")
    return opened


def answer(seen, question):
    return seen.go().locator(".claim", has_text=question).inner_text()


def test_the_front_says_that_a_substitution_costs_more_and_which_measure_goes_the_other_way(page, revisit):
    with revisit(page) as seen:
        told = answer(seen, "Does a substitution in a motif site")
    assert "Exploratory: by 1 of 5 measures (q ≤ 0.05)" in told
    assert "lower at sites, in nats: wild-type marginal -0.30 [-0.35, -0.25]" in told
    assert "so less costly there, in nats: probe's logit from the other tokens 0.20 [0.15, 0.25]" in told
    assert "not told apart: masked marginal 0.02 [-0.03, 0.07]" in told
    assert HOSTILE not in told, "its q is large"


def test_a_cost_that_only_goes_the_other_way_is_a_no(make_page, revisit):
    other = summary()[lambda table: table["measure"] == "probe_elsewhere"]
    with revisit(make_page({"tables/substitution_summary.csv": other})) as seen:
        opened = seen.go()
        claim = opened.locator(".claim", has_text="Does a substitution in a motif site")
        assert "no" in claim.get_attribute("class").split()
        assert "by 0 of 1 measures" in claim.inner_text()


def test_the_front_counts_latents_that_beat_all_nulls_without_their_own_tokens(page, revisit):
    with revisit(page) as seen:
        told = answer(seen, "Does any single latent beat its nulls?")
    assert "2 of 4 tests (latent, direction, read-out, site; the changed tokens' own log-odds left out)" in told
    assert f"F3 of {SITE} (denoising, probe's logit from unchanged tokens): -0.390 [-0.440, -0.340] nats" in told
    assert f"F5 of {SITE} (noising, probe's logit): 0.280" in told
    assert "F7" not in told, "a latent that does no more than a random direction beats not all of its nulls"
    assert "6 to 9 pairs a latent" in told


def test_the_front_holds_sixteen_latents_against_matched_sets_only_where_there_is_an_effect(page, revisit):
    with revisit(page) as seen:
        told = answer(seen, "Do few latents together restore more")
    assert "Exploratory: beyond matched sets in 1 of 1 read-outs that the edit changes." in told
    assert "probe's logit from unchanged tokens (-1.00 [-1.05, -0.95] nats): 16 latents" in told
    assert "0.60 [0.55, 0.65], matched sets 0.10 [0.05, 0.15], the dictionary's error 0.20 [0.15, 0.25]" in told


def test_sets_without_any_effect_to_restore_leave_the_question_open(make_page, revisit):
    nothing = sets()[lambda table: table["readout"] == "probe"]
    with revisit(make_page({"tables/latent_sets.csv": nothing})) as seen:
        claim = seen.go().locator(".claim", has_text="Do few latents together")
        assert "open" in claim.get_attribute("class").split()
        assert "hardly anything to restore" in claim.inner_text()


def test_the_front_says_which_letters_tell_when_a_latent_matters(page, revisit):
    with revisit(page) as seen:
        told = answer(seen, "Do letters tell when a widespread latent matters?")
    assert "by base 0 of 1, by token 2 of 2" in told
    assert f"Best: F3 of {SITE} where the token is GGT, F1 0.90 on other sequences (by chance 0.04)" in told


def test_the_map_has_the_mean_of_every_cell_and_the_controls_below(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "substitutions")
        drawn = opened.evaluate(FOUND, "Masked marginal: every substitution by its place")
        heat, crosses = drawn["data"]
        assert heat["y"] == ["A", "C", "G", "T", "elsewhere"]
        assert heat["z"] == [[pytest.approx(-0.3), None], [None, 0.6], [None, None], [0.1, None], [0.2, -0.1]]
        assert heat["customdata"][0] == [2, None]
        assert list(zip(crosses["x"], crosses["y"], strict=True))[:2] == [(1, "A"), (0, "C")]
        ticks = opened.evaluate("document.querySelectorAll('.plot')[2].layout.xaxis.ticktext")
        assert ticks == ["1<br>G", "2<br>T"], "the letter of most sites"
        boxes = opened.evaluate(FOUND, "Masked marginal: spread at every place")["data"]
        assert boxes[0]["y"] == [-0.4, -0.2, 0.1, 0.6]
        assert boxes[1]["y"] == [0.2, -0.1]
        told = opened.inner_text("#content")
        assert "1,255 of 2,592 exchange one token for another" in told
        assert "1,337 would move a token boundary" in told
        assert opened.evaluate("window.hacked") is None


def test_sites_stand_against_controls_with_intervals_and_the_correlation_beside(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "substitutions")
        contrast = opened.evaluate(FOUND, "Sites against the same substitutions elsewhere")["data"][0]
        assert contrast["x"] == [0.02, -0.3, 0.01, 0.2, -0.4]
        assert contrast["error_x"]["array"] == [pytest.approx(0.05)] * 5
        assert contrast["marker"]["symbol"] == ["circle-open", "circle", "circle-open", "circle", "circle-open"]
        followed = opened.evaluate(FOUND, "Do effects follow the motif's score?")["data"][0]
        assert followed["x"] == [0, 0.3, 0.1, -0.2, 0]


def test_latents_restore_and_remove_alone_beside_their_nulls(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "single latents")
        drawn = opened.evaluate(FOUND, "Single latents: probe's logit")
        assert [trace["name"] for trace in drawn["data"]] == ["matched latents", "random direction", "the latent"]
        assert drawn["data"][2]["y"] == ["F7 (7 pairs)", "F9 (9 pairs)"]
        assert drawn["axis"] == "mean change, restored (nats)"
        assert "Whole effect of the edit: 0.02 [-0.03, 0.07], which holds 0" in drawn["note"]
        opened.get_by_role("tab", name="removing (noising)").click()
        opened.evaluate("drawAll()")
        drawn = opened.evaluate(FOUND, "Single latents: probe's logit")
        assert drawn["data"][2]["x"] == [0.3]
        assert drawn["axis"] == "mean change, taken away (nats)"
        assert "Checks of the exchange itself" in opened.inner_text("#content")


def test_growing_sets_stand_beside_matched_sets_and_the_error_with_intervals(page, revisit):
    with revisit(page) as seen:
        drawn = opened_part(seen, "sets of latents").evaluate(
            FOUND, "Sets of latents: probe's logit from unchanged tokens"
        )
    traces = {trace["name"]: trace for trace in drawn["data"]}
    assert traces["by integrated gradients"]["y"] == [-0.3, -0.6, -0.9]
    assert traces["by integrated gradients"]["customdata"] == [4, 16, 32]
    assert traces["matched sets"]["y"] == [-0.1]
    assert traces["error alone"]["y"] == [-0.2, -0.2]
    assert traces["error alone"]["error_y"]["array"] == [None, pytest.approx(0.05)], "the interval at the right end"
    assert traces["whole effect of the edit"]["y"] == [-1, -1]
    assert "Ranked by probe's logit." in drawn["note"]


def test_gradients_show_concentration_completeness_and_the_share_of_the_error(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "integrated gradients")
        top = opened.evaluate(FOUND, "Concentration of integrated gradients: share of the 20 largest")
        assert [trace["y"] for trace in top["data"]] == [[0.6, 0.4] * 2, [0.5] * 4, [0.1] * 4]
        assert "Larger than with a random gradient: probe's logit: 1 of 2" in top["note"]
        shares = opened.evaluate(FOUND, "What latents and the error are given: probe's logit")["data"]
        assert shares[1]["y"] == [-0.2, 0.2]
        assert shares[2]["y"] == [-0.1, 0]
        missing = opened.evaluate(FOUND, "Completeness of integrated gradients")
        assert missing["data"][0]["y"] == [1e-7, None] * 2
        assert missing["data"][1]["y"] == [0.01, 0.02] * 2
        assert "Not drawn: 2 that lack nothing" in missing["note"]
        opened.get_by_role("tab", name=HOSTILE, exact=True).click()
        assert f"What latents and the error are given: {HOSTILE}" in opened.inner_text("#content")
        assert opened.evaluate("window.hacked") is None


def test_universality_is_drawn_by_read_out_and_kind_of_letters(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "universality")
        drawn = opened.evaluate(FOUND, "Do letters tell when a latent matters?")["data"]
        assert [(trace["name"], trace["y"]) for trace in drawn[:2]] == [("base", [0.1]), ("token", [0.9])]
        assert [trace["marker"]["symbol"] for trace in drawn[:2]] == [["circle-open"], ["circle"]]
        opened.get_by_role("tab", name="log-odds at the changed tokens").click()
        opened.evaluate("drawAll()")
        drawn = opened.evaluate(FOUND, "Do letters tell when a latent matters?")["data"]
        assert drawn[0]["y"] == [0.6]
        assert opened.evaluate("window.hacked") is None


def test_latents_with_a_page_are_linked_from_charts_and_tables_and_others_are_not(page, revisit):
    with revisit(page) as seen:
        opened = opened_part(seen, "single latents")
        figure = opened.locator(
            "figure", has=opened.get_by_role("heading", name="Single latents: probe's logit", exact=True)
        )
        assert figure.locator(".pages a").all_inner_texts() == ["F9"], "F7 has no page"
        cells = opened.locator("figure.table", has_text="Every latent, both directions").locator("tbody tr")
        assert cells.count() == 5
        linked = cells.locator("a").all_inner_texts()
        assert linked == ["3", "9", "3"]
        figure.locator(".pages a").click()
        opened.wait_for_selector("article#view-latents h4")
        assert f"{SITE} · F9" in opened.inner_text(".dashboard")
        assert opened.evaluate("location.hash") == f"#/latents/{SITE}/9"


def test_tables_without_rows_and_older_runs_say_so(make_page, visit):
    makers = {"tables/latent_effects.csv": "feature_causality"}
    empty = pd.DataFrame(columns=list(universal()))
    with visit(make_page({"tables/universality.csv": empty}, makers=makers)) as seen:
        assert "--from-step feature_causality" in opened_part(seen, "single latents").inner_text("#content")
        assert "tables/universality.csv has no rows" in opened_part(seen, "universality").inner_text("#content")
        assert "is not among" in opened_part(seen, "substitutions").inner_text("#content")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page, revisit, width):
    with revisit(page, width=width) as seen:
        for name in ("substitutions", "single latents", "sets of latents", "integrated gradients", "universality"):
            assert opened_part(seen, name).evaluate("document.documentElement.scrollWidth") <= width, name
