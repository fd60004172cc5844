"""The chapters of the basecaller study in a browser: reads and pairs, patching, calibration."""

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE

from mints.basecaller_config import BasecallerConfig
from mints.report.page.views.basecaller_calibration import STRICTEST, claims

BAIT = '<img src=x onerror="window.hacked=1">'
NULLS = ("other_corrupted", "other_site", "unrelated")
CHAPTERS = ("front", "reads", "patching", "calibration")
KINDS = [("layer", 0, -1), ("attention", 0, -1), ("mlp", 0, -1), ("head", 0, 0), ("head", 0, 1)]
SUMMARY = "tables/read_identity_summary.csv"


def reads():
    table = pd.DataFrame({"read": ["first", HOSTILE, "third"], "split": ["test", BAIT, "test"], "has_truth": True})
    counts = {"called_bases": [10, 10, 12], "true_bases": [10, 11, 12], "identity": [0.9, 0.5, 0.75]}
    return table.assign(**counts, domain="reads with a true sequence")


def summary_row(**other):
    row = {"domain": f"reads with a true sequence {BAIT}", "has_truth": True, "reads": 3, "called_bases": 1032}
    row |= {"identity": 0.75, "low": 0.5, "high": 0.875, "homopolymers_right": 0.625}
    return row | {f"{name}_rate": 0.01 for name in ("mismatches", "insertions", "deletions")} | other


def lengths():
    rows = [("A", 3, 3, 6), ("A", 3, 2, 2), ("C", 3, 3, 4), ("C", 1, 1, 5), ("C", 40, 38, 1)]
    return pd.DataFrame(rows, columns=["base", "length", "called", "count"]).assign(error=0)


def pairs():
    table = pd.DataFrame({"pair": [0, 1], "group": ["homopolymer", BAIT], "corruption": ["repeat_more", HOSTILE]})
    columns = {"base": "A", "run_length": 3, "strength": 1.0, "start": 4, "end": 8, "source": "simulated"}
    columns |= {"read": BAIT, "split": "test", "shift": 90.0, "scale": 10.0}
    return table.assign(**columns, clean_sequence="CAG", corrupted_sequence=["CAAG", np.nan])


def signal():
    clean = np.tile(np.arange(12, dtype=np.float32), (2, 1))
    borders = np.array([[0, 4, 8, 12, -1]] * 2)
    more = np.array([[0, 4, 6, 8, 12]] * 2)
    return {"clean": clean, "corrupted": clean + 1, "clean_boundaries": borders, "corrupted_boundaries": more}


def components():
    rows = [
        (measure, patch, direction, group, *kind)
        for measure in ("transition", "sequence")
        for direction in ("denoising", "noising")
        for group in ("all", "homopolymer", "other")
        for patch in ("run", "chunk")
        for kind in KINDS
        if patch == "run" or kind[0] != "head"
    ]
    table = pd.DataFrame(rows, columns=["measure", "patch", "direction", "group", "granularity", "layer", "head"])
    pm = np.where(table["granularity"] == "mlp", 0.75, 0.25) - 0.125 * (table["group"] == "other")
    table = table.assign(pm=pm, pm_low=pm - 0.0625, pm_high=pm + 0.125, q=0.01, maximum_seed=31.5, least_visible=0.03)
    nulled = (table["patch"] == "run") & (table["direction"] == "denoising")
    for place, null in enumerate(NULLS):
        table[null] = np.where(nulled, 0.125 * place, np.nan)
        table[f"beyond_{null}_low"] = np.where(nulled, 0.01, np.nan)
    table = table.assign(restores=nulled & (table["granularity"] == "mlp"), effect=0.5, n_pairs=24, n_failed=1)
    flag = np.where(table["granularity"] == "layer", "exact by construction", None)
    return table.assign(passes=table["restores"] & (table["pm_low"] > 0.5), flag=flag)


def chosen():
    table = components()
    table = table[(table["patch"] == "run") & (table["direction"] == "denoising") & (table["head"] < 1)]
    return table.assign(pm_validation=0.5)


def differences(q):
    table = components()
    table = table[(table["group"] == "all")].drop(columns=["group", "q"])
    differing = (table["measure"] == "sequence") & (table["granularity"] == "attention")
    table = table.assign(difference=0.125, low=0.0625, high=0.25, strata=8, pairs=16)
    return table.assign(q=np.where(differing, q[0], q[1]))


