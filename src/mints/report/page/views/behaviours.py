"""Behaviours of protein models: probes beside what needs no model, and how much the circuits' latents are their own."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, Text, View, table_block
from mints.report.page.marks import (
    Estimates,
    Trace,
    dodged,
    interval,
    named,
    rows_with_intervals,
    vertical,
)
from mints.report.page.panels import capital, legend_below, literal
from mints.report.page.saved import Saved

PROBES, SPECIFICITY, OVERLAP, LOSS = (
    "tables/behaviour_probes.csv",
    "tables/circuit_specificity.csv",
    "tables/circuit_overlap.csv",
    "tables/circuit_masked_loss.csv",
)
AUROC = Estimates("auroc", "low", "high")
NAMES = {"tm": "transmembrane helix", "sp": "signal peptide"}
SCORERS = {"probe": "probe of the last layer", "composition_and_flanks": "composition with flanks"}
SHOWN, SIGNIFICANT, CHANCE = 15, 0.05, 0.5


def behaviours(saved: Saved) -> View:
    """Probes, specificity and overlap, loss at hidden residues."""
    probes, specificity, overlap, loss = (saved.table(name) for name in (PROBES, SPECIFICITY, OVERLAP, LOSS))
    parts: dict[str, list[Block]] = {
        "probes": probe_blocks(probes) if len(probes) else [Missing("the probes", saved.advice(PROBES))],
        "specificity and overlap": [
            *(
                specificity_blocks(specificity)
                if len(specificity)
                else [Missing("specificity", saved.advice(SPECIFICITY))]
            ),
            *(overlap_blocks(overlap) if len(overlap) else overlap_missing(saved)),
        ],
        "loss at hidden residues": loss_blocks(loss) if len(loss) else [Missing("the loss", saved.advice(LOSS))],
    }
    question = (
        "Is an annotated stretch told from a decoy that is as hydrophobic, and do the latents of its circuit"
        " belong to it alone?"
    )
    claims = [*probe_claims(probes), *overlap_claims(overlap), *loss_claims(loss)]
    return View("behaviours", "Behaviours", question, [Choice("part", parts)], claims)


def called(behaviour: object) -> str:
    """A behaviour as a reader names it."""
    return NAMES.get(str(behaviour), named(str(behaviour)))


def probe_blocks(table: pd.DataFrame) -> list[Block]:
    """One picture per behaviour."""
    pictures: dict[str, list[Block]] = {
        called(name): [probe_chart(called(name), rows)] for name, rows in table.groupby("behaviour", sort=False)
    }
    return [Choice("behaviour", pictures), table_block(table, "Every probe", PROBES)]


def probe_chart(behaviour: str, rows: pd.DataFrame) -> Chart:
    """Test AUROC of the probe and of what needs no model."""
    labels = [SCORERS.get(name, literal(named(name))) for name in rows["scorer"].astype(str)]
    own = (rows["scorer"] == "probe").to_numpy()
    kinds = ((own, "probe", "@blue", "circle"), (~own, "no model", "@vermillion", "square"))
    traces = [
        rows_with_intervals(
            rows[chosen],
            [label for label, yes in zip(labels, chosen, strict=True) if yes],
            AUROC,
            name=name,
            colour=colour,
            symbol=symbol,
        )
        for chosen, name, colour, symbol in kinds
        if chosen.any()
    ]
    floor = rows.loc[rows["scorer"] == rows["floor"], "auroc"]
    shapes = [vertical(CHANCE), *(vertical(float(each), colour="@vermillion", dash="dash") for each in floor[:1])]
    least = min(0.45, float(rows["low"].min()) - 0.02)
    layout = {
        "xaxis": {"title": {"text": "test AUROC"}, "range": [least, 1.02]},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": shapes,
        "legend": legend_below(280),
    }
    tested = int(rows["n_test"].max())
    note = (
        f"{tested} test stretches, half of them decoys matched in hydropathy; 95% intervals over clusters of like"
        " proteins. Dotted: chance; dashed: the best that needs no model, chosen on validation."
    )
    return Chart(f"{capital(behaviour)} against decoys", traces, layout, PROBES, note, 280)


def specificity_blocks(table: pd.DataFrame) -> list[Block]:
    """By behaviour and site: effects of latents on the read-out, and whom they fire for."""
    pictures: dict[str, list[Block]] = {}
    for name, rows in table.groupby("behaviour", sort=False):
        sites: dict[str, list[Block]] = {}
        for site, of_site in rows.groupby("site", sort=False):
            largest = of_site.loc[of_site["weight"].abs().sort_values(ascending=False, kind="stable").index[:SHOWN]]
            shown = f"The {len(largest)} largest effects of {len(of_site)} ablated latents."
            sites[str(site)] = [weights_chart(called(name), largest, shown), *auroc_chart(str(name), largest, shown)]
        pictures[called(name)] = [Choice("site", sites)]
    return [Choice("behaviour", pictures), table_block(table, "Every latent that was ablated", SPECIFICITY)]


def starred(rows: pd.DataFrame) -> list[str]:
    """Latents, those of a significant effect with a star."""
    marks = ["★ " if q <= SIGNIFICANT else "" for q in rows["q"].fillna(1)]
    names = [f"F{latent}" if latent >= 0 else "error of the dictionary" for latent in rows["latent"]]
    return [f"{mark}{name}" for mark, name in zip(marks, names, strict=True)]


def weights_chart(behaviour: str, rows: pd.DataFrame, shown: str) -> Chart:
    """What ablating each latent takes from the read-out."""
    labels = starred(rows)
    weights = Estimates("weight", "low", "high")
    height = 130 + 24 * len(rows)
    layout = {
        "xaxis": {"title": {"text": "effect on the read-out (logits)"}},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": [vertical(0.0)],
    }
    trace = rows_with_intervals(rows, labels, weights, name="effect", colour="@blue")
    note = f"{shown} Positive: the latent supports the behaviour. ★: q ≤ {SIGNIFICANT}; 95% intervals over clusters."
    return Chart(f"{capital(behaviour)}: effects of latents", [trace], layout, SPECIFICITY, note, height)


def auroc_chart(behaviour: str, rows: pd.DataFrame, shown: str) -> list[Chart]:
    """How well each latent's activation tells the behaviour from decoys and from other behaviours."""
    ends = ("_low", "_high")
    whole = [
        column
        for column in map(str, rows)
        if {f"{column}{end}" for end in ends} <= set(rows) and rows[column].notna().any()
    ]
    others = [column.removeprefix("auroc_") for column in whole if column.startswith("auroc_")]
    if not others:
        return []
    parts = [
        pd.DataFrame(
            {
                "label": starred(rows),
                "group": literal(f"against {'decoys' if other == 'decoys' else called(other)}"),
                **{f"auroc{end}": rows[f"auroc_{other}{end}"].to_numpy() for end in ("", *ends)},
            }
        )
        for other in others
    ]
    table = pd.concat(parts, ignore_index=True)
    groups = list(dict.fromkeys(table["group"]))
    traces, axis = dodged(table, "label", groups, "group", Estimates.of("auroc"))
    height = 140 + 28 * len(rows)
    layout = {
        "xaxis": {"title": {"text": "AUROC of the latent's activation"}, "range": [-0.03, 1.03]},
        "yaxis": axis,
        "shapes": [vertical(CHANCE)],
        "legend": legend_below(height),
    }
    note = f"{shown} Dotted: fires alike on both; below it, more on the other kind. 95% intervals over clusters."
    title = f"{capital(called(behaviour))}: whom its latents fire for"
    return [Chart(title, traces, layout, SPECIFICITY, note, height)]


