"""Substitutions: whether the model's scores follow mutational scans, and what its latents have to do with it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, View, table_block
from mints.report.page.marks import LEGIBLE, Estimates, Trace, dodged, interval, named, vertical
from mints.report.page.panels import DIVERGING, Panel, legend_below, literal, reach, stacked
from mints.report.page.saved import Saved
from mints.report.page.views.substitution_latents import latent_blocks, latent_claims

CORRELATION = "tables/dms_correlation.csv"
MEASURED, MAIN, BASELINE, CEILING = "DMS_score", "masked_marginal", "blosum62", "truth"
SCORES = {
    "wild_type_marginal": "wild-type marginal",
    "masked_marginal": "masked marginal",
    "joint_masked_marginal": "joint masked marginal",
    "position_mean": "mean of the position",
    "random_initialisation_wild_type_marginal": "untrained model,<br>wild-type marginal",
    "random_initialisation_masked_marginal": "untrained model,<br>masked marginal",
    "blosum62": "BLOSUM62",
    "hydrophobicity": "hydrophobicity",
    "truth": "noise-free truth<br>(ceiling)",
}
MUTANTS = ("all", "singles", "doubles", "higher")
RESIDUES = "GAVLIMCFYWPSTNQDEHKR"
MOST_POINTS, MOST_PLACES = 1500, 400
"""Mutants of one scan, and positions of one protein, that are drawn."""


def substitutions(saved: Saved) -> View:
    """The assay beside every score; each protein's scatter and map; latents."""
    table = saved.table(CORRELATION)
    parts: dict[str, list[Block]] = {"scores": score_blocks(saved, table)}
    parts |= {name: blocks for name, blocks in latent_blocks(saved).items() if blocks}
    question = "Do the model's scores of substitutions follow what was measured, and do single latents carry that?"
    claims = [*score_claims(table), *latent_claims(saved)]
    return View("substitutions", "Substitutions", question, [Choice("part", parts)], claims)


def score_blocks(saved: Saved, table: pd.DataFrame) -> list[Block]:
    """Of each protein: correlations, the scatter and the two maps."""
    scans = [name.removeprefix("substitutions/").removesuffix("_map.csv") for name in saved.matching(scan_map("*"))]
    proteins = list(dict.fromkeys([*(table["protein"].astype(str) if len(table) else []), *scans]))
    missing: list[Block] = [] if len(table) else [Missing("the correlations with the assay", saved.advice(CORRELATION))]
    pictures = {protein: protein_blocks(saved, protein, table) for protein in proteins}
    there = [Choice("protein", pictures)] if pictures else []
    tables = [table_block(table, "Every score, target and kind of mutant", CORRELATION)] if len(table) else []
    return [*missing, *there, *tables]


def scan_map(protein: str) -> str:
    """Artifact of a protein's map."""
    return f"substitutions/{protein}_map.csv"


def protein_blocks(saved: Saved, protein: str, table: pd.DataFrame) -> list[Block]:
    """What there is of one protein."""
    blocks: list[Block] = []
    if len(table):
        rows = table[(table["protein"].astype(str) == protein) & (table["target"] == MEASURED)]
        blocks += [correlation_chart(protein, rows), beyond_chart(protein, rows)] if len(rows) else []
    scan = f"substitutions/{protein}.csv"
    scored, places = saved.table(scan), saved.table(scan_map(protein))
    missing_scan, missing_map = saved.advice(scan), saved.advice(scan_map(protein))
    blocks.append(Missing("the scored mutants", missing_scan) if scored.empty else scatter_chart(protein, scored, scan))
    blocks.append(Missing("the map", missing_map) if places.empty else map_chart(protein, places, scan_map(protein)))
    return blocks


