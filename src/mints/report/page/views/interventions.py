"""What latents do: substitutions at motif sites, latents exchanged between pairs, and what they know of the letters."""

from __future__ import annotations

import pandas as pd

from mints.report.page.blocks import EXPLORATORY, Block, Choice, Claim, Table, Tone, View, table_block
from mints.report.page.marks import interval
from mints.report.page.saved import Saved
from mints.report.page.views.attributed_latents import ATTRIBUTIONS, UNIVERSAL, attribution_blocks, universality_chart
from mints.report.page.views.exchanged_latents import (
    BESIDE,
    CHANGED,
    EFFECTS,
    SETS,
    SIGNIFICANT,
    Study,
    by_direction,
    part,
    sets_chart,
    single_claims,
    singles_chart,
)
from mints.report.page.views.motif_substitutions import MADE_BY, SUMMARY, substitution_blocks, substitution_claims

PAIRS = Study(
    pair="pair",
    unit="sequence clusters",
    moved={
        "denoising": "Latents of the clean sequence put into the corrupted one",
        "noising": "Latents of the corrupted sequence put into the clean one",
    },
    whole="whole effect of the edit",
    readouts={
        "probe": "probe's logit",
        "probe_elsewhere": "probe's logit from unchanged tokens",
        "other_tokens": "log-likelihood of unchanged tokens",
        "substitution": "log-odds at the changed tokens",
    },
    itself=("substitution", "the changed tokens' own log-odds"),
    rankings={
        "integrated gradients,": ("by integrated gradients", "@blue", "solid"),
        "change times gradient,": ("by change × gradient", "@green", "solid"),
        "change": ("by change", "@orange", "solid"),
        "matched latents,": ("matched sets", "@quiet", "dash"),
    },
    ranked_for={"probe_elsewhere": "probe", "other_tokens": "substitution"},
    sets_note="Moved at the changed tokens; ranked on pairs of other clusters. Matched sets: latents of like length of"
    " move and firing frequency.",
)
BY_GRADIENTS, MATCHED = "integrated gradients,", "matched latents,"
FEW = 16
"""Latents of the sets that a claim looks at, or the next smaller size that was run."""


def interventions(saved: Saved) -> View:
    """One part per artifact of the step that intervenes."""
    effects = saved.table(EFFECTS, *BESIDE)
    sets, summary, universal = (saved.table(name) for name in (SETS, SUMMARY, UNIVERSAL))
    parts: dict[str, list[Block]] = {
        "substitutions": substitution_blocks(saved),
        "single latents": [*part(saved, EFFECTS, "effects of single latents", single_blocks, BESIDE), *checks(saved)],
        "sets of latents": part(saved, SETS, "effects of sets of latents", set_blocks),
        "integrated gradients": part(
            saved, ATTRIBUTIONS, "integrated gradients", lambda table: attribution_blocks(table, PAIRS)
        ),
        "universality": part(saved, UNIVERSAL, "universality", universality_blocks),
    }
    question = (
        "What does a substitution in a motif do to the model, through which latents, and do these know more than the"
        " letters that they sit on?"
    )
    claims = [
        *substitution_claims(summary),
        *single_claims(effects, PAIRS),
        *set_claims(sets),
        *universality_claims(universal),
    ]
    return View("interventions", "What latents do", question, [Choice("part", parts)], claims)


def single_blocks(effects: pd.DataFrame) -> list[Block]:
    """By site, direction and read-out: the largest single latents."""

    def draw(rows: pd.DataFrame) -> list[Block]:
        return [singles_chart(rows[rows["readout"] == name], name, PAIRS) for name in PAIRS.of(rows)]

    sites: dict[str, list[Block]] = {
        str(site): [by_direction(rows, draw)] for site, rows in effects.groupby("site", sort=False)
    }
    return [Choice("site", sites), table_block(effects, "Every latent, both directions", EFFECTS)]


def set_blocks(sets: pd.DataFrame) -> list[Block]:
    """By site, direction and read-out: growing sets, beside matched ones, all latents and the error."""

    def draw(rows: pd.DataFrame) -> list[Block]:
        return [chart for name in PAIRS.of(rows) for chart in sets_chart(rows, name, PAIRS)]

    sites: dict[str, list[Block]] = {
        str(site): [by_direction(rows, draw)] for site, rows in sets.groupby("site", sort=False)
    }
    return [Choice("site", sites), table_block(sets, "Every set", SETS)]