def overlap_missing(saved: Saved) -> list[Block]:
    """Why there is no overlap: not made, or fewer than two behaviours."""
    if saved.has(OVERLAP):
        return [Text(["Fewer than two behaviours were traced, so that no latents can be shared."])]
    return [Missing("the overlap", saved.advice(OVERLAP))]


def overlap_sentence(row: dict[Any, Any]) -> str:
    """How many latents two circuits share, beside chance."""
    return (
        f"{row['site']}: {called(row['first'])} ({row['first_latents']} latents) and {called(row['second'])}"
        f" ({row['second_latents']}) share {row['shared']} where random sets share {row['expected']:.1f}"
        f" (p = {row['p']:.2g})"
    )


def overlap_blocks(table: pd.DataFrame) -> list[Block]:
    """What two behaviours share, in sentences and as a table."""
    told = [f"{overlap_sentence(row)}." for row in table.to_dict("records")]
    return [Text(told), table_block(table, "Latents that two behaviours share", OVERLAP)]


def loss_blocks(table: pd.DataFrame) -> list[Block]:
    """By behaviour: cost of each latent at hidden residues."""
    pictures: dict[str, list[Block]] = {}
    for name, rows in table.groupby("behaviour", sort=False):
        sites: dict[str, list[Block]] = {
            str(s): [loss_chart(called(name), own)] for s, own in rows.groupby("site", sort=False)
        }
        pictures[called(name)] = [Choice("site", sites)]
    return [Choice("behaviour", pictures), table_block(table, "Loss at hidden residues", LOSS)]


