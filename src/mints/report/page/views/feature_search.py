"""Distributed feature search: what follows a motif from sequence to sequence, with and without an autoencoder."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import EXPLORATORY, Block, Chart, Choice, Claim, Missing, table_block
from mints.report.page.marks import LEGIBLE, Estimates, dodged, interval, named, vertical
from mints.report.page.saved import Saved

SEARCH = "tables/distributed_feature_search.csv"
COLOURS = {
    "latents": "@blue",
    "neurons": "@vermillion",
    "principal components": "@green",
    "random directions": "@quiet",
}
SIGNIFICANT = 0.05


def search_blocks(saved: Saved) -> list[Block]:
    """Per question: the best unit of every set, stream by stream."""
    search = saved.table(SEARCH)
    if search.empty:
        if saved.configured("study", "genomic") != "genomic":
            return []
        return [Missing("the feature search", saved.advice(SEARCH))]
    options: dict[str, list[Block]] = {
        str(question): [search_chart(rows)] for question, rows in search.groupby("question", sort=False)
    }
    return [Choice("motif", options), table_block(search, "Best units of every set", SEARCH)]


def search_chart(rows: pd.DataFrame) -> Chart:
    """Correlation with the motif's score, by stream and kind of unit."""
    kinds = [kind for kind in COLOURS if (rows["units"] == kind).any()]
    columns, colours = Estimates("r", "low", "high"), [COLOURS[kind] for kind in kinds]
    traces, axis = dodged(rows, "stream", kinds, "units", columns, colours)
    layout = {
        "meta": LEGIBLE,
        "xaxis": {"title": {"text": "Pearson r with the motif's score"}},
        "yaxis": axis,
        "shapes": [vertical(0.0)],
        "legend": {"y": -0.22},
    }
    note = "The best unit of each set, chosen on validation; 95% intervals over sequence clusters."
    title, height = f"What follows {named(str(rows['question'].iloc[0]))}", 170 + 66 * rows["stream"].nunique()
    return Chart(title, traces, layout, SEARCH, note, height)


def search_claims(saved: Saved) -> list[Claim]:
    """Whether the best latent of any stream leads what needs no autoencoder, and follows the motif within labels."""
    search = saved.table(SEARCH)
    if search.empty:
        return []
    others = search[search["units"] != "latents"]
    least = others.groupby(["question", "stream"], sort=False)["lead_low"].min().reset_index()
    own = search[search["units"] == "latents"].merge(least, on=["question", "stream"], suffixes=("", "_least"))
    leading = own[(own["lead_low_least"] > 0) & (own["q_within_label"] <= SIGNIFICANT)]
    told = [
        f"{named(row['question'])} at {row['stream']} (r = {interval(row['r'], row['low'], row['high'])})"
        for row in leading.to_dict("records")
    ]
    count = f"{EXPLORATORY}{len(leading)} of {len(own)} pairs of motif and stream"
    answer = count + (f": {', '.join(told)}." if told else ".")
    question = "Does a latent follow a motif over sequences better than neurons, components and random directions?"
    return [Claim(question, answer, "yes" if told else "no")]
