"""Latents of substitutions: what they restore beside their nulls, and whether any of it follows the assay."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, table_block
from mints.report.page.marks import (
    Estimates,
    Trace,
    curve_with_intervals,
    horizontal,
    interval,
    named,
    rows_with_intervals,
    vertical,
)
from mints.report.page.panels import legend_below
from mints.report.page.saved import Saved
from mints.report.page.views.substitution_evidence import (
    ALL,
    ASSAY,
    ATTRIBUTIONS,
    SIGNIFICANT,
    UNIVERSAL,
    assay_blocks,
    concentration_blocks,
    ordered,
    readout_name,
    readouts_of,
    universality_blocks,
)

EFFECTS, SETS = "tables/latent_effects.csv", "tables/latent_sets.csv"
IDENTITY_ITSELF = "substitution"
"""The read-out that putting a residue back restores by itself; no claim is drawn from it."""

NULLS = {
    "matched": ("matched latents", "@quiet", "line-ns-open"),
    "random": ("random direction", "@vermillion", "x-thin-open"),
}
NULLS |= {"elsewhere": ("the same move elsewhere", "@purple", "diamond-open")}
RANKINGS = {
    "integrated gradients,": ("by integrated gradients", "@blue", "solid"),
    "matched latents,": ("matched sets", "@quiet", "dash"),
    "change times gradient in the pair,": ("each mutant's own, change × gradient", "@green", "solid"),
    "change in the pair": ("each mutant's own, by change", "@orange", "solid"),
    "random order in the pair": ("each mutant's own, random order", "@quiet", "dot"),
}
WHOLES = {
    "all latents": ("@purple", "dashdot"),
    "latents and error": ("@vermillion", "dash"),
    "token identity": ("@ink", "dot"),
}
SHOWN = 12
ASIDE = 0.09
"""Doublings between curves of one size, so that their intervals stand side by side."""


def latent_blocks(saved: Saved) -> dict[str, list[Block]]:
    """Parts of the chapter."""
    tables = {name: saved.table(name) for name in (EFFECTS, SETS, ATTRIBUTIONS, ASSAY, UNIVERSAL)}

    def part(name: str, what: str, draw: Callable[[pd.DataFrame], list[Block]]) -> list[Block]:
        return [Missing(what, saved.advice(name))] if tables[name].empty else draw(tables[name])

    return {
        "single latents and sets": part(
            EFFECTS, "effects of latents", lambda table: effect_blocks(table, tables[SETS])
        ),
        "latents and the assay": part(ASSAY, "effects of latents against the assay", assay_blocks),
        "concentration": part(ATTRIBUTIONS, "integrated gradients", concentration_blocks),
        "universality": part(UNIVERSAL, "universality", universality_blocks),
    }


def effect_blocks(effects: pd.DataFrame, sets: pd.DataFrame) -> list[Block]:
    """By site and protein: the largest single latents, and growing sets, of each read-out."""
    by_site: dict[str, list[Block]] = {}
    for site, rows in effects.groupby("site", sort=False):
        own_sets = sets[sets["site"] == site] if len(sets) else sets
        pictures: dict[str, list[Block]] = {}
        for protein in ordered(rows["protein"]):
            of_protein = rows[(rows["protein"] == protein) & (rows["direction"] == "denoising")]
            grown = own_sets[own_sets["protein"] == protein] if len(own_sets) else own_sets
            pictures[protein] = []
            for readout in readouts_of(of_protein):
                pictures[protein].append(singles_chart(of_protein[of_protein["readout"] == readout], readout))
                pictures[protein] += sets_chart(grown, readout)
        by_site[str(site)] = [Choice("protein", pictures)]
    tables = [table_block(effects, "Every latent, both directions", EFFECTS)]
    tables += [table_block(sets, "Every set", SETS)] if len(sets) else []
    return [Choice("site", by_site), *tables]


def singles_chart(rows: pd.DataFrame, readout: str) -> Chart:
    """The largest single latents with their intervals and their nulls."""
    largest = rows.loc[rows["change"].abs().sort_values(ascending=False, kind="stable").index[:SHOWN]]
    labels = [
        f"F{latent} ({pairs} mutants)" for latent, pairs in zip(largest["latent"], largest["n_pairs"], strict=True)
    ]
    nulls: list[Trace] = []
    for column, (name, colour, symbol) in NULLS.items():
        if column in largest and largest[column].notna().any():
            marker = {"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 2}}
            hover = "%{y}<br>%{x:.3f}<extra>%{fullData.name}</extra>"
            trace: Trace = {"type": "scatter", "mode": "markers", "name": name, "x": largest[column].tolist()}
            nulls.append(trace | {"y": labels, "marker": marker, "hovertemplate": hover})
    own = rows_with_intervals(largest, labels, Estimates.of("change"), name="the latent", colour="@blue")
    height = 150 + 28 * len(largest)
    layout = {
        "xaxis": {"title": {"text": "mean change (nats)"}},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": [vertical(0.0)],
        "legend": legend_below(height),
    }
    note = (
        f"Wild-type latents put into the mutant one at a time; the {len(largest)} largest of {len(rows)}. 95% intervals"
        " over positions; nulls without theirs: the paired differences are in the table. Drawn largest first, which"
        " flatters them."
    )
    return Chart(f"Single latents: {readout_name(readout)}", [*nulls, own], layout, EFFECTS, note, height)


def sets_chart(sets: pd.DataFrame, readout: str) -> list[Chart]:
    """Growing sets, and what everything at the residue and its identity alone restore."""
    if sets.empty:
        return []
    chosen = (sets["tokens"] == "changed tokens") & (sets["direction"] == "denoising") & (sets["readout"] == readout)
    rows = sets[chosen]
    traces: list[Trace] = []
    for place, (ranking, (name, colour, dash)) in enumerate(RANKINGS.items()):
        wanted = f"{ranking} {readout}" if ranking.endswith(",") else ranking
        curve = rows[(rows["ranking"] == wanted) & (rows["size"] > 0)].sort_values("size")
        if len(curve):
            aside = curve.assign(drawn=curve["size"] * 2 ** (ASIDE * (place - (len(RANKINGS) - 1) / 2)))
            trace = curve_with_intervals(aside, "drawn", Estimates.of("change"), name=name, colour=colour, dash=dash)
            told = {"customdata": curve["size"].tolist(), "hovertemplate": "%{customdata} latents: %{y:.3f} nats"}
            traces.append(trace | told)
    if not traces:
        return []
    sizes = sorted(rows.loc[(rows["size"] > 0) & (rows["ranking"] != "all latents"), "size"].unique().tolist())
    ends = [sizes[0], sizes[-1]]
    first = rows.drop_duplicates("ranking").set_index("ranking")["change"]
    wholes = [(name, float(first[name]), *style) for name, style in WHOLES.items() if name in first]
    wholes.append(("whole effect of the substitution", float(rows["effect"].iloc[0]), "@quiet", "longdash"))
    for name, value, colour, dash in wholes:
        line: Trace = {"type": "scatter", "mode": "lines", "name": name, "x": ends, "y": [value, value]}
        traces.append(line | {"line": {"color": colour, "dash": dash, "width": 1.5}})
    height = 460
    layout = {
        "xaxis": {"title": {"text": "latents moved together"}, "type": "log", "tickvals": sizes},
        "yaxis": {"title": {"text": "mean change (nats)"}},
        "shapes": [horizontal(0.0)],
        "legend": {"y": -0.25},
    }
    note = (
        "95% intervals over positions; equal sizes are drawn side by side. Token identity: what the exchange of these"
        " two residues does at other places."
    )
    return [Chart(f"Sets of latents: {readout_name(readout)}", traces, layout, SETS, note, height)]


def latent_claims(saved: Saved) -> list[Claim]:
    """Whether any single latent moves what others say by more than all of its nulls."""
    effects = saved.table(EFFECTS)
    if effects.empty:
        return []
    together = effects[effects["protein"] == ALL]
    rows = (together if len(together) else effects)[lambda table: table["readout"] != IDENTITY_ITSELF]
    rows = rows[rows["q"].notna()]
    if rows.empty:
        return []
    beating = rows[beats(rows)].sort_values("q")
    tests = f"{len(rows)} tests (latent, direction, read-out, site; the residue's own log-odds left out)"
    told = "; ".join(
        f"F{row['latent']} of {row['site']} ({row['direction']}, {named(str(row['readout']))}):"
        f" {interval(row['beyond_matched'], row['beyond_matched_low'], row['beyond_matched_high'], 3)} nats"
        " beyond matched latents"
        for row in beating.head(3).to_dict("records")
    )
    pairs = f"{rows['n_pairs'].min()} to {rows['n_pairs'].max()} mutants a latent"
    answer = (
        f"{len(beating)} of {tests}; " + (told if told else f"the least q is {rows['q'].min():.2f}") + f". {pairs}."
    )
    return [Claim("Does any single latent beat its nulls?", answer, "yes" if len(beating) else "no")]


def beats(rows: pd.DataFrame) -> pd.Series:
    """Rows whose q is small and whose interval of the difference to every null lies on the change's side of 0."""
    passed = rows["q"] <= SIGNIFICANT
    for null in NULLS:
        low, high = f"beyond_{null}_low", f"beyond_{null}_high"
        if low in rows and rows[low].notna().any():
            passed &= ((rows["change"] > 0) & (rows[low] > 0)) | ((rows["change"] < 0) & (rows[high] < 0))
    return passed