def loss_chart(behaviour: str, rows: pd.DataFrame) -> Chart:
    """Change of the loss when each latent is ablated, and the same less that on decoys."""
    rows = rows.sort_values("delta_loss", ascending=False, kind="stable")
    labels = starred(rows)
    kinds = {"at the behaviour": ("delta_loss", "low", "high")}
    kinds |= {"minus that at decoys": ("difference", "difference_low", "difference_high")}
    parts = [
        pd.DataFrame(
            {"label": labels, "group": name} | dict(zip(AUROC, (rows[c].to_numpy() for c in columns), strict=True))
        )
        for name, columns in kinds.items()
    ]
    traces: list[Trace]
    traces, axis = dodged(pd.concat(parts, ignore_index=True), "label", list(kinds), "group", AUROC)
    typical = rows["null"].dropna().unique()[:1]
    shapes = [vertical(0.0)]
    shapes += [vertical(float(sign * each), colour="@vermillion", dash="dash") for each in typical for sign in (-1, 1)]
    height = 150 + 30 * len(rows)
    layout = {
        "xaxis": {"title": {"text": "change of the loss (nats)"}},
        "yaxis": axis,
        "shapes": shapes,
        "legend": legend_below(height),
    }
    note = (
        f"The model's own loss there is {rows['loss'].iloc[0]:.2f} nats. Right: worse without the latent. Dashed: root"
        f" mean square of latents that fire as often and as strongly. ★: q ≤ {SIGNIFICANT} against them."
    )
    return Chart(f"{capital(behaviour)}: cost of ablating each latent", traces, layout, LOSS, note, height)


def probe_claims(table: pd.DataFrame) -> list[Claim]:
    """Whether the probe reads more than the best floor that needs no model."""
    own = table[table["scorer"] == "probe"] if len(table) else table
    if own.empty:
        return []
    beyond = own[own["difference_low"] > 0]
    each = "; ".join(
        f"{called(row['behaviour'])}: AUROC {interval(row['auroc'], row['low'], row['high'], 3)}, beyond"
        f" {SCORERS.get(row['floor'], named(str(row['floor'])))} by"
        f" {interval(row['difference'], row['difference_low'], row['difference_high'], 3)}"
        for row in own.to_dict("records")
    )
    which = f" ({', '.join(called(name) for name in beyond['behaviour'])})" if len(beyond) else ""
    answer = f"{len(beyond)} of {len(own)}{which}. {capital(each)}."
    return [Claim("Is a behaviour decodable beyond composition?", answer, "yes" if len(beyond) else "no")]


def overlap_claims(table: pd.DataFrame) -> list[Claim]:
    """Whether two circuits share more latents than random sets."""
    if table.empty:
        return []
    shared = table[table["p"] <= SIGNIFICANT]
    told = "; ".join(overlap_sentence(row) for row in table.to_dict("records")[:3])
    return [
        Claim(
            "Do two behaviours share latents beyond chance?",
            f"At {len(shared)} of {len(table)} sites. {told}.",
            "yes" if len(shared) else "no",
        )
    ]


def loss_claims(table: pd.DataFrame) -> list[Claim]:
    """Whether hidden residues cost more without a latent of the circuit than without one like it."""
    judged = table.dropna(subset=["q"]) if len(table) else table
    if judged.empty:
        return []
    found = judged[(judged["q"] <= SIGNIFICANT) & (judged["low"] > 0)].sort_values("q")
    told = ", ".join(
        f"F{row['latent']} of {row['site']} ({called(row['behaviour'])})" for row in found.head(3).to_dict("records")
    )
    answer = f"{len(found)} of {len(judged)} latents raise the loss beyond latents that fire alike"
    answer += f": {told}." if told else f"; the smallest q is {judged['q'].min():.2f}."
    return [
        Claim("Does predicting a behaviour's hidden residues need its latents?", answer, "yes" if len(found) else "no")
    ]
