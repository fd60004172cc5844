"""A saved feature circuit as the explorer takes it: nodes with places, edges with all that is known, and sequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from mints.report.page.graph_layout import Link, layered
from mints.report.page.saved import Saved

TO_BEHAVIOUR = "feat->behavior"
BEHAVIOUR, FEATURE, ERROR = "behavior", "feature", "error"

EDGE_COLUMNS = ("source", "target", "kind", "weight", "low", "high", "q", "p", "null", "estimate")
"""What stands in an edge's row, nodes by their number."""

SHOWN_FACTS = {"auroc": "AUROC", "f1": "F1", "precision": "precision", "recall": "recall"}
"""What a features file says of a latent's agreement with the annotation."""


def explored(saved: Saved, name: str, document: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """Everything that the explorer shows of one graph.

    name: of the artifact. document: what it holds. table: every edge that was tested, of all behaviours; those that are
    not in the graph are added to it, since the reader chooses what has to be clear of 0. Empty where an older run does
    not have it.
    """
    behaviour = document["meta"]["behavior"]
    if "behaviour" in table:
        table = table[table["behaviour"] == behaviour]
    nodes = {node["id"]: node_row(node) for node in document["nodes"]}
    layers = {node["site"]: node["layer"] for node in nodes.values()}
    known = {(edge["src"], edge["dst"]): {**edge} for edge in document["edges"]}
    for row in tested(document, table):
        known[row["src"], row["dst"]] = known.get((row["src"], row["dst"]), {}) | row
        for end, site, feature in ((row["src"], row["at"], row["feature"]), (row["dst"], row["to"], row["target"])):
            kind = ERROR if feature < 0 else FEATURE
            own = {"layer": layers.get(site), "site": site, "feature": feature, "importance": None}
            nodes.setdefault(end, {"id": end, "kind": kind} | own)
    rows, columns = in_layers(document, list(nodes.values()))
    number = {row["id"]: place for place, row in enumerate(rows)}
    edges = [
        [number[edge["src"]], number[edge["dst"]], edge["kind"], *(edge.get(column) for column in EDGE_COLUMNS[3:])]
        for edge in sorted(known.values(), key=lambda edge: -abs(edge["weight"]))
        if edge["src"] in number and edge["dst"] in number
    ]
    place(rows, edges)
    return {
        "name": behaviour,
        "source": name,
        "meta": document["meta"],
        "columns": columns,
        "nodes": rows,
        "edges": edges,
        "fields": EDGE_COLUMNS,
        "latents": latents_of(saved, behaviour, rows),
    }


def node_row(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the file; published files know a layer, not a site."""
    site = node.get("site") or (f"layer {node['layer']}" if "layer" in node else "")
    known = {name: node.get(name) for name in ("id", "kind", "layer", "feature", "importance")}
    return known | {"site": site}


def tested(document: Mapping[str, Any], table: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows of the table of edges, with ends as the graph calls them."""
    if table.empty:
        return
    starts = {node["site"]: node["id"].rpartition(":")[0] for node in document["nodes"] if node.get("site")}
    end = f"{BEHAVIOUR}:{document['meta']['behavior']}"
    table = table.dropna(subset=["weight"])
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        if row["source_site"] not in starts:
            continue
        is_last = row["kind"] == TO_BEHAVIOUR
        if not is_last and row["target_site"] not in starts:
            continue
        yield {
            "src": _named(starts[row["source_site"]], int(row["source"])),
            "dst": end if is_last else _named(starts[row["target_site"]], int(row["target"])),
            "at": row["source_site"],
            "feature": int(row["source"]),
            "to": row["target_site"],
            "target": int(row["target"]),
            "kind": row["kind"],
            **{name: row.get(name) for name in EDGE_COLUMNS[3:]},
        }


def _named(start: str, feature: int) -> str:
    return f"{start}:{ERROR}" if feature < 0 else f"{start}:F{feature}"


def in_layers(document: Mapping[str, Any], nodes: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Nodes with the number of their column, and the columns' names: sites from low to high, then the behaviour."""
    meta = document["meta"]
    sites = list(meta.get("sae_sites") or [f"layer {layer}" for layer in meta.get("sae_layers", [])])
    sites += sorted({node["site"] for node in nodes if node["site"]} - set(sites))
    column = {site: place for place, site in enumerate(sites)}
    rows = [node | {"column": column.get(node["site"], len(sites))} for node in nodes]
    return rows, [*sites, "behaviour"]


def place(nodes: list[dict[str, Any]], edges: list[list[Any]]) -> None:
    """Give every node its x and y."""
    largest: dict[str, float] = {}
    for edge in edges:
        largest[edge[2]] = max(largest.get(edge[2], 0.0), abs(edge[3]))
    links = [Link(edge[0], edge[1], abs(edge[3]) / (largest[edge[2]] or 1.0)) for edge in edges]
    for node, (x, y) in zip(nodes, layered([node["column"] for node in nodes], links), strict=True):
        node["x"], node["y"] = float(x), float(y)


def latents_of(saved: Saved, behaviour: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Sequences and facts by node: of the circuit's own features file, or of the latent dashboards."""
    own = saved.value(f"circuits/features_{behaviour}.json")
    if own is not None:
        label = str(own["meta"].get("kind") or own["meta"].get("behavior"))
        return {latent["id"]: from_features(latent, label) for latent in own["features"]}
    found = {}
    for site in {node["site"] for node in nodes if node["kind"] == FEATURE}:
        shown = saved.value(f"latents/{site}.json") or {"latents": []}
        by_number = {latent["latent"]: latent for latent in shown["latents"]}
        for node in nodes:
            latent = by_number.get(node["feature"]) if node["site"] == site and node["kind"] == FEATURE else None
            if latent is not None:
                concept = latent["concepts"][0]["concept"] if latent["concepts"] else ""
                found[node["id"]] = {"examples": latent["examples"], "asked": concept, "facts": {}}
    return found


def from_features(latent: Mapping[str, Any], annotated: str) -> dict[str, Any]:
    """One latent of a features file. annotated: what its segments are annotated as."""
    groups = {"examples": "top", "negatives": f"without {annotated}"}
    examples = [example(each, kind, annotated) for group, kind in groups.items() for each in latent.get(group, [])]
    facts = {label: latent[name] for name, label in SHOWN_FACTS.items() if latent.get(name) is not None}
    return {"examples": examples, "asked": annotated, "facts": facts}


def example(each: Mapping[str, Any], kind: str, label: str) -> dict[str, Any]:
    """A sequence of a features file, whose segments are 0-based and inclusive, as the sequence viewer takes it.

    Files without activations along the sequence have those of the top positions alone.
    """
    track = dict(enumerate(each.get("activations") or []))
    track = track or {top["pos"]: top["act"] for top in each["top_positions"]}
    return {
        "name": each["accession"],
        "kind": kind,
        "sequence": each["sequence"],
        "active": [[at, at + 1, value] for at, value in sorted(track.items()) if value],
        "threshold": each["threshold"],
        "marks": [[first, last + 1, label] for first, last in each["behavior_segments"]],
    }
