"""Motifs and patching: what is asked about, what its destruction does, and which places and parts restore it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.special import rel_entr

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, Table, Text, View, Widget, table_block
from mints.report.page.marks import interval, named
from mints.report.page.panels import legend_below, literal
from mints.report.page.saved import Saved
from mints.report.page.views.patching import attribution_chart, components_chart, heads_chart, window_charts

YIELD, SUPPORT = "tables/counterfactual_yield.csv", "tables/motif_support.csv"
MOTIF, SITES = "motif_scoring/{}_motif.json", "motif_scoring/{}_sites.csv"
WINDOWS, COMPONENTS, HEADS = (
    "patching/{}_windows.csv",
    "patching/{}_components.csv",
    "patching/{}_batch_activation_patching.csv",
)
PATCHED_BY = "systematic_causal_intervention"
BINS = 40
REFUSED = {
    "accepted": ("pairs made", "@blue"),
    "refused_no_site": ("no site", "@faint"),
    "refused_unknown_letters": ("unknown letters", "@purple"),
    "refused_not_destroyed": ("site not destroyed", "@vermillion"),
    "refused_not_aligned": ("tokens would move", "@orange"),
}
"""Column, label and colour of what became of the sequences that were tried."""


def motifs(saved: Saved) -> View:
    """Per question the motif and its patching; then how many counterfactuals could be made."""
    names = [str(question["name"]) for question in saved.configured("motif_questions", [])]
    blocks: list[Block] = []
    if names:
        blocks.append(Choice("motif", {name: of_question(saved, name) for name in names}))
    else:
        blocks.append(Text(["This run asks about no motif."]))
    counted = saved.table(YIELD)
    if counted.empty:
        blocks.append(Missing("how many counterfactuals could be made", saved.advice(YIELD)))
    else:
        blocks += [yield_chart(counted), table_block(counted, "Counterfactual pairs, tried and made", YIELD)]
    support = saved.table(SUPPORT)
    if not support.empty:
        blocks.append(table_block(support, "Sites and support tokens, by label", SUPPORT))
    question = (
        "What does the motif look like, what does its destruction do to the probe, and which places and which parts"
        " of the model carry the difference?"
    )
    effects = {name: saved.table(HEADS.format(name)) for name in names}
    return View("motifs", "Motifs and patching", question, blocks, claims(effects))


def of_question(saved: Saved, name: str) -> list[Block]:
    """Logo, places of the sites, and patching by place, by component and by head."""
    motif, sites = saved.value(MOTIF.format(name)), saved.table(SITES.format(name))
    blocks: list[Block] = []
    if motif is None:
        blocks.append(Missing("the motif", saved.advice(MOTIF.format(name))))
    else:
        blocks.append(logo(name, motif, MOTIF.format(name)))
    if not sites.empty:
        blocks.append(places_chart(name, sites, SITES.format(name)))
    width = int(motif["width"]) if motif else 0
    windows, components, heads = (saved.table(form.format(name)) for form in (WINDOWS, COMPONENTS, HEADS))
    if heads.empty:
        advice = saved.advice(WINDOWS.format(name), COMPONENTS.format(name), HEADS.format(name))
        return [*blocks, Missing("patching", advice)]
    blocks.append(Text([effect_sentence(heads)]))
    if not windows.empty:
        blocks += window_charts(name, windows, width, WINDOWS.format(name))
    if not components.empty:
        blocks.append(components_chart(name, components, COMPONENTS.format(name)))
    threshold = saved.configured("registered.restoration")
    blocks.append(heads_chart(name, heads, threshold, HEADS.format(name)))
    facts = saved.account.get("facts", {}).get(PATCHED_BY, {})
    if "attribution" in heads:
        rank = facts.get(f"{name} rank correlation of attribution and exact patching")
        blocks.append(attribution_chart(name, heads, rank, HEADS.format(name)))
    checks = list(facts.get("sanity", {}).get(name, {}).items())
    if checks:
        title = f"{named(name)}: checks of the patching itself"
        note = "Changes of the read-out that have to be 0."
        blocks.append(Table(title, ["check", "value"], checks, "pipeline_run.json", note))
    blocks.append(table_block(heads, f"{named(name)}: every head, patched", HEADS.format(name)))
    return blocks


def logo(name: str, motif: dict[str, Any], source: str) -> Widget:
    """The matrix as letters, each as high as its share of the column's information."""
    probabilities = base_probabilities(motif)
    information = rel_entr(probabilities, np.asarray(motif["background"], dtype=float)).sum(1, keepdims=True) / np.log(
        2
    )
    heights = probabilities * information
    place = motif["anchor"]
    known = "found by scanning" if place is None else f"at base {place} of every positive, where it is known"
    note = (
        f"Sites: {known}; at least {motif['threshold_bits']:.1f} bits"
        f" (p ≤ {motif['threshold_p']:.1g} per window). Information against the background, {motif['pseudocount']:g}"
        " added to every count per base."
    )
    content = {"letters": motif["bases"], "heights": heights, "probabilities": probabilities}
    return Widget("logo", f"{named(name)}: {motif['name']} ({motif['motif']})", content, source, note)


