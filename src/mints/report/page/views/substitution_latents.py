"""Latents of substitutions: what they restore beside their nulls, and whether any of it follows the assay."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, table_block
from mints.report.page.marks import Estimates, dodged, named, vertical
from mints.report.page.panels import legend_below, literal
from mints.report.page.saved import Saved
from mints.report.page.views.attributed_latents import ATTRIBUTIONS, UNIVERSAL, attribution_blocks, universality_chart
from mints.report.page.views.exchanged_latents import (
    BESIDE,
    EFFECTS,
    SETS,
    Study,
    by_direction,
    part,
    sets_chart,
    single_claims,
    singles_chart,
)

ASSAY = "tables/latent_dms.csv"
OF_PROTEINS = ("protein", *BESIDE, "beyond_elsewhere_high")
"""Columns of the effects that latents of substitutions need."""

ALL = "all proteins"
SUBSTITUTIONS = Study(
    pair="mutant",
    unit="positions",
    moved={
        "denoising": "Wild-type latents put into the mutant",
        "noising": "Mutant latents put into the wild type",
    },
    whole="whole effect of the substitution",
    readouts={
        "other_tokens": "log-likelihood of all other residues",
        "hidden_tokens": "log-likelihood of hidden residues",
        "substitution": "log-odds at the substitution",
    },
    itself=("substitution", "the residue's own log-odds"),
    rankings={
        "integrated gradients,": ("by integrated gradients", "@blue", "solid"),
        "matched latents,": ("matched sets", "@quiet", "dash"),
        "change times gradient in the pair,": ("each mutant's own, change × gradient", "@green", "solid"),
        "change in the pair": ("each mutant's own, by change", "@orange", "solid"),
        "random order in the pair": ("each mutant's own, random order", "@quiet", "dot"),
    },
    ranked_for={},
    sets_note="Token identity: what the exchange of these two residues does at other places.",
)


def latent_blocks(saved: Saved) -> dict[str, list[Block]]:
    """Parts of the chapter."""
    sets = saved.table(SETS, "protein")
    return {
        "single latents and sets": part(
            saved, EFFECTS, "effects of latents", lambda table: effect_blocks(table, sets), OF_PROTEINS
        ),
        "latents and the assay": part(saved, ASSAY, "effects of latents against the assay", assay_blocks),
        "concentration": part(
            saved,
            ATTRIBUTIONS,
            "integrated gradients",
            lambda table: attribution_blocks(table, SUBSTITUTIONS),
            ["protein"],
        ),
        "universality": part(saved, UNIVERSAL, "universality", universality_blocks, ["unit"]),
    }


def ordered(names: pd.Series) -> list[str]:
    """Names in their order, all proteins together first."""
    return sorted(dict.fromkeys(names.astype(str)), key=lambda name: name != ALL)


def effect_blocks(effects: pd.DataFrame, sets: pd.DataFrame) -> list[Block]:
    """By site, protein and direction: the largest single latents, and growing sets, of each read-out."""
    by_site: dict[str, list[Block]] = {}
    for site, rows in effects.groupby("site", sort=False):
        own_sets = sets[sets["site"] == site] if len(sets) else sets
        by_site[str(site)] = [
            Choice("protein", {name: protein_blocks(rows, own_sets, name) for name in ordered(rows["protein"])})
        ]
    tables = [table_block(effects, "Every latent, both directions", EFFECTS)]
    tables += [table_block(sets, "Every set", SETS)] if len(sets) else []
    return [Choice("site", by_site), *tables]


def protein_blocks(effects: pd.DataFrame, sets: pd.DataFrame, protein: str) -> list[Block]:
    """Either direction of one protein, or of all together."""
    of_protein = sets[sets["protein"] == protein] if len(sets) else sets

    def draw(rows: pd.DataFrame) -> list[Block]:
        direction = rows["direction"].iloc[0]
        grown = of_protein[of_protein["direction"] == direction] if len(of_protein) else of_protein
        blocks: list[Block] = []
        for readout in SUBSTITUTIONS.of(rows):
            blocks.append(singles_chart(rows[rows["readout"] == readout], readout, SUBSTITUTIONS))
            blocks += sets_chart(grown, readout, SUBSTITUTIONS)
        return blocks

    return [by_direction(effects[effects["protein"] == protein], draw)]


def latent_claims(saved: Saved) -> list[Claim]:
    """Whether any single latent moves what others say by more than all of its nulls, over all proteins together."""
    effects = saved.table(EFFECTS, *OF_PROTEINS)
    if effects.empty:
        return []
    together = effects[effects["protein"] == ALL]
    return single_claims(together if len(together) else effects, SUBSTITUTIONS)


SCORED = {
    "blosum62": "BLOSUM62",
    "wild_type_marginal": "wild-type marginal",
    "masked_marginal": "masked marginal",
    "other position": "the same move<br>elsewhere",
    "largest random direction": "largest random<br>direction",
}


def assay_blocks(table: pd.DataFrame) -> list[Block]:
    """Correlation of each effect with the measured score, by site and protein."""
    by_site: dict[str, list[Block]] = {}
    for site, rows in table.groupby("site", sort=False):
        proteins = {name: assay_charts(rows[rows["protein"] == name]) for name in ordered(rows["protein"])}
        by_site[str(site)] = [Choice("protein", proteins)]
    return [Choice("site", by_site), table_block(table, "Effects of latents against the assay", ASSAY)]


def assay_charts(rows: pd.DataFrame) -> Sequence[Block]:
    """Plain, and given BLOSUM62."""
    axes = {"spearman": "ρ with the assay"}
    axes |= {"partial": "partial ρ, given BLOSUM62"}
    charts = []
    for column, axis_title in axes.items():
        there = rows.dropna(subset=[column])
        if there.empty:
            continue
        there = there.assign(
            label=[SCORED.get(name, literal(named(name))) for name in there["quantity"].astype(str)],
            group=[literal(SUBSTITUTIONS.called(name)) for name in there["readout"]],
        )
        groups = [literal(SUBSTITUTIONS.called(name)) for name in SUBSTITUTIONS.of(there)]
        traces, axis = dodged(there, "label", groups, "group", Estimates.of(column))
        height = 160 + 38 * there["label"].nunique()
        layout = {
            "xaxis": {"title": {"text": axis_title}, "range": [-1.05, 1.05]},
            "yaxis": axis,
            "shapes": [vertical(0.0)],
            "legend": legend_below(height),
        }
        note = (
            f"Spearman's ρ over {there['n'].max()} mutants; 95% intervals over positions."
            " The last rows: the model's scores of these mutants."
        )
        title = "Effects of latents against the assay" + (", given BLOSUM62" if column == "partial" else "")
        charts.append(Chart(title, traces, layout, ASSAY, note, height))
    return charts


def universality_blocks(table: pd.DataFrame) -> list[Block]:
    """How well a residue tells when a widespread latent matters, beside identities dealt out anew."""
    by_unit: dict[str, list[Block]] = {
        f"units: {unit}": [universality_chart(rows, "residue", "units")]
        for unit, rows in table.dropna(subset=["f1", "f1_expected"]).groupby("unit", sort=False)
    }
    pictures: list[Block] = [Choice("unit", by_unit)] if by_unit else []
    return [*pictures, table_block(table, "Latents that matter in many sequences", UNIVERSAL)]
