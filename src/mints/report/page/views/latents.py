"""The latents: a dashboard for each of those that some step names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.report.page.blocks import Block, Chart, Missing, Table, Text, View, Widget
from mints.report.page.marks import interval, named
from mints.report.page.saved import Saved

DASHBOARDS = "latents/*.json"
CONCEPTS, EFFECTS = "tables/concept_scores.csv", "tables/latent_effects.csv"
DOSES = "tables/steering.csv"
BESIDE = ("beyond_matched", "beyond_matched_low", "beyond_matched_high", "pm", "pm_low", "pm_high")
"""Columns of the effects that hold them against matched latents and against the whole effect."""

STEERED_MEASURES = {"target_log_odds": "the hidden token", "substitution_log_odds": "its substitutes"}
NULLS = {"directions": "random directions, 95% of draws", "latents": "latents that fire as often, 95% of draws"}
SORTED_BY = {
    "latent": "number",
    "density": "share of tokens",
    "f1": "F1 of its concept",
    "effect": "effect when exchanged alone",
    "logit": "largest change of a token",
}
"""What the list of latents can be sorted by."""


def latents(saved: Saved) -> View:
    """Sites, and in each the latents that the run's other steps name."""
    question = "What makes a latent active, which annotated concept does it tell, and what follows when it is changed?"
    names = saved.matching(DASHBOARDS)
    read = [(name, shown) for name in names if (shown := saved.value(name)) is not None]
    if not read:
        advice = saved.advice(*(names or ["latents/SITE.json"]))
        return View("latents", "Latents", question, [Missing("the dashboards", advice)])
    tables = {CONCEPTS: saved.table(CONCEPTS), EFFECTS: saved.table(EFFECTS, *BESIDE), DOSES: saved.table(DOSES)}
    sites = [site_content(shown, name, tables) for name, shown in read]
    note = (
        "Shown are the latents that circuits, concepts, exchanges and steering name, and the most frequent ones; all"
        " figures are of held-out test sequences unless they say otherwise."
    )
    block = Widget("latents", "Latent dashboards", {"sites": sites, "sorted_by": SORTED_BY}, names[0], note)
    return View("latents", "Latents", question, [block])


def site_content(shown: Mapping[str, Any], source: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """All latents of one site."""
    site = shown["site"]
    of_site = {name: rows[rows["site"] == site] if "site" in rows else rows for name, rows in tables.items()}
    rows = [latent_content(latent, source, of_site) for latent in shown["latents"]]
    return {"site": site, "windows": shown["windows"], "tokens": shown["tokens"], "source": source, "latents": rows}


def latent_content(latent: Mapping[str, Any], source: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """One latent: what it is found by in the list, and its dashboard as blocks."""
    number = latent["latent"]
    effects, doses, scores = (of_latent(tables[name], number) for name in (EFFECTS, DOSES, CONCEPTS))
    best = latent["concepts"][0] if latent["concepts"] else {}
    moved = (latent["logits"] or {}).get("promoted", [])
    blocks: list[Block] = [Text([summary(latent)])]
    if latent["histogram"]["counts"]:
        blocks.append(histogram(latent, source))
    if moved:
        blocks.append(logit_chart(latent["logits"], source))
    if latent["examples"]:
        content = {"examples": latent["examples"], "asked": best.get("concept", "")}
        blocks.append(Widget("sequences", "Sequences of the largest and of ordinary activations", content, source))
    if latent["concepts"]:
        blocks.append(concept_table(latent["concepts"], scores, source))
    if len(effects):
        blocks.append(effect_table(effects))
    if len(doses):
        blocks += dose_charts(doses)
    return {
        "latent": number,
        "concept": plain_concept(best.get("concept", "")),
        "density": latent["density"],
        "f1": best.get("f1"),
        "effect": None if effects.empty else float(effects["change"].abs().max()),
        "logit": max((abs(row["change"]) for row in moved), default=None),
        "blocks": blocks,
    }


def of_latent(table: pd.DataFrame, number: int) -> pd.DataFrame:
    """Rows of one latent."""
    return table[table["latent"] == number] if "latent" in table else pd.DataFrame()


def plain_concept(concept: str) -> str:
    """A concept without the name of its annotation."""
    return concept.partition("/")[2] or concept


def summary(latent: Mapping[str, Any]) -> str:
    """Why it is shown and how often it is active, in two sentences."""
    reasons = f"Shown because: {'; '.join(map(named, latent['reasons']))}."
    if not latent["density"]:
        return f"{reasons} It is silent on the test sequences."
    return (
        f"{reasons} It is active on {percent(latent['density'])} of tokens, in {percent(latent['sequences'])} of the"
        f" sequences: {latent['mean']:.3g} on average where it is active, {latent['largest']:.3g} at most."
    )


def percent(share: float) -> str:
    """A share in percent, with two digits where it is small."""
    return f"{share:.0%}" if share >= 0.0995 else f"{100 * share:.2g}%"


def histogram(latent: Mapping[str, Any], source: str) -> Chart:
    """How often it is how strong."""
    edges, counts = latent["histogram"]["edges"], latent["histogram"]["counts"]
    middles = [(low + high) / 2 for low, high in zip(edges, edges[1:], strict=False)]
    trace = {
        "type": "bar",
        "x": middles,
        "y": [count or None for count in counts],
        "width": edges[1] - edges[0],
        "marker": {"color": "@blue"},
        "hovertemplate": "activation about %{x:.2f}: %{y} tokens<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "activation, where it is active"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "tokens (logarithmic)"}, "type": "log", "dtick": 1},
        "bargap": 0.04,
    }
    return Chart("Activations", [trace], layout, source, "", 240)


def logit_chart(logits: Mapping[str, Any], source: str) -> Chart:
    """Tokens that the decoder row promotes, above, and suppresses, below."""
    rows = [*logits["promoted"], *logits["suppressed"][::-1]]
    labels = [row["token"] for row in rows]
    change = [row["change"] for row in rows]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": labels,
        "x": change,
        "marker": {"color": ["@blue" if value > 0 else "@vermillion" for value in change]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [row["high"] - row["change"] for row in rows],
            "arrayminus": [row["change"] - row["low"] for row in rows],
            "color": "@ink",
            "thickness": 1.2,
            "width": 2,
        },
        "hovertemplate": "%{y}: %{x:.3f} nats<extra></extra>",
    }
    shapes = []
    if logits["random"] is not None:
        span = {"x0": -logits["random"], "x1": logits["random"], "y0": 0, "y1": 1, "yref": "paper"}
        look = {"fillcolor": "@quiet", "opacity": 0.15, "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect", **span, **look})
    layout = {
        "xaxis": {"title": {"text": "change of log-probability, nats"}},
        "yaxis": {
            "categoryorder": "array",
            "categoryarray": labels[::-1],
            "type": "category",
            "title": {"text": "token"},
        },
        "shapes": shapes,
    }
    note = (
        f"The decoder row, as strong as the 99th percentile of the activations ({logits['dose']:.3g}), added to the"
        " last residual stream at one token per sequence; the layers between are passed by. Bars: 95% intervals over"
        " sequences. Grey: the largest change that random directions of that length reach."
    )
    return Chart("Tokens that it promotes and suppresses", [trace], layout, source, note, 90 + 19 * len(rows))


