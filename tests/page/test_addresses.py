"""Addresses within the page: names with slashes, percent signs and quotes lead back to what they name."""

from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from page.conftest import HOSTILE

ODD = f"a/b%2F{HOSTILE}"


def address(*names):
    return "/".join(quote(name, safe="!~*'()") for name in names)


def graph(behaviour):
    end, site = f"behavior:{behaviour}", "blocks.1.hook_resid_post"
    nodes = [
        {"id": name, "kind": "feature", "layer": 1, "feature": 7, "site": site} for name in ("L1:F7", "L1/head 2:F8")
    ]
    edges = [
        {"src": node["id"], "dst": end, "weight": 1.0, "kind": "feat->behavior", "low": 0.9, "high": 1.1}
        for node in nodes
    ]
    meta = {"model": "m", "behavior": behaviour, "sae_layers": [1], "sae_sites": [site]}
    return {"meta": meta, "nodes": [*nodes, {"id": end, "kind": "behavior"}], "edges": edges}


def latents(site):
    shown = [
        {
            "latent": number, "density": 0.0, "sequences": 0.0, "largest": 0, "mean": None, "reasons": ["chosen"],
            "histogram": {"edges": [], "counts": []}, "examples": [], "concepts": [], "logits": None,
        }
        for number in (3, 7)
    ]  # fmt: skip
    return {"site": site, "split": "test", "windows": 1, "tokens": 4, "latents": shown}


def evidence(question):
    table = pd.DataFrame({"question": question, "layer": [0, 0], "head": [0, 1], "verdict": "none"})
    for value in ("r", "rho", "pm"):
        table = table.assign(**{value: 0.5, f"{value}_low": 0.4, f"{value}_high": 0.6})
    return table.assign(ceiling=0.6, aligned=False, enriched=False, restored=np.array([False, True]))


@pytest.fixture(scope="module")
def page(make_page):
    return make_page(
        {
            "circuits/a_circuit_graph.json": graph("plain"),
            "circuits/b_circuit_graph.json": graph(ODD),
            "latents/a.json": latents("plain"),
            "latents/b.json": latents(ODD),
            "tables/evidence.csv": pd.concat([evidence("plain"), evidence(ODD)]),
        }
    )


def test_the_address_of_a_node_in_a_graph_with_a_slash_in_its_name_opens_it_again(page, visit):
    with visit(page) as seen:
        opened = seen.go("circuits")
        opened.get_by_label("graph", exact=True).select_option(ODD)
        opened.get_by_label("find a node").fill("L1/head 2:F8")
        opened.keyboard.press("Enter")
        left = opened.evaluate("location.hash")
        assert left == f"#/{address('circuits', ODD, 'L1/head 2:F8')}"
    with visit(page) as seen:
        opened = seen.go(left.removeprefix("#/"))
        assert opened.get_by_label("graph", exact=True).input_value() == ODD
        assert opened.inner_text("figure.circuit .details h4") == "L1/head 2:F8"
        assert opened.evaluate("window.hacked") is None


def test_the_address_of_a_latent_of_a_site_with_a_slash_opens_it(page, visit):
    with visit(page) as seen:
        opened = seen.go(address("latents", ODD, "7"))
        assert opened.inner_text(".dashboard h4") == f"{ODD} · F7"
        opened.locator(".latent-list button[data-latent='3']").click()
        assert opened.evaluate("location.hash") == f"#/{address('latents', ODD, '3')}"


def test_the_page_of_a_head_for_a_question_with_a_slash_is_reached_by_its_link(page, visit):
    with visit(page) as seen:
        opened = seen.go("heads")
        opened.get_by_role("tab", name=ODD, exact=True).click()
        opened.select_option("select[aria-label=head]", "L0H1")
        opened.get_by_role("link", name="The page of L0H1").click()
        opened.wait_for_selector("#view-head")
        assert opened.inner_text(".headname").startswith(f"L0H1 for {ODD}")


def test_an_address_that_is_no_proper_encoding_is_taken_as_it_stands(page, visit):
    with visit(page) as seen:
        opened = seen.go("circuits/100%/L1:F7")
        assert opened.get_by_label("graph", exact=True).input_value() == "plain"
        assert opened.inner_text("figure.circuit .details h4") == "L1:F7"