def checks(saved: Saved) -> list[Block]:
    """What the step found of its own correctness."""
    found = list(saved.account.get("facts", {}).get(MADE_BY, {}).get("sanity", {}).items())
    note = "Over all pairs; each has to be 0."
    return (
        [Table("Checks of the exchange itself", ["check", "value"], found, "pipeline_run.json", note)] if found else []
    )


def universality_blocks(table: pd.DataFrame) -> list[Block]:
    """By read-out: how well base, three bases and token tell when a widespread latent matters."""
    there = table.dropna(subset=["f1", "f1_expected"])
    pictures: dict[str, list[Block]] = {
        PAIRS.called(name): [universality_chart(there[there["readout"] == name], "", "sequences")]
        for name in PAIRS.of(there)
    }
    drawn: list[Block] = [Choice("read-out", pictures)] if pictures else []
    return [*drawn, table_block(table, "Latents that matter in at least half of the sequences", UNIVERSAL)]


def set_claims(sets: pd.DataFrame) -> list[Claim]:
    """Whether few latents restore more than matched ones, of what there is to restore."""
    if sets.empty:
        return []
    chosen = (sets["tokens"] == CHANGED) & (sets["direction"] == "denoising") & (sets["readout"] != PAIRS.itself[0])
    rows = sets[chosen & ((sets["effect_low"] > 0) | (sets["effect_high"] < 0))]
    told, leading, asked = [], 0, 0
    for (site, readout), own in rows.groupby(["site", "readout"], sort=False):
        ranked = PAIRS.ranked_for.get(str(readout), readout)
        by_gradients = own[(own["ranking"] == f"{BY_GRADIENTS} {ranked}") & (own["size"] <= FEW)]
        if by_gradients.empty:
            continue
        few = by_gradients.sort_values("size").iloc[-1]
        beside = own[(own["ranking"] == f"{MATCHED} {ranked}") & (own["size"] == few["size"])]
        error = own[own["ranking"] == "error alone"]
        asked += 1
        leading += int(len(beside) > 0 and few["pm_low"] > beside["pm_high"].max())
        others = [("matched sets", beside), ("the dictionary's error", error)]
        shares = "".join(f", {name} {share(each.iloc[0])}" for name, each in others if len(each))
        effect = interval(few["effect"], few["effect_low"], few["effect_high"])
        told.append(f"{PAIRS.called(readout)} ({effect} nats): {few['size']} latents of {site} {share(few)}{shares}")
    question = "Do few latents together restore more of the edit's effect than matched ones?"
    if not told:
        answer = "the whole effect of the edit holds 0 in every read-out: there is hardly anything to restore."
        return [Claim(question, f"{EXPLORATORY}{answer}", "open")]
    tone: Tone = "yes" if leading == asked else "open" if leading else "no"
    count = f"beyond matched sets in {leading} of {asked} read-outs that the edit changes"
    return [Claim(question, f"{EXPLORATORY}{count}. Share restored of {'; of '.join(told)}.", tone)]


def share(row: pd.Series) -> str:
    """The share restored, with its interval."""
    return interval(row["pm"], row["pm_low"], row["pm_high"])


def universality_claims(table: pd.DataFrame) -> list[Claim]:
    """Whether the letters of the wild type tell when a widespread latent matters."""
    rows = table[table["q"].notna() & table["f1"].notna()] if len(table) else table
    if rows.empty:
        return []
    counts = [
        f"by {kind} {int((own['q'] <= SIGNIFICANT).sum())} of {len(own)}"
        for kind, own in rows.groupby("identity_kind", sort=False)
    ]
    found = rows[rows["q"] <= SIGNIFICANT].sort_values("f1", ascending=False)
    best = "".join(
        f". Best: F{row['latent']} of {row['site']} where the {row['identity_kind']} is {row['identity']}, F1"
        f" {row['f1']:.2f} on other sequences (by chance {row['f1_expected']:.2f})"
        for row in found.head(1).to_dict("records")
    )
    answer = f"latents that matter in half of the sequences: q ≤ {SIGNIFICANT} {', '.join(counts)}{best}."
    question = "Do letters tell when a widespread latent matters?"
    return [Claim(question, f"{EXPLORATORY}{answer}", "yes" if len(found) else "no")]