def concept_table(concepts: list[Mapping[str, Any]], scores: pd.DataFrame, source: str) -> Table:
    """The concepts that it tells best on validation, with the verdict where it is a concept's best latent."""
    verdicts: dict[str, str] = {}
    for row in scores.to_dict("records"):
        told = interval(row["f1"], row["f1_low"], row["f1_high"]) if pd.notna(row["f1"]) else "–"
        verdicts[f"{row['annotation']}/{row['concept']}"] = f"{row['verdict']} (F1 {told}, {row['best_baseline']})"
    columns = ["concept", "F1, validation", "F1, test", "AUROC, test", "verdict on the concept's best latent"]
    rows = [
        [
            plain_concept(row["concept"]),
            *(row[name] for name in ("validation_f1", "f1", "auroc")),
            named(verdicts.get(row["concept"], "another latent is better")),
        ]
        for row in concepts
    ]
    note = (
        "Chosen on validation, with validation's threshold; the verdict (interval, best baseline) is of the latent that"
        " tells the concept best."
    )
    return Table("Concepts that it tells best", columns, rows, source, note)


def effect_table(effects: pd.DataFrame) -> Table:
    """What exchanging this latent alone restores and takes away."""
    columns = ["direction", "read-out", "change", "beyond matched latents", "q", "share of the effect", "pairs"]
    rows = [
        [
            row["direction"],
            row["readout"],
            interval(row["change"], row["change_low"], row["change_high"], 3),
            interval(row["beyond_matched"], row["beyond_matched_low"], row["beyond_matched_high"], 3),
            row["q"],
            interval(row["pm"], row["pm_low"], row["pm_high"]),
            row["n_pairs"],
        ]
        for row in effects.to_dict("records")
    ]
    note = "The latent alone is exchanged between clean and corrupted sequences at the tokens that the edit changes."
    return Table("What it does when it is exchanged alone", columns, rows, EFFECTS, note)


def dose_charts(doses: pd.DataFrame) -> list[Chart]:
    """Dose–response of adding it at the hidden token, beside the bands of both nulls."""
    rows = doses[(doses["position"] == "hidden") & (doses["kind"] == "add")]
    return [
        dose_chart(rows[rows["measure"] == measure].sort_values("dose"), f"Steering: log-odds of {label}")
        for measure, label in STEERED_MEASURES.items()
        if (rows["measure"] == measure).any()
    ]


def dose_chart(rows: pd.DataFrame, title: str) -> Chart:
    """One measure against the dose."""
    x, colours = rows["dose"].tolist(), {"directions": "@quiet", "latents": "@orange"}
    traces: list[dict[str, Any]] = []
    for null, label in NULLS.items():
        low, high = rows[f"{null}_low"], rows[f"{null}_high"]
        if low.isna().all():
            continue
        outline = {"x": x + x[::-1], "y": high.tolist() + low.tolist()[::-1]}
        look = {"fill": "toself", "opacity": 0.3, "line": {"width": 0, "color": colours[null]}, "hoverinfo": "skip"}
        traces.append(
            {"type": "scatter", "mode": "lines", "name": label, **outline, **look, "fillcolor": colours[null]}
        )
    effect = rows["effect"]
    bars = {"array": (rows["high"] - effect).tolist(), "arrayminus": (effect - rows["low"]).tolist()}
    traces.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "this latent, 95% interval over sites",
            "x": x,
            "y": effect.tolist(),
            "error_y": {"type": "data", "symmetric": False, **bars, "width": 3, "thickness": 1.2, "color": "@blue"},
            "line": {"color": "@blue"},
            "marker": {"color": "@blue", "size": 7},
        }
    )
    layout = {
        "xaxis": {"title": {"text": "dose (99th percentiles of activation)"}, "type": "category"},
        "yaxis": {"title": {"text": "change of log-odds, nats"}},
        "legend": {"y": -0.3},
    }
    return Chart(title, traces, layout, DOSES, f"{int(rows['sites'].max())} sites; added at the hidden token.", 340)
