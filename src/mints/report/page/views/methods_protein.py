"""Methods of the protein study: sentences per step, beside those of the feature suite."""

from __future__ import annotations

from collections.abc import Mapping

from mints.report.page.views.methods_text import (
    Described,
    Ran,
    distinct,
    file_name,
    percent,
    plural,
    said,
    sanity,
    sentence,
    sites,
)

PROTEINS, SCORES, PROBES = "tables/proteins.csv", "tables/dms_correlation.csv", "tables/behaviour_probes.csv"
PLANTED = "tables/planted_circuit_detection.csv"
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
TARGETS = {"DMS_score": "the assay's score", "truth": "the simulated truth"}
MODEL_SCORES = ("wild_type_marginal", "masked_marginal", "joint_masked_marginal", "position_mean")


def simulate_proteins(ran: Ran) -> list[str]:
    """The simulated proteins."""
    simulation = ran.read("simulation") or {}
    seed = simulation.get("seed")
    return [
        "Proteins, annotation and mutational scans were simulated, with domains and segments whose places are known.",
        sentence(
            said("There are {count} proteins", count=simulation.get("proteins")),
            said(" (seed {seed})", seed=None if seed is None else str(seed)),
        ),
    ]


def ingest_proteins(ran: Ran) -> list[str]:
    """Proteins, clusters and splits."""
    read, long = ran.fact("proteins_read"), ran.fact("proteins_left_out_as_too_long")
    table = ran.table(PROTEINS)
    splits = [
        f"{int(row['proteins']):,} {SPLITS.get(row['split'], row['split'])} proteins in"
        f" {plural(int(row['clusters']), 'cluster')}"
        for row in table.to_dict("records")
    ]
    return [
        sentence(
            said("{read} proteins", read=read),
            said(" of {file}", file=file_name(ran.read("proteins"))),
            " were read",
            said(
                "; {long} longer than {limit} residues were left out",
                long=long or None,
                limit=ran.read("max_protein_length"),
            ),
        ),
        "Proteins that share more words of residues than a limit are near copies and form one cluster; whole clusters"
        " were split at random.",
        said(
            "Shares of the clusters: validation {validation}, test {test}.",
            validation=percent(ran.read("validation_share")),
            test=percent(ran.read("test_share")),
        ),
        said(
            "{count} clusters with a near copy of a scanned protein were put into the test set whatever was drawn.",
            count=ran.fact("clusters_kept_for_test_because_of_scans") or None,
        ),
        said("That gives {splits}.", splits=splits),
    ]


def scan_items(ran: Ran) -> list[str]:
    """One line per scan: what was read of it."""
    items = []
    for scan in ran.read("scans") or []:
        facts = ran.fact(f"scan {scan['name']}") or {}
        refused = sum((facts.get("refused") or {}).values())
        parts = [
            str(scan["name"]),
            said("{count} residues", count=facts.get("residues")),
            said(
                "{singles} single and {multiple} multiple mutants",
                **{name: facts.get(name) for name in ("singles", "multiple")},
            ),
            said("{count} rows left out", count=refused or None),
        ]
        items.append(", ".join(filter(None, parts)))
    return items


def substitution_effects(ran: Ran) -> list[str]:
    """Scores of mutants against the assay."""
    known = distinct(ran.table(SCORES), "score")
    scores = [name.replace("_", " ") for name in known if name in MODEL_SCORES]
    targets = [TARGETS.get(name, name) for name in distinct(ran.table(SCORES), "target")]
    return [
        said("Every mutant was scored by {scores} of the model's residue probabilities.", scores=scores),
        said("Scores were correlated (Spearman) with {targets}.", targets=targets),
        "Beside them stand a randomly initialised model of the same shape, BLOSUM62 and hydrophobicity, which need no"
        " model.",
        "The unit of resampling is the position; a mutant counts by the product of its positions' draws.",
    ]


