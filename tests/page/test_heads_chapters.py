"""The chapters of the evidence stack in a browser: a head's page, motifs and patching, circuits, calibration."""

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE, until

from mints.report.page.views.probes import label_of

BAIT = '<img src=x onerror="window.hacked=1">'
"""A name with markup that can be a file's."""

QUESTIONS = ("ctcf", BAIT)
PLACES = [(layer, head) for layer in range(2) for head in range(2)]
SEQUENCE = "ACGTACGTACGT"


def by_head(**columns):
    table = pd.DataFrame(PLACES, columns=["layer", "head"])
    return table.assign(**columns)


def evidence(question):
    table = by_head(question=question, ceiling=0.4, aligned=False, enriched=False, restored=[False, True, False, False])
    for value, base in (("r", 0.1), ("rho", 1.2), ("pm", 0.4)):
        table[value] = base + 0.1 * table["layer"] + 0.01 * table["head"]
        table[f"{value}_low"], table[f"{value}_high"] = table[value] - 0.05, table[value] + 0.05
        table[f"{value}_q"] = 0.25
    return table.assign(effect=0.5, verdict=["none", "restored", "none", "none"])


def patched():
    row = by_head(readout_layer=1, pm=[0.1, 0.9, 0.3, -8.0], n_pairs=40, n_failed=1, effect=0.5, effect_low=0.2)
    row = row.assign(pm_low=row["pm"] - 0.1, pm_high=row["pm"] + 0.1, effect_high=0.8, attribution=row["pm"] / 2)
    row = row.assign(other_corrupted=0.05, control=0.02, other_pair=0.7, beyond_other_corrupted_low=0.01)
    row = row.assign(beyond_other_corrupted_high=1.0, beyond_control_low=0.0, beyond_control_high=1.1)
    return pd.concat([row.assign(direction="denoising"), row.assign(direction="noising")])


def windows():
    rows = [(layer, start, start + 10) for layer in range(2) for start in (-10, 0, 10)]
    table = pd.DataFrame(rows, columns=["layer", "start", "end"])
    return table.assign(pm=[0, 0.8, 0.1, 0, 0.4, 0], pm_low=-0.2, pm_high=99.0)


def components():
    rows = [
        (d, g, layer) for d in ("denoising", "noising") for g in ("residual", "attention", "mlp") for layer in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["direction", "granularity", "layer"])
    flag = np.where((table["granularity"] == "residual") & (table["layer"] == 0), "proves nothing", "")
    return table.assign(readout_layer=1, pm=0.5, pm_low=0.4, pm_high=0.6, flag=flag)


def examples_of(question):
    example = {"name": HOSTILE, "label": 1, "sequence": SEQUENCE, "spans": [[0, 4], [4, 8], [8, 12]]}
    bare = example | {"name": "negative", "label": 0, "sites": []}
    site = {"start": 3, "end": 6, "strand": -1, "bits": 9.25}
    received = np.array([[0.1] * 4, [0.4, 0.3, 0.2, 0.1], [0.2] * 4])
    pattern = np.array([[[0.5, 0.25, 0.125], [0.2, 0.2, 0.2], [0, 0, 0.9]]])
    arrays = {"pattern_heads": np.array([[0, 1]]), "received_0": received, "pattern_0": pattern}
    arrays |= {"received_1": received, "pattern_1": pattern}
    counts = by_head(low=0.01, high=0.02, support=3, background=1)
    counts = pd.concat([counts, by_head(low=0.02, high=0.04, support=1, background=3)])
    sampled = by_head(sequences=9, tokens=1234, support_tokens=4, r=0.222, slope=0.5, support_mean=0.02)
    sampled = sampled.assign(background_mean=0.016, rho=1.25, strongest_by=["", "restoration", "", ""])
    tokens = {"role": np.array([0, 1, 2, 0]), "motif_score": np.array([-1.0, 3.0, 0.0, -2.0])}
    return {
        f"head_examples/{question}_sequences.json": [example | {"sites": [site]}, bare],
        f"head_examples/{question}_attention.npz": arrays,
        f"head_examples/{question}_received.csv": counts,
        f"head_examples/{question}_heads.csv": sampled,
        f"head_examples/{question}_tokens.npz": tokens | {"key_scores": np.arange(16).reshape(4, 4) / 10},
    }


