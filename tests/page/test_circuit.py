"""The circuit explorer: places that do not jump, thresholds by kind, focus, search, keyboard, addresses and exports."""

import json
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from optional import oracle
from page.conftest import HOSTILE, until

SITES = ["blocks.1.hook_resid_post", "blocks.2.hook_resid_post"]
TO_BEHAVIOUR, TO_FEATURE = "feat->behavior", "feat->feat"


def edge(src, dst, weight, kind, half=0.01, q=0.01):
    return {"src": src, "dst": dst, "weight": weight, "kind": kind, "low": weight - half, "high": weight + half, "q": q}


def graph(behaviour, extra=()):
    end = f"behavior:{behaviour}"
    nodes = [("L1:F1", 1), ("L1:F2", 1), ("L1:error", 1), ("L2:F7", 2), ("L2:F8", 2), *extra]
    rows = [
        {
            "id": name, "kind": "error" if name.endswith("error") else "feature", "layer": layer,
            "feature": -1 if name.endswith("error") else int(name.split("F")[1]), "site": SITES[layer - 1],
        }
        for name, layer in nodes
    ]  # fmt: skip
    edges = [
        edge("L1:F1", "L2:F7", 2.0, TO_FEATURE),
        edge("L1:F2", "L2:F8", -1.0, TO_FEATURE, q=0.2),
        edge("L1:F1", "L2:F8", 0.2, TO_FEATURE),
        edge("L2:F7", end, 0.004, TO_BEHAVIOUR, half=0.001),
        edge("L2:F8", end, -0.001, TO_BEHAVIOUR, half=0.0002),
        edge("L1:error", end, 0.003, TO_BEHAVIOUR, half=0.004),
    ]
    meta = {"model": "m", "behavior": behaviour, "sae_layers": [1, 2], "sae_sites": SITES}
    return {"meta": meta, "nodes": [*rows, {"id": end, "kind": "behavior"}], "edges": edges}


def features(behaviour):
    example = {
        "accession": HOSTILE, "sequence": "MKTAYIAKQR", "seq_len": 10, "behavior": behaviour,
        "behavior_segments": [[2, 4]], "feature_segments": [[4, 5]], "top_positions": [{"pos": 4, "act": 2.0}],
        "max_act": 2.0, "threshold": 1.0, "overlap_frac_feature_in_behavior": 0.5,
        "activations": [0, 0, 0.5, 0, 2, 1.5, 0, 0, 0, 0],
    }  # fmt: skip
    latent = {"id": "L2:F7", "feature": 7, "auroc": 0.83, "examples": [example], "negatives": []}
    return {"meta": {"behavior": behaviour, "kind": "Transmembrane"}, "features": [latent]}


@pytest.fixture(scope="module")
def page(make_page):
    hostile = f"tm{HOSTILE}"
    planted = pd.DataFrame(
        {"criterion": ["whole circuit"] * 2, "strength": [0.0, 1.0], "planted": 6, "detected": [0, 6]}
    )
    curves = pd.DataFrame({"measure": "faithfulness", "errors": "keep", "nodes": [0, 16], "value": [0.0, 0.9]})
    curves = curves.assign(low=[0, 0.8], high=[0, 1.0], random_circuits=[0, 3])
    curves = curves.assign(random_mean=[np.nan, 0.2], random_low=[np.nan, 0.1], random_high=[np.nan, 0.3])
    # An edge that was tested and is not clear of 0, which the graph's own file leaves out.
    tested = {"behaviour": "sp", "kind": TO_FEATURE, "source_site": SITES[0], "source": 3, "target_site": SITES[1]}
    tested |= {"target": 7, "weight": 1.5, "low": -0.5, "high": 3.0, "q": 0.6, "null": 0.4, "p": 0.5, "estimate": 1.2}
    return make_page(
        {
            "circuits/sp_circuit_graph.json": graph("sp", extra=[("L2:F9", 2)]),
            "circuits/tm_circuit_graph.json": graph(hostile),
            "circuits/features_sp.json": features("sp"),
            "tables/feature_circuit_edges.csv": pd.DataFrame([tested]),
            "tables/feature_circuit_curves.csv": curves,
            "tables/planted_circuit_detection.csv": planted.assign(rate=[0, 1], low=[0, 0.5], high=[0.4, 1]),
        }
    )


def told(opened):
    return opened.inner_text("figure.circuit [role=status]")


