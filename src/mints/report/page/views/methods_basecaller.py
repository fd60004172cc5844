"""Methods of the basecaller study: sentences per step."""

from __future__ import annotations

from collections.abc import Mapping

from mints.report.page.marks import named
from mints.report.page.views.methods_text import Described, Ran, distinct, file_name, percent, said, sanity, sentence

READS, IDENTITY, COUNTS = "tables/reads.csv", "tables/read_identity_summary.csv", "tables/signal_pair_counts.csv"
PAIRS = "tables/signal_pairs.csv"
DETECTION, NULLS, SENSITIVITY = (
    "tables/basecaller_calibration.csv",
    "tables/basecaller_calibration_nulls.csv",
    "tables/basecaller_sensitivity.csv",
)
SOURCES = {"simulated": "simulated pairs", "read": "pairs of reads whose sequence only the model tells"}
WAYS = {
    "model": "as the model says",
    "quantile": "by each read's own quantiles",
    "med_mad": "by each read's median and median absolute deviation",
}


def simulate_signal(ran: Ran) -> list[str]:
    """Reads whose truth is known."""
    simulation = ran.read("simulation") or {}
    seed = simulation.get("seed")
    return [
        "Current was simulated from a table of levels by k-mer, so that every read's sequence is known.",
        sentence(
            said(
                "There are {reads} reads of {bases} bases",
                **{name: simulation.get(name) for name in ("reads", "bases")},
            ),
            said(" (seed {seed})", seed=None if seed is None else str(seed)),
        ),
    ]


def ingest_signal(ran: Ran) -> list[str]:
    """Reads, trimming and normalisation."""
    reads = ran.table(READS)
    counts = [f"{int((reads['split'] == split).sum()):,} {split}" for split in distinct(reads, "split")]
    return [
        sentence(
            said("{count} reads", count=len(reads) or None),
            said(" of {file}", file=file_name(ran.read("reads"))),
            said(" were used ({counts})", counts=counts),
        ),
        said("Sample rates, per second: {rates}.", rates=[int(rate) for rate in distinct(reads, "sample_rate")]),
        said("Current was normalised {way}.", way=WAYS.get(str(ran.read("normalisation")))),
        "The open pore before the strand was trimmed, of reads without a known sequence." if ran.read("trim") else "",
        said("At most {cap} samples of each read were used.", cap=ran.read("max_read_samples")),
        said("{count} reads were too short and left out.", count=ran.fact("reads_too_short") or None),
    ]


def read_identity(ran: Ran) -> list[str]:
    """Calls against the truth."""
    return [
        said(
            "Reads were called in chunks of {size} samples that share {overlap}.",
            size=ran.read("chunk_samples"),
            overlap=ran.read("chunk_overlap"),
        ),
        "Identity is matches over columns of the best global alignment to the true sequence, of reads that have one;"
        " intervals resample reads.",
    ]


def signal_pairs(ran: Ran) -> list[str]:
    """Pairs of signals."""
    table = ran.table(PAIRS)
    sources = [
        f"{int((table['source'] == source).sum()):,} {SOURCES.get(source, f'pairs ({source})')}"
        for source in distinct(table, "source")
    ]
    return [
        "Pairs of signals of equal length are the same samples but in one place: a run of equal bases (homopolymer),"
        " or as"
        " many bases that differ (other).",
        sentence(
            said("There are {sources}", sources=sources),
            said(" of {samples} samples", samples=ran.read("pair_samples")),
            said(", with the corruptions {kinds}", kinds=[named(str(kind)) for kind in distinct(table, "corruption")]),
        ),
        said(
            "Noise took the weakest of the strengths {noise} that changes the model's call, dampening the weakest of"
            " {dampening}; else the strongest.",
            noise=ran.read("noise_strengths"),
            dampening=ran.read("dampening_strengths"),
        ),
    ]


def basecaller_patching(ran: Ran) -> list[str]:
    """Patching of components."""
    missing = ran.fact("pairs without an alternative sequence")
    return [
        "Layer outputs, attention outputs, feed-forward outputs and single heads were patched between the sides of"
        " every"
        " pair, both ways.",
        said(
            "Patched are the positions where the signals differ and {margin} on either side.",
            margin=ran.read("patch_margin"),
        ),
        "Two measures read the effect: scores of single transitions, and the log-likelihood of the clean against the"
        " corrupted sequence around the place; conclusions use the second.",
        said("{count} pairs have no alternative sequence and count as failed denominators.", count=missing or None),
        "Nulls are the activations of another pair's corrupted signal, of the pair's own clean signal elsewhere, and"
        " of an"
        " unrelated read; all with denoising.",
        said(
            "A component restores where its interval lies above 0, q is small, and its paired lead over each null"
            " lies above"
            " 0; it passes where the lower bound also reaches the registered {threshold}.",
            threshold=ran.read("registered_restoration"),
        ),
        "Components of the summary were chosen on validation pairs and are reported on test pairs; intervals resample"
        " reads.",
        sanity(ran),
    ]


def basecaller_calibration(ran: Ran) -> list[str]:
    """Planted heads and nulls."""
    detection, nulls, sensitivity = (ran.table(name) for name in (DETECTION, NULLS, SENSITIVITY))
    fitted, patched = ran.fact("pairs fitted on and patched") or (None, None)
    return [
        "In the place of a head one was planted that reads the number of repeated bases and writes along the gradient"
        " of"
        " the sequence measure; the sweep then ran as it is.",
        said("Strengths, as shares of the pairs' effect: {strengths}.", strengths=ran.read("calibration_strengths")),
        said(
            "Heads planted per strength: {planted}.", planted=[int(count) for count in distinct(detection, "planted")]
        ),
        said(
            "Its reading was fitted on {fitted} pairs and judged on {patched} others.", fitted=fitted, patched=patched
        ),
        said(
            "Sensitivity is the strength from which on at least {power} were found.",
            power=[percent(share) for share in distinct(sensitivity, "power")],
        ),
        said("Nulls: {nulls}.", nulls="; ".join(distinct(nulls, "null")) or None),
        "Detection rates have exact (Clopper–Pearson) intervals.",
    ]


BASECALLER: Mapping[str, Described] = {
    "simulate_signal": Described("Simulated current", simulate_signal, ("Nanopore signal",)),
    "ingest_signal": Described("Reads", ingest_signal, ("Nanopore signal",)),
    "read_identity": Described("Read identity", read_identity, ("Basecaller",)),
    "signal_pairs": Described("Pairs of signals", signal_pairs, ("Signal pairs",)),
    "basecaller_patching": Described("Basecaller patching", basecaller_patching, ("Basecaller patching",)),
    "basecaller_calibration": Described("Calibration", basecaller_calibration, ("Basecaller patching",)),
}
"""Steps of the basecaller study."""
