"""Reads and pairs of a basecaller: what is called of whole reads, and the signal that is patched."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, Text, View, table_block
from mints.report.page.marks import LEGIBLE, Shape, Trace, horizontal, interval, named
from mints.report.page.panels import SEQUENTIAL, capital, legend_below, literal
from mints.report.page.saved import Saved
from mints.report.page.views.basecaller_pairs import SIGNAL, pair_choice

READS, SUMMARY, LENGTHS = (
    "tables/read_identity.csv",
    "tables/read_identity_summary.csv",
    "tables/homopolymer_lengths.csv",
)
PAIRS, COUNTS = "tables/signal_pairs.csv", "tables/signal_pair_counts.csv"

REFUSED = "refused_"
MOST_READS, MOST_LENGTH = 2000, 20
"""Reads in the figure, and the longest run in the map."""

SPLITS = {"validation": ("@blue", "circle"), "test": ("@orange", "diamond")}


def basecaller_reads(saved: Saved) -> View:
    """Identity, run lengths, and pairs of current."""
    reads, summary, lengths, pairs, counts = (saved.table(name) for name in (READS, SUMMARY, LENGTHS, PAIRS, COUNTS))
    blocks: list[Block] = []
    if summary.empty:
        blocks.append(Missing("the identity of reads", saved.advice(SUMMARY)))
    else:
        blocks.append(Text([capital(statement(row)) for row in summary.to_dict("records")]))
    if reads.empty:
        blocks.append(Missing("what was called of every read", saved.advice(READS)))
    else:
        known = reads.dropna(subset=["identity"])
        blocks += [identity_chart(known, summary)] if len(known) else []
        blocks.append(table_block(reads, "Every read", READS))
    blocks += [Missing("run lengths", saved.advice(LENGTHS))] if lengths.empty else length_blocks(lengths)
    blocks += [Missing("the counts of pairs", saved.advice(COUNTS))] if counts.empty else count_blocks(counts)
    if pairs.empty or not saved.has(SIGNAL):
        blocks.append(Missing("pairs of current", saved.advice(PAIRS, SIGNAL)))
    else:
        blocks.append(pair_choice(pairs, saved.arrays(SIGNAL)))
    question = "How well does the model call whole reads and their homopolymers, and which pairs of signal are patched?"
    return View("reads", "Reads and pairs", question, blocks, claims(summary))


def statement(row: Mapping[Hashable, Any]) -> str:
    """What is known of the reads of one domain."""
    known = f"{row['domain']}: {row['reads']} reads, {row['called_bases']:,} called bases"
    if not row["has_truth"]:
        return f"{known}. No identity can be given, and what is called is no measure of the model."
    rates = ", ".join(f"{name} {row[f'{name}_rate']:.1%}" for name in ("mismatches", "insertions", "deletions"))
    right = row["homopolymers_right"]
    runs = "" if pd.isna(right) else f"; {right:.0%} of the runs of three bases or more are called at their length"
    return f"{known}, identity {interval(row['identity'], row['low'], row['high'], 3)}; {rates}{runs}."


def claims(summary: pd.DataFrame) -> list[Claim]:
    """Identity, where there is a truth."""
    if summary.empty:
        return []
    told = " ".join(capital(statement(row)) for row in summary.to_dict("records"))
    return [
        Claim("Can the calls be checked against true sequences?", told, "yes" if summary["has_truth"].any() else "open")
    ]


def identity_chart(reads: pd.DataFrame, summary: pd.DataFrame) -> Chart:
    """Every read with a truth, from the worst to the best, beside the identity of all."""
    ranked = reads.sort_values("identity").reset_index(drop=True).assign(rank=lambda rows: np.arange(1, len(rows) + 1))
    shown = ranked.iloc[np.unique(np.linspace(0, len(ranked) - 1, MOST_READS).astype(int))]
    traces: list[Trace] = []
    for split, rows in shown.groupby("split", sort=False):
        colour, symbol = SPLITS.get(str(split), ("@purple", "square"))
        told = [literal(f"{row.read}: {row.called_bases} of {row.true_bases:g} bases") for row in rows.itertuples()]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": literal(split),
                "x": rows["rank"].tolist(),
                "y": rows["identity"].tolist(),
                "text": told,
                "marker": {"color": colour, "symbol": symbol, "size": 7},
                "hovertemplate": "%{text}<br>identity %{y:.3f}<extra>%{fullData.name}</extra>",
            }
        )
    shapes: list[Shape] = []
    for row in summary[summary["has_truth"]].to_dict("records") if len(summary) else []:
        ends = {"y0": row["low"], "y1": row["high"], "x0": 0, "x1": 1, "xref": "paper"}
        look = {"fillcolor": "@quiet", "opacity": 0.18, "line": {"width": 0}, "layer": "below"}
        shapes += [{"type": "rect", **ends, **look}, horizontal(row["identity"], dash="dash")]
    layout = {
        "xaxis": {"title": {"text": "read, from the worst to the best"}},
        "yaxis": {"title": {"text": "identity (matches / columns)"}, "tickformat": ".3~f"},
        "shapes": shapes,
        "legend": legend_below(360),
    }
    sampled = f" {len(shown):,} of {len(ranked):,} reads, evenly by rank." if len(shown) < len(ranked) else ""
    note = f"Dashed: matches over columns of all reads; shaded: its 95% interval over reads.{sampled}"
    return Chart("Identity of every read", traces, layout, READS, note)


def length_blocks(lengths: pd.DataFrame) -> list[Block]:
    """Called against true run lengths, of all bases and of each; without a truth, the called lengths alone."""
    known = lengths.dropna(subset=["length"])
    if known.empty:
        return [called_chart(lengths)]
    options: dict[str, list[Block]] = {"all bases": [length_map(known, "all bases")]}
    options |= {str(base): [length_map(rows, str(base))] for base, rows in known.groupby("base")}
    return [Choice("base", options), table_block(lengths, "Called run lengths", LENGTHS)]


def length_map(rows: pd.DataFrame, base: str) -> Chart:
    """Runs by true and called length; the colour is the share among runs of the same true length."""
    within = rows[(rows["length"] <= MOST_LENGTH) & (rows["called"] <= MOST_LENGTH)]
    counts = within.pivot_table(index="called", columns="length", values="count", aggfunc="sum", fill_value=0)
    last = int(max(counts.index.max(), counts.columns.max()))
    counts = counts.reindex(index=range(last + 1), columns=range(1, last + 1), fill_value=0)
    totals = rows.groupby("length")["count"].sum().reindex(counts.columns, fill_value=0).to_numpy()
    shares = counts.to_numpy() / np.where(totals > 0, totals, 1)
    trace = {
        "type": "heatmap",
        "x": counts.columns.tolist(),
        "y": counts.index.tolist(),
        "z": np.where(counts.to_numpy() > 0, shares, np.nan).tolist(),
        "text": [[f"{count:,}" if count else "" for count in row] for row in counts.to_numpy().tolist()],
        "customdata": np.broadcast_to(totals, counts.shape).tolist(),
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorscale": [list(stop) for stop in SEQUENTIAL],
        "colorbar": {"title": {"text": "share"}, "tickformat": ".0%", "thickness": 10, "outlinewidth": 0},
        "hovertemplate": "true length %{x}, called %{y}: %{text} of %{customdata} runs (%{z:.1%})<extra></extra>",
    }
    diagonal: Shape = {"type": "line", "x0": 0.5, "x1": last + 0.5, "y0": 0.5, "y1": last + 0.5}
    diagonal["line"] = {"color": "@vermillion", "dash": "dot", "width": 1.2}
    layout = {
        "meta": LEGIBLE,
        "xaxis": {"title": {"text": "true run length (bases)"}, "dtick": 1, "showgrid": False, "zeroline": False},
        "yaxis": {"title": {"text": "called run length (bases)"}, "dtick": 1, "showgrid": False, "zeroline": False},
        "shapes": [diagonal],
    }
    beyond = int(rows["count"].sum() - within["count"].sum())
    longer = f" {beyond:,} runs longer than {MOST_LENGTH} are in the table." if beyond else ""
    note = f"Numbers count runs; colours are shares of the runs of the same true length; dotted: called right.{longer}"
    return Chart(f"Called against true run lengths: {literal(base)}", [trace], layout, LENGTHS, note, 460)


def called_chart(lengths: pd.DataFrame) -> Chart:
    """How often runs of each length are called, where no truth is known."""
    traces = [
        {"type": "bar", "name": literal(base), "x": rows["called"].tolist(), "y": rows["count"].tolist()}
        for base, rows in lengths.groupby("base")
    ]
    layout = {
        "xaxis": {"title": {"text": "called run length (bases)"}},
        "yaxis": {"title": {"text": "runs"}, "type": "log"},
        "legend": legend_below(360),
    }
    return Chart(
        "Called run lengths", traces, layout, LENGTHS, "No true sequence is known: nothing says what is right."
    )


def count_blocks(counts: pd.DataFrame) -> list[Block]:
    """Pairs of each kind, how many of them change the call, and the places that were refused."""
    refused = counts["what"].astype(str).str.startswith(REFUSED)
    made, rest = counts[~refused], counts[refused]
    labels = [literal(named(str(what))) for what in made["what"]]
    changed = made["call_changed"].fillna(0)
    bars = (("call changed", changed, "@blue"), ("call unchanged", made["count"] - changed, "@orange"))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": values.tolist(),
            "y": labels,
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x}<extra>%{fullData.name}</extra>",
        }
        for name, values, colour in bars
    ]
    height = 140 + 26 * len(made)
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "pairs"}},
        "yaxis": {"autorange": "reversed"},
        "legend": {**legend_below(height), "traceorder": "normal"},
    }
    note = "A pair whose call does not change has nothing that calls could tell apart."
    blocks: list[Block] = [Chart("Pairs of each kind", traces, layout, COUNTS, note, height)]
    if len(rest):
        reasons = rest["what"].astype(str).str.removeprefix(REFUSED).map(named)
        table = pd.DataFrame({"reason": reasons, "places": rest["count"]})
        blocks.append(table_block(table, "Places refused", COUNTS))
    return blocks
