"""Methods of the genomic study's data, probes and decomposition of heads: sentences per step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mints.report.page.marks import named
from mints.report.page.views.methods_run import FAMILIES
from mints.report.page.views.methods_text import Described, Ran, distinct, percent, plural, said, sentence, written

CARD, TASKS = "cards/{}.json", "tables/tasks.csv"
CHOSEN, CONTROL_TABLE = "tables/linear_probe_metrics.csv", "tables/linear_probe_controls.csv"
LOSS, PROBE = "tables/masked_token_loss.csv", "residual_probe"
SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def simulate_genome(ran: Ran) -> list[str]:
    """The simulated genome."""
    simulation = ran.read("simulation") or {}
    return [
        "Genome, annotation and tasks were simulated, with planted sites whose places are known.",
        said(
            "The genome has {chromosomes} chromosomes of {length} bases (seed {seed}).",
            chromosomes=simulation.get("chromosomes"),
            length=simulation.get("chromosome_length"),
            seed=str(simulation["seed"]) if "seed" in simulation else None,
        ),
    ]


def ingest(ran: Ran) -> list[str]:
    """Tasks, splits and caps."""
    train, test = ran.read("max_probe_train"), ran.read("max_probe_test")
    return [
        "A table that is given for validation or test is used as that split; other rows with coordinates were split by"
        " chromosome.",
        said("Validation chromosomes: {names}.", names=ran.read("validation_chromosomes")),
        said("Test chromosomes: {names}.", names=ran.read("test_chromosomes")),
        said(
            "Of a task that has no validation rows by either, {share} of the training clusters were drawn for"
            " validation.",
            share=percent(ran.read("validation_share")),
        ),
        "Rows with the same sequence, its reverse complement or overlapping coordinates form one cluster; rows whose"
        " cluster also occurs in a later split (train, validation, test) were dropped.",
        said("At most {train} training sequences a task were used, in equal shares from both classes.", train=train),
        said("At most {test} validation and {test} test sequences a task were used, likewise.", test=test),
        "Everything that is chosen was chosen on validation; results are of the test split.",
    ]


def task_items(ran: Ran) -> list[str]:
    """One line per task, from its data card; from the table of tasks where an older run has no cards."""
    tasks = [str(task["name"]) for task in ran.read("tasks") or []]
    cards = {task: ran.saved.value(CARD.format(task)) for task in tasks}
    if all(cards.values()):
        return [card_item(task, card) for task, card in cards.items()]
    table = ran.table(TASKS)
    if table.empty:
        return []
    counts = table.groupby(["task", "split"], sort=False)["sequences"].sum()
    items = []
    for task in distinct(table, "task"):
        known = [f"{int(counts[task, split]):,} {name}" for split, name in SPLITS.items() if (task, split) in counts]
        items.append(f"{named(task)}: {written(known)} sequences")
    return items


def card_item(task: str, card: Mapping[str, Any]) -> str:
    """Counts by split, sources, and what was left out of a task."""
    splits = card.get("splits", {})
    counts = [
        f"{splits[split]['sequences']:,} {name} sequences in {plural(splits[split]['clusters'], 'cluster')}"
        for split, name in SPLITS.items()
        if split in splits
    ]
    files = [str(source["file"]) for source in card.get("sources", [])]
    left_out = card.get("left_out", {})
    parts = [
        f"{named(task)}: {written(counts)}",
        said("from {files}", files=files),
        peaks_part(card.get("peaks")),
        said("{count} rows beyond the caps left out", count=left_out.get("cap") or None),
        said(
            "{count} rows with a twin in a later split dropped", count=left_out.get("twin_in_a_held_out_split") or None
        ),
    ]
    return "; ".join(filter(None, parts))


def peaks_part(peaks: Mapping[str, Any] | None) -> str:
    """Of a task on peaks: how many were used, and what their negatives are."""
    if not peaks:
        return ""
    return said(
        "positives are windows on {used} of {read} peaks, negatives GC-matched windows of the same chromosomes"
        " ({unmatched} positives without a match)",
        used=peaks.get("used"),
        read=peaks.get("read"),
        unmatched=peaks.get("without_match"),
    )


def corpus_audit(ran: Ran) -> list[str]:
    """The search for the sequences in a corpus."""
    if ran.read("blast_version") is None:
        return ["A corpus audit was asked for; NCBI BLAST+ was not installed, and nothing was searched."]
    corpus = ran.fact("corpus") or {}
    return [
        sentence(
            said("The query sequences were searched with NCBI BLAST+ {version}", version=ran.read("blast_version")),
            said(" in {records} records of {bases} bases", **{name: corpus.get(name) for name in ("records", "bases")}),
        ),
        said(
            "An alignment counted with an identity of at least {identity}, at least {length} aligned bases (or the"
            " whole"
            " query) and an E-value up to {evalue}; a query was found where a match covers at least {coverage} of it.",
            identity=percent(ran.read("features.audit_identity")),
            length=ran.read("features.audit_length"),
            evalue=ran.read("features.audit_evalue"),
            coverage=percent(ran.read("features.audit_coverage")),
        ),
        "Every distinct query was also searched with its letters shuffled, dinucleotide counts kept, as a control.",
    ]


def masked_token_loss(ran: Ran) -> list[str]:
    """The model as a language model."""
    table = ran.table(LOSS)
    of_model = table[table["predictor"] == "model"] if len(table) else table
    maskings = [f"{row['masking']} ({int(row['tokens']):,} tokens)" for row in of_model.to_dict("records")]
    corpus = {"genome": "the held-out chromosomes", "task sequences": "the tasks' test sequences"}.get(
        str(ran.fact("corpus"))
    )
    return [
        said("Masked-token loss was measured on {corpus}, with {maskings}.", corpus=corpus, maskings=maskings),
        "Floors are unigram and two-sided bigram frequencies of tokens, counted on training sequence;"
        " intervals resample windows.",
    ]


def residual_cache(ran: Ran) -> list[str]:
    """Vectors that the probes read."""
    return [
        said(
            "Residual-stream vectors after layers {layers} were averaged over each sequence's tokens, special tokens"
            " left out.",
            layers=ran.fact("layers"),
        ),
        "The same was done for a randomly initialised model of the same shape, and for the model on sequences that were"
        " shuffled with their dinucleotide counts kept.",
    ]


def linear_probes(ran: Ran) -> list[str]:
    """Probes, penalties and layers."""
    fixed, metrics = ran.read("probe_layer"), ran.table(CHOSEN)
    chosen = metrics[metrics["chosen"].astype(bool)] if len(metrics) else metrics
    layers = [f"{named(str(row['task']))} {int(row['layer'])}" for row in chosen.to_dict("records")]
    how = f"fixed beforehand: {fixed}" if fixed is not None else "chosen on validation likewise"
    return [
        "L2-regularised logistic regressions were fitted to these vectors, standardised with the training set's mean"
        " and spread.",
        said(
            "The inverse penalty C was chosen on validation by AUROC among {penalties}.",
            penalties=ran.read("probe_penalties"),
        ),
        said("The layer was {how} ({layers}).", how=how, layers=layers),
        "Intervals resample clusters of test sequences.",
    ]


def probe_controls(ran: Ran) -> list[str]:
    """Controls beside every probe."""
    table = ran.table(CONTROL_TABLE)
    controls = "; ".join(distinct(table[table["control"] != PROBE], "label")) if "label" in table else None
    return [
        said("Beside each probe stand these controls: {controls}.", controls=controls or None),
        said("The random-label control was repeated {count} times.", count=ran.read("probe_control_random_label_runs")),
        "A label counts as decodable beyond composition where the paired interval of AUROC(probe) − AUROC(better k-mer"
        " floor, linear or boosted, chosen on validation) lies above 0.",
    ]


def circuit_export(ran: Ran) -> list[str]:
    """QK and OV circuits, and the audit of OV."""
    layer, head = ran.read("audited_layer"), ran.read("audited_head")
    return [
        "Every head's QK and OV circuit was taken from the weights as two factors with their biases; singular values"
        " and"
        " eigenvalues were computed from the factors.",
        "Write and read sides of OV were held against the directions of the tasks' probes: largest |cosine| with a"
        " singular vector, against as many random orthonormal vectors, and the self-gain, against random directions;"
        " q (Benjamini–Hochberg) is over all heads of a task.",
        said(
            "Head L{layer}H{head} was shown vector by vector for the task {task}.",
            layer=str(layer) if layer is not None else None,
            head=str(head) if head is not None else None,
            task=ran.read("audited_task") or None,
        ),
    ]


def cross_model(ran: Ran) -> list[str]:
    """Other models on the same rows."""
    others = ran.read("compared_models") or []
    told = [", ".join(filter(None, compared_parts(ran, other))) for other in others]
    return [
        said("Compared with it: {others}.", others="; ".join(told) or None),
        "All models, their randomly initialised twins and the k-mer floors were judged on the same test rows and the"
        " same cluster resamples; layer and penalty were chosen on validation for each model.",
        "Alignment and enrichment took the same sequences for every model; differences are between the best heads.",
        "Checks of loading hold each model against its untrained twin, its floors, and itself with exchanged weights.",
    ]


def compared_parts(ran: Ran, other: Mapping[str, Any]) -> list[str]:
    """Name, checkpoint, family and weights of a compared model, as far as they are recorded."""
    name, family = other.get("name"), ran.fact(f"{other.get('name')}_family")
    return [
        said("{name} ({model})", name=name, model=other.get("model")),
        said("revision {revision}", revision=other.get("model_revision")),
        said("of the {family} family", family=FAMILIES.get(str(family), family)),
        said("SHA-256 of its weights {weights}", weights=ran.fact(f"{name}_weights_sha256")),
    ]


GENOMIC: Mapping[str, Described] = {
    "simulate_genome": Described("Simulated genome", simulate_genome, ("The simulated genome",)),
    "ingest": Described(
        "Tasks and splits", ingest, ("Splits, clusters and leaks", "Windows on peaks", "Data cards"), task_items
    ),
    "corpus_audit": Described("Corpus audit", corpus_audit, ("Corpus audit",)),
    "masked_token_loss": Described("Masked-token loss", masked_token_loss, ("Masked-token loss",)),
    "residual_cache": Described("Activations", residual_cache, ("Residual stream and sites",)),
    "linear_probes": Described("Linear probes", linear_probes, ("Linear probes", "Metrics")),
    "probe_controls": Described("Probe controls", probe_controls, ("Probe controls",)),
    "circuit_export": Described("Circuits of heads", circuit_export, ("Circuits",)),
    "cross_model_tokenization_comparison": Described("Other models", cross_model, ("Cross-model comparison",)),
}
"""Steps of the genomic study that are told here."""