def places(opened):
    """Where the nodes that are drawn stand."""
    return opened.evaluate(
        """() => {
            const { data } = document.querySelector(".plot.circuit");
            const nodes = data.filter((trace) => trace.customdata?.[0]?.[0] === "node");
            const place = (trace) => trace.customdata.map(([, number], at) => [number, [trace.x[at], trace.y[at]]]);
            return Object.fromEntries(nodes.flatMap(place));
        }"""
    )


def slide(opened, kind, value):
    opened.locator(f"input[data-kind='{kind}']").fill(str(value))


def test_edges_that_hold_0_and_nodes_without_a_way_to_the_behaviour_are_left_out_at_first(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits")
        assert told(opened) == "5 of 7 edges and 5 of 8 nodes are shown."
        opened.get_by_label("only intervals without 0").uncheck()
        assert told(opened) == "7 of 7 edges and 7 of 8 nodes are shown."
        opened.get_by_label("largest q").select_option("0.05")
        assert told(opened) == "5 of 7 edges and 5 of 8 nodes are shown."


def test_each_kind_has_its_own_scale_and_no_node_moves(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits")
        before = places(opened)
        slide(opened, TO_FEATURE, 80)  # a share of 0.64: of edges between latents, 2.0 alone remains
        # L1:F1 → L2:F7 and both edges to the behaviour, although these are five hundred times smaller.
        assert told(opened) == "3 of 7 edges and 4 of 8 nodes are shown."
        assert "≥ 1.28 · 1 of 4" in opened.inner_text(".slider:has([data-kind='feat->feat'])")
        slide(opened, TO_BEHAVIOUR, 60)
        assert told(opened) == "2 of 7 edges and 3 of 8 nodes are shown."
        after = places(opened)
        assert {number: before[number] for number in after} == after
        opened.get_by_label("lowers").uncheck()
        assert told(opened) == "2 of 7 edges and 3 of 8 nodes are shown."
        opened.get_by_label("raises").uncheck()
        assert told(opened) == "0 of 7 edges and 0 of 8 nodes are shown."


def test_a_node_is_found_by_name_and_keeps_what_reaches_it_and_what_it_reaches(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits")
        opened.get_by_label("find a node").fill("l2:f7")
        opened.keyboard.press("Enter")
        assert told(opened) == "2 of 7 edges and 3 of 8 nodes are shown."
        details = opened.inner_text("figure.circuit .details")
        assert "Effect on the behaviour: 0.00400 [0.00300, 0.00500], q = 0.0100" in details
        assert "AUROC 0.830" in details
        assert opened.locator(".edges li").first.locator("button").all_inner_texts() == ["L1:F1", "2 [1.99, 2.01]"]
        assert opened.evaluate("decodeURIComponent(location.hash)") == "#/circuits/sp/L2:F7"
        opened.get_by_role("button", name="2 [1.99, 2.01]").click()
        assert "Edge between latents" in opened.inner_text("figure.circuit .details")
        opened.get_by_role("button", name="Whole graph").click()
        assert told(opened) == "5 of 7 edges and 5 of 8 nodes are shown."


def test_arrows_walk_along_edges_and_columns_and_escape_shows_all(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits/sp/L1:F1")
        plot = opened.locator(".plot.circuit").first
        plot.focus()
        for key, arrives in (("ArrowRight", "L2:F7"), ("ArrowRight", "behavior:sp"), ("ArrowLeft", "L2:F7")):
            plot.press(key)
            assert opened.inner_text("figure.circuit .details h4") == arrives
        column = sorted((place[1], number) for number, place in places(opened).items() if place[0] == 1)
        assert len(column) == 2
        plot.press("ArrowDown" if column[0][1] == "3" else "ArrowUp")
        assert opened.inner_text("figure.circuit .details h4") == "L2:F8"
        plot.press("Escape")
        assert "No node is chosen" in opened.inner_text("figure.circuit .details")


def test_a_click_on_a_node_and_on_the_middle_of_a_line_open_their_details(page, revisit):
    too_late = oracle("playwright.sync_api").TimeoutError
    with revisit(page) as seen:
        opened = seen.go("circuits")
        where = """(kind) => {
            const plot = document.querySelector(".plot.circuit"), box = plot.getBoundingClientRect();
            const trace = plot.data.find((each) => each.customdata?.[0]?.[0] === kind);
            const { xaxis, yaxis } = plot._fullLayout;
            return [box.x + xaxis._offset + xaxis.l2p(trace.x[0]), box.y + yaxis._offset + yaxis.l2p(trace.y[0])];
        }"""
        for kind, heading in (("node", "L1:F1"), ("edge", "L1:F1 → L2:F7")):
            opened.get_by_role("button", name="Whole graph").click()
            told = opened.locator("figure.circuit .details", has_text=heading)
            for _ in range(5):
                x, y = opened.evaluate(where, kind)
                opened.mouse.move(x - 3, y)
                opened.mouse.move(x, y, steps=3)
                with suppress(too_late):  # a click while the figure is being drawn anew is none
                    opened.wait_for_selector(".hoverlayer .hovertext", timeout=3000)
                    opened.mouse.click(x, y)
                    told.wait_for(timeout=3000)
                    break
            assert told.count() == 1


def test_sequences_show_masks_top_letters_and_the_activation_letter_by_letter(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits/sp/L2:F7")
        letters = opened.eval_on_selector_all(
            ".letters i", "all => all.map((each) => [each.textContent, each.className])"
        )
        assert "".join(letter for letter, _ in letters) == "MKTAYIAKQR"
        marked = [name for _, name in letters]
        assert marked == ["", "", "annotated top", "annotated", "both top", "latent top", "", "", "", ""]
        assert opened.locator(".letters i").nth(4).get_attribute("title") == "5 Y: 2 · Transmembrane"
        assert HOSTILE in opened.inner_text(".sequence")


def test_two_graphs_stand_side_by_side_and_names_are_not_run(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits")
        opened.get_by_label("compare with").select_option(f"tm{HOSTILE}")
        assert told(opened).endswith("5 nodes are in both graphs (orange rings).")
        until(  # the first one makes room
            opened,
            """() => {
                const [first, second] = document.querySelectorAll(".plot.circuit");
                const room = second.getBoundingClientRect().left - first.getBoundingClientRect().left;
                return room > 0 && first.querySelector("svg").clientWidth <= room;
            }""",
        )
        opened.get_by_label("graph", exact=True).select_option(f"tm{HOSTILE}")
        assert opened.evaluate("window.hacked") is None
        assert opened.evaluate("document.querySelectorAll('script[src], .plot script').length") == 0


CLICK = """([place, name]) => {
    const drawing = document.querySelectorAll(".plot.circuit")[place];
    for (const { hovertext, customdata } of drawing.data) {
        const at = (hovertext ?? []).findIndex((text) => text.startsWith(name));
        if (at >= 0) return void drawing.emit("plotly_click", { points: [{ customdata: customdata[at] }] });
    }
    throw new Error(`no node ${name}`);
}"""


def test_a_node_is_chosen_in_either_of_two_graphs(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits/sp")
        chosen = opened.locator(".details h4")
        for _ in range(2):  # hidden and shown again, a click counts once
            opened.get_by_label("compare with").select_option("")
            opened.get_by_label("compare with").select_option(f"tm{HOSTILE}")
        opened.evaluate(CLICK, [1, "L1:F1"])
        assert chosen.inner_text() == "L1:F1"
        assert told(opened).startswith("4 of 7 edges and 4 of 8 nodes")  # the same node, in the first graph too
        opened.evaluate(CLICK, [1, "behavior:tm"])
        assert chosen.inner_text() == f"behavior:tm{HOSTILE}"
        assert opened.locator(".edges button", has_text="L2:F7").count() == 1
        assert told(opened).startswith("5 of 7 edges and 5 of 8 nodes")  # which does not have it, and shows all
        opened.evaluate(CLICK, [1, "behavior:tm"])
        assert chosen.count() == 0


def test_what_is_shown_is_exported_as_json_svg_and_png(page, revisit):
    with revisit(page) as seen:
        opened = seen.go("circuits/sp/L2:F7")
        files = {}
        for name in ("JSON", "SVG", "PNG"):
            with opened.expect_download() as download:
                opened.get_by_role("button", name=name, exact=True).click()
            files[name] = download.value.path().read_bytes()
        document = json.loads(files["JSON"])
        assert [(each["src"], each["dst"]) for each in document["edges"]] == [
            ("L1:F1", "L2:F7"),
            ("L2:F7", "behavior:sp"),
        ]
        assert [node["id"] for node in document["nodes"]] == ["L1:F1", "L2:F7", "behavior:sp"]
        assert document["edges"][0] == edge("L1:F1", "L2:F7", 2.0, TO_FEATURE)
        assert b"<svg" in files["SVG"]
        assert files["PNG"].startswith(b"\x89PNG")


def test_the_front_says_whether_a_circuit_carries_the_behaviour_and_what_tracing_would_have_found(page, revisit):
    with revisit(page) as seen:
        claims = seen.go().inner_text(".claims")
    assert "Exploratory: 16 latents with the error nodes keep 0.90 [0.80, 1.00] of the contrast" in claims
    assert "0.20 [0.10, 0.30] (mean, smallest, largest of 3)." in claims
    assert "Planted circuits found: 0 of 6 at strength 0, 6 of 6 at strength 1." in claims


@pytest.fixture(scope="module")
def large(make_page):
    rng = np.random.default_rng(0)
    sites = [f"blocks.{layer}.hook_resid_post" for layer in range(5)]
    nodes = [
        {"id": f"L{layer}:F{number}", "kind": "feature", "layer": layer, "feature": number, "site": sites[layer]}
        for layer in range(5)
        for number in range(60)
    ]
    ends = [(layer, *rng.integers(0, 60, 2)) for layer in rng.integers(0, 4, 1900)]
    edges = [
        edge(f"L{layer}:F{source}", f"L{layer + 1}:F{target}", rng.normal(), TO_FEATURE, half=rng.uniform(0, 1))
        for layer, source, target in sorted(set(ends))
    ]
    edges += [edge(f"L{n // 60}:F{n % 60}", "behavior:b", rng.normal() / 100, TO_BEHAVIOUR, half=0) for n in range(300)]
    meta = {"behavior": "b", "sae_layers": list(range(5)), "sae_sites": sites}
    document = {"meta": meta, "nodes": [*nodes, {"id": "behavior:b", "kind": "behavior"}], "edges": edges}
    return make_page({"circuits/feature_graph.json": document}), document


@pytest.fixture
def all_edges(large, revisit):
    """The large graph with every edge shown."""
    page, document = large
    with revisit(page) as seen:
        opened = seen.go("circuits")
        opened.get_by_label("only on a way to the behaviour").uncheck()
        opened.get_by_label("only intervals without 0").uncheck()
        slide(opened, TO_BEHAVIOUR, 0)
        slide(opened, TO_FEATURE, 0)
        yield opened, document["edges"]


def test_two_thousand_edges_answer_a_threshold_in_under_a_tenth_of_a_second(all_edges):
    opened, edges = all_edges
    assert len(edges) > 2000
    assert told(opened).startswith(f"{len(edges)} of {len(edges)} edges")
    session = opened.context.new_cdp_session(opened)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # the page's own time, whatever else runs
    taken = []
    for value in (10, 5, 20, 3, 12, 1, 8):
        before = worked(session)
        slide(opened, TO_FEATURE, value)
        opened.evaluate("new Promise(requestAnimationFrame)")
        taken.append(worked(session) - before)
    assert np.median(taken) < 0.1, taken


def test_the_edges_that_are_drawn_are_those_whose_size_and_interval_pass(all_edges):
    opened, edges = all_edges
    between = [each for each in edges if each["kind"] == TO_FEATURE]
    largest = max(abs(each["weight"]) for each in between)
    for clear, value in ((False, 60), (True, 60), (True, 30), (True, 80)):
        opened.get_by_label("only intervals without 0").set_checked(clear)
        slide(opened, TO_FEATURE, value)
        wanted = {
            (each["src"], each["dst"])
            for each in edges
            if (each["kind"] == TO_BEHAVIOUR or abs(each["weight"]) >= (value / 100) ** 2 * largest)
            and (not clear or each["low"] > 0 or each["high"] < 0)
        }
        with opened.expect_download() as download:
            opened.get_by_role("button", name="JSON", exact=True).click()
        saved = json.loads(download.value.path().read_text())
        assert {(each["src"], each["dst"]) for each in saved["edges"]} == wanted
        assert opened.evaluate(LINES) == len(wanted)


LINES = """document.querySelector(".plot.circuit").layout.shapes.map(({ path }) => path.split("M").length - 1)
    .reduce((sum, each) => sum + each, 0)"""
"""Lines in the picture."""


def test_a_saved_graph_is_one_that_the_page_can_be_made_of_again(page, revisit, make_page):
    with revisit(page) as seen:
        opened = seen.go("circuits")
        with opened.expect_download() as download:
            opened.get_by_role("button", name="JSON", exact=True).click()
        document = json.loads(download.value.path().read_text())
        first = places(opened)
    assert {node["id"]: node.get("layer") for node in document["nodes"]} == {
        "L1:F1": 1, "L1:F2": 1, "L2:F7": 2, "L2:F8": 2, "behavior:sp": None,
    }  # fmt: skip
    again = make_page({"circuits/sp_circuit_graph.json": document})
    with revisit(again) as seen:
        assert len(places(seen.go("circuits"))) == len(first)
        assert told(seen.page) == "5 of 5 edges and 5 of 5 nodes are shown."


def worked(session):
    """Seconds of computing that scripts, styles and layout of the page have taken so far."""
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return sum(found[name] for name in ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration"))
