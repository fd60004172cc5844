"""Patching of a basecaller: what attention, feed-forward and heads restore, at homopolymers and at other places."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from mints.report.page.blocks import Block, Choice, Claim, Missing, Table, Text, Tone, View, Widget, table_block
from mints.report.page.marks import interval
from mints.report.page.panels import capital
from mints.report.page.saved import Saved
from mints.report.page.views.basecaller_charts import (
    GROUPS,
    NULLS,
    Q,
    component_name,
    differences_chart,
    layer_chart,
    layer_heads,
    strata_chart,
    tracks_chart,
)
from mints.report.page.views.heads import square

COMPONENT_TABLE, SUMMARY = "patching/components.csv", "tables/basecaller_summary.csv"
DIFFERENCES, STRATA, TRACKS = "tables/basecaller_groups.csv", "tables/basecaller_strata.csv", "patching/tracks.csv"

MEASURES = {"sequence": "sequence log-odds", "transition": "transition log-odds"}
DIRECTIONS = ("denoising", "noising")


def basecaller_patching(saved: Saved) -> View:
    """Everything by measure and direction, the tracks, and the table of all components."""
    components, summary = saved.table(COMPONENT_TABLE), saved.table(SUMMARY)
    differences, strata, tracks = (saved.table(name) for name in (DIFFERENCES, STRATA, TRACKS))
    threshold = saved.configured("registered_restoration")
    question = (
        "Which component restores the call of a run when its activations are exchanged between two signals, and do"
        " homopolymers differ from other places?"
    )
    blocks: list[Block] = [Text(explanation(threshold))]
    if summary.empty:
        blocks.append(Missing("components chosen on validation pairs", saved.advice(SUMMARY)))
    else:
        blocks.append(chosen_table(summary))
    if components.empty:
        blocks.append(Missing("the components", saved.advice(COMPONENT_TABLE)))
    else:
        options = {}
        for measure in in_order(components["measure"], MEASURES):
            for direction in in_order(components["direction"], DIRECTIONS):
                asked = {"measure": measure, "direction": direction}
                shown = charts(rows_of(components, asked), rows_of(differences, asked), threshold)
                if direction == "denoising":
                    shown += strata_charts(rows_of(strata, {"measure": measure}), rows_of(summary, asked))
                options[f"{MEASURES.get(measure, measure)}, {direction}"] = shown
        blocks.append(Choice("measure and direction", options))
    absent = [name for name, table in ((DIFFERENCES, differences), (STRATA, strata)) if table.empty]
    blocks += [Missing("groups and strata", saved.advice(*absent))] if absent else []
    blocks += [Missing("tracks over time", saved.advice(TRACKS))] if tracks.empty else [track_choice(tracks)]
    blocks += [component_table(components)] if len(components) else []
    blocks += checks(saved)
    return View("patching", "Patching", question, blocks, claims(summary, differences, threshold))


def explanation(threshold: float | None) -> list[str]:
    """What is measured, and what can be concluded from it."""
    passes = "" if threshold is None else f" It passes where its lower bound also reaches the registered {threshold:g}."
    return [
        "The share restored (PM) is the effect of the exchange over the effect of the whole signal: 0 is nothing, 1"
        " everything. Denoising puts the clean run's activations into the corrupted run, noising the reverse; they are"
        " exchanged at the run.",
        "Sequence log-odds have no free constants, and are to be trusted where the two measures differ. A layer's whole"
        " output restores nearly everything by construction: what is asked is what attention, feed-forward and heads"
        " restore.",
        "A component restores where its interval lies above 0, q ≤ 0.05, and its paired lead over each null (another"
        f" pair's corrupted run, another site, an unrelated run) has an interval above 0.{passes}",
    ]


def in_order(values: pd.Series, known: Mapping[str, str] | tuple[str, ...]) -> list[str]:
    """The names that occur, known ones first and in their order."""
    found = [str(value) for value in values.unique()]
    return [name for name in known if name in found] + [name for name in found if name not in known]


def rows_of(table: pd.DataFrame, values: Mapping[str, str]) -> pd.DataFrame:
    """Rows that have all these values; of an empty table none."""
    for column, value in values.items():
        if len(table):
            table = table[table[column] == value]
    return table


def charts(rows: pd.DataFrame, differences: pd.DataFrame, threshold: float | None) -> list[Block]:
    """Layers, heads and group differences of one measure and direction."""
    at_run = rows[rows["patch"] == "run"]
    blocks: list[Block] = [layer_chart(rows, threshold, COMPONENT_TABLE)]
    single = at_run[at_run["granularity"] == "head"]
    of_groups = rows_of(differences, {"patch": "run"})
    if len(single):
        blocks.append(head_maps(single, rows_of(of_groups, {"granularity": "head"}), threshold))
    if len(of_groups):
        blocks.append(differences_chart(of_groups, DIFFERENCES))
    return blocks


def head_maps(single: pd.DataFrame, differences: pd.DataFrame, threshold: float | None) -> Widget:
    """Linked maps of every head: homopolymers, other places, and the difference of the two."""
    size = int(single["layer"].max()) + 1, int(single["head"].max()) + 1
    panels, details = [], {name: {"verdict": ""} for name in layer_heads(single)}
    for group, title in GROUPS.items():
        rows = single[single["group"] == group]
        if rows.empty:
            continue
        columns = {column: square(rows, f"pm{column}", size) for column in ("", "_low", "_high")}
        found = {"passes": square(rows, "restores", size) == 1}
        panel = {"value": f"pm_{group}", "title": title, "label": "PM", "centre": 0.0, "threshold": threshold}
        panels.append(panel | found | {"values": columns[""], "low": columns["_low"], "high": columns["_high"]})
        for name, row in zip(layer_heads(rows), rows.to_dict("records"), strict=True):
            details[name] |= head_details(group, row)
            said = f"{title}: {verdict(row)}"
            details[name]["verdict"] = "; ".join(filter(None, (details[name]["verdict"], said)))
    if len(differences):
        panel = {"value": "difference", "title": "difference", "label": "homopolymers − other", "centre": 0.0}
        values = {"values": "difference", "low": "low", "high": "high"}
        panel |= {key: square(differences, column, size) for key, column in values.items()}
        panels.append(
            panel | {"threshold": None, "passes": square(differences.assign(d=differences["q"] <= Q), "d", size) == 1}
        )
        for name, row in zip(layer_heads(differences), differences.to_dict("records"), strict=True):
            told = {"difference": row["difference"], "difference_low": row["low"], "difference_high": row["high"]}
            details.setdefault(name, {"verdict": ""}).update(told | {"difference_q": row["q"]})
    nulls = single["other_corrupted"].notna().any()
    outlined = "restores beyond all nulls" if nulls else "nothing in the maps of groups, nulls being of denoising"
    note = f"Outlined: {outlined}; in the difference, q ≤ {Q:g}. Point at a head to see it in all maps."
    content = {"question": "", "panels": panels, "details": details}
    return Widget("heads", "Share restored by every head", content, COMPONENT_TABLE, note)


def head_details(group: str, row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """What is told of one head in one group; the widget looks for `<value>_low` beside `<value>`."""
    told = {f"pm_{group}": row["pm"], f"pm_{group}_low": row["pm_low"], f"pm_{group}_high": row["pm_high"]}
    nulls = {f"{group}, null: {label}": row[null] for null, label in NULLS.items() if pd.notna(row[null])}
    rest = {"q": "q", "least visible": "least_visible", "largest over time steps": "maximum_seed"}
    return told | nulls | {f"{group}, {label}": row[column] for label, column in rest.items()}


def strata_charts(strata: pd.DataFrame, summary: pd.DataFrame) -> list[Block]:
    """The components of the summary by base, run length and corruption."""
    blocks: list[Block] = []
    if strata.empty or summary.empty:
        return blocks
    for row in summary[(summary["group"] == "all") & (summary["granularity"] != "head")].to_dict("records"):
        same = (strata["granularity"] == row["granularity"]) & (strata["layer"] == row["layer"])
        if row["granularity"] != "layer" and same.any():
            blocks.append(strata_chart(strata[same], component_name(row), STRATA))
    return blocks


def track_choice(tracks: pd.DataFrame) -> Choice:
    """Gain over time, group by group."""
    groups = in_order(tracks["group"], (*GROUPS, "all"))
    options: dict[str, list[Block]] = {
        GROUPS.get(group, group): [tracks_chart(tracks[tracks["group"] == group], TRACKS)] for group in groups
    }
    return Choice("tracks of", options)


def chosen_table(summary: pd.DataFrame) -> Table:
    """The strongest of each kind, chosen on validation pairs and reported on test pairs."""
    note = (
        "Test pairs; the largest over all time steps is the published figure, which takes the largest of many noisy"
        " ratios and so exceeds 1 where PM is near 0."
    )
    rows = in_measures(summary)
    table = pd.DataFrame(
        {
            "measure": rows["measure"],
            "pairs of": rows["group"].map(lambda name: GROUPS.get(name, name)),
            "component": [component_name(row) for row in rows.to_dict("records")],
            "PM, validation": rows["pm_validation"],
            "PM, test": rows["pm"],
            "low": rows["pm_low"],
            "high": rows["pm_high"],
            "largest null": rows[list(NULLS)].max(axis=1),
            "verdict": [verdict(row) for row in rows.to_dict("records")],
            "largest over time steps": rows["maximum_seed"],
            "least visible": rows["least_visible"],
        }
    )
    return table_block(table, "Strongest components, chosen on validation pairs", SUMMARY, note=note, page_length=12)


def in_measures(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the trusted measure first, in their order otherwise."""
    return pd.concat([table[table["measure"] == name] for name in in_order(table["measure"], MEASURES)])


