"""Concepts: what each one's best latent tells of it, beside every baseline and a shifted annotation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, Text, table_block
from mints.report.page.marks import LEGIBLE, Estimates, dodged, interval, named
from mints.report.page.saved import Saved

SCORES, SUMMARY, BASELINES = "tables/concept_scores.csv", "tables/concept_summary.csv", "tables/concept_baselines.csv"
ABOVE_ALL = "above every baseline"
LATENT, BASELINE = "best latent", "best baseline by validation"
SHOWN_COLUMNS = (
    *("site", "concept", "test_tokens", "test_regions", "latent", "f1", "f1_low", "f1_high", "precision", "recall"),
    *("auroc", "null_p95", "q", "best_baseline", "difference", "difference_low", "difference_high", "verdict"),
)


def concept_blocks(saved: Saved) -> list[Block]:
    """Per site: F1 of the latents with everything beside it, and differences to every baseline."""
    scores, baselines, summary = (saved.table(name) for name in (SCORES, BASELINES, SUMMARY))
    if scores.empty:
        return [Missing("the concept scores", saved.advice(SCORES))]
    blocks: list[Block] = []
    if not summary.empty:
        blocks.append(Text([sentence(row) for row in summary.to_dict("records")]))
    options: dict[str, list[Block]] = {}
    for site, rows in scores.groupby("site", sort=False):
        judged = rows.dropna(subset=["f1", "latent"]).sort_values("f1", ascending=False, kind="stable")
        of_site = baselines[baselines["site"] == site] if "site" in baselines else baselines
        options[str(site)] = [
            score_chart(judged, of_site),
            *([difference_map(judged, of_site)] if len(of_site) else []),
        ]
    blocks.append(Choice("site", options))
    columns = [column for column in SHOWN_COLUMNS if column in scores]
    note = "The file has all columns, among them the figures of an earlier system's way of scoring."
    blocks.append(table_block(scores[columns], "Every concept's best latent", SCORES, note=note))
    return blocks


def sentence(row: Mapping[Any, Any]) -> str:
    """A site's result in words."""
    statement = str(row["statement"])
    return (
        f"{row['site']}: of {row['concepts']} annotated concepts {row['scored']} are frequent enough to be scored;"
        f" {row['above_the_null']} are told above a shifted annotation, {row['above_every_baseline']} better than by"
        f" every baseline. {statement[:1].upper()}{statement[1:]}."
    )


def score_chart(judged: pd.DataFrame, baselines: pd.DataFrame) -> Chart:
    """F1 of the chosen latent and of the best baseline, with the null's 95th percentile."""
    own = judged.assign(label=concept_labels(judged), group=LATENT)
    beside = own[["concept", "label", "best_baseline"]].rename(columns={"best_baseline": "baseline"})
    beside = beside.merge(baselines, on=["concept", "baseline"]) if len(baselines) else own.iloc[:0]
    rows = pd.concat([own, beside.assign(group=BASELINE)], ignore_index=True)
    colours = ("@blue", "@vermillion")
    traces, axis = dodged(rows, "label", (LATENT, BASELINE), "group", Estimates.of("f1"), colours)
    if len(beside):
        names = map(named, beside["baseline"].astype(str))
        traces[1]["text"] = [f"{label}: {name}" for label, name in zip(beside["label"], names, strict=True)]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "shifted annotation, 95th percentile",
            "x": judged["null_p95"].tolist(),
            "y": list(range(len(judged))),
            "marker": {
                "color": "@quiet",
                "symbol": "line-ns-open",
                "size": 12,
                "line": {"width": 2, "color": "@quiet"},
            },
            "hovertemplate": "null %{x:.3f}<extra></extra>",
        }
    )
    layout = {
        "xaxis": {"title": {"text": "F1 on test windows"}, "rangemode": "tozero"},
        "yaxis": axis,
        "legend": {"y": -0.1},
    }
    note = "★: above every baseline and the null (q ≤ 0.05). 95% intervals over window clusters; chosen on validation."
    shown = list(dict.fromkeys((str(row["site"]), int(row["latent"])) for row in judged.to_dict("records")))
    height = 140 + 24 * len(judged)
    return Chart("Concepts and their best latents", traces, layout, SCORES, note, height, latents=shown)


def concept_labels(judged: pd.DataFrame) -> list[str]:
    """Concept and latent, with a star where the verdict is the best."""
    stars = ["★ " if verdict == ABOVE_ALL else "" for verdict in judged["verdict"]]
    return [
        f"{star}{concept} · F{int(latent)}"
        for star, concept, latent in zip(stars, judged["concept"], judged["latent"], strict=True)
    ]


def difference_map(judged: pd.DataFrame, baselines: pd.DataFrame) -> Chart:
    """F1 of the latent less that of every baseline; what is not clear of 0 is marked."""
    labels = concept_labels(judged)
    order = list(dict.fromkeys(baselines["baseline"]))
    tables = {
        column: baselines.pivot_table(index="concept", columns="baseline", values=column, sort=False).reindex(
            index=judged["concept"], columns=order
        )
        for column in ("difference", "difference_low", "difference_high")
    }
    values, low, high = (tables[name].to_numpy() for name in ("difference", "difference_low", "difference_high"))
    clear = (low > 0) | (high < 0)
    text = [
        [
            f"{round(value, 2) + 0.0:+.2f}{'' if sure else ' ·'}" if value == value else ""
            for value, sure in zip(row, is_clear, strict=True)
        ]
        for row, is_clear in zip(values, clear, strict=True)
    ]
    reach = float(pd.DataFrame(values).abs().max().max()) or 1.0
    trace = {
        "type": "heatmap",
        "z": values.tolist(),
        "x": [named(name) for name in order],
        "y": labels,
        "text": text,
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "customdata": [[list(pair) for pair in zip(*rows, strict=True)] for rows in zip(low, high, strict=True)],
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [[0, "#a6611a"], [0.25, "#dfc27d"], [0.5, "#f5f5f5"], [0.75, "#80cdc1"], [1, "#018571"]],
        "colorbar": {"thickness": 10, "outlinewidth": 0},
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}<br>minus %{x}: %{z:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
    }
    layout = {
        "meta": LEGIBLE,
        "xaxis": {"side": "top", "showgrid": False, "title": {"text": ""}},
        "yaxis": {"autorange": "reversed", "showgrid": False},
        "margin": {"t": 60},
    }
    note = "Paired differences of F1 on test; a dot: the 95% interval holds 0."
    return Chart("The latent minus each baseline", [trace], layout, BASELINES, note, 130 + 22 * len(judged))


def concept_claims(saved: Saved) -> list[Claim]:
    """Whether any latent tells a concept better than everything else does."""
    scores = saved.table(SCORES)
    if scores.empty:
        return []
    above = scores[scores["verdict"] == ABOVE_ALL].sort_values("f1", ascending=False).drop_duplicates("concept")
    judged = int(scores["f1"].notna().sum())
    told = "; ".join(
        f"{row['concept']}, F1 {interval(row['f1'], row['f1_low'], row['f1_high'])}" for row in above.to_dict("records")
    )
    pairs = int((scores["verdict"] == ABOVE_ALL).sum())
    answer = f"{pairs} of {judged} pairs of concept and site" + (
        f", by concept at its best site: {told}." if told else "."
    )
    return [Claim("Does a latent tell a concept better than every baseline?", answer, "yes" if told else "no")]
