"""Models: the same sequences, probes and floors for every compared model."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import Block, Chart, Claim, Missing, Tone, View, table_block
from mints.report.page.marks import LEGIBLE, Estimates, dodged, interval, named, vertical
from mints.report.page.saved import Saved

PROBES, DIFFERENCES, LOSSES, TOKENS, HEADS, HEAD_DIFFERENCES, CHECKS = (
    f"tables/cross_model_{name}.csv"
    for name in (
        "probes",
        "differences",
        "masked_token_loss",
        "tokenization",
        "alignment_summary",
        "alignment_differences",
        "checks",
    )
)
MEAN = "mean of tasks"
"""Row of the differences that is of all tasks together."""


def models(saved: Saved) -> View:
    """Probes, losses per base, tokenization and heads, model beside model."""
    question = "Which model tells more of the same sequences, and was each loaded as it was trained?"
    probes, differences, losses, heads, checks = (
        saved.table(name) for name in (PROBES, DIFFERENCES, LOSSES, HEADS, CHECKS)
    )
    if probes.empty:
        return View("models", "Models", question, [Missing("the comparison", saved.advice(PROBES))])
    compared = list(dict.fromkeys(probes["model"]))
    blocks: list[Block] = [probe_chart(probes, compared)]
    if not differences.empty:
        rows = differences[(differences["kind"] == "models") & (differences["metric"] == "auroc")]
        blocks += [difference_chart(rows)] if len(rows) else []
    if not losses.empty:
        blocks.append(loss_chart(losses))
    if "largest_r" in heads:
        thresholds = saved.configured("registered", {})
        blocks.append(head_chart(heads, "largest_r", "largest r of a head's keys", thresholds.get("qk_r")))
        blocks.append(
            head_chart(heads, "largest_rho", "largest ρ, motif over background", thresholds.get("enrichment"))
        )
    titles = {
        CHECKS: "Was each model loaded as it was trained?",
        PROBES: "Probes of every model",
        TOKENS: "Tokenization",
        HEAD_DIFFERENCES: "Best heads, compared",
    }
    tables = [(saved.table(name), title, name) for name, title in titles.items()]
    blocks += [table_block(table, title, name) for table, title, name in tables if not table.empty]
    return View("models", "Models", question, blocks, claims(differences, checks, compared))


def probe_chart(probes: pd.DataFrame, compared: list[str]) -> Chart:
    """AUROC of every model's probe, its untrained twin and the floor."""
    probes = probes.assign(task=probes["task"].map(named))
    traces, axis = dodged(probes, "task", compared, "model", Estimates.of("auroc"))
    names = list(dict.fromkeys(probes["task"]))
    for trace, model in zip(list(traces), compared, strict=True):
        of_model = probes[probes["model"] == model]
        traces.append(
            trace
            | {
                "name": f"{model}, untrained",
                "x": of_model["random_initialisation"].tolist(),
                "error_x": None,
                "marker": trace["marker"] | {"symbol": f"{trace['marker']['symbol']}-open"},
                "hovertemplate": "%{text}<br>untrained twin %{x:.3f}<extra></extra>",
            }
        )
    floors = probes.drop_duplicates("task")
    best = floors[["kmer_logistic", "kmer_boosted"]].max(axis=1)
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "better k-mer floor",
            "x": best.tolist(),
            "y": [names.index(task) for task in floors["task"]],
            "marker": {
                "symbol": "line-ns-open",
                "size": 22,
                "color": "@vermillion",
                "line": {"width": 2, "color": "@vermillion"},
            },
            "hovertemplate": "k-mers %{x:.3f}<extra></extra>",
        }
    )
    layout = {
        "xaxis": {"title": {"text": "test AUROC"}},
        "yaxis": axis,
        "shapes": [vertical(0.5)],
        "legend": {"y": -0.14},
    }
    note = "Filled: the model's probe with 95% interval; open: its untrained twin; line: the better k-mers."
    return Chart("What every model's probe tells", traces, layout, PROBES, note, 150 + 52 * len(names))