def substitution_latents(ran: Ran) -> list[str]:
    """Latents exchanged between wild type and mutant."""
    traced = ran.fact("mutations traced") or {}
    counts = [f"{count:,} of {name}" for name, count in traced.items()]
    return [
        said(
            "Latents at {sites} were exchanged at the mutated residue between wild type and mutant, one at a time and"
            " in"
            " sets, the autoencoder's error kept.",
            sites=sites(ran.read("features.sites")),
        ),
        said("Substitutions, drawn evenly over strata of the assay's score: {counts}.", counts=counts),
        "Half of the positions rank latents, the others report; intervals resample positions within a protein.",
        "Read-outs are the substitution's own log-odds, all other residues, and others that are hidden on both sides.",
        "Nulls are matched latents, random directions, the same move at another residue, and what the exchange of the"
        " two residues does elsewhere.",
        sanity(ran),
    ]


def behaviour_probes(ran: Ran) -> list[str]:
    """Behaviours, decoys and probes."""
    return [
        "Each stretch of a behaviour has a decoy: a stretch of equal length in a protein of the same split without the"
        " annotation, the nearest in mean hydropathy.",
        said("The caliper was {caliper} on the scale of Kyte and Doolittle.", caliper=ran.read("decoy_caliper")),
        "A logistic regression on the mean of the last layer's residual stream over the positions was fitted to tell"
        " them"
        " apart; its penalty was chosen on validation. Floors are hydropathy, composition, and composition with"
        " flanks.",
    ]


def behaviour_items(ran: Ran) -> list[str]:
    """One line per behaviour: stretches with a decoy, by split."""
    table = ran.table(PROBES)
    items = []
    for behaviour in ran.read("behaviours") or []:
        counts = ran.fact(f"proteins with {behaviour['kind']} and with a matched decoy") or {}
        matched = [f"{part['matched']:,} of {part['annotated']:,} {SPLITS[split]}" for split, part in counts.items()]
        rows = table[table["behaviour"] == behaviour["name"]] if len(table) else table
        used = [f"{int(rows[f'n_{split}'].iloc[0]):,} {name}" for split, name in SPLITS.items()] if len(rows) else []
        parts = [
            f"{behaviour['name']}: {behaviour['kind']}",
            said("the first {first} residues", first=behaviour.get("first")),
            said("matched decoys for {matched} stretches", matched=matched),
            said("the probe had {used} rows, half of them decoys", used=used),
        ]
        items.append("; ".join(filter(None, parts)))
    return items


def behaviour_circuits(ran: Ran) -> list[str]:
    """Circuits of latents behind a behaviour."""
    names = [str(behaviour["name"]) for behaviour in ran.read("behaviours") or []]
    ablated = [
        f"{count:,} for {name}"
        for name in names
        if (count := ran.fact(f"{name}: latents that were ablated")) is not None
    ]
    detection = ran.table(PLANTED)
    return [
        said(
            "Circuits of latents at {sites} behind the behaviours {names} were traced on at most {count} validation"
            " stretches and measured on as many test stretches, half of them decoys.",
            sites=sites(ran.read("features.sites")),
            names=names,
            count=ran.read("features.circuit_sequences"),
        ),
        "Nodes were ablated, read and counted at the named residues alone, to their means over training proteins.",
        said("Latents that were ablated: {ablated}.", ablated=ablated),
        "p holds an edge against random latents of like firing frequency and strength; intervals resample clusters.",
        said(
            "Circuits of strengths {strengths} were planted into the weights, {planted} at each, and traced likewise.",
            strengths=[float(strength) for strength in distinct(detection, "strength")],
            planted=[int(count) for count in distinct(detection, "planted")],
        ),
    ]


PROTEIN: Mapping[str, Described] = {
    "simulate_proteins": Described("Simulated proteins", simulate_proteins, ("The simulated proteins",)),
    "ingest_proteins": Described("Proteins and splits", ingest_proteins, ("Proteins, clusters and splits",)),
    "substitution_effects": Described("Mutational scans", substitution_effects, ("Mutational scans",), scan_items),
    "substitution_latents": Described(
        "Latents of substitutions", substitution_latents, ("Latents of substitutions", "Effects of latents")
    ),
    "behaviour_probes": Described("Behaviours", behaviour_probes, ("Behaviours of protein models",), behaviour_items),
    "feature_circuits": Described(
        "Circuits of behaviours", behaviour_circuits, ("Behaviours of protein models", "Feature circuits")
    ),
}
"""Steps of the protein study, beside those of the feature suite."""
