"""The front: every registered criterion with its counts, its best head and what could have been seen."""

import pandas as pd
import pytest
from page.conftest import HOSTILE

from mints.report.page.blocks import Link
from mints.report.page.build import build_page
from mints.report.page.needed import lacking
from mints.report.page.page import Libraries
from mints.report.page.saved import Saved
from mints.report.page.views.criteria import criteria_tables
from mints.report.page.views.front import front
from mints.report.page.views.heads import heads

REGISTERED = {"qk_r": 0.5, "qk_p": 0.05, "enrichment": 2.0, "restoration": 0.5}


def evidence(question="ctcf", detector=False):
    rows = pd.DataFrame({"question": question, "layer": [0, 1], "head": [2, 3], "ceiling": 0.6, "effect_low": 0.1})
    for value, figures in (("r", [0.25, 0.625]), ("rho", [2.5, 1.25]), ("pm", [0.875, 0.75])):
        rows[value] = figures
        rows[f"{value}_low"], rows[f"{value}_high"] = rows[value] - 0.125, rows[value] + 0.125
    rows.loc[0, "pm_low"] = 0.375
    rows = rows.assign(aligned=[False, True], enriched=[False, detector], restored=[False, True])
    return rows.assign(verdict=["none", "motif detector" if detector else "aligned + restored"])


def sensitivity():
    return pd.DataFrame(
        {
            "criterion": ["alignment", "enrichment", "registered stack"],
            "strength": [None, 2.0, 4.0],
            "power": 0.95,
            "rate_at_largest": [0.25, 1.0, 1.0],
            "statement": "s",
        }
    )


@pytest.fixture
def saved_of(make_page):
    def make(artifacts, configuration=None):
        return Saved(make_page(artifacts, configuration).parents[1], {})

    return make


def rows_of(saved):
    (table,) = criteria_tables(saved)
    return {row[0]: row[1:] for row in table.rows}, table


def test_every_registered_criterion_has_its_counts_its_best_head_and_its_sensitivity(saved_of):
    artifacts = {"tables/evidence.csv": evidence(), "tables/calibration_sensitivity.csv": sensitivity()}
    rows, table = rows_of(saved_of(artifacts, {"registered": REGISTERED, "calibration_question": "ctcf"}))
    link = Link("L1H3, ctcf", "#/head/ctcf/L1H3")
    assert rows["QK alignment"][0] == "r ≥ 0.5, Holm's p < 0.05"
    seen = "no strength (25% at most)"
    assert rows["QK alignment"][1:] == [2, 1, "0.625 [0.500, 0.750]", link, seen]
    first = Link("L0H2, ctcf", "#/head/ctcf/L0H2")
    seen = "from strength 2"
    assert rows["Attention enrichment"][1:] == [2, 0, "2.500 [2.375, 2.625]", first, seen]
    assert rows["Causal restoration"][0] == "lower bound of PM ≥ 0.5"
    assert rows["Causal restoration"][1:4] == [2, 1, "0.750 [0.625, 0.875]"]  # not the larger PM: its bound is lower
    assert rows["Causal restoration"][4:] == [link, "not measured"]
    assert rows["Motif detector"][1:] == [2, 0, None, None, "from strength 4"]
    assert "Tested: 2 heads × 1 motifs." in table.note
    assert "heads planted for ctcf, from which on 95% were found." in table.note


@pytest.mark.parametrize(
    ("strength", "detector", "tone"), [(4.0, False, "no"), (None, False, "open"), (None, True, "yes")]
)
def test_no_detector_answers_nothing_where_planted_ones_are_missed_as_well(saved_of, strength, detector, tone):
    seen = sensitivity().assign(strength=[None, 2.0, strength])
    saved = saved_of({"tables/evidence.csv": evidence(detector=detector), "tables/calibration_sensitivity.csv": seen})
    (claim,) = heads(saved).claims
    assert claim.tone == tone
    assert ("miss planted detectors of every strength" in claim.answer) == (tone == "open")


def test_a_p_far_below_what_anyone_believes_is_written_as_small(make_page, visit):
    with visit(make_page({"tables/evidence.csv": evidence().assign(r_q=[5.24e-46, 0.25])})) as seen:
        opened = seen.go("heads")
        opened.evaluate("drawAll()")
        told = opened.inner_text("figure.table")
    assert "< 1e-15" in told
    assert "e-46" not in told
    assert "0.250" in told


