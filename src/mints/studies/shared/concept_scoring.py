"""Which latents stand for which annotated concepts, held against every baseline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from numpy import ndarray

from mints.analysis.bootstrap import cluster_weights
from mints.data.annotation import concept_places, on_sequences, read_annotation
from mints.errors import MintsError
from mints.features.activations import Tokens, ordinary_tokens
from mints.features.columns import SparseColumns
from mints.features.concept_scores import (
    WindowCounts,
    called_by,
    choose,
    count_windows,
    draw_shifts,
    f1_of,
    score_pairs,
    shift_null,
)
from mints.features.concept_tables import (
    NOT_SCORED,
    Contender,
    baseline_table,
    latent_table,
    null_table,
    pair_arrays,
    summary_table,
    support_table,
    verdicts,
)
from mints.features.concepts import ConceptLabels, label_tokens
from mints.features.seed_concepts import Side, decode_glm
from mints.locations import here
from mints.models.encoder import randomly_initialised
from mints.models.tokenizers import Encoding, Tokenizer
from mints.pipeline.run import Run
from mints.report.concepts import concept_figure
from mints.studies.shared.concept_baselines import Scene, baselines_of, latents_of
from mints.studies.shared.material import Material
from mints.studies.shared.models import open_model


class Half(NamedTuple):
    """The windows of one split, as they are scored."""

    windows: pd.DataFrame
    encodings: list[Encoding]
    tokens: Tokens
    labels: ConceptLabels


def run_concept_scoring(run: Run, material: Material) -> None:
    """Score every latent against every annotated concept, with baselines, null and intervals."""
    model = open_model(run)
    untrained = randomly_initialised(model.encoder.architecture, run.config.seed).to(model.compute.device)
    untrained.fused_attention = True
    validation, test = halves(run, material, model.tokenizer)
    support = support_table(validation.labels, test.labels)
    scored = np.flatnonzero(support["scored"])
    if not len(scored):
        raise MintsError(f"no concept occurs often enough on the validation windows ({NOT_SCORED})")
    validation, test = (half._replace(labels=half.labels.of(scored)) for half in (validation, test))
    clusters = material.clusters(test.windows["sequence"].tolist())
    weights = cluster_weights(clusters, run.config.probe_bootstrap_samples, run.rng("resamples"))
    scene = Scene(run, material, model, untrained)
    scores, baselines = [], []
    for site in run.track(run.config.features.sites, description="concepts", unit="sites"):
        table, others = score_site(scene, site, validation, test, weights)
        table = support.merge(table, on="concept", how="left")
        table["verdict"] = table["verdict"].fillna(NOT_SCORED)
        scores.append(named(table, site))
        baselines.append(named(others, site))
    result = pd.concat(scores, ignore_index=True)
    run.save("tables/concept_scores.csv", result)
    run.save("tables/concept_summary.csv", summary_table(result))
    run.save("tables/concept_baselines.csv", pd.concat(baselines, ignore_index=True))
    run.figure("concept_scores", concept_figure(result, level=run.config.probe_ci_level))


def halves(run: Run, material: Material, tokenizer: Tokenizer) -> tuple[Half, Half]:
    """Windows on which latents are chosen, and those on which they are reported, without near copies of the first."""
    count = run.config.features.concept_windows
    places = annotated_places(run, material)
    names = sorted(places["concept"].unique())
    validation, drawn = (material.windows(split, count) for split in ("validation", "test"))
    copies = material.near_copies(validation["sequence"].tolist(), drawn["sequence"].tolist())
    test = drawn[~copies].reset_index(drop=True)
    run.fact("windows", {"validation": len(validation), "test": len(test), "near_copies_left_out": int(copies.sum())})
    if test.empty:
        raise MintsError("every test window is a near copy of a validation window: nothing is left to report on")
    return half(validation, tokenizer, places, names), half(test, tokenizer, places, names)


def annotated_places(run: Run, material: Material) -> pd.DataFrame:
    """Places of every annotation's concepts, each called ANNOTATION/CONCEPT."""
    lengths = material.lengths()
    parts = []
    for annotation in run.config.features.annotations:
        path = here(annotation.file)
        table = on_sequences(read_annotation(path), lengths, path)
        places = concept_places(table, lengths, annotation.by_strand, annotation.by_name)
        parts.append(places.assign(concept=f"{annotation.name}/" + places["concept"]))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(region=table.groupby(["concept", "region"], sort=False).ngroup())


def half(windows: pd.DataFrame, tokenizer: Tokenizer, places: pd.DataFrame, names: list[str]) -> Half:
    """Tokens of the windows with their labels."""
    encodings = tokenizer.encode_many(windows["sequence"].tolist())
    tokens = ordinary_tokens(encodings, tokenizer)
    return Half(windows, encodings, tokens, label_tokens(tokens, windows, places, names))


def score_site(
    scene: Scene, site: str, validation: Half, test: Half, weights: Int[ndarray, "resample window"]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of the latents of one site, and its baselines; all pairs go to a file."""
    run, names, level = scene.run, validation.labels.names, scene.run.config.probe_ci_level
    matrices = [latents_of(scene, site, part.encodings, part.tokens) for part in (validation, test)]
    latents, later = (SparseColumns(matrix) for matrix in matrices)
    pairs = score_pairs(latents, validation.labels, later, test.labels)
    run.save(f"concepts/{site}_pairs.npz", pair_arrays(pairs, names, test.labels.region_counts))
    chosen = choose(latents, validation.labels.tokens)
    own = Contender("latents", chosen, window_counts(called_by(later, chosen), test))
    baselines = [
        Contender(name, choice, window_counts(called, test))
        for name, choice, called in baselines_of(scene, site, validation, test, width=latents.width)
    ]
    others = baseline_table(names, own, baselines, weights, level)
    table = latent_table(test.labels, own, pairs, f1_of(own.counts, weights), level)
    sizes = len(validation.tokens.ids), len(test.tokens.ids)
    shifts = draw_shifts(*sizes, run.config.features.concept_permutations, run.rng("shifts"))
    null = shift_null(latents, validation.labels.tokens, later, test.labels.tokens, shifts)
    table = pd.concat([table, null_table(table["f1"].to_numpy(), null)], axis=1)
    before, after = (
        Side(matrix, part.labels, part.tokens.sequence)
        for matrix, part in zip(matrices, (validation, test), strict=True)
    )
    for kind in ("standard", "domain"):
        table[f"f1_{kind}_seed"] = [score.test for score in decode_glm(before, after, kind)]
    wide = others.pivot(index="concept", columns="baseline", values="f1").add_prefix("f1_")
    order = [f"f1_{baseline.name}" for baseline in baselines]
    return pd.concat([table, verdicts(table, others)], axis=1).merge(wide[order], on="concept"), others


def window_counts(called: Bool[ndarray, "token concept"], part: Half) -> WindowCounts:
    """Calls by window of a half."""
    return count_windows(called, part.labels, part.tokens.sequence, len(part.windows))


def named(table: pd.DataFrame, site: str) -> pd.DataFrame:
    """With the site, and with the annotation apart from the concept."""
    apart = table["concept"].str.partition("/")
    table = table.assign(concept=apart[2])
    table.insert(0, "annotation", apart[0])
    table.insert(0, "site", site)
    return table