def verdict(row: Mapping[Hashable, Any]) -> str:
    """What a component's nulls say."""
    if pd.isna(row["other_corrupted"]):
        return "no nulls"
    if not row["restores"]:
        return "not told from its nulls"
    return "beyond all nulls" + (", passes" if row["passes"] else "")


def component_table(components: pd.DataFrame) -> Table:
    """Every component of every measure, direction, group and patch."""
    rows = in_measures(components)
    leads = [f"beyond_{null}_low" for null in NULLS]
    table = rows[["measure", "direction", "patch", "group"]].assign(
        component=[component_name(row) for row in rows.to_dict("records")]
    )
    table = table.join(rows[["pm", "pm_low", "pm_high", "q", *NULLS]])
    table = table.assign(
        least_lead_over_nulls_low=rows[leads].min(axis=1, skipna=False),
        verdict=[verdict(row) for row in rows.to_dict("records")],
        least_visible=rows["least_visible"],
        largest_over_time_steps=rows["maximum_seed"],
    )
    table = table.join(rows[["effect", "n_pairs", "n_failed"]]).assign(flag=rows["flag"].astype(object).fillna(""))
    note = (
        "The last columns but four are the published figure (see above), the effect in nats, pairs, and failed pairs."
    )
    return table_block(table, "Every component", COMPONENT_TABLE, note=note)


