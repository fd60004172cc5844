"""Step: what single latents look like: their activations, sequences, concepts and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.features.activations import latent_matrix, ordinary_tokens
from mints.features.autoencoder import SparseAutoencoder
from mints.features.concepts import Matrix
from mints.features.latent_portraits import Example, Latents, choose
from mints.features.steering_latents import latent_use
from mints.pipeline.run import Run
from mints.studies.shared.concept_scoring import annotated_places
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.fields import NAMING_LATENTS, dashboard_file
from mints.studies.shared.latent_logits import Windows, logit_effects, rounded
from mints.studies.shared.material import Material, Split
from mints.studies.shared.models import OpenModel, open_model

WINDOWS = 400
"""Most windows of each split: the most frequent latents are chosen on validation, and all are shown on test."""

MOST = 64
"""Most latents of a site."""

OF_A_CIRCUIT, OF_A_TABLE = 40, 16
"""Most latents that one circuit names, those of the largest effects, and that one table names."""

FREQUENT = 8
"""Latents that are shown because they are active most often."""

TOP, TYPICAL = 6, 2
"""Sequences of the largest activations, and sequences of ordinary ones."""

CONCEPTS = 4
"""Concepts of each latent, the best on validation."""


def run_latent_dashboards(run: Run, material: Material, graphs: Sequence[str]) -> None:
    """Choose some latents of every site by rules that stand above, and save what each looks like on test windows.

    graphs: artifacts of feature circuits whose latents are shown, where they are there.
    """
    model = open_model(run)
    validation, test = (open_windows(run, model, material, split) for split in ("validation", "test"))
    marks = marks_of(run, material, test)
    clusters = material.clusters(test.table["sequence"].tolist())
    circuits = [run.load(name) for name in graphs if run.has(name)]
    tables = {name: run.load(name) for name in NAMING_LATENTS if run.has(name)}
    for site in run.track(run.config.features.sites, description="latent dashboards", unit="sites"):
        autoencoder = open_autoencoder(run, site).to(model.compute.device).requires_grad_(False)
        before, matrix = (matrix_of(run, model, autoencoder, site, part) for part in (validation, test))
        latents = Latents(matrix, test.tokens, test.lengths())
        frequent = np.argsort(-Latents(before, validation.tokens, validation.lengths()).frequency(), kind="stable")
        rules = wanted(site, tables, circuits) | {"most frequent": frequent[:FREQUENT].tolist()}
        chosen = choose(rules, MOST)
        scale = latent_use(before).scale
        logits = logit_effects(run, model, autoencoder, site, test, clusters, {each: scale[each] for each in chosen})
        concepts = concepts_of(run, site, list(chosen))
        rows = []
        for latent, reasons in chosen.items():
            examples = [example_row(each, test.table, marks) for each in latents.examples(latent, TOP, TYPICAL)]
            rows.append(
                {
                    **portrait_row(latents, latent),
                    "reasons": reasons,
                    "examples": examples,
                    "concepts": concepts.get(latent, []),
                    "logits": logits.get(latent),
                }
            )
        facts = {"site": site, "split": "test", "windows": len(test.table), "tokens": len(test.tokens.ids)}
        run.save(dashboard_file(site), {**facts, "latents": rows})


def open_windows(run: Run, model: OpenModel, material: Material, split: Split) -> Windows:
    """Windows of a split, which are among those that the other feature steps see."""
    table = material.windows(split, min(WINDOWS, run.config.features.concept_windows))
    encodings = model.tokenizer.encode_many(table["sequence"].tolist())
    return Windows(table, encodings, ordinary_tokens(encodings, model.tokenizer))


def matrix_of(run: Run, model: OpenModel, autoencoder: SparseAutoencoder, site: str, windows: Windows) -> Matrix:
    """Active latents of every token."""
    budget = run.config.tokens_per_batch
    return latent_matrix(model.encoder, autoencoder, windows.encodings, windows.tokens, site, model.compute, budget)


def wanted(
    site: str, tables: Mapping[str, pd.DataFrame], circuits: Sequence[Mapping[str, Any]]
) -> dict[str, list[int]]:
    """Latents of a site that other steps name, by the rule that names them; the strongest first."""
    rules: dict[str, list[int]] = {}
    for circuit in circuits:
        nodes = [node for node in circuit["nodes"] if node["kind"] == "feature" and node["site"] == site]
        nodes.sort(key=lambda node: (-abs(node.get("importance") or 0.0), node["feature"]))
        rules[f"circuit of {circuit['meta']['behavior']}"] = [node["feature"] for node in nodes][:OF_A_CIRCUIT]
    of_site = {name: rows[rows["site"] == site] for name, rows in tables.items() if "site" in rows}
    if (scores := of_site.get(NAMING_LATENTS[0])) is not None:
        best = scores[scores["latent"].notna()].sort_values("validation_f1", ascending=False, kind="stable")
        rules["tells a concept best"] = distinct(best["latent"])
    if (effects := of_site.get(NAMING_LATENTS[1])) is not None:
        own = effects[effects["direction"] == "denoising"]
        first = own.reindex(own["change"].abs().sort_values(ascending=False, kind="stable").index)
        rules["restores most when exchanged alone"] = distinct(first.sort_values("q", kind="stable")["latent"])
    if (steered := of_site.get(NAMING_LATENTS[2])) is not None:
        rules["steered"] = distinct(steered["latent"])
    return rules


def distinct(latents: pd.Series) -> list[int]:
    """Each once, in their order, at most `OF_A_TABLE`."""
    return [int(latent) for latent in latents.drop_duplicates()][:OF_A_TABLE]


def portrait_row(latents: Latents, latent: int) -> dict[str, Any]:
    """Density and histogram for the file."""
    drawn = latents.portrait(latent)
    histogram = {"edges": [rounded(edge) for edge in drawn.edges], "counts": drawn.counts.tolist()}
    figures = {name: rounded(getattr(drawn, name)) for name in ("density", "sequences", "largest", "mean")}
    return {"latent": latent, **figures, "histogram": histogram}


def example_row(example: Example, windows: pd.DataFrame, marks: Mapping[int, list[list[Any]]]) -> dict[str, Any]:
    """One sequence for the file: its letters, where the latent is active, and what is annotated there."""
    window = windows.iloc[example.sequence]
    return {
        "name": f"{window['chromosome']}:{window['start']}-{window['end']}",
        "kind": example.kind,
        "sequence": window["sequence"],
        "active": [[start, end, rounded(value)] for start, end, value in example.active],
        "threshold": rounded(example.threshold),
        "marks": marks.get(example.sequence, []),
    }


def marks_of(run: Run, material: Material, windows: Windows) -> dict[int, list[list[Any]]]:
    """What is annotated in every window: start and end (half-open letters of the window) and concept of each place."""
    if not run.config.features.annotations:
        return {}
    places = annotated_places(run, material)
    places = places[places["chromosome"].isin(windows.table["chromosome"].unique())]
    marks: dict[int, list[list[Any]]] = {}
    by_chromosome = {str(name): rows for name, rows in places.sort_values("start").groupby("chromosome", sort=False)}
    for number, window in enumerate(windows.table.itertuples(index=False)):
        rows = by_chromosome.get(str(window.chromosome))
        if rows is None:
            continue
        here = rows[(rows["start"] < window.end) & (rows["end"] > window.start)]
        marks[number] = [
            [max(0, int(start - window.start)), int(min(end, window.end) - window.start), str(concept)]
            for start, end, concept in zip(here["start"], here["end"], here["concept"], strict=True)
        ]
    return marks


def concepts_of(run: Run, site: str, latents: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The concepts that each latent tells best on validation, with what it is worth on test at that threshold."""
    name = f"concepts/{site}_pairs.npz"
    if not run.has(name):
        return {}
    pairs = run.load(name)
    concepts = [str(concept) for concept in pairs["concepts"]]
    found: dict[int, list[dict[str, Any]]] = {}
    for latent in latents:
        f1 = f1_of(pairs, "validation", latent)
        best = [int(place) for place in np.argsort(-f1, kind="stable")[:CONCEPTS] if f1[place] > 0]
        on_test = f1_of(pairs, "test", latent)
        found[latent] = [
            {
                "concept": concepts[place],
                "validation_f1": rounded(f1[place]),
                "f1": rounded(on_test[place]) if pairs["test_positives"][place] else None,
                "auroc": rounded(pairs["test_auroc"][latent, place]),
                "threshold": rounded(pairs["threshold"][latent, place]),
            }
            for place in best
        ]
    return found


def f1_of(pairs: Mapping[str, ndarray], split: str, latent: int) -> Float[ndarray, "concept"]:
    """F1 of one latent for every concept, from the counts."""
    hits, called = (pairs[f"{split}_{name}"][latent].astype(float) for name in ("true_positives", "called"))
    f1: Float[ndarray, "concept"] = 2 * hits / np.maximum(called + pairs[f"{split}_positives"], 1)
    return f1