def labelled(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Rows with the score as a reader names it, and the kinds of mutants among them."""
    labels = [SCORES.get(str(score), literal(named(str(score)))) for score in rows["score"]]
    there = set(rows["mutants"])
    return rows.assign(label=labels), [kind for kind in MUTANTS if kind in there]


def correlation_chart(protein: str, rows: pd.DataFrame) -> Chart:
    """Spearman's correlation of every score with the assay, by kind of mutant."""
    rows, kinds = labelled(rows)
    traces, axis = dodged(rows, "label", kinds, "mutants", Estimates.of("spearman"))
    floor = rows[(rows["score"] == BASELINE) & (rows["mutants"] == "all")]["spearman"].dropna()
    shapes = [vertical(0.0), *(vertical(float(each), colour="@vermillion", dash="dash") for each in floor[:1])]
    height = 130 + 46 * rows["label"].nunique()
    layout = {
        "xaxis": {"title": {"text": "ρ with the assay"}},
        "yaxis": axis,
        "shapes": shapes,
        "legend": legend_below(height),
    }
    counted = rows.drop_duplicates("mutants").set_index("mutants")["n"]
    counts = ", ".join(f"{counted[kind]:,} {kind}" for kind in kinds)
    note = f"Spearman's ρ. Mutants: {counts}. 95% intervals over positions; dashed: BLOSUM62 of all mutants."
    return Chart(f"{protein}: scores against the assay", traces, layout, CORRELATION, note, height)


def beyond_chart(protein: str, rows: pd.DataFrame) -> Chart:
    """The same correlations less that of BLOSUM62."""
    rows, kinds = labelled(rows[~rows["score"].isin([BASELINE, CEILING])])
    traces, axis = dodged(rows, "label", kinds, "mutants", Estimates.of("beyond_baseline"))
    height = 130 + 46 * rows["label"].nunique()
    layout = {
        "xaxis": {"title": {"text": "ρ − ρ of BLOSUM62"}},
        "yaxis": axis,
        "shapes": [vertical(0.0)],
        "legend": legend_below(height),
    }
    note = "Paired: both correlations in the same resamples of positions. Right of the line: better than BLOSUM62."
    return Chart(f"{protein}: what scores add to BLOSUM62", traces, layout, CORRELATION, note, height)


def scatter_chart(protein: str, scored: pd.DataFrame, source: str) -> Chart:
    """Model's score against the measured one; long scans thinned evenly."""
    measured = scored.dropna(subset=[MAIN, MEASURED])
    drawn = measured.iloc[np.unique(np.linspace(0, len(measured) - 1, min(len(measured), MOST_POINTS)).astype(int))]
    traces: list[Trace] = []
    looks = ((drawn["mutations"] == 1, "one substitution", "@blue"), (drawn["mutations"] > 1, "several", "@orange"))
    for chosen, name, colour in looks:
        rows = drawn[chosen]
        if len(rows):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": rows[MAIN].tolist(),
                    "y": rows[MEASURED].tolist(),
                    "text": [literal(mutant) for mutant in rows["mutant"]],
                    "marker": {
                        "color": colour,
                        "size": 5,
                        "opacity": 0.5,
                        "symbol": "circle" if colour == "@blue" else "square",
                    },
                    "hovertemplate": "%{text}<br>model %{x:.2f} nats, measured %{y:.2f}<extra></extra>",
                }
            )
    height = 430
    layout = {
        "xaxis": {"title": {"text": "masked marginal (nats)"}, "zeroline": False},
        "yaxis": {"title": {"text": "measured score (assay's unit)"}, "zeroline": False},
        "shapes": [vertical(0.0)],
        "legend": legend_below(height),
    }
    shown = (
        f"{len(drawn):,} of {len(measured):,} mutants, evenly taken" if len(drawn) < len(measured) else "All mutants"
    )
    note = f"{shown}. Left of the line the model prefers the wild type; marginals of several substitutions are summed."
    return Chart(f"{protein}: model's score and measurement", traces, layout, source, note, height)


