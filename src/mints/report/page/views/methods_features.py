"""Methods of the feature suite, which the genomic and the protein study share: sentences per step."""

from __future__ import annotations

from collections.abc import Mapping

from mints.report.page.marks import named
from mints.report.page.views.methods_text import Described, Ran, distinct, file_name, said, sanity, sentence, sites

KINDS = {
    "relu": "ReLU",
    "topk": "TopK",
    "batch_topk": "BatchTopK",
    "matryoshka_batch_topk": "Matryoshka BatchTopK",
    "jumprelu": "JumpReLU",
}
RESULTS, PLANTED = "tables/sparse_autoencoders.csv", "tables/planted_circuit_detection.csv"
BASELINES = "tables/concept_baselines.csv"
STEERED, META, SEARCH = "tables/steering_latents.csv", "tables/meta_sae.csv", "tables/distributed_feature_search.csv"


def sparse_autoencoders(ran: Ran) -> list[str]:
    """Kind, sizes, seeds and tokens."""
    results = ran.table(RESULTS)
    kind, ready = ran.read("features.kind"), ran.read("features.ready") or []
    trained = results[results["kind"] == kind] if len(results) else results
    corpus = "a corpus of its own" if ran.read("features.corpus") else "the training split"
    return [
        said(
            "The activations of {sites} were decomposed by sparse autoencoders.",
            sites=sites(ran.read("features.sites")),
        ),
        said(
            "{kind} autoencoders were trained with k = {k} latents a token and {expansion} latents per dimension, on"
            " {corpus}.",
            kind=KINDS.get(str(kind), kind),
            k=ran.read("features.k"),
            expansion=ran.read("features.expansion"),
            corpus=corpus,
        ),
        "Of several k or expansions later steps use the first." if several(ran) else "",
        said("{seeds} of the first differ in their seed alone.", seeds=more_than_one(ran.read("features.seeds"))),
        said(
            "Each saw {tokens} tokens.",
            tokens=[int(tokens) for tokens in distinct(trained, "training_tokens") if tokens > 0],
        ),
        said("A step had {batch} tokens.", batch=ran.read("features.batch")),
        said("The peak learning rate of Adam was {rate}.", rate=ran.read("features.learning_rate")),
        said(
            "Taken over as they are: {listed}.",
            listed=[f"{file_name(each['file']) or 'a dictionary'} at {each['site']}" for each in ready],
        ),
        "The first recipe was also trained on a randomly initialised model of the same shape.",
        "Variance explained, active latents and recovered masked-token loss are of held-out windows;"
        " intervals resample windows.",
    ]


def several(ran: Ran) -> bool:
    """Whether the sweep has more than one dictionary."""
    return any(len(ran.read(f"features.{name}") or []) > 1 for name in ("k", "expansion"))


def more_than_one(count: int | None) -> int | None:
    """A count worth telling."""
    return count if count and count > 1 else None


def concept_scoring(ran: Ran) -> list[str]:
    """Latents against annotated concepts."""
    windows = ran.fact("windows") or {}
    annotations = [file_name(each["file"]) or each["name"] for each in ran.read("features.annotations") or []]
    return [
        said(
            "Every latent was scored against every concept of {annotations}, at every threshold.",
            annotations=annotations,
        ),
        said(
            "Latent and threshold are those of the largest F1 on {validation} validation {what}; figures are of"
            " {test} test"
            " {what} ({left_out} near copies left out).",
            what="proteins" if ran.saved.configured("study") == "protein" else "windows",
            validation=windows.get("validation"),
            test=windows.get("test"),
            left_out=windows.get("near_copies_left_out"),
        ),
        said(
            "The null repeats the whole choice for {count} circular shifts of the labels; q (Benjamini–Hochberg) is"
            " over"
            " the concepts of a site.",
            count=ran.read("features.concept_permutations"),
        ),
        said(
            "Baselines, by the same procedure: {listed}.",
            listed=[named(name) for name in distinct(ran.table(BASELINES), "baseline")],
        ),
    ]


def feature_circuits(ran: Ran) -> list[str]:
    """Circuits of latents."""
    question = ran.read("features.circuit_question")
    detection = ran.table(PLANTED)
    return [
        said(
            "The behaviour is the logit of the probe of {question}.",
            question=named(str(question)) if question else None,
        ),
        said(
            "Circuits of latents at {sites} were traced on at most {count} validation sequences and measured on as many"
            " test sequences.",
            sites=sites(ran.read("features.sites")),
            count=ran.read("features.circuit_sequences"),
        ),
        "Latents of the largest estimated effect (one gradient) were ablated to their means over training sequences,"
        " exactly; a weight is the unaltered run minus the ablated one.",
        "p holds an edge against random latents of like firing frequency and strength; q (Benjamini–Hochberg) is over"
        " all edges of a kind.",
        said(
            "Circuits of strengths {strengths} were planted into the weights, {planted} at each, and traced likewise.",
            strengths=[float(strength) for strength in distinct(detection, "strength")],
            planted=[int(count) for count in distinct(detection, "planted")],
        ),
    ]


def latent_dashboards(ran: Ran) -> list[str]:
    """What is shown of single latents."""
    found = [ran.saved.value(f"latents/{site}.json") or {} for site in ran.read("features.sites") or []]
    counts = sorted({int(each["windows"]) for each in found if "windows" in each})
    return [
        "For display, latents that other steps name and the most frequent ones were described by histogram, sequences,"
        " concepts and promoted tokens; the description takes no part in the choice.",
        said("The display uses {count} test sequences.", count=counts),
    ]