def checks(saved: Saved) -> list[Block]:
    """What patching must give exactly, and pairs that have no alternative sequence."""
    facts = saved.account.get("facts", {}).get("basecaller_patching", {})
    rows = [{"check": name, "value": value} for name, value in facts.get("sanity", {}).items()]
    without = "pairs without an alternative sequence"
    rows += [{"check": without, "value": facts[without]}] if without in facts else []
    note = "Distances of a check have to be exactly 0."
    return [table_block(pd.DataFrame(rows), "Checks of the patching", "pipeline_run.json", note=note)] if rows else []


def claims(summary: pd.DataFrame, differences: pd.DataFrame, threshold: float | None) -> list[Claim]:
    """What restores beyond all nulls, and whether homopolymers differ, by the measure to be trusted."""
    made = []
    trusted = rows_of(summary, {"measure": "sequence", "group": "all", "patch": "run", "direction": "denoising"})
    asked = trusted[trusted["granularity"].isin(["attention", "mlp", "head"])] if len(trusted) else trusted
    if len(asked):
        told = "; ".join(
            f"{component_name(row)} {interval(row['pm'], row['pm_low'], row['pm_high'])}, {verdict(row)}"
            f" (largest null {max(row[null] for null in NULLS):.2f}; least visible {row['least_visible']:.2f})"
            for row in asked.to_dict("records")
        )
        bar = "" if threshold is None else f" To pass, the lower bound has to reach {threshold:g}."
        answer = f"Share of the sequence log-odds restored at the run, chosen on validation pairs: {told}.{bar}"
        made.append(
            Claim(
                "Does a component restore the call beyond all nulls?",
                answer,
                "yes" if asked["restores"].any() else "no",
            )
        )
    at_run = rows_of(differences, {"patch": "run"})
    if len(at_run):
        made.append(group_claim(at_run))
    return made


def group_claim(at_run: pd.DataFrame) -> Claim:
    """Whether homopolymers differ: yes where both directions of the trusted measure say so."""
    counted, found = [], {}
    for measure in in_order(at_run["measure"], MEASURES):
        parts = []
        for direction in in_order(at_run["direction"], DIRECTIONS):
            rows = rows_of(at_run, {"measure": measure, "direction": direction})
            differing = rows[rows["q"] <= Q]
            found[measure, direction] = len(differing)
            parts.append(f"{len(differing)} of {len(rows)} components with {direction}{largest(differing)}")
        counted.append(f"{MEASURES.get(measure, measure)}: {', '.join(parts)}")
    own = [count for (measure, _), count in found.items() if measure == "sequence"]
    tone: Tone = "yes" if own and all(own) else "open" if any(found.values()) else "no"
    told = capital("; ".join(counted))
    text = f"{told} (q ≤ {Q:g}, same bases, lengths and corruptions; homopolymers minus other places)."
    return Claim("Do homopolymers differ from other places?", text, tone)


def largest(differing: pd.DataFrame) -> str:
    """The largest difference among rows, in brackets."""
    if differing.empty:
        return ""
    row = differing.sort_values("difference", key=abs).iloc[-1].to_dict()
    return f" (largest {component_name(row)} {interval(row['difference'], row['low'], row['high'])})"