def base_probabilities(motif: dict[str, Any]) -> Float[ndarray, "position base"]:
    """Rows of the matrix as shares, with the pseudocount that the scores have."""
    background = np.asarray(motif["background"], dtype=float)
    counts = np.asarray(motif["counts"], dtype=float) + len(background) * motif["pseudocount"] * background
    shares: Float[ndarray, "position base"] = counts / counts.sum(1, keepdims=True)
    return shares


def places_chart(name: str, sites: pd.DataFrame, source: str) -> Chart:
    """Where in the sequence the sites lie, positives against negatives."""
    middle = (sites["start"] + sites["end"]) / 2 - sites["length"] / 2
    reach = float(sites["length"].max()) / 2
    edges = np.linspace(-reach, reach, BINS + 1)
    traces = []
    for label, word, colour in ((1, "positives", "@blue"), (0, "negatives", "@quiet")):
        counts, _ = np.histogram(middle[sites["label"] == label], edges)
        traces.append(
            {
                "type": "bar",
                "name": f"{word} ({counts.sum():,} sites)",
                "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
                "y": counts.tolist(),
                "marker": {"color": colour},
                "hovertemplate": "%{x:.0f} bp: %{y} sites<extra></extra>",
            }
        )
    layout = {
        "barmode": "stack",
        "bargap": 0.05,
        "xaxis": {"title": {"text": "distance from the middle (bp)"}},
        "yaxis": {"title": {"text": "sites"}},
        "legend": legend_below(260),
    }
    return Chart(f"{named(name)}: where the sites lie", traces, layout, source, "", 260)


def effect_sentence(heads: pd.DataFrame) -> str:
    """What the edit does to the read-out, and a warning where that is nothing to restore."""
    row = heads.iloc[0]
    effect = interval(row["effect"], row["effect_low"], row.get("effect_high", np.nan), 3)
    told = (
        f"Destroying the motif lowers the probe's logit at layer {row['readout_layer']} by {effect}"
        f" over {row['n_pairs']} pairs."
    )
    if not row["effect_low"] > 0:
        told += " The interval holds 0: there is hardly anything to restore, and shares of it mean little."
    return told


def yield_chart(counted: pd.DataFrame) -> Chart:
    """What became of the sequences that were tried, by question and set."""
    counted = with_fixed_edits(counted)
    labels = [f"{literal(named(row['question']))}<br>{literal(row['set'])}" for row in counted.to_dict("records")]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": label,
            "x": counted[column].fillna(0).tolist(),
            "y": labels,
            "marker": {"color": colour},
            "hovertemplate": "%{x}<extra>%{fullData.name}</extra>",
        }
        for column, (label, colour) in REFUSED.items()
        if column in counted and counted[column].sum() > 0
    ]
    height = 150 + 42 * len(counted)
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "sequences tried"}},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "legend": {**legend_below(height), "traceorder": "normal"},
    }
    note = "A pair is made only where the edit destroys every site and leaves every token's boundaries where they were."
    return Chart("Counterfactual pairs that could be made", traces, layout, YIELD, note, height)


def with_fixed_edits(counted: pd.DataFrame) -> pd.DataFrame:
    """The table with what became of fixed edits under the same names: they are made as they are, or moved tokens."""
    fixed = counted["refused_no_site"].isna()
    filled = counted.copy()
    filled.loc[fixed, "refused_no_site"] = counted["tried"] - counted["with_site"]
    filled.loc[fixed, "refused_not_aligned"] = counted["with_site"] - counted["accepted"]
    return filled


def claims(heads: dict[str, pd.DataFrame]) -> list[Claim]:
    """Whether destroying the motif changes what the probe reads."""
    rows: Sequence[tuple[str, pd.Series]] = [(name, table.iloc[0]) for name, table in heads.items() if len(table)]
    if not rows:
        return []
    told = "; ".join(
        f"{named(name)} {interval(row['effect'], row['effect_low'], row.get('effect_high', np.nan))}"
        for name, row in rows
    )
    seen = sum(row["effect_low"] > 0 for _, row in rows)
    answer = f"For {seen} of {len(rows)} motifs; mean fall of the probe's logit: {told}."
    return [Claim("Does destroying the motif change what the probe reads?", answer, "yes" if seen else "no")]
