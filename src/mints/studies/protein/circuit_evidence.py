"""Where latents fire in test proteins, and how they tell annotation: the evidence beside a circuit's graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.analysis.bootstrap import cluster_weights
from mints.features.activations import Tokens, latent_matrix, ordinary_tokens
from mints.features.concepts import Matrix
from mints.features.feature_graph import Node
from mints.features.latent_evidence import Annotated, Segment, Traces, feature_record, viewer_meta
from mints.features.specificity import Region, region_means, specificity_table
from mints.pipeline.run import Run
from mints.protein_config import Behaviour
from mints.studies.protein.behaviours import read_places
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.models import OpenModel


class SiteEvidence(NamedTuple):
    """What a site's latents do in all test proteins."""

    latents: Matrix
    traces: Traces
    pairs: Mapping[str, ndarray]
    """Counts of every latent and concept (`concepts/SITE_pairs.npz`)."""


class Evidence(NamedTuple):
    """Test proteins with their annotation, and the latents of every site along them."""

    run: Run
    proteins: pd.DataFrame
    places: pd.DataFrame
    tokens: Tokens
    sites: dict[str, SiteEvidence]
    device: str

    def document(self, behaviour: Behaviour, nodes: Sequence[Node]) -> dict[str, Any]:
        """The features file of a circuit: its latents, those of the largest effect on the behaviour first."""
        config = self.run.config
        annotated = Annotated(
            self.proteins["accession"].tolist(), self.proteins["sequence"].tolist(), self._segments(behaviour.kind)
        )
        ordered = sorted(nodes, key=lambda node: -abs(node.importance or 0.0))
        graph, data = f"{behaviour.name}_circuit_graph.json", str(config.proteins).replace("\\", "/").split("/")[-1]
        layers = sorted({int(site.split(".")[1]) for site in self.sites})
        longest = int(self.proteins["sequence"].str.len().max())
        meta = viewer_meta(config.model_name, behaviour.name, graph, data, layers, longest, self.device)
        features = [self._feature(behaviour, annotated, node) for node in ordered]
        return {"meta": {**meta, "kind": behaviour.kind, "split": "test"}, "features": features}

    def _feature(self, behaviour: Behaviour, annotated: Annotated, node: Node) -> dict[str, Any]:
        site = self.sites[node.site]
        known = {"id": node.id, "layer": int(node.site.split(".")[1]), "feature": node.feature, "site": node.site}
        scores = concept_scores(site.pairs, self._concept(behaviour), node.feature)
        examples = feature_record(site.traces, annotated, node.feature, behaviour.name)
        return {**known, "importance": node.importance, **scores, **examples}

    def _concept(self, behaviour: Behaviour) -> str:
        return f"{self.run.config.features.annotations[0].name}/{behaviour.kind}"

    def _segments(self, kind: str) -> list[list[Segment]]:
        """Segments of a kind in every protein, in the order of the table."""
        of_kind = self.places[self.places["kind"] == kind].sort_values(["accession", "start"])
        at = {
            accession: [(int(start), int(end) - 1) for start, end in zip(rows["start"], rows["end"], strict=True)]
            for accession, rows in of_kind.groupby("accession")
        }
        return [at.get(accession, []) for accession in self.proteins["accession"]]

    def specificity(
        self, run: Run, own: str, site: str, regions: Mapping[str, pd.DataFrame], latents: Int[ndarray, "latent"]
    ) -> pd.DataFrame:
        """What some latents do on the cores of stretches of several kinds; clusters of proteins are drawn together."""
        row_of = {accession: row for row, accession in enumerate(self.proteins["accession"])}
        everything = pd.concat(regions.values(), keys=regions.keys())
        at = [
            Region(row_of[accession], int(start), int(end))
            for accession, start, end in zip(
                everything["accession"], everything["core_start"], everything["core_end"], strict=True
            )
        ]
        means = region_means(self.sites[site].latents, self.tokens, at, latents)
        samples = run.config.probe_bootstrap_samples
        weights = cluster_weights(everything["cluster"].to_numpy(), samples, run.rng(f"{own} regions"))
        kind = everything.index.get_level_values(0).to_numpy()
        return specificity_table(
            {name: means[kind == name] for name in regions},
            {name: weights[:, kind == name] for name in regions},
            own,
            latents,
            run.config.probe_ci_level,
        )


def concept_scores(pairs: Mapping[str, ndarray], concept: str, latent: int) -> dict[str, float | None]:
    """How a latent tells a concept on test proteins, with the threshold of validation; None where it was not scored."""
    names = [str(name) for name in pairs["concepts"]]
    if concept not in names:
        return dict.fromkeys(("auroc", "f1", "precision", "recall", "f1_threshold"))
    place = names.index(concept)
    hits, called = (int(pairs[f"test_{part}"][latent, place]) for part in ("true_positives", "called"))
    positives = int(pairs["test_positives"][place])
    return {
        "auroc": _known(pairs["test_auroc"][latent, place]),
        "f1": 2 * hits / (called + positives) if positives else None,
        "precision": hits / called if called else None,
        "recall": hits / positives if positives else None,
        "f1_threshold": _known(pairs["threshold"][latent, place]),
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def open_evidence(run: Run, model: OpenModel, proteins: pd.DataFrame) -> Evidence:
    """Run all test proteins once for each site."""
    places = read_places(run, proteins)
    test = proteins[proteins["split"] == "test"].reset_index(drop=True)
    encodings = model.tokenizer.encode_many(test["sequence"].tolist())
    tokens = ordinary_tokens(encodings, model.tokenizer)
    sites = {}
    for site in run.config.features.sites:
        autoencoder = open_autoencoder(run, site).to(model.compute.device)
        budget = run.config.tokens_per_batch
        latents = latent_matrix(model.encoder, autoencoder, encodings, tokens, site, model.compute, budget)
        traces = Traces(latents, tokens, test["sequence"].tolist())
        sites[site] = SiteEvidence(latents, traces, run.load(f"concepts/{site}_pairs.npz"))
    return Evidence(run, test, places, tokens, sites, model.compute.device.type)
