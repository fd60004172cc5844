"""A feature circuit as a graph, in the schema of the published viewer and in circuit-tracer's.

The viewer's files (`{meta, nodes, edges}`, ids "L5:F217", "behavior:tm") hold positive weights alone; here the sign is
kept, and low, high and q stand beside it. circuit-tracer names a node layer_feature_position. Nodes of a circuit over
many sequences have no position; in its place stands the number of their site, and the sites are the prompt's tokens: so
every id is unique, those of error nodes (feature −1) included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from mints.features.circuit_names import ERROR, TO_BEHAVIOUR, TO_FEATURE

BEHAVIOUR, FEATURE, ERROR_NODE = "behavior", "feature", "error"


class Node(NamedTuple):
    """A latent, an error node, or the behaviour (site and feature then are empty and −1)."""

    id: str
    kind: str
    site: str
    feature: int
    importance: float | None
    """Weight of its edge to the behaviour, sign kept; None where there is none."""


class Edge(NamedTuple):
    """Effect of one node on another."""

    source: str
    target: str
    weight: float
    kind: str
    low: float
    high: float
    q: float | None


class Graph(NamedTuple):
    """Nodes by site from low to high, the behaviour last; edges by size."""

    behaviour: str
    sites: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def clear_edges(edges: pd.DataFrame) -> pd.DataFrame:
    """Edges whose interval lies on one side of 0."""
    return edges[(edges["low"] > 0) | (edges["high"] < 0)].reset_index(drop=True)


def make_graph(edges: pd.DataFrame, sites: Sequence[str], behaviour: str) -> Graph:
    """Graph of all edges of a circuit's table, the largest |weight| first."""
    end = f"{BEHAVIOUR}:{behaviour}"
    rows: list[dict[str, Any]] = edges.to_dict("records")  # type: ignore[assignment]
    importance = {(row["source_site"], row["source"]): row["weight"] for row in rows if row["kind"] == TO_BEHAVIOUR}
    latents = {(row["source_site"], row["source"]) for row in rows}
    latents |= {(row["target_site"], row["target"]) for row in rows if row["kind"] == TO_FEATURE}
    nodes = [
        Node(
            node_id(site, feature, sites),
            ERROR_NODE if feature == ERROR else FEATURE,
            site,
            int(feature),
            _known(importance.get((site, feature))),
        )
        for site, feature in sorted(latents, key=lambda latent: (sites.index(latent[0]), latent[1]))
    ]
    linked = [
        Edge(
            node_id(row["source_site"], row["source"], sites),
            end if row["kind"] == TO_BEHAVIOUR else node_id(row["target_site"], row["target"], sites),
            float(row["weight"]),
            row["kind"],
            float(row["low"]),
            float(row["high"]),
            _known(row["q"]),
        )
        for row in rows
    ]
    linked.sort(key=lambda edge: (-abs(edge.weight), edge.source, edge.target))
    return Graph(behaviour, tuple(sites), (*nodes, Node(end, BEHAVIOUR, "", ERROR, None)), tuple(linked))


def node_id(site: str, feature: int, sites: Sequence[str]) -> str:
    """Such as "L5:F217", or "L5:error"; with the site's own name where its layer has several."""
    _, layer, place = site.split(".", 2)
    alone = sum(other.split(".")[1] == layer for other in sites) == 1
    start = f"L{layer}" if alone else f"L{layer}.{place}"
    return f"{start}:{ERROR_NODE}" if feature == ERROR else f"{start}:F{feature}"


def prune(graph: Graph, least: Mapping[str, float]) -> Graph:
    """Edges of at least this |weight|, by kind, as far as they lie on a way to the behaviour.

    Whatever more is asked for, nothing is added; no node is left without a way to the behaviour.
    """
    strong = [edge for edge in graph.edges if abs(edge.weight) >= least.get(edge.kind, 0.0)]
    reached = {f"{BEHAVIOUR}:{graph.behaviour}"}
    while more := {edge.source for edge in strong if edge.target in reached} - reached:
        reached |= more
    kept = tuple(edge for edge in strong if edge.target in reached)
    return graph._replace(nodes=tuple(node for node in graph.nodes if node.id in reached), edges=kept)


