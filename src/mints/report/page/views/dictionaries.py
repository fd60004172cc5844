"""Dictionaries and concepts: what the autoencoders are worth, and what their latents tell, do and share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Missing, View, table_block
from mints.report.page.marks import LEGIBLE, Estimates, dodged, horizontal, vertical
from mints.report.page.saved import Saved
from mints.report.page.views.concepts import concept_blocks, concept_claims
from mints.report.page.views.corpus import corpus_blocks, corpus_claims
from mints.report.page.views.feature_search import search_blocks, search_claims
from mints.report.page.views.meta import meta_blocks
from mints.report.page.views.steering import steering_blocks, steering_claims

SWEEP, TRAINING, SEEDS = (
    "tables/sparse_autoencoders.csv",
    "tables/sparse_autoencoder_training.csv",
    "tables/sparse_autoencoder_seeds.csv",
)
UNTRAINED = "random_initialisation"
COLOURS = ("@blue", "@green", "@purple", "@orange", "@vermillion")


def dictionaries(saved: Saved) -> View:
    """One part per question that is asked of the dictionaries."""
    question = "Do the dictionaries explain the activations, and does any latent tell or do what nothing simpler does?"
    parts: dict[str, list[Block]] = {
        "reconstruction": sweep_blocks(saved),
        "concepts": concept_blocks(saved),
        "feature search": search_blocks(saved),
        "steering": steering_blocks(saved),
        "meta-dictionaries": meta_blocks(saved),
        "corpus audit": corpus_blocks(saved),
    }
    there = {name: blocks for name, blocks in parts.items() if blocks}
    claims = [*concept_claims(saved), *search_claims(saved), *steering_claims(saved), *corpus_claims(saved)]
    return View("dictionaries", "Dictionaries and concepts", question, [Choice("part", there)], claims, "Dictionaries")


def sweep_blocks(saved: Saved) -> list[Block]:
    """Variance explained against sparsity, loss recovered, and the training curves."""
    sweep, training, seeds = (saved.table(name) for name in (SWEEP, TRAINING, SEEDS))
    if sweep.empty:
        return [Missing("the dictionaries", saved.advice(SWEEP))]
    test = sweep[sweep["split"] == "test"]
    blocks: list[Block] = [sparsity_chart(test)]
    if test["recovered_of_mean"].notna().any():
        blocks.append(recovered_chart(test[test["recovered_of_mean"].notna()]))
    if not training.empty:
        sites = {str(site): [training_chart(rows)] for site, rows in training.groupby("site", sort=False)}
        blocks.append(Choice("site", sites))
    blocks.append(table_block(sweep, "Every dictionary, on both held-out splits", SWEEP))
    if not seeds.empty:
        blocks.append(table_block(seeds, "Latents that another seed finds again", SEEDS))
    return blocks


def label_of(row: Mapping[Any, Any]) -> str:
    """A dictionary in a few words."""
    untrained = ", untrained model" if row["encoder"] == UNTRAINED else ""
    settings = [f"{name} {row[column]:g}" for name, column in (("k", "k"), ("×", "expansion")) if pd.notna(row[column])]
    seed = f", seed {row['seed']:g}" if pd.notna(row["seed"]) and row["seed"] else ""
    return f"{row['site']}, {' '.join(settings)}{seed}{untrained}"


def sparsity_chart(test: pd.DataFrame) -> Chart:
    """Variance explained against active latents per token."""
    traces = []
    for site, colour in zip(dict.fromkeys(test["site"]), COLOURS * len(test), strict=False):
        for encoder, symbol in (("model", "circle"), (UNTRAINED, "x")):
            rows = test[(test["site"] == site) & (test["encoder"] == encoder)]
            if rows.empty:
                continue
            labels = [label_of(row) for row in rows.to_dict("records")]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"{site}{', untrained model' if encoder == UNTRAINED else ''}",
                    "x": rows["l0"].tolist(),
                    "y": rows["variance_explained"].tolist(),
                    "text": [f"{each}, {count} latents" for each, count in zip(labels, rows["latents"], strict=True)],
                    "customdata": rows[["dead", "dense"]].to_numpy().tolist(),
                    "marker": {"color": colour, "symbol": symbol, "size": 10},
                    "hovertemplate": "%{text}<br>L0 %{x:.1f}, variance explained %{y:.3f}<br>dead %{customdata[0]:.1%},"
                    " dense %{customdata[1]:.1%}<extra></extra>",
                }
            )
    layout = {
        "xaxis": {"title": {"text": "active latents per token (L0)"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "share of variance explained"}},
    }
    note = "On test windows. A dictionary of an untrained model shows what the recipe reaches without anything learnt."
    return Chart("What the dictionaries explain", traces, layout, SWEEP, note, 380)


def recovered_chart(test: pd.DataFrame) -> Chart:
    """Masked-token loss recovered, with intervals over windows."""
    names = {"mean": "of ablation to the mean", "zero": "of ablation to zero"}
    labelled = test.assign(label=[label_of(row) for row in test.to_dict("records")])
    ends = ("", "_low", "_high")
    parts = [
        labelled.assign(group=name, **{f"recovered{end}": labelled[f"recovered_of_{ablation}{end}"] for end in ends})
        for ablation, name in names.items()
    ]
    rows, groups = pd.concat(parts, ignore_index=True), list(names.values())
    traces, axis = dodged(rows, "label", groups, "group", Estimates.of("recovered"), ("@blue", "@quiet"))
    layout = {
        "meta": LEGIBLE,
        "xaxis": {"title": {"text": "share of the loss recovered"}},
        "yaxis": axis,
        "shapes": [vertical(1.0)],
    }
    note = "95% intervals over test windows; 1: the reconstruction predicts as well as the activations themselves."
    return Chart("What the model loses with the reconstruction", traces, layout, SWEEP, note, 150 + 28 * len(test))


def training_chart(training: pd.DataFrame) -> Chart:
    """Variance explained over training tokens."""
    columns = ["encoder", "site", "k", "expansion", "seed"]
    traces = []
    groups = training.groupby(columns, sort=False, dropna=False)
    for number, (which, rows) in enumerate(groups):
        row = dict(zip(columns, which, strict=True))
        label = label_of(row).partition(", ")[2]
        dash = "dot" if row["encoder"] == UNTRAINED else "solid"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": rows["tokens"].tolist(),
                "y": rows["variance_explained"].tolist(),
                "line": {"color": COLOURS[number % len(COLOURS)], "dash": dash},
            }
        )
    layout = {
        "xaxis": {"title": {"text": "tokens seen"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "share of variance explained"}},
        "shapes": [horizontal(1.0)],
    }
    return Chart(f"Training of {training['site'].iloc[0]}", traces, layout, TRAINING, "On training batches.", 360)
