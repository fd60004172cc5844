"""The part of the configuration that the feature suite reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mints.section import Location, Section, Share

DictionaryKind = Literal["relu", "topk", "batch_topk", "matryoshka_batch_topk", "jumprelu"]


class Annotation(Section):
    """Places on the genome by kind, whose kinds are the concepts that latents are scored on."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name in tables and file names."""

    file: Location
    """BED, GFF3, GTF, GenBank or UniProt features, plain or gzip."""

    by_strand: list[str] = ["CDS"]
    """Kinds that are concepts by strand as well: `CDS+` and `CDS-`."""

    by_name: list[str] = ["repeat"]
    """Kinds that are concepts by name as well: `repeat:FAMILY`."""


class ReadyDictionary(Section):
    """A dictionary that was trained elsewhere, for a site at which none is trained then."""

    site: str
    """Site of the model whose activations it decomposes; one of `features.sites`."""

    file: Location
    """Folder or weights of SAELens, dictionary_learning, InterPLM, Decode-gLM, InterProt or sparsify."""

    k: PositiveInt | None = None
    """Latents per token, for TopK dictionaries whose files do not say it (InterProt); default 32 there."""


class Features(Section):
    """Sparse autoencoders: how they are trained, and what is asked of them."""

    sites: list[str] = []
    """Sites of the model whose activations are decomposed, lowest layer first; empty: no feature step runs."""

    kind: DictionaryKind = "batch_topk"
    """Architecture of the autoencoders."""

    k: Annotated[list[PositiveInt], Field(min_length=1)] = [32]
    """Latents per token (for relu and jumprelu: aimed at); later steps use the first, the others are the sweep."""

    expansion: Annotated[list[PositiveInt], Field(min_length=1)] = [8]
    """Latents per dimension of the site; later steps use the first, the others are the sweep."""

    seeds: PositiveInt = 1
    """Autoencoders of the first k and expansion that differ in their seed alone, to show what a seed decides."""

    ready: list[ReadyDictionary] = []
    """Dictionaries that all later steps use at their sites as they are; the sweep is trained beside them."""

    corpus: Location | None = None
    """FASTA of the sequences that the autoencoders learn from; default the genome."""

    window: PositiveInt = 300
    """Bases of the windows cut from the corpus."""

    training_tokens: PositiveInt = 1_000_000
    """Tokens that an autoencoder sees in training, over all its passes through the corpus."""

    batch: PositiveInt = 2048
    """Tokens of a training step."""

    learning_rate: PositiveFloat = 3e-3
    """Peak learning rate of Adam."""

    annotations: list[Annotation] = []
    """Annotation of the genome that latents are scored on."""

    concept_windows: PositiveInt = 600
    """Windows of the genome on which concepts are chosen, and as many others on which they are reported."""

    concept_permutations: PositiveInt = 99
    """Circular shifts of the annotation that make the null of a concept's F1; 99 give p ≥ 0.01."""

    substitution_sites: PositiveInt = 48
    """Sites whose substitution effects are traced through latents."""

    circuit_sequences: PositiveInt = 64
    """Sequences on which a feature circuit is traced, and as many others on which it is tested."""

    circuit_question: str = ""
    """Motif question whose probe is the behaviour of the circuit and of the substitutions, and at whose sites latents
    are steered; default the first."""

    steering_sites: PositiveInt = 48
    """Sites at which latents are steered."""

    steering_doses: list[float] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    """Doses: multiples of the latent's 99th percentile among its active values."""

    meta_latents: PositiveInt = 64
    """Latents of the dictionary of decoder rows."""

    audit_queries: Location | None = None
    """FASTA of sequences that are looked for in the corpus."""

    audit_corpus: Location | None = None
    """FASTA that is searched; default the corpus."""

    audit_identity: Share = 0.9
    """Least identity of a match."""

    audit_length: PositiveInt = 50
    """Least aligned bases of a match."""

    audit_evalue: PositiveFloat = 1e-5
    """Largest E-value of a match."""

    audit_coverage: Share = 0.5
    """Least share of a query that a match covers."""

    audit_truth: Location | None = None
    """CSV with columns query and planted (1 or 0), by which a simulated audit is judged."""

    seed: NonNegativeInt = 0
    """Seed of the autoencoders' weights and of the order of their tokens."""

    @model_validator(mode="after")
    def _annotations_have_their_own_names(self) -> Features:
        names = [annotation.name for annotation in self.annotations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two annotations are called {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _ready_dictionaries_have_a_site_each(self) -> Features:
        sites = [ready.site for ready in self.ready]
        if unknown := sorted(set(sites) - set(self.sites)):
            raise ValueError(f"a ready dictionary is of {unknown[0]}, which is not among features.sites")
        if twice := sorted({site for site in sites if sites.count(site) > 1}):
            raise ValueError(f"two ready dictionaries are of {', '.join(twice)}")
        return self