def to_viewer(graph: Graph, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The published viewer's schema. meta: what its `meta` holds beside behaviour and sites (model, d_sae, k)."""
    nodes: list[dict[str, Any]] = []
    for node in graph.nodes:
        row: dict[str, Any] = {"id": node.id, "kind": node.kind}
        if node.kind != BEHAVIOUR:
            row |= {"layer": int(node.site.split(".")[1]), "feature": node.feature, "site": node.site}
        if node.importance is not None:
            row["importance"] = node.importance
        nodes.append(row)
    edges = [
        {"src": edge.source, "dst": edge.target, "weight": edge.weight, "kind": edge.kind, "low": edge.low,
         "high": edge.high, "q": edge.q}
        for edge in graph.edges
    ]  # fmt: skip
    layers = [int(site.split(".")[1]) for site in graph.sites]
    known = {"behavior": graph.behaviour, "sae_layers": layers, "sae_sites": list(graph.sites)}
    return {"meta": {**meta, **known}, "nodes": nodes, "edges": edges}


def from_viewer(document: Mapping[str, Any]) -> Graph:
    """The graph of a file in the viewer's schema; published files, which lack sites, intervals and q, among them."""
    meta = document["meta"]
    sites = meta.get("sae_sites") or [f"blocks.{layer}.hook_resid_post" for layer in meta["sae_layers"]]
    by_layer = {int(site.split(".")[1]): site for site in sites}
    nodes = [
        Node(
            row["id"], row["kind"], row.get("site") or by_layer.get(row.get("layer"), ""),
            row.get("feature", ERROR), row.get("importance"),
        )
        for row in document["nodes"]
    ]  # fmt: skip
    edges = [
        Edge(
            row["src"], row["dst"], row["weight"], row["kind"], row.get("low", float("nan")),
            row.get("high", float("nan")), row.get("q"),
        )
        for row in document["edges"]
    ]  # fmt: skip
    return Graph(meta["behavior"], tuple(sites), tuple(nodes), tuple(edges))


def to_circuit_tracer(graph: Graph, slug: str, scan: str) -> dict[str, Any]:
    """circuit-tracer's schema. slug: name of the graph. scan: name of the dictionaries."""
    tracer_ids = {node.id: _tracer_id(graph, node) for node in graph.nodes}
    kinds = {FEATURE: "cross layer transcoder", ERROR_NODE: "mlp reconstruction error", BEHAVIOUR: "logit"}
    nodes = []
    for node in graph.nodes:
        layer, feature, place = tracer_ids[node.id].split("_")
        is_end = node.kind == BEHAVIOUR
        nodes.append(
            {
                "node_id": tracer_ids[node.id], "feature": int(feature), "layer": layer, "ctx_idx": int(place),
                "feature_type": kinds[node.kind], "token_prob": 0.0, "is_target_logit": is_end, "run_idx": 0,
                "reverse_ctx_idx": 0, "jsNodeId": f"{layer}_{feature}-{place}", "clerp": node.id,
                "influence": node.importance, "activation": None,
            }
        )  # fmt: skip
    links = [
        {"source": tracer_ids[edge.source], "target": tracer_ids[edge.target], "weight": edge.weight}
        for edge in graph.edges
    ]
    places = [*graph.sites, f"{BEHAVIOUR}:{graph.behaviour}"]
    return {
        "metadata": {
            "slug": slug, "scan": scan, "transcoder_list": [], "prompt_tokens": places, "prompt": " ".join(places),
            "node_threshold": None, "schema_version": 1,
        },
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": nodes,
        "links": links,
    }  # fmt: skip


def _tracer_id(graph: Graph, node: Node) -> str:
    if node.kind == BEHAVIOUR:
        above = 1 + max(int(site.split(".")[1]) for site in graph.sites)
        return f"{above}_0_{len(graph.sites)}"
    return f"{node.site.split('.')[1]}_{node.feature}_{graph.sites.index(node.site)}"


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