def tracks():
    parts = [("clean run", -1), ("layer", 0), ("attention", 0), ("mlp", 0)]
    rows = [(g, *part, s) for g in ("all", "homopolymer", "other") for part in parts for s in (-6.0, 0.0, 6.0)]
    table = pd.DataFrame(rows, columns=["group", "component", "layer", "sample"])
    return table.assign(step=0, gain=0.5, low=0.25, high=1.0)


def calibrated():
    strength = pd.DataFrame({"criterion": ["restoration above 0", "restoration beyond its nulls"] * 2})
    strength = strength.assign(strength=[0.1, 0.1, 0.3, 0.3], planted=4, detected=[2, 0, 4, 3])
    strength = strength.assign(rate=strength["detected"] / 4, low=[0.0676, 0, 0.3976, 0.1941])
    strength = strength.assign(high=[0.9324, 0.6024, 1, 0.9937])
    nulls = pd.DataFrame({"null": [BAIT, "unrelated, own heads"], "criterion": "restoration beyond its nulls"})
    nulls = nulls.assign(replicates=1, tests=16, positives=[0, 1], rate=[0, 0.0625], upper=[0.1707, 0.2639])
    told = pd.DataFrame({"criterion": ["restoration beyond its nulls"], "statement": [f"3 of 4 {HOSTILE}"]})
    planted = pd.DataFrame({"layer": [0], "head": [1], "pm": [0.5], "strength": [0.3]})
    return {
        "tables/basecaller_calibration.csv": strength,
        "tables/basecaller_calibration_nulls.csv": nulls,
        "tables/basecaller_sensitivity.csv": told,
        "calibration/planted_heads.csv": planted,
    }


def artifacts(q=(0.01, 0.5)):
    strata = components().assign(stratifier="corruption", stratum=BAIT)
    strata = strata[(strata["patch"] == "run") & (strata["group"] != "all") & (strata["direction"] == "denoising")]
    counts = {"what": ["homopolymer, noise", f"refused_{HOSTILE}"], "count": [4, 7], "call_changed": [3, np.nan]}
    return calibrated() | {
        "tables/read_identity.csv": reads(),
        SUMMARY: pd.DataFrame([summary_row()]),
        "tables/homopolymer_lengths.csv": lengths(),
        "tables/signal_pair_counts.csv": pd.DataFrame(counts),
        "tables/signal_pairs.csv": pairs(),
        "pairs/pairs.npz": signal(),
        "patching/components.csv": components(),
        "patching/tracks.csv": tracks(),
        "tables/basecaller_summary.csv": chosen(),
        "tables/basecaller_groups.csv": differences(q),
        "tables/basecaller_strata.csv": strata,
    }


@pytest.fixture(scope="module")
def make(make_page):
    configuration = {"study": "basecaller", "registered_restoration": 0.5}
    facts = {"basecaller_patching": {"sanity": {"patched with itself": 0.0}}}
    return lambda saved, makers=None: make_page(saved, configuration, makers, facts)


@pytest.fixture(scope="module")
def page(make):
    return make(artifacts())


def chart(opened, title):
    """Data and layout of the figure with this title."""
    figure = opened.locator("figure.chart", has=opened.get_by_role("heading", name=title, exact=True)).locator(".plot")
    return figure.evaluate("plot => JSON.parse(JSON.stringify({data: plot.data, layout: plot.layout}))")


def test_the_registered_restoration_is_a_field_of_the_study():
    assert "registered_restoration" in BasecallerConfig.model_fields


def test_the_front_says_what_was_called_what_restores_and_what_could_have_been_seen(page, revisit):
    with revisit(page) as seen:
        told = seen.go().inner_text(".claims")
        tones = seen.page.locator(".claim .mark").evaluate_all("all => all.map((each) => each.ariaLabel)")
    assert "identity 0.750 [0.500, 0.875]" in told
    assert "layer 0's feed-forward 0.75 [0.69, 0.88], beyond all nulls, passes (largest null 0.25" in told
    assert "layer 0's attention 0.25 [0.19, 0.38], not told from its nulls" in told
    assert "layer 0's output" not in told.split("Do homopolymers")[0]  # it restores everything by construction
    assert "Sequence log-odds: 1 of 5 components with denoising (largest layer 0's attention 0.12" in told
    assert f"3 of 4 {HOSTILE}" in told
    assert f"{BAIT}: 0 of 16 (at most 17%)" in told
    assert tones == ["yes", "yes", "yes", "open", "yes"]