def audit(task):
    table = by_head(task=task, probe_layer=0, at_or_below_probe=[True, True, False, False])
    for column in ("write_cosine", "read_cosine", "self_gain"):
        table[column] = [0.1, 0.5, 0.2, 0.3]
        table[f"{column}_null_low"], table[f"{column}_null_high"] = 0.1, 0.3
        table[f"{column}_p"] = table[f"{column}_q"] = [0.9, 0.001, 0.9, 0.01]
    return table


def calibrated():
    strengths = pd.DataFrame({"strength": [0, 1], "planted": 16, "detected": [0, 12], "rate": [0, 0.75]})
    strengths = strengths.assign(low=[0, 0.4762], high=[0.2059, 0.9273])
    criteria = ("alignment", "registered stack")
    alarms = pd.DataFrame({"null": ["permuted motif", "shuffled sequences"], "replicates": 8, "tests": 128})
    alarms = alarms.assign(positives=[1, 0], rate=[1 / 128, 0], upper=[0.0365, 0.0231])
    return {
        "tables/calibration_detection.csv": pd.concat([strengths.assign(criterion=name) for name in criteria]),
        "tables/calibration_false_positives.csv": pd.concat([alarms.assign(criterion=name) for name in criteria]),
        "tables/calibration_sensitivity.csv": pd.DataFrame({"criterion": criteria, "statement": ["a word", "weak"]}),
    }


@pytest.fixture(scope="module")
def page(make_page):
    motif = {"motif": "MA1", "name": BAIT, "bases": "ACGT", "counts": [[0, 99, 0, 0], [5, 5, 5, 5]], "pseudocount": 0}
    motif |= {"background": [0.25] * 4, "width": 2, "threshold_bits": 8, "threshold_p": 1e-4, "anchor": None}
    sites = pd.DataFrame({"label": [1, 1, 0], "length": 200, "start": [90, 95, 10], "end": [92, 97, 12]})
    tried = pd.DataFrame({"question": list(QUESTIONS), "set": ["boundary-preserving", "fixed edit"], "tried": 50})
    tried = tried.assign(with_site=[40, 30], accepted=[35, 0], refused_no_site=[10, np.nan])
    tried = tried.assign(refused_not_aligned=[5, np.nan], misaligned_share=[0, 1])
    spectra = {f"{name}_singular_values": np.full((2, 2, 3), 0.5) for name in ("qk", "ov")}
    spectra |= {"ov_eigenvalues": np.full((2, 2, 3), 0.3 - 0.1j), "qk_form": np.array("one matrix")}
    measures = ("qk_spectral_norm", "qk_effective_rank", "qk_symmetry", "ov_spectral_norm", "ov_effective_rank")
    summary = by_head(**dict.fromkeys(measures, 0.5), copying_score=[0.1, 0.2, 0.3, 0.4], qk_form="one matrix")
    vectors = pd.DataFrame({"vector": [1, 2], "singular_value": [2.0, 1.0], "write_cosine": [0.1, -0.4]})
    vectors = vectors.assign(read_cosine=0.0, self_gain_part=0.01, null_cosine=0.2, null_top_cosine=0.3)
    artifacts = {
        "tables/evidence.csv": pd.concat([evidence(question) for question in QUESTIONS]),
        "tables/counterfactual_yield.csv": tried,
        "tables/circuit_summary.csv": summary,
        "tables/ov_readout_audit.csv": pd.concat([audit(HOSTILE), audit("donors")]),
        "tables/donors_l0h1_ov_probe_alignment.csv": vectors,
        "circuits/spectra.npz": spectra,
        **calibrated(),
    }
    for question in QUESTIONS:
        artifacts |= examples_of(question) | {
            f"motif_scoring/{question}_motif.json": motif,
            f"motif_scoring/{question}_sites.csv": sites,
            f"patching/{question}_batch_activation_patching.csv": patched(),
            f"patching/{question}_windows.csv": windows(),
            f"patching/{question}_components.csv": components(),
        }
    asked = {"motif_questions": [{"name": question} for question in QUESTIONS]}
    facts = {"ctcf rank correlation of attribution and exact patching": 0.875, "sanity": {"ctcf": {"itself": 0.0}}}
    configuration = asked | {"audited_task": "donors", "audited_layer": 0, "audited_head": 1}
    return make_page(artifacts, configuration, facts={"systematic_causal_intervention": facts})


