"""A circuit as a graph, in two published schemas."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mints.features.feature_graph import (
    clear_edges,
    from_viewer,
    make_graph,
    node_id,
    prune,
    to_circuit_tracer,
    to_viewer,
)
from mints.pipeline.artifacts import to_json

SITES = ("blocks.0.hook_resid_post", "blocks.2.mlp.hook_post", "blocks.2.hook_resid_post")
COLUMNS = ("kind", "source_site", "source", "target_site", "target", "weight", "low", "high", "q")


def some_edges(rng, count=60):
    """Feature 0 of layer 0 and error nodes among them: the ids that collide in circuit-tracer's own files."""
    rows = [("feat->behavior", SITES[0], 0, "", -1, 0.5, 0.2, 0.9, 0.01)]
    rows += [
        ("feat->behavior", site, -1, "", -1, w, 0.1, 0.9, np.nan) for site, w in zip(SITES, (1, -2, 3), strict=True)
    ]
    for _ in range(count):
        weight = float(rng.normal())
        up = int(rng.integers(0, 2))
        down = int(rng.integers(up + 1, 4))
        source, target = int(rng.integers(0, 6)), int(rng.integers(0, 6))
        end = ("feat->behavior", "", -1) if down == 3 else ("feat->feat", SITES[down], target)
        rows.append((end[0], SITES[up], source, end[1], end[2], weight, weight - 0.3, weight + 0.3, 0.04))
    edges = pd.DataFrame(rows, columns=COLUMNS)
    return edges.drop_duplicates(["source_site", "source", "target_site", "target"]).reset_index(drop=True)


@pytest.fixture
def graph():
    return make_graph(some_edges(np.random.default_rng(0)), SITES, "tm")


def test_the_viewer_s_file_is_read_back_as_it_was_written(graph):
    document = json.loads(json.dumps(to_json(to_viewer(graph, {"model": "m"}))))
    assert from_viewer(document) == graph
    assert set(document) == {"meta", "nodes", "edges"}
    assert {"src", "dst", "weight", "kind"} <= set(document["edges"][0])


def test_a_graph_as_it_was_published_is_read():
    document = {
        "meta": {"model": "esm2_t6_8M_UR50D", "behavior": "tm", "sae_layers": [2, 5], "d_sae": 2048, "k": 32},
        "nodes": [
            {"id": "behavior:tm", "kind": "behavior"},
            {"id": "L5:F217", "kind": "feature", "layer": 5, "feature": 217, "importance": 0.00346},
            {"id": "L2:F83", "kind": "feature", "layer": 2, "feature": 83},
        ],
        "edges": [
            {"src": "L5:F217", "dst": "behavior:tm", "weight": 0.00346, "kind": "feat->behavior"},
            {"src": "L2:F83", "dst": "L5:F217", "weight": 1.2, "kind": "feat->feat"},
        ],
    }
    read = from_viewer(document)
    assert [node.id for node in read.nodes] == ["behavior:tm", "L5:F217", "L2:F83"]
    assert [node.site for node in read.nodes] == ["", "blocks.5.hook_resid_post", "blocks.2.hook_resid_post"]
    assert read.edges[1][:4] == ("L2:F83", "L5:F217", 1.2, "feat->feat")
    assert math.isnan(read.edges[0].low)
    assert read.edges[0].q is None


def test_the_sign_of_every_edge_is_kept(graph):
    negative = [edge for edge in to_viewer(graph, {})["edges"] if edge["weight"] < 0]
    assert len(negative) > 10
    assert {edge["kind"] for edge in negative} == {"feat->behavior", "feat->feat"}


def test_no_two_nodes_share_an_id_in_either_schema(graph):
    tracer = to_circuit_tracer(graph, "slug", "scan")
    for ids in (
        [node.id for node in graph.nodes],
        [node["node_id"] for node in tracer["nodes"]],
        [node["jsNodeId"] for node in tracer["nodes"]],
    ):
        assert len(set(ids)) == len(ids) > 15
    known = {node["node_id"] for node in tracer["nodes"]}
    assert all({link["source"], link["target"]} <= known for link in tracer["links"])


def test_circuit_tracer_s_file_holds_the_same_graph(graph):
    tracer = to_circuit_tracer(graph, "slug", "scan")
    named = {node["node_id"]: node["clerp"] for node in tracer["nodes"]}
    edges = {(named[link["source"]], named[link["target"]], link["weight"]) for link in tracer["links"]}
    assert edges == {(edge.source, edge.target, edge.weight) for edge in graph.edges}
    influence = {node["clerp"]: node["influence"] for node in tracer["nodes"]}
    assert influence == {node.id: node.importance for node in graph.nodes}
    places = tracer["metadata"]["prompt_tokens"]
    for node in tracer["nodes"]:
        layer, feature, place = node["node_id"].split("_")
        assert (node["layer"], node["feature"], node["ctx_idx"]) == (layer, int(feature), int(place))
        if node["feature_type"] != "logit":
            assert places[int(place)].split(".")[1] == layer
    (end,) = (node for node in tracer["nodes"] if node["feature_type"] == "logit")
    assert end["is_target_logit"]
    assert places[end["ctx_idx"]] == "behavior:tm"


def test_pruning_only_takes_away_and_leaves_every_node_a_way_to_the_behaviour(graph):
    before_nodes, before_edges = set(graph.nodes), set(graph.edges)
    sizes = []
    for least in (0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 9.0):
        pruned = prune(graph, {"feat->feat": least, "feat->behavior": least / 2})
        assert set(pruned.nodes) <= before_nodes
        assert set(pruned.edges) <= before_edges
        before_nodes, before_edges = set(pruned.nodes), set(pruned.edges)
        ids = {node.id for node in pruned.nodes}
        targets = {}
        for edge in pruned.edges:
            assert {edge.source, edge.target} <= ids
            targets.setdefault(edge.source, []).append(edge.target)
        for start in ids:
            ways = {start}
            for _ in range(4):
                ways |= {target for node in ways for target in targets.get(node, ())}
            assert "behavior:tm" in ways
        sizes.append(len(pruned.edges))
    assert sizes[0] > sizes[2] > sizes[-2] > sizes[-1] == 0


def test_a_layer_with_two_sites_names_both():
    assert node_id(SITES[0], 217, SITES) == "L0:F217"
    assert node_id(SITES[1], 3, SITES) == "L2.mlp.hook_post:F3"
    assert node_id(SITES[2], -1, SITES) == "L2.hook_resid_post:error"


def test_clear_edges_lie_on_one_side_of_zero():
    edges = pd.DataFrame({"low": [-1.0, 0.1, -2.0, np.nan], "high": [1.0, 2.0, -0.1, np.nan], "weight": [0, 1, -1, 0]})
    assert clear_edges(edges)["weight"].tolist() == [1, -1]


def written():
    graph = make_graph(some_edges(np.random.default_rng(0)), SITES, "tm")
    return json.dumps([to_json(to_viewer(graph, {})), to_circuit_tracer(graph, "slug", "scan")])


def test_another_process_writes_the_same_bytes():
    """circuit-tracer's names of scans depend on the process."""
    done = subprocess.run(
        [sys.executable, "-c", "import test_feature_graph; print(test_feature_graph.written(), end='')"],
        capture_output=True,
        check=True,
        env=os.environ
        | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert done.stdout.decode() == written()
