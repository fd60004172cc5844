"""Step: a dictionary of the dictionary's decoder rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.analysis.bootstrap import cluster_weights
from mints.data.shared_words import near_copy_clusters
from mints.features.activations import Tokens, ordinary_tokens, site_activations
from mints.features.autoencoder import SparseAutoencoder
from mints.features.concepts import ConceptLabels, label_tokens
from mints.features.direction_probe import Judge, probe_rows
from mints.features.meta import MetaRecipe, children, isotropic_rows, unit_rows
from mints.features.meta_probe import Directions, SplitTokens, contestants, supported
from mints.features.meta_tables import meta_dictionaries
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report.meta_sae import meta_sae_figure
from mints.studies.genomic.feature_windows import genomic_material
from mints.studies.shared.concept_scoring import annotated_places
from mints.studies.shared.dictionaries import open_autoencoder, save_autoencoder
from mints.studies.shared.material import Split
from mints.studies.shared.models import OpenModel, open_model

KS, KEPT = (2, 4, 8), 4
"""Meta-latents per decoder row on the curve; and those of the meta-dictionary that is kept."""

SEEDS = 3
"""Meta-dictionaries per k and kind of rows."""

CHILDREN = 10
"""Most children of a meta-latent that are listed, and whose mean is a probe."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

NO_PLACES = pd.DataFrame(columns=["chromosome", "start", "end", "concept", "region"])

FEWEST_TOKENS, FEWEST_WINDOWS, MOST_CONCEPTS = 50, 20, 6
"""Support that a concept needs in every split; and how many concepts are probed, the most widespread first."""


class Windows(NamedTuple):
    """Windows of one split, tokenized and labelled."""

    sequences: list[str]
    encodings: list[Encoding]
    tokens: Tokens
    labels: ConceptLabels


def run_meta_sae(run: Run) -> None:
    """Train the meta-dictionaries of every site and probe with what they found."""
    model = open_model(run)
    windows = open_splits(run, model)
    clusters = near_copy_clusters(windows["test"].sequences)
    weights = cluster_weights(clusters, run.config.probe_bootstrap_samples, run.rng("resamples"))
    curves: list[pd.DataFrame] = []
    families: list[pd.DataFrame] = []
    probes: list[pd.DataFrame] = []
    for site in run.track(run.config.features.sites, description="meta-dictionaries", unit="sites"):
        autoencoder = open_autoencoder(run, site).to(model.compute.device).requires_grad_(False)
        tokens = {split: read_tokens(run, model, autoencoder, site, opened) for split, opened in windows.items()}
        alive = np.flatnonzero(np.asarray((tokens["train"].latents > 0).sum(axis=0)).ravel())
        rows = unit_rows(autoencoder.W_dec[torch.from_numpy(alive)]).cpu()
        recipe = MetaRecipe(min(run.config.features.meta_latents, len(rows)))
        found = meta_dictionaries(rows, KS, SEEDS, recipe, run.rng(site))
        kept = found.trained[KEPT, 0]
        save_autoencoder(
            run, f"meta_sae/{site}", kept, {"hook_name": site, "model_name": run.config.model_name, "rows": alive}
        )
        family = pd.DataFrame(children(kept, rows, CHILDREN))
        family["latent"] = alive[family.pop("row")]
        directions = Directions(
            meta=kept.W_dec.numpy(),
            children=[family["latent"].to_numpy()[family["meta_latent"] == meta] for meta in range(kept.d_sae)],
            decoder=unit_rows(autoencoder.W_dec).cpu().numpy(),
            random=isotropic_rows(kept.W_dec, run.rng(f"{site} directions")).numpy(),
        )
        probed = probe_site(run, tokens, directions, weights)
        for table, parts in ((found.table, curves), (family, families), (probed, probes)):
            table.insert(0, "site", site)
            parts.append(table)
    curve, probe = pd.concat(curves, ignore_index=True), pd.concat(probes, ignore_index=True)
    run.save("tables/meta_sae.csv", curve)
    run.save("tables/meta_sae_children.csv", pd.concat(families, ignore_index=True))
    run.save("tables/meta_sae_probe.csv", probe)
    run.figure("meta_sae", meta_sae_figure(curve, probe, level=run.config.probe_ci_level))


def open_splits(run: Run, model: OpenModel) -> dict[Split, Windows]:
    """Windows of every split; those of a later one that are near copies of an earlier one's are left out."""
    material = genomic_material(run)
    places = annotated_places(run, material) if run.config.features.annotations else NO_PLACES
    names = sorted(places["concept"].unique())
    opened: dict[Split, Windows] = {}
    seen: list[str] = []
    for split in SPLITS:
        drawn = material.windows(split, run.config.features.concept_windows)
        copies = material.near_copies(seen, drawn["sequence"].tolist())
        run.fact(f"{split}_windows", {"drawn": len(drawn), "near_copies_left_out": int(copies.sum())})
        windows = drawn[~copies].reset_index(drop=True)
        sequences = windows["sequence"].tolist()
        seen += sequences
        encodings = model.tokenizer.encode_many(sequences)
        tokens = ordinary_tokens(encodings, model.tokenizer)
        opened[split] = Windows(sequences, encodings, tokens, label_tokens(tokens, windows, places, names))
    return opened


def read_tokens(run: Run, model: OpenModel, autoencoder: SparseAutoencoder, site: str, windows: Windows) -> SplitTokens:
    """Activations, in the autoencoder's frame, and latents of the windows' tokens."""
    _, encodings, tokens, labels = windows
    budget = run.config.tokens_per_batch
    count = len(tokens.ids)
    activations = np.empty((count, autoencoder.d_in), dtype=np.float32)
    rows, columns, entries = [], [], []
    for which, x in site_activations(model.encoder, encodings, tokens, site, model.compute, budget):
        frame = autoencoder.frame(x)
        activations[which] = ((x - frame.centre) / frame.size).cpu().numpy()
        offsets, latents, values = (part.cpu().numpy() for part in autoencoder.active(x))
        rows.append(np.repeat(which, np.diff(offsets)))
        columns.append(latents)
        entries.append(values)
    place = (np.concatenate(rows), np.concatenate(columns))
    found = csr_array((np.concatenate(entries), place), shape=(count, autoencoder.d_sae))
    return SplitTokens(activations, found, labels, tokens.sequence)


def probe_site(
    run: Run, tokens: dict[Split, SplitTokens], directions: Directions, weights: Int[ndarray, "resample window"]
) -> pd.DataFrame:
    """One row per concept and probe; empty where no concept has enough support."""
    train, validation, test = (tokens[split] for split in SPLITS)
    asked = supported([train, validation, test], FEWEST_TOKENS, FEWEST_WINDOWS, MOST_CONCEPTS)
    if not len(asked):
        run.warn("no annotated concept has enough support in every split: no probe was made of a meta-latent")
        return pd.DataFrame(columns=["concept", "probe"])
    rows: list[dict[str, object]] = []
    probes = contestants(train, validation, test, asked, directions, run.config.probe_penalties)
    for concept, of_concept in zip(asked, probes, strict=True):
        known, truth = (split.labels.tokens[:, [concept]].toarray()[:, 0] for split in (validation, test))
        judge = Judge(truth, test.window, weights, run.config.probe_ci_level)
        share = float(truth.mean())
        facts = {"concept": test.labels.names[concept], "positive_share": share, "f1_of_all": 2 * share / (1 + share)}
        rows += [facts | row for row in probe_rows(of_concept, known, judge)]
    return pd.DataFrame(rows)