CHAPTERS = ("front", "heads", "head", "motifs", "head-circuits", "calibration")


def chart(opened, title):
    """Data and layout of the figure with this title."""
    figure = opened.locator("figure.chart", has=opened.get_by_role("heading", name=title, exact=True)).locator(".plot")
    return figure.evaluate("plot => JSON.parse(JSON.stringify({data: plot.data, layout: plot.layout}))")


@pytest.mark.parametrize(
    ("control", "label"),
    [("kmer_boosted", "k-mer counts,<br>boosted trees (k ≤ 4)"), ("gc_content", "GC content"), ("<b>", "&lt;b&gt;")],
)
def test_a_control_s_long_name_has_two_lines(control, label):
    assert label_of(control) == label


def test_a_head_that_was_chosen_in_the_maps_leads_to_its_page(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("heads")
        opened.get_by_role("tab", name=BAIT).click()
        opened.select_option("select[aria-label=head]", "L0H1")
        opened.get_by_role("link", name="The page of L0H1").click()
        opened.wait_for_selector("#view-head")
        assert opened.inner_text(".headname") == f"L0H1 for {BAIT}: restored"
        assert opened.evaluate("window.hacked") is None


def test_arrow_keys_and_lists_turn_the_pages_of_heads_and_the_address_follows(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("head/ctcf/L0H1")
        until(opened, "document.activeElement.classList.contains('headbar')")
        opened.keyboard.press("ArrowRight")
        until(opened, "document.querySelector('.headname').textContent.startsWith('L1H0 for ctcf')")
        assert opened.evaluate("location.hash") == "#/head/ctcf/L1H0"
        opened.keyboard.press("ArrowLeft")
        opened.keyboard.press("ArrowLeft")
        until(opened, "document.querySelector('.headname').textContent.startsWith('L0H0')")
        opened.keyboard.press("ArrowLeft")  # from the first to the last
        until(opened, "location.hash === '#/head/ctcf/L1H1'")
        opened.select_option("select[aria-label=motif]", BAIT)
        until(opened, "document.querySelector('.headname').textContent.startsWith('L1H1 for <img')")
        assert opened.locator("#view-head").count() == 1


def test_a_head_s_page_shows_its_tokens_its_patching_its_spectra_and_its_row(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("head/ctcf/L0H1")
        opened.evaluate("drawAll()")
        scatter = chart(opened, "Alignment: does the key follow the motif?")
        points = {trace["name"]: (trace["x"], trace["y"]) for trace in scatter["data"]}
        assert points["motif tokens"] == ([3], [0.5])
        assert points["other tokens"] == ([-1, -2], [0.1, 1.3])
        assert points["slope over all sampled tokens"] == ([-2, 3], [-1, 1.5])
        received = chart(opened, "Attention received: motif tokens and background")
        assert received["data"][0]["y"] == [0.75, 0.25, 0]
        assert [shape["x0"] for shape in received["layout"]["shapes"]] == [0.02, 0.016]
        restored = chart(opened, "Restoration, with its nulls")
        labels = [trace["y"][0].replace("<br>", " ") for trace in restored["data"]]
        assert labels[:3] == ["PM, denoising: 0.90", "PM, noising: 0.90", "null, another pair, corrupted: 0.05"]
        assert restored["data"][5]["x"] == [0.85]  # the head minus its null, with the paired interval
        assert restored["data"][5]["error_x"]["arrayminus"] == [pytest.approx(0.84)]
        assert chart(opened, "Spectra of the QK and the OV circuit")["data"][1]["y"] == [0.5] * 3
        assert chart(opened, "Eigenvalues of the OV circuit")["data"][0]["y"] == [-0.1] * 3
        assert "r 0.110 [0.060, 0.160]" in opened.inner_text("main")
        assert "ceiling\n0.400" in opened.inner_text("dl.cells")


def test_attention_is_drawn_over_the_bases_and_a_chosen_token_shows_where_it_looks(page, revisit):
    heights = "[...document.querySelectorAll('.attended')[0].querySelectorAll('i')].map((bar) => bar.style.height)"
    with revisit(page) as seen:
        opened = seen.go("head/ctcf/L0H1")
        first = opened.locator(".example").first
        assert opened.evaluate(heights) == ["33.3333%", "100%", "66.6667%"]
        assert "".join(first.locator("b").all_inner_texts()) == SEQUENCE[3:6]
        assert HOSTILE in first.inner_text()
        assert "Site at bases 4 to 6, strand −, 9.3 bits." in first.inner_text()
        first.locator(".token").first.click()
        assert opened.evaluate(heights) == ["100%", "50%", "25%"]
        assert "13% goes to special tokens" in first.inner_text()  # 1 − 1/2 − 1/4 − 1/8, rounded
        opened.keyboard.press("ArrowRight")
        assert opened.evaluate(heights) == ["100%", "100%", "100%"]
        opened.keyboard.press("Escape")
        assert opened.evaluate(heights) == ["33.3333%", "100%", "66.6667%"]
        assert opened.evaluate("location.hash") == "#/head/ctcf/L0H1"


def test_a_head_without_saved_patterns_names_those_that_have_them(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("head/ctcf/L1H0")
        opened.locator("figure.examples").get_by_role("link", name="L0H1").click()
        until(opened, "document.querySelector('.headname').textContent.startsWith('L0H1')")


def test_the_logo_gives_every_letter_its_share_of_the_information(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("motifs")
        logo = opened.locator(".logo svg").first
        assert logo.get_attribute("aria-label") == "sequence logo; most frequent bases CA"
        letters = logo.locator("path")
        assert letters.count() == 1  # one certain base; the second position says nothing
        bits = [line.bounding_box()["y"] for line in logo.locator("line").all()]
        box = letters.first.bounding_box()
        assert box["y"] == pytest.approx(bits[2], abs=2)
        assert box["y"] + box["height"] == pytest.approx(bits[0], abs=2)
        assert logo.locator("title").all_text_contents()[0] == "position 1: C 100%, A 0%, G 0%, T 0%"


def test_patching_marks_the_motif_and_draws_intervals_nulls_and_what_proves_nothing(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("motifs")
        places = chart(opened, "ctcf: patching by place and layer")
        assert places["data"][0]["z"] == [[0, 0.8, 0.1], [0, 0.4, 0]]
        assert [shape["x0"] for shape in places["layout"]["shapes"]] == [0, 2]
        tracks = chart(opened, "ctcf: tracks over the bases")
        assert tracks["data"][0]["x"] == [-6.5, 3.5, 13.5]  # the middles, the first layer drawn aside
        assert tracks["data"][0]["error_y"]["arrayminus"] == [0.2, 1, pytest.approx(0.3)]
        assert tracks["layout"]["yaxis"]["range"][1] < 3  # an endless interval does not flatten the rest
        parts = chart(opened, "ctcf: restoration by layer and component")
        assert parts["data"][0]["marker"]["symbol"] == ["circle-open", "circle"]
        heads = chart(opened, "ctcf: restoration by head")
        assert heads["data"][0]["y"] == ["L0H1", "L1H0", "L0H0", "L1H1"]
        assert heads["data"][1]["x"] == [0.05] * 4
        assert heads["layout"]["xaxis"]["range"][0] < -8  # an estimate is never outside
        foreseen = chart(opened, "ctcf: attribution against exact patching")["data"][1]
        assert dict(zip(foreseen["text"], foreseen["y"], strict=True))["L0H1"] == 0.45
        told = opened.inner_text("main")
        assert "by 0.500 [0.200, 0.800] over 40 pairs" in told
        assert "rank correlation 0.88" in told
        assert "1 at every layer up to the read-out's (1) and 0 above it, by construction." in told
        assert "ctcf: checks of the patching itself" in told


def test_the_yield_counts_a_fixed_edit_that_moves_tokens(page, revisit):
    with revisit(page) as seen:
        bars = {
            trace["name"]: trace["x"]
            for trace in chart(seen.go("motifs"), "Counterfactual pairs that could be made")["data"]
        }
    assert bars == {"pairs made": [35, 0], "no site": [10, 20], "tokens would move": [5, 30]}


def test_the_audit_fills_what_was_found_and_shows_the_named_head_s_vectors(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("head-circuits")
        opened.get_by_role("tab", name="OV copying").click()
        opened.evaluate("drawAll()")
        assert chart(opened, "OV copying of every head")["data"][0]["z"] == [[0.1, 0.2], [0.3, 0.4]]
        audited = chart(opened, f"{HOSTILE}: does a head write or read along the probe?")
        assert audited["data"][1]["marker"]["symbol"] == ["circle-open", "circle", "circle-open", "circle"]
        assert audited["data"][0]["base"] == [0.1] * 4
        assert audited["layout"]["shapes"][-1]["x0"] == 1.5  # heads of layer 1 lie above the probe
        vectors = chart(opened, "L0H1 vector by vector, against the probe of donors")
        assert vectors["data"][0]["y"] == [0.1, -0.4]
        told = seen.go("front").inner_text(".claims")
    assert "2 of 4 pairs of head and task (2 tasks, q ≤ 0.05)" in told


def test_calibration_shows_exact_intervals_bounds_and_what_a_negative_is_worth(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("calibration")
        assert "Registered stack: weak." in opened.inner_text("main")
        found = chart(opened, "Planted detectors found, by strength")["data"][1]
        assert found["name"] == "registered stack"
        assert found["y"] == [0, 0.75]
        assert found["error_y"]["arrayminus"] == [0, pytest.approx(0.75 - 0.4762)]
        alarms = chart(opened, "False alarms where there is no detector")["data"]
        assert [trace["name"] for trace in alarms] == ["permuted motif", "shuffled sequences"]
        assert alarms[1]["error_x"]["array"] == [0.0231, 0.0231]
        told = seen.go("front").inner_text(".claims")
    assert "Registered stack: 1 of 256 tests (permuted motif, shuffled sequences; each at most 3.6%" in told


def test_hostile_names_are_shown_in_every_chapter_and_nothing_is_wider_than_a_phone(page, revisit):
    with revisit(page, width=390) as seen:
        for chapter in CHAPTERS:
            opened = seen.go(chapter)
            assert opened.evaluate("document.documentElement.scrollWidth") <= 390, chapter
        opened = seen.go("motifs")
        opened.get_by_role("tab", name=BAIT).click()
        assert BAIT in opened.inner_text("main")
        opened.evaluate("drawAll()")
        assert BAIT in opened.locator(".ytick text").all_text_contents()[-2]
        assert opened.evaluate("window.hacked") is None


def test_chapters_without_artifacts_name_the_step_that_makes_them(make_page, visit):
    makers = {"patching/*_windows.csv": "patch", "motif_scoring/*_motif.json": "score", "tables/evidence.csv": "judge"}
    makers |= {"tables/calibration_*.csv": "calibrate", "tables/circuit_summary.csv": "export"}
    bare = make_page({}, {"motif_questions": [{"name": "ctcf"}]}, makers)
    missing = {"head": "judge", "motifs": "patch", "head-circuits": "export", "calibration": "calibrate"}
    with visit(bare) as seen:
        for chapter, step in missing.items():
            assert f"--from-step {step}" in seen.go(chapter).inner_text("main")


def test_results_older_than_the_examples_show_the_rest_of_a_head_and_what_makes_them(make_page, visit):
    old = make_page({"tables/evidence.csv": evidence("ctcf")}, makers={"head_examples/*_tokens.npz": "head_examples"})
    with visit(old) as seen:
        told = seen.go("head/ctcf/L1H0").inner_text("main")
    assert "r 0.200 [0.150, 0.250]" in told
    assert "--from-step head_examples" in told


def test_figures_that_were_replaced_are_let_go(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("head/ctcf/L0H0")
        before = opened.evaluate("CHARTS.size")
        for name in ("L0H1", "L1H0"):
            opened.select_option("select[aria-label=head]", name)
            until(opened, f"document.querySelector('.headname').textContent.startsWith('{name}')")
            opened.evaluate("drawAll()")
        assert opened.evaluate("[CHARTS.size, [...CHARTS.keys()].every((each) => each.isConnected)]") == [before, True]
