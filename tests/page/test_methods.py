"""The methods: what they say is what the run's own files say, and no more."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from page.conftest import HOSTILE

from mints.report.page.saved import Saved
from mints.report.page.views.methods import STEPS, methods
from mints.studies.basecaller.study import FINDINGS as BASECALLER
from mints.studies.genomic.study import FINDINGS as GENOMIC
from mints.studies.protein.study import FINDINGS as PROTEIN

DOCUMENT = Path(__file__).parents[2] / "docs" / "methods.md"
SETTINGS = {
    "linear_probes": {
        "probe_penalties": [0.125, 17.0],
        "probe_layer": None,
        "probe_bootstrap_samples": 733,
        "probe_ci_level": 0.875,
        "seed": 41,
    },
    "qk_alignment": {"max_qk_alignment_sequences": 1117, "permuted_motifs": 37, "probe_bootstrap_samples": 733},
    "evidence": {"registered": {"qk_r": 0.53, "qk_p": 0.03, "enrichment": 2.25, "restoration": 0.61}},
    "sparse_autoencoders": {
        "features.sites": ["blocks.3.hook_resid_post"],
        "features.kind": "topk",
        "features.k": [19],
        "features.expansion": [6],
        "features.seeds": 5,
        "features.batch": 331,
    },
}
NAMES = re.compile(r"SHA-256|L2-|blocks\.\d+\.\S+|\(0-based\)|above 1|(?<![\d.])0(?![\d.])|\b[A-Za-z_]+\d+\w*")
"""Digits that are no figures of the run: names of norms, hashes and sites, and the bounds 0 and 1 of definitions."""


def manifest(step, configuration, **facts):
    record = {
        "step": step,
        "fingerprint": "f",
        "configuration": configuration,
        "inputs": {},
        "code": "c",
        "outputs": {},
    }
    record |= {"started": "2026-01-02", "finished": "2026-01-02", "seconds": 1.5, "peak_memory_bytes": None}
    return record | {"bytes_written": 0, "warnings": [], "facts": facts, "versions": {}}


@pytest.fixture
def run(tmp_path):
    """A results folder of these manifests and other artifacts, as the page reads it."""

    def write(manifests, tables=None, **account):
        (tmp_path / "manifests").mkdir()
        for each in manifests:
            (tmp_path / "manifests" / f"{each['step']}.json").write_text(json.dumps(each))
        for name, table in (tables or {}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            table.to_csv(tmp_path / name, index=False)
        (tmp_path / "pipeline_run.json").write_text(json.dumps({"configuration": {}, **account}))
        return Saved(tmp_path, {})

    return write


def text_of(saved):
    sections = next(block for block in methods(saved).blocks if block.kind == "methods").content["sections"]
    return {each["title"]: " ".join([each["text"], *each["items"]]) for each in sections}


def test_every_step_of_every_study_is_told():
    for study, findings in (("genomic", GENOMIC), ("protein", PROTEIN), ("basecaller", BASECALLER)):
        assert set(STEPS[study]) == {step.name for step in findings}


def test_every_reference_is_a_section_of_the_methods_document():
    headings = set(re.findall(r"^## (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE))
    for steps in STEPS.values():
        assert {name for described in steps.values() for name in described.defined_in} <= headings


def test_no_number_is_told_that_is_not_in_the_run_s_own_files(run):
    layers = pd.DataFrame({"task": ["t"], "layer": [23], "chosen": [True]})
    layers = layers.assign(auroc=0.9, auroc_low=0.8, auroc_high=1.0)
    manifests = [manifest(step, settings) for step, settings in SETTINGS.items()]
    told = " ".join(text_of(run(manifests, {"tables/linear_probe_metrics.csv": layers})).values())
    known = {*re.findall(r"[\d.]*\d", json.dumps(SETTINGS)), "87.5", "17", "23"}
    found = set(re.findall(r"\d[\d.]*", NAMES.sub("", told).replace(",", "").replace(". ", " ").rstrip(".")))
    assert {"733", "1117", "37", "0.53", "2.25", "0.61", "19", "331", "41", "23", "87.5"} <= found
    assert found <= known


def test_a_step_that_did_not_run_and_a_field_that_was_not_recorded_are_not_told(run):
    bare = {step: {} for step in SETTINGS}
    told = text_of(run([manifest(step, settings) for step, settings in bare.items()]))
    assert {"Linear probes", "QK alignment", "Registered criteria", "Sparse autoencoders"} <= set(told)
    assert "Steering" not in told
    assert "None" not in " ".join(told.values())
    assert re.search(r"\d", NAMES.sub("", told["QK alignment"])) is None
    assert "Restored" not in told["Registered criteria"]


@pytest.mark.parametrize("study", list(STEPS))
def test_every_step_is_told_from_a_manifest_without_any_field(run, study):
    told = text_of(run([manifest(step, {}) for step in STEPS[study]], configuration={"study": study}))
    assert not re.search(r"None|nan|\{|\}|  ", " ".join(told.values()))
    assert all(re.fullmatch(r"[A-Z0-9ρ].*\.", text) for text in told.values())


def test_steps_are_told_in_the_order_in_which_they_ran(run):
    manifests = [manifest("linear_probes", {}), manifest("evidence", {}), manifest("attention_enrichment", {})]
    order = [{"name": name} for name in ("evidence", "linear_probes", "attention_enrichment")]
    told = list(text_of(run(manifests, steps=order)))
    assert told.index("Registered criteria") < told.index("Linear probes") < told.index("Attention enrichment")


def test_a_step_of_an_earlier_run_says_what_it_had_otherwise(run):
    configuration = {"seed": 7, "probe_layer": None, "registered": {"qk_r": 0.5}}
    saved = run(
        [manifest("linear_probes", {"seed": 41}), manifest("evidence", {"seed": 7})], configuration=configuration
    )
    told = text_of(saved)
    assert "made by an earlier run, with seed = 41" in told["Linear probes"]
    assert "earlier run" not in told["Registered criteria"]
    assert "7 (evidence) and 41 (linear probes)" in told["Statistics"]


def test_the_model_and_a_task_are_told_with_hashes_splits_and_counts(run, tmp_path):
    tasks = {"tasks": [{"name": "donors"}], "test_chromosomes": ["chr20"], "max_probe_train": 2400}
    splits = {"train": {"sequences": 2400, "clusters": 2385}, "test": {"sequences": 1, "clusters": 1}}
    card = {"splits": splits, "sources": [{"file": "donors.fna"}], "left_out": {"cap": 480}}
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "donors.json").write_text(json.dumps(card))
    probes = manifest("residual_cache", {"model": "mints:small"}, model_family="dnabert2", model_weights_sha256="ab12")
    told = text_of(run([manifest("ingest", tasks), probes]))
    assert told["Model"] == (
        "The model was small, which comes with MINTS. It is of the DNABERT-2 family. SHA-256 of its weights: ab12."
    )
    assert "Test chromosomes: chr20." in told["Tasks and splits"]
    assert (
        "donors: 2,400 training sequences in 2,385 clusters and 1 test sequences in 1 cluster; from donors.fna;"
        " 480 rows beyond the caps left out" in told["Tasks and splits"]
    )


def test_the_configuration_names_entries_and_says_who_reads_them(run):
    configuration = {
        "results": "/home/someone/results",
        "seed": 7,
        "tasks": [{"name": "donors", "train": "/home/someone/results/donors.fna", "test": None}],
        "features": {"k": [16, 32], "calibrate": True},
    }
    saved = run([manifest("ingest", {"tasks": [], "seed": 7})], configuration=configuration)
    table = methods(saved).blocks[-1]
    assert table.rows == [
        ["results", "/home/someone/results", ""],
        ["seed", "7", "ingest"],
        ["tasks.donors.train", "{results}/donors.fna", "ingest"],
        ["tasks.donors.test", "–", "ingest"],
        ["features.k", "16, 32", ""],
        ["features.calibrate", "yes", ""],
    ]


@pytest.fixture(scope="module")
def page(make_page):
    asked = {"motif_questions": [{"name": "q", "task": HOSTILE, "motif": "MA1"}]}
    account = {"manifests/motif_scoring.json": manifest("motif_scoring", asked)}
    return make_page(account | {"manifests/evidence.json": manifest("evidence", SETTINGS["evidence"])})


def test_the_text_is_copied_with_the_keyboard_and_downloaded_as_markdown(page, browser):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
    opened = context.new_page()
    opened.goto(f"{page.resolve().as_uri()}#/methods")
    button = opened.get_by_role("button", name="Copy the text")
    button.focus()
    opened.keyboard.press("Enter")
    opened.get_by_text("Copied as Markdown.").wait_for()
    copied = opened.evaluate("navigator.clipboard.readText()")
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Download as Markdown").click()
    assert download.value.suggested_filename == "methods.md"
    assert download.value.path().read_text(encoding="utf-8") == copied
    assert copied.startswith("# Methods\n\n## ")
    assert "## Registered criteria" in copied
    assert "lower bound of PM ≥ 0.61" in copied
    assert f"- q: JASPAR MA1; in the task {HOSTILE}" in copied
    assert opened.evaluate("window.hacked") is None
    context.close()


def test_where_the_clipboard_is_refused_the_text_is_selected(page, visit):
    with visit(page) as seen:
        opened = seen.go("methods")
        opened.evaluate(
            "Object.defineProperty(navigator, 'clipboard',"
            " { value: { writeText: () => Promise.reject(new Error('no')) } });"
            "document.execCommand = () => false"
        )
        opened.get_by_role("button", name="Copy the text").click()
        opened.get_by_text("press Ctrl+C").wait_for()
        assert "lower bound of PM ≥ 0.61" in opened.evaluate("getSelection().toString()")


def test_the_configuration_filters(page, visit):
    with visit(page) as seen:
        opened = seen.go("methods")
        opened.locator("input[type=search]").fill("probe_ci_level")
        assert opened.locator("figure.table tbody tr").count() == 1
        assert opened.locator("figure.table tbody td").all_inner_texts()[:2] == ["probe_ci_level", "0.95"]


def test_a_run_without_manifests_says_that_there_is_nothing_to_tell(make_page, visit):
    with visit(make_page({})) as seen:
        assert "no step of this run has finished" in seen.go("methods").inner_text("main")