@pytest.mark.parametrize(("positives", "upper", "tone"), [(0, 0.39, "open"), (0, 0.04, "no"), (1, 0.04, "yes")])
def test_no_false_alarm_in_few_tests_is_no_answer(positives, upper, tone):
    strict = {"criterion": STRICTEST, "positives": positives, "upper": upper}
    weaker = {"criterion": "restoration above 0", "positives": 7, "upper": 0.67}
    alarms = pd.DataFrame([strict, weaker]).assign(null="unrelated", tests=16)
    (claim,) = claims(pd.DataFrame(), alarms)
    assert claim.tone == tone
    assert claim.answer.endswith("Restoration above 0: 7 of 16 tests.")


@pytest.mark.parametrize(("q", "tone"), [((0.5, 0.01), "open"), ((0.5, 0.5), "no"), ((0.01, 0.5), "yes")])
def test_groups_differ_only_where_the_trusted_measure_says_so(make, visit, q, tone):
    only = {"tables/basecaller_groups.csv": differences(q)}
    # In the first, the trusted measure has differences in other components, but only with one direction.
    if tone == "open":
        table = only["tables/basecaller_groups.csv"]
        only["tables/basecaller_groups.csv"] = table.assign(
            q=np.where((table["measure"] == "sequence") & (table["direction"] == "denoising"), 0.5, table["q"])
        )
    with visit(make(only)) as seen:
        claim = seen.go().locator(".claim", has_text="Do homopolymers differ")
        assert claim.locator(".mark").get_attribute("aria-label") == tone