def test_a_motif_detector_is_linked_to(saved_of):
    rows, _ = rows_of(saved_of({"tables/evidence.csv": evidence(detector=True)}, {"registered": REGISTERED}))
    assert rows["Motif detector"][1:3] == [2, 1]
    assert rows["Motif detector"][4] == Link("L1H3, ctcf", "#/head/ctcf/L1H3")


def test_before_the_evidence_there_are_the_thresholds_alone(saved_of):
    rows, table = rows_of(saved_of({}, {"registered": {"qk_r": 0.5}}))
    assert rows["QK alignment"][0] == "r ≥ 0.5"
    assert rows["QK alignment"][1:5] == [None] * 4
    assert rows["Causal restoration"][0] == "–"
    assert table.source == "pipeline_run.json"
    assert criteria_tables(saved_of({}, {"registered": {}})) == []


def test_a_basecaller_s_components_are_counted_by_the_measure_that_conclusions_use(saved_of):
    table = pd.DataFrame({"measure": ["sequence"] * 4 + ["transition"], "patch": "run", "direction": "denoising"})
    table = table.assign(group="all", granularity=["mlp", "mlp", "head", "layer", "mlp"], layer=[0, 1, 2, 0, 0], head=0)
    table = table.assign(pm=[0.75, 0.625, 0.25, 1.0, 0.875], pm_low=[0.5, 0.5625, 0.125, 0.9, 0.8], pm_high=0.9)
    table = table.assign(passes=[True, False, False, True, True], least_visible=0.04)
    table = table.assign(**dict.fromkeys(lacking("patching/components.csv", table), 0))
    found = pd.DataFrame({"criterion": ["restoration beyond its nulls"], "strength": [0.3], "power": [0.95]})
    artifacts = {
        "patching/components.csv": table,
        "tables/basecaller_sensitivity.csv": found.assign(rate_at_largest=1.0, statement="s"),
    }
    rows, table = rows_of(saved_of(artifacts, {"registered": None, "registered_restoration": 0.5}))
    best = Link("layer 1's feed-forward", "#/patching")
    visible = "PM 0.04 and more"
    assert rows["Feed-forward outputs"][1:] == [2, 1, "0.625 [0.562, 0.900]", best, visible]
    assert rows["Attention outputs"][1:] == [None] * 5
    assert rows["Single heads"][5] == visible
    assert table.note.endswith("Planted heads: from strength 0.3.")


def test_the_run_says_its_data_its_sources_its_version_and_its_state(saved_of):
    tasks = pd.DataFrame({"task": ["a", "a", "b"], "split": ["train", "test", "train"], "sequences": [1000, 20, 234]})
    card = {"sources": [{"file": "a.fna"}, {"file": "b.fna"}, {"file": "c.fna"}]}
    configuration = {"genome": "/home/someone/genome.fa", "registered": None}
    saved = saved_of({"tables/tasks.csv": tasks, "cards/a.json": card}, configuration)
    saved.account = {**saved.account, "version": "1.2.3", "status": "failed"}
    table = next(block for block in front(saved).blocks if block.title == "The run")
    rows = dict(table.rows)
    assert rows["data"] == "2 tasks, 1,254 sequences (1,234 train, 20 test)"
    assert rows["sources"] == "genome.fa, a.fna, b.fna and 1 more"
    assert (rows["MINTS"], rows["status"]) == ("1.2.3", "failed")


def test_a_restoration_of_an_edit_without_effect_is_not_claimed(saved_of):
    unclear = evidence("tata").assign(effect_low=-0.1)
    saved = saved_of({"tables/evidence.csv": pd.concat([evidence(), unclear])})
    told = build_page(saved, Libraries("", "", ""))
    assert "ctcf: r 0.625 [0.500, 0.750] (ceilings up to 0.60), ρ 2.500 [2.375, 2.625], PM 0.750 [0.625, 0.875]" in told
    assert "ρ 2.500 [2.375, 2.625], PM not to be judged, since the edit has no clear effect" in told


def test_the_best_head_leads_to_its_page_whatever_its_motif_is_called(make_page, visit):
    page = make_page({"tables/evidence.csv": evidence(HOSTILE)}, {"registered": REGISTERED})
    with visit(page) as seen:
        opened = seen.go("front")
        opened.locator("td a").first.click()
        opened.wait_for_selector("#view-head")
        assert opened.inner_text(".headname").startswith(f"L1H3 for {HOSTILE}".replace("_", " "))
        assert opened.evaluate("window.hacked") is None