def map_chart(protein: str, places: pd.DataFrame, source: str) -> Chart:
    """Every single substitution: the model above, the assay below, on one axis of positions."""
    positions = sorted(places["position"].unique().tolist())
    shown = positions[:MOST_PLACES]
    places = places[places["position"].isin(set(shown))]
    letters = [*RESIDUES, *sorted(set(places["mutant"].astype(str)) - set(RESIDUES))]
    wild = places.drop_duplicates("position").set_index("position")["wild_type"].astype(str)
    values = {
        column: places.pivot(index="mutant", columns="position", values=column).reindex(letters, columns=shown)
        for column in (MAIN, MEASURED)
    }
    measured = values[MEASURED].to_numpy(dtype=float)
    middle = float(np.nanmedian(measured)) if np.isfinite(measured).any() else 0.0
    kinds = ((MAIN, MEASURED, "nats", 0.0, 0.78), (MEASURED, MAIN, "assay", middle, 0.22))
    panels = []
    for column, other, unit, centre, place in kinds:
        heat: Trace = {
            "type": "heatmap",
            "x": shown,
            "z": values[column].to_numpy(dtype=float).tolist(),
            **reach(values[column].to_numpy(dtype=float), centre),
            "customdata": [
                [[literal(f"{wild[at]}{at}{letter}"), told(beside)] for at, beside in zip(shown, row, strict=True)]
                for letter, row in zip(letters, values[other].to_numpy(dtype=float), strict=True)
            ],
            "colorscale": [list(stop) for stop in DIVERGING],
            "colorbar": {"title": {"text": unit}, "thickness": 10, "outlinewidth": 0, "len": 0.46, "y": place},
            "xgap": 0.5,
            "ygap": 0.5,
            "hoverongaps": False,
            "hovertemplate": f"%{{customdata[0]}}: {HOVERED[column]} %{{z:.2f}}, {HOVERED[other]} %{{customdata[1]}}"
            "<extra></extra>",
        }
        dots: Trace = {
            "type": "scatter",
            "mode": "markers",
            "x": shown,
            "y": [letters.index(wild[at]) if wild[at] in letters else None for at in shown],
            "marker": {"color": "@ink", "size": 4},
            "showlegend": False,
            "hoverinfo": "skip",
        }
        own = values[column].to_numpy(dtype=float)
        absent = [(x, y) for y, x in np.argwhere(~np.isfinite(own)).tolist() if wild[shown[x]] != letters[y]]
        crosses: Trace = {
            "type": "scatter",
            "mode": "markers",
            "x": [shown[x] for x, _ in absent],
            "y": [y for _, y in absent],
            "marker": {"color": "@quiet", "size": 5, "symbol": "x-thin", "line": {"color": "@quiet", "width": 1}},
            "showlegend": False,
            "hoverinfo": "skip",
        }
        panels.append(Panel([heat, dots, crosses], f"{HOVERED[column]}: to residue"))
    height = 130 + 26 * len(letters)
    axis = {"title": {"text": "position in the protein"}, "showgrid": False, "zeroline": False, **SPIKES}
    axis["range"] = [shown[0] - 0.5, shown[-1] + 0.5]
    traces, layout = stacked(panels, axis, height)
    ticks = {"tickvals": list(range(len(letters))), "ticktext": [literal(letter) for letter in letters]}
    look = {**ticks, "range": [len(letters) - 0.5, -0.5], "tickfont": {"size": 9}, "showgrid": False, "zeroline": False}
    layout["yaxis"] |= look
    layout["yaxis2"] |= look
    layout["meta"] = {"least": max(LEGIBLE["least"], 9 * len(shown))}
    cut = (
        f" The first {len(shown)} of {len(positions)} positions; the file has all."
        if len(shown) < len(positions)
        else ""
    )
    note = (
        "Point at a substitution to read both values. Dots: the wild type; crosses: not measured. Brown is worse than"
        f" the wild type above, and below the assay's median in the lower map.{cut}"
    )
    return Chart(f"{protein}: every single substitution", traces, layout, source, note, height)


HOVERED = {MAIN: "model", MEASURED: "assay"}
SPIKES = {"showspikes": True, "spikemode": "across", "spikethickness": 1, "spikedash": "dot", "spikecolor": "@quiet"}


def told(value: float) -> str:
    """A number as text, or that there is none."""
    return f"{value:.2f}" if np.isfinite(value) else "not measured"


def score_claims(table: pd.DataFrame) -> list[Claim]:
    """Whether the masked marginal follows the assay, and by how much more than BLOSUM62."""
    if table.empty:
        return []
    rows = table[(table["target"] == MEASURED) & (table["mutants"] == "all")]
    own = rows[rows["score"] == MAIN].dropna(subset=["beyond_baseline_low"])
    if own.empty:
        return []
    beyond = own[own["beyond_baseline_low"] > 0]
    each = "; ".join(
        f"{row['protein']}: Spearman {interval(row['spearman'], row['spearman_low'], row['spearman_high'])}, which is"
        f" {signed(row['beyond_baseline'])}"
        f" [{signed(row['beyond_baseline_low'])}, {signed(row['beyond_baseline_high'])}] against BLOSUM62"
        for row in own.head(4).to_dict("records")
    )
    answer = f"In {len(beyond)} of {len(own)} proteins (masked marginal, all mutants). {each}."
    return [Claim("Does the score follow the assay beyond BLOSUM62?", answer, "yes" if len(beyond) else "no")]


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.2f}".replace("-", "−")