def test_run_lengths_are_shares_of_the_runs_of_the_same_true_length(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("reads")
        drawn = chart(opened, "Called against true run lengths: all bases")["data"][0]
        assert drawn["y"][2:4] == [2, 3]
        assert [drawn["z"][row][2] for row in (2, 3)] == [
            pytest.approx(2 / 12, rel=1e-4),
            pytest.approx(10 / 12, rel=1e-4),
        ]
        assert [drawn["text"][row][2] for row in (2, 3)] == ["2", "10"]
        assert "1 runs longer than 20" in opened.inner_text("main")
        opened.get_by_role("tab", name="A", exact=True).click()
        opened.evaluate("drawAll()")
        assert chart(opened, "Called against true run lengths: A")["data"][0]["z"][3][2] == 0.75


def test_reads_are_ranked_and_the_identity_of_all_has_its_interval(page, revisit):
    with revisit(page) as seen:
        drawn = chart(seen.go("reads"), "Identity of every read")
    points = {point: x for trace in drawn["data"] for point, x in zip(trace["y"], trace["x"], strict=True)}
    assert points == {0.5: 1, 0.75: 2, 0.9: 3}
    assert [(shape["y0"], shape["y1"]) for shape in drawn["layout"]["shapes"]] == [(0.5, 0.875), (0.75, 0.75)]


def test_a_pair_s_current_is_in_picoampere_and_its_letters_stand_over_their_bases(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("reads")
        drawn = chart(opened, "Pair 0: run of 3 A, simulated with a repeat more")
        lines = {trace["name"]: trace for trace in drawn["data"] if trace["mode"] == "lines"}
        letters = {"".join(trace["text"]): trace["x"] for trace in drawn["data"] if trace["mode"] == "text"}
        assert lines["clean"]["x"] == list(range(-4, 8))
        assert lines["clean"]["y"][:3] == [90, 100, 110]
        assert lines["corrupted"]["y"][:3] == [100, 110, 120]
        assert letters == {"CAG": [-2, 2, 6], "CAAG": [-2, 1, 3, 6]}
        borders = [shape["x0"] for shape in drawn["layout"]["shapes"] if shape["type"] == "line"]
        assert borders == [-4, 0, 4, 8]


def test_layers_show_intervals_nulls_and_what_is_not_told_from_them(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("patching")
        drawn = chart(opened, "Share restored by layer")["data"]
        by_name = {(trace["name"], trace["yaxis"]): trace for trace in drawn}
        assert by_name["homopolymers", "y2"]["marker"]["symbol"] == ["circle-open"]
        assert by_name["homopolymers", "y3"]["marker"]["symbol"] == ["circle"]
        assert by_name["other places", "y3"]["y"] == [0.625]
        assert by_name["homopolymers", "y3"]["error_y"]["array"] == [0.125]
        assert by_name["largest null, homopolymers", "y3"]["y"] == [0.25]
        opened.get_by_role("tab", name="sequence log-odds, noising").click()
        opened.evaluate("drawAll()")
        assert all("null" not in trace["name"] for trace in chart(opened, "Share restored by layer")["data"])


def test_a_head_s_row_has_both_groups_and_leads_to_no_page_that_is_not_there(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("patching")
        opened.select_option("select[aria-label=head]", "L0H1")
        told = opened.inner_text(".details")
        assert "homopolymers: PM 0.250 [0.188, 0.375], registered 0.500" in told
        assert "other places: PM 0.125 [0.0625, 0.250]" in told
        assert "L0H1: homopolymers: not told from its nulls; other places: not told from its nulls" in told
        assert "difference: homopolymers − other 0.125 [0.0625, 0.250]" in told.splitlines()
        assert opened.get_by_role("link", name="The page of L0H1").count() == 0


def test_differences_mark_those_of_small_q_and_the_table_has_the_largest_over_time_steps(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("patching")
        drawn = {t["name"]: t for t in chart(opened, "Do homopolymers differ from other places?")["data"]}
        assert drawn["differs (q ≤ 0.05)"]["text"] == ["layer 0's attention"]
        assert drawn["not told apart"]["text"] == ["layer 0's feed-forward", "L0H0", "L0H1"]
        told = opened.inner_text("main")
        assert "largest over time steps" in told
        assert "31.5" in told
        assert "patched with itself" in told


def test_calibration_shows_exact_intervals_and_bounds(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("calibration")
        found = chart(opened, "Planted detectors found, by strength")["data"][1]
        assert found["y"] == [0, 0.75]
        assert found["error_y"]["arrayminus"] == [0, pytest.approx(0.75 - 0.1941)]
        alarms = chart(opened, "False alarms where there is no detector")["data"]
        assert alarms[0]["error_x"]["array"] == [0.1707]
        assert opened.evaluate("window.hacked") is None


def test_hostile_names_stay_text_and_nothing_is_wider_than_a_phone(page, revisit):
    with revisit(page, width=390) as seen:
        for chapter in CHAPTERS:
            opened = seen.go(chapter)
            assert opened.evaluate("document.documentElement.scrollWidth") <= 390, chapter
            assert opened.locator("main img").count() == 0
            assert opened.evaluate("window.hacked") is None
        opened = seen.go("reads")
        opened.get_by_role("tab", name="<img").click()
        opened.evaluate("drawAll()")
        assert opened.get_by_role("heading", name=f"Pair 1: {BAIT}, {HOSTILE}").count() == 1
        assert opened.evaluate("window.hacked") is None


def test_reads_without_a_truth_have_no_identity_but_their_called_lengths(make, visit):
    bare = reads().assign(has_truth=False, identity=np.nan, true_bases=np.nan)
    unknown = lengths().assign(length=np.nan)
    rates = {name: np.nan for name in summary_row() if name.endswith("_rate") or name in ("identity", "low", "high")}
    row = summary_row(domain="reads without a true sequence", has_truth=False, homopolymers_right=np.nan, **rates)
    saved = {SUMMARY: pd.DataFrame([row]), "tables/read_identity.csv": bare}
    with visit(make(saved | {"tables/homopolymer_lengths.csv": unknown})) as seen:
        opened = seen.go("reads")
        assert "No identity can be given" in opened.inner_text("main")
        assert chart(opened, "Called run lengths")["data"][0]["x"] == [3, 2]
        assert opened.get_by_role("heading", name="Identity of every read").count() == 0
        assert "open" in seen.go().locator(".claim").first.get_attribute("class")


def test_chapters_without_artifacts_name_the_step_that_makes_them(make, visit):
    steps = {"tables/read_identity*.csv": "call", "patching/components.csv": "patch", "tables/basecaller_c*": "plant"}
    with visit(make({}, steps)) as seen:
        for chapter, step in {"reads": "call", "patching": "patch", "calibration": "plant"}.items():
            assert f"--from-step {step}" in seen.go(chapter).inner_text("main")