def distributed_feature_search(ran: Ran) -> list[str]:
    """Units against motif scores over sequences."""
    units = [unit for unit in distinct(ran.table(SEARCH), "units") if unit != "latents"]
    cap = ran.read("max_feature_search_sequences")
    return [
        "Latents of autoencoders of sequences' mean activations, and the largest values of token-level latents, were"
        " correlated with each sequence's best motif score; the unit was chosen on validation, r is of test sequences.",
        said("The autoencoders were trained for {epochs} epochs.", epochs=ran.read("sae_epochs")),
        said("At most {cap} sequences a motif were used.", cap=cap),
        said("Baselines, by the same procedure: {units}.", units=units),
        "p permutes scores among test sequences of one label; intervals resample clusters.",
    ]


def feature_causality(ran: Ran) -> list[str]:
    """Latents exchanged between pairs, and substitutions."""
    pairs, tried = ran.fact("pairs") or {}, ran.fact("substitutions") or {}
    return [
        said("Latents at {site} were exchanged between the clean and corrupted sequences", site=last_site(ran))
        + said(" of {question}", question=question_of(ran))
        + ", one at a time and in sets, the autoencoder's error kept; nulls are other latents of like length of move"
        " and frequency, and moves of equal length along random directions.",
        said(
            "{ranking} pairs ranked latents, {reported} others report.",
            **{name: pairs.get(name) for name in ("ranking", "reported")},
        ),
        said(
            "Of {tried} single-base substitutions at {count} sites and at control places, {kept} exchange one token for"
            " another and were scored.",
            tried=tried.get("tried"),
            count=tried.get("sites"),
            kept=tried.get("kept"),
        ),
        "Attributions are integrated gradients of latents; universality is judged on sequences other than those that"
        " chose the identity.",
        sanity(ran),
    ]


def last_site(ran: Ran) -> str:
    """The site that is traced: the last."""
    names = ran.read("features.sites") or []
    return str(names[-1]) if names else "the last site"


def question_of(ran: Ran) -> str | None:
    """The motif question of the feature steps, where the configuration names it."""
    name = ran.read("features.circuit_question")
    return named(str(name)) if name else None


def steering(ran: Ran) -> list[str]:
    """Doses at hidden tokens."""
    drawn = ran.fact("test_sites") or {}
    rules = distinct(ran.table(STEERED), "chosen_by")
    return [
        sentence(
            said(
                "Latents were added, or clamped, at a hidden token of the motif at {count} test sites",
                count=drawn.get("with room to steer"),
            ),
            said(" of {question}", question=question_of(ran)),
        ),
        said("Latents chosen on validation: those that {rules}.", rules=[read_as_verb(rule) for rule in rules]),
        said("Doses, as multiples of a latent's own scale: {doses}.", doses=ran.read("features.steering_doses")),
        "Nulls are random directions and the decoder rows of other latents of like frequency, which move the"
        " activations"
        " by as much; p is by rank among the draws of each null.",
    ]


def read_as_verb(rule: str) -> str:
    """A rule as the end of `those that …`: `reads the motif` becomes `read the motif`."""
    verb, _, rest = rule.partition(" ")
    return f"{verb.removesuffix('s')} {rest}".strip()


def meta_sae(ran: Ran) -> list[str]:
    """Dictionaries of decoder rows."""
    curves = ran.table(META)
    controls = "; ".join(kind for kind in distinct(curves, "rows") if kind != "decoder rows")
    return [
        sentence(
            said(
                "The decoder rows were decomposed by TopK autoencoders of {latents} latents",
                latents=ran.read("features.meta_latents"),
            ),
            said(" with k = {k}", k=[int(k) for k in distinct(curves, "k")]),
        ),
        said("Beside them stand: {controls}.", controls=controls or None),
        said(
            "Directions were probed on at most {windows} windows of each split.",
            windows=ran.read("features.concept_windows"),
        ),
    ]


SHARED_FEATURES: Mapping[str, Described] = {
    "sparse_autoencoders": Described(
        "Sparse autoencoders", sparse_autoencoders, ("Sparse autoencoders", "Dictionaries of other libraries")
    ),
    "concept_scoring": Described("Concepts", concept_scoring, ("Concept scores",)),
    "feature_circuits": Described("Feature circuits", feature_circuits, ("Feature circuits",)),
    "latent_dashboards": Described("Latents on show", latent_dashboards, ("Latent dashboards",)),
}
"""Steps that the genomic and the protein study have."""

GENOMIC_FEATURES: Mapping[str, Described] = {
    "distributed_feature_search": Described(
        "Distributed feature search", distributed_feature_search, ("Distributed feature search",)
    ),
    "feature_causality": Described(
        "Effects of latents and substitutions",
        feature_causality,
        ("Effects of latents", "Integrated gradients of latents", "Substitution effects", "Universality of latents"),
    ),
    "steering": Described("Steering", steering, ("Steering",)),
    "meta_sae": Described("Meta-dictionaries", meta_sae, ("Meta-dictionaries",)),
}
"""Steps of the feature suite that the genomic study alone has."""
