"""Methods of the evidence on heads: motifs, alignment, enrichment, pairs, patching, criteria and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.report.page.marks import named
from mints.report.page.views.methods_text import Described, Ran, distinct, percent, plural, said, sanity

MOTIF, YIELD = "motif_scoring/{}_motif.json", "tables/counterfactual_yield.csv"
EXAMPLES = "head_examples/{}_heads.csv"
DETECTION, ALARMS, SENSITIVITY = (
    "tables/calibration_detection.csv",
    "tables/calibration_false_positives.csv",
    "tables/calibration_sensitivity.csv",
)


def questions(ran: Ran) -> list[Mapping[str, Any]]:
    """The motif questions that a step was asked."""
    return list(ran.read("motif_questions") or [])


def motif_scoring(ran: Ran) -> list[str]:
    """How sequences were scored."""
    motifs = [ran.saved.value(MOTIF.format(each["name"])) or {} for each in questions(ran)]
    pseudocounts = list(dict.fromkeys(motif["pseudocount"] for motif in motifs if "pseudocount" in motif))
    backgrounds = list(dict.fromkeys(tuple(motif["background"]) for motif in motifs if "background" in motif))
    uniform = all(len(set(background)) == 1 for background in backgrounds)
    return [
        "Every window of every sequence was scored on both strands by log-odds in bits, with exact p-values of one"
        " window on one strand; a token's score is that of the best window that overlaps it.",
        said("A pseudocount of {value} was added per base.", value=pseudocounts),
        "The background is uniform." if backgrounds and uniform else "",
        "Support tokens overlap a site by at least one base.",
    ]


def motif_items(ran: Ran) -> list[str]:
    """One line per motif question."""
    return [motif_item(each, ran.saved.value(MOTIF.format(each["name"])) or {}) for each in questions(ran)]


def motif_item(asked: Mapping[str, Any], motif: Mapping[str, Any]) -> str:
    """What a motif is, and where its sites are."""
    name, task = named(str(asked["name"])), named(str(asked["task"]))
    if asked.get("motif"):
        known = f"JASPAR {asked['motif']}" + (f" ({motif['name']})" if motif.get("name") else "")
        sites = said(
            "sites are windows of at least {bits} bits (p ≤ {p})",
            bits=round(motif["threshold_bits"], 2) if "threshold_bits" in motif else None,
            p=float(f"{motif['threshold_p']:.2g}") if "threshold_p" in motif else None,
        )
    else:
        at = motif.get("anchor", asked.get("anchor"))
        known = f"the site that begins at base {at} (0-based) of every positive sequence"
        sites = "its matrix is estimated from the training positives"
    parts = [f"{name}: {known}", said("{width} bases", width=motif.get("width")), f"in the task {task}", sites]
    return "; ".join(filter(None, parts))


def qk_alignment(ran: Ran) -> list[str]:
    """Key scores against motif scores."""
    cap = ran.read("max_qk_alignment_sequences")
    return [
        "For every head the key score of a token is the mean over all other tokens' queries of the model's pre-softmax"
        " score; r is its Pearson correlation with the motif score over tokens, both centred within their sequence.",
        said("At most {cap} sequences a motif were used, in equal shares from both labels.", cap=cap),
        "Intervals resample clusters; p is of Fisher's z, corrected over all heads of a motif (Holm for the criterion,"
        " Benjamini–Hochberg for q).",
        said("{count} motifs of permuted columns are the null, from the same pass.", count=ran.read("permuted_motifs")),
        "The same was measured for a randomly initialised model and for sequences shuffled with their dinucleotide"
        " counts kept; a layer's ceiling is the cross-validated correlation of the best linear reading of its input.",
    ]


def attention_enrichment(ran: Ran) -> list[str]:
    """Attention to support tokens against matched background."""
    return [
        "ρ is the mean attention that support tokens receive over that of their background: tokens that overlap no"
        " site,"
        " of the same length, matched without replacement by local GC content and distance to the sequence's end.",
        "It stems from the same forward pass, sequences, resamples and permuted motifs as the alignment.",
    ]


def counterfactuals(ran: Ran) -> list[str]:
    """Pairs whose motif is destroyed."""
    return [
        "In test positives the motif was destroyed by the fewest substitutions that leave no site, make no new one, and"
        " keep every token boundary; of equally few, those that change GC least.",
        said("At most {cap} pairs a motif were made.", cap=ran.read("max_patching_pairs")),
        "A control carries as many substitutions at a random place away from every site.",
    ]


def pair_items(ran: Ran) -> list[str]:
    """How many pairs each motif gave."""
    table = ran.table(YIELD)
    return [yield_item(row) for row in table.to_dict("records")] if "set" in table else []


def yield_item(row: Mapping[Any, Any]) -> str:
    """Pairs of one set: of how many sequences."""
    tried = plural(int(row["tried"]), "sequence") if pd.notna(row.get("tried")) else None
    with_site = int(row["with_site"]) if pd.notna(row.get("with_site")) else None
    parts = [
        f"{named(str(row['question']))}, {row['set']}: {plural(int(row['accepted']), 'pair')}",
        said("of {tried} that were tried", tried=tried),
        said("{count} of them with a site", count=with_site),
    ]
    return ", ".join(filter(None, parts))


def causal_intervention(ran: Ran) -> list[str]:
    """Patching of all components."""
    return [
        "Residual stream, attention outputs, feed-forward outputs, single heads and windows of nucleotides were patched"
        " between the clean and the corrupted sequence of each pair, both ways (denoising, noising).",
        "The read-out is the logit of the task's probe, at the layer that validation chose; PM is the summed change by"
        " the patch over the summed effect of the edit, with intervals over clusters.",
        "Nulls beside every head are the activation of another pair's corrupted sequence, and control edits.",
        sanity(ran),
    ]


def evidence(ran: Ran) -> list[str]:
    """The registered criteria."""
    r, p, rho, pm = (ran.read(f"registered.{name}") for name in ("qk_r", "qk_p", "enrichment", "restoration"))
    return [
        "A head is called a motif detector where three criteria hold for the same motif; their thresholds were"
        " registered"
        " before any result.",
        said(
            "Aligned: r ≥ {r}, Holm's p < {p}, positive with position held fixed, and above the permuted motifs.",
            r=r,
            p=p,
        ),
        said(
            "Enriched: ρ ≥ {rho}, Holm's p < {p}, interval above 1, beyond what position alone gives, and above the"
            " permuted"
            " motifs.",
            rho=rho,
            p=p,
        ),
        said(
            "Restored: lower bound of PM ≥ {pm} with denoising, where the edit has an effect, and more than both"
            " nulls.",
            pm=pm,
        ),
    ]


def head_examples(ran: Ran) -> list[str]:
    """The sample that is shown, which no verdict uses."""
    tables = [ran.table(EXAMPLES.format(each["name"])) for each in questions(ran)]
    counts = sorted({int(count) for table in tables for count in distinct(table, "sequences")})
    return [
        "For display alone, single tokens of every head and a few sequences with their attention were saved.",
        said("The display uses {count} sequences a motif, drawn from those of the alignment.", count=counts),
    ]


def calibration(ran: Ran) -> list[str]:
    """Planted heads and nulls."""
    alarms, sensitivity, detection = (ran.table(name) for name in (ALARMS, SENSITIVITY, DETECTION))
    planted = [int(count) for count in distinct(detection, "planted")]
    power = [percent(share) for share in distinct(sensitivity, "power")]
    return [
        said("What the criteria could have seen was measured for the motif {name}.", name=name_of(ran)),
        "In the place of a head a detector was written into the weights, whose key and value read the layer's ridge"
        " direction of the motif score and which writes along the probe's direction; the evidence then ran as it is.",
        said("Strengths: {strengths}.", strengths=ran.read("calibration_strengths")),
        said("Heads planted per strength, one at a time: {planted}.", planted=planted),
        said(
            "A trial used at most {sequences} sequences and {pairs} pairs.",
            sequences=ran.read("calibration_sequences"),
            pairs=ran.read("calibration_pairs"),
        ),
        said("Sensitivity is the strength from which on at least {power} were found.", power=power),
        said(
            "Nulls, each with {count} replicates that test all heads: {nulls}.",
            count=ran.read("calibration_replicates"),
            nulls=distinct(alarms, "null"),
        ),
        "Detection rates have exact (Clopper–Pearson) intervals.",
    ]


def name_of(ran: Ran) -> str | None:
    """The motif that was calibrated."""
    name = ran.read("calibration_question")
    return named(str(name)) if name else None


HEADS: Mapping[str, Described] = {
    "motif_scoring": Described("Motifs", motif_scoring, ("Motif support",), motif_items),
    "qk_alignment": Described("QK alignment", qk_alignment, ("QK alignment",)),
    "attention_enrichment": Described("Attention enrichment", attention_enrichment, ("Attention enrichment",)),
    "counterfactuals": Described("Counterfactual pairs", counterfactuals, ("Counterfactual pairs",), pair_items),
    "systematic_causal_intervention": Described("Activation patching", causal_intervention, ("Activation patching",)),
    "evidence": Described("Registered criteria", evidence, ("Evidence",)),
    "head_examples": Described("Examples", head_examples, ("Attention enrichment",)),
    "calibration": Described("Calibration", calibration, ("Calibration",)),
}
"""Steps of the genomic study that are told here."""