def difference_chart(differences: pd.DataFrame) -> Chart:
    """Paired differences between models on the same rows and resamples."""
    pairs = differences["first"] + " − " + differences["second"]
    rows = differences.assign(pair=pairs, task=differences["task"].map(named))
    traces, axis = dodged(rows, "task", list(dict.fromkeys(pairs)), "pair", Estimates.of("difference"))
    layout = {
        "xaxis": {"title": {"text": "difference of AUROC"}},
        "yaxis": axis,
        "shapes": [vertical(0.0)],
        "showlegend": True,
    }
    return Chart(
        "Differences between models",
        traces,
        layout,
        DIFFERENCES,
        "Paired 95% intervals over sequence clusters.",
        150 + 34 * rows["task"].nunique(),
    )


def loss_chart(losses: pd.DataFrame) -> Chart:
    """Bits per base of every model beside its floors."""
    rows = losses.assign(row=losses["model"] + ", " + losses["masking"])
    traces, axis = dodged(
        rows, "row", list(dict.fromkeys(rows["predictor"])), "predictor", Estimates.of("bits_per_base")
    )
    layout = {"meta": LEGIBLE, "xaxis": {"title": {"text": "bits per base (fewer is better)"}}, "yaxis": axis}
    note = "Losses per token cannot be compared between tokenizers; per base they can. 95% intervals over windows."
    return Chart("Masked-token loss per base", traces, layout, LOSSES, note, 170 + 46 * rows["row"].nunique())


def head_chart(heads: pd.DataFrame, value: str, label: str, threshold: float | None) -> Chart:
    """The best head of each model, question by question."""
    heads = heads.assign(question=heads["question"].map(named))
    compared = list(dict.fromkeys(heads["model"]))
    traces, axis = dodged(heads, "question", compared, "model", Estimates.of(value))
    shapes = [] if threshold is None else [vertical(threshold, colour="@vermillion", dash="dash")]
    layout = {"xaxis": {"title": {"text": label}}, "yaxis": axis, "shapes": shapes}
    note = "95% intervals over sequences." + ("" if threshold is None else " Dashed: the registered threshold.")
    title = "Best head of every model: alignment" if value == "largest_r" else "Best head of every model: enrichment"
    return Chart(title, traces, layout, HEADS, note, 170 + 46 * heads["question"].nunique())


def claims(differences: pd.DataFrame, checks: pd.DataFrame, compared: list[str]) -> list[Claim]:
    """Which model decodes more, and whether anything looks wrongly loaded."""
    made = []
    rows = (
        differences[(differences["kind"] == "models") & (differences["metric"] == "auroc")]
        if len(differences)
        else differences
    )
    for (first, second), pair in rows.groupby(["first", "second"], sort=False) if len(rows) else ():
        single = pair[pair["task"] != MEAN]
        ahead, behind = int((single["difference_low"] > 0).sum()), int((single["difference_high"] < 0).sum())
        of_all = "".join(
            f"; mean {interval(row['difference'], row['difference_low'], row['difference_high'], 3)} of AUROC"
            for row in pair[pair["task"] == MEAN].to_dict("records")
        )
        told = f"{first} is ahead of {second} in {ahead} of {len(single)} tasks and behind in {behind}{of_all}."
        tone: Tone = "open" if ahead and behind else "yes" if ahead else "no"
        made.append(Claim(f"Does {first} tell more than {second}?", told, tone))
    if not checks.empty:
        failed = checks[~checks["passes"].astype(bool)]
        names = ", ".join(f"{row['model']}: {row['check']}" for row in failed.to_dict("records"))
        told = f"All {len(checks)} checks of {len(compared)} models are passed." if failed.empty else f"Fails: {names}."
        made.append(Claim("Is every model loaded as it was trained?", told, "yes" if failed.empty else "no"))
    return made
