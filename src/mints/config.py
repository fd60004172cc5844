"""The genomic study's configuration: the command line, the TOML profile and the manifest are three faces of it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mints.programs import blast_version
from mints.section import Location, Section, Share
from mints.study_config import Family, StudyConfig, checkpoint_folder


class Simulation(Section):
    """The simulated genome of the embedded profile."""

    seed: int = 1
    """Seed of the genome, its annotation and its tasks; independent of the analysis seed."""

    chromosomes: PositiveInt = 22
    """Number of chromosomes, named chr1, chr2, …; the last is for validation, the two before it for test."""

    chromosome_length: PositiveInt = 1_100_000
    """Bases per chromosome."""

    window: PositiveInt = 200
    """Bases of a splice-site or CTCF window."""

    promoter_window: PositiveInt = 300
    """Bases of a promoter window."""

    train_sequences: PositiveInt = 3000
    """Training sequences per task, both classes together."""

    validation_sequences: PositiveInt = 800
    """Validation sequences per task, as far as the held-out chromosome supplies them."""

    test_sequences: PositiveInt = 1600
    """Test sequences per task, as far as the held-out chromosomes supply them."""


class Task(Section):
    """A binary question about sequences: from tables of labelled sequences, or from peaks on a genome."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name in tables and file names."""

    train: Location | None = None
    """Training table: CSV, TSV, parquet or FASTA (`.fna`) with labels."""

    validation: Location | None = None
    """Validation table; carved from the training table where there is none."""

    test: Location | None = None
    """Test table; chosen by `test_chromosomes` from the training table where there is none."""

    positive_labels: list[int] | None = None
    """Labels that count as positive, where a table has more than two (GUE splice: 1 is a donor)."""

    negative_labels: list[int] | None = None
    """Labels that count as negative; the other rows are left out and counted."""

    peaks: Location | None = None
    """BED, narrowPeak or bigBed: positives are windows on its summits, negatives GC-matched windows elsewhere."""

    window: PositiveInt = 200
    """Bases of a window on a peak."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Task:
        if (self.train is None) == (self.peaks is None):
            raise ValueError(f"task {self.name} needs either a training table or peaks")
        return self


class MotifQuestion(Section):
    """A motif and the task in whose sequences it is looked for: what the evidence stack asks about."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name in tables and file names."""

    task: str
    """Name of the task whose positives carry the motif, and whose probe is the read-out of the interventions."""

    motif: str | None = None
    """JASPAR id; its sites are found by scanning. None for a site that stands at a known place."""

    anchor: NonNegativeInt | Literal["conserved"] | None = None
    """Without a JASPAR id: first base of the site in every positive sequence, or `conserved`: where they agree most.

    The site's matrix is estimated from the training positives.
    """

    width: PositiveInt = 9
    """Bases of an anchored site."""

    core: tuple[NonNegativeInt, PositiveInt] | None = None
    """Half-open offsets in an anchored site whose letters a counterfactual changes first (GT of a donor).

    Of a conserved site, by default, its two most conserved neighbours.
    """

    edit: tuple[str, str] | None = None
    """A fixed edit, motif and replacement, that is made beside the boundary-preserving one, for comparison."""

    single_pair: str | None = None
    """With a fixed edit: name of the sequence whose pair is patched alone; default the first that carries the motif."""

    variants: Location | None = None
    """VCF-like table (CHROM, POS, REF, ALT) of natural pairs, whose windows are taken from the genome."""

    @model_validator(mode="after")
    def _has_one_kind_of_site(self) -> MotifQuestion:
        if (self.motif is None) == (self.anchor is None):
            raise ValueError(f"motif question {self.name} needs either motif (a JASPAR id) or anchor (a place)")
        return self


class ComparedModel(Section):
    """Another model that is put to the same sequences, probes and controls."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name in tables and file names."""

    model: str
    """Checkpoint folder, hub id, or a shipped checkpoint (mints:NAME)."""

    model_revision: str | None = None
    """Revision of a hub id: a commit, so that the results can be repeated."""

    model_sha256: dict[str, str] = {}
    """SHA-256 of a hub id's files, by file name; the other files are checked by what the hub states of them."""

    family: Family = "auto"
    """Checkpoint family; auto recognises it by its tensors."""

    probe_layers: list[NonNegativeInt] | None = None
    """Layers whose residual stream is probed; default all of a small model, otherwise first, middle and last."""

    probe_layer: NonNegativeInt | None = None
    """Layer that conclusions use; default the best one on validation."""

    @property
    def model_files(self) -> Path | None:
        """Folder of the checkpoint on this machine."""
        return checkpoint_folder(self.model, self.model_revision)


class Registered(Section):
    """Thresholds that were fixed before any result existed; copied into the manifest at the start of every run."""

    qk_r: float = 0.5
    """Least Pearson r between a head's key scores and the motif score."""

    qk_p: float = 0.05
    """Largest p-value of that correlation."""

    enrichment: float = 2.0
    """Least attention ratio, support tokens over matched background tokens."""

    restoration: float = 0.5
    """Least lower 95% bound of a patch's restoration."""


class Config(StudyConfig):
    """Everything that a result of the genomic study depends on."""

    genome: Location | None = None
    """Genome FASTA, plain or gzip."""

    peaks: Location | None = None
    """Your own peaks (BED or narrowPeak, plain or gzip, or bigBed): replaces the profile's tasks; needs --genome."""

    blacklist: Location | None = None
    """BED of places (plain or gzip, or bigBed) where no peak and no matched window may lie, as ENCODE's blacklist."""

    signal: Location | None = None
    """bigWig whose mean over each window is added to peak tasks."""

    train: Location | None = None
    """Your own training table (CSV, TSV, parquet, FASTA with labels): replaces the profile's tasks."""

    test: Location | None = None
    """Your own test table, with --train."""

    motif: str = "MA0139.1"
    """JASPAR id of the motif in question."""

    tasks: list[Task] = []
    """Tasks of the profile."""

    motif_questions: list[MotifQuestion] = []
    """Questions of the evidence stack; default the motif in question on each peak task, or on the only task."""

    validation_chromosomes: list[str] = ["chr22"]
    """Chromosomes on which everything is chosen (penalty, layer, floor)."""

    test_chromosomes: list[str] = ["chr20", "chr21"]
    """Chromosomes on which results are reported."""

    validation_share: Share = 0.15
    """Share of the training rows kept for validation where rows have no coordinates."""

    probe_layers: list[NonNegativeInt] | None = None
    """Layers whose residual stream is probed; default all of a small model, otherwise first, middle and last."""

    probe_layer: NonNegativeInt | None = None
    """Layer that the controls and conclusions use; default the best one on validation."""

    probe_penalties: list[PositiveFloat] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    """Values of C (inverse penalty) among which validation chooses."""

    max_probe_train: PositiveInt | None = None
    """Cap on training sequences per task, for activation caching and probing."""

    max_probe_test: PositiveInt | None = None
    """Cap on test (and on validation) sequences per task, for activation caching and probing."""

    probe_control_random_label_runs: PositiveInt = 5
    """Repeats of the random-label control."""

    max_masked_tokens: PositiveInt = 6000
    """Hidden tokens on which the model's masked-token loss is measured."""

    max_qk_alignment_sequences: PositiveInt | None = None
    """Cap on sequences for QK alignment and attention enrichment."""

    audited_task: str = ""
    """Task whose probe direction the audited head's OV circuit is held against; default the first task."""

    audited_layer: NonNegativeInt = 2
    """Layer of the head whose OV circuit is shown singular vector by singular vector."""

    audited_head: NonNegativeInt = 3
    """That head."""

    permuted_motifs: PositiveInt = 39
    """Motifs of permuted columns that every alignment and enrichment is ranked against; 39 give p ≥ 0.025."""

    token_dump: bool = False
    """Also write every token's span, motif score and support, compressed; no statistic needs it."""

    max_patching_pairs: PositiveInt | None = None
    """Cap on clean/corrupted pairs per task for activation patching."""

    calibrate: bool = False
    """Measure what the evidence stack could have seen in this model: planted heads, and nulls."""

    calibration_question: str = ""
    """Motif question that is calibrated; default the first whose motif is a JASPAR matrix."""

    calibration_strengths: list[NonNegativeFloat] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    """Strengths of the planted heads: standard deviations of the score that the head's key gives."""

    calibration_heads: PositiveInt = 16
    """Most heads in whose place a detector is planted, one at a time."""

    calibration_sequences: PositiveInt = 256
    """Sequences of one trial's alignment and enrichment."""

    calibration_pairs: PositiveInt = 128
    """Most pairs of one trial's patching."""

    calibration_replicates: PositiveInt = 8
    """Replicates of each null: permuted motifs, reshuffled sequences, random initialisations."""

    max_feature_search_sequences: PositiveInt | None = None
    """Cap on sequences for the sparse-autoencoder feature search."""

    sae_epochs: PositiveInt = 10
    """Epochs of sparse-autoencoder training."""

    compared_models: list[ComparedModel] = []
    """Other models that are compared with this one on the same sequences."""

    max_cross_model_qk_alignment_sequences: PositiveInt | None = None
    """Cap on sequences for alignment and enrichment of the compared models; default that of the model itself."""

    registered: Registered = Registered()
    """Thresholds fixed before any result."""

    simulation: Simulation | None = None
    """Simulated genome, where the profile has one."""

    @property
    def compared_model_files(self) -> list[Path | None]:
        """Folders of the compared models' checkpoints on this machine, in their order."""
        return [compared.model_files for compared in self.compared_models]

    @property
    def blast_version(self) -> str | None:
        """Version of NCBI BLAST+ on this machine: what is searched with it is searched again once there is another."""
        return blast_version()

    @property
    def published_probes(self) -> Path:
        """Published figures that results are held against."""
        return Path(str(files("mints"))) / "published" / "probes.toml"

    @model_validator(mode="before")
    @classmethod
    def _leave_out_the_model_itself(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A profile compares its model with others; one of these chosen by `--model` is not compared with itself."""
        own = values.get("model", cls.model_fields["model"].default)
        compared = values.get("compared_models") or []
        named = [other.get("model") if isinstance(other, dict) else other.model for other in compared]
        return values | {"compared_models": [each for each, name in zip(compared, named, strict=True) if name != own]}

    @model_validator(mode="before")
    @classmethod
    def _own_tasks_replace_the_profile_s(cls, values: dict[str, Any]) -> dict[str, Any]:
        own: list[dict[str, Any]] = []
        if values.get("train"):
            own.append({"name": _stem(values["train"]), "train": values["train"], "test": values.get("test")})
        elif values.get("test"):
            raise ValueError("--test needs --train")
        if values.get("peaks"):
            if not values.get("genome"):
                raise ValueError("--peaks needs --genome")
            own.append({"name": _stem(values["peaks"]), "peaks": values["peaks"]})
        if own:
            values = values | {"tasks": own, "motif_questions": [], "features": _asking_of(values.get("features"), own)}
        tasks = [task.model_dump() if isinstance(task, Task) else task for task in values.get("tasks") or []]
        first = tasks[0].get("name", "") if tasks else ""
        motif = values.get("motif", cls.model_fields["motif"].default)
        questions = values.get("motif_questions") or _default_questions(tasks, motif)
        plain = [q.model_dump() if isinstance(q, MotifQuestion) else q for q in questions]
        scanned = [question.get("name") for question in plain if question.get("motif")]
        return values | {
            "audited_task": values.get("audited_task") or first,
            "motif_questions": questions,
            "calibration_question": values.get("calibration_question") or (scanned[0] if scanned else ""),
        }

    @model_validator(mode="after")
    def _names_are_unique(self) -> Config:
        for kind, names in (
            ("tasks", [task.name for task in self.tasks]),
            ("motif questions", [question.name for question in self.motif_questions]),
            ("models", [self.model_name, *(compared.name for compared in self.compared_models)]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {kind} are called {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _questions_have_tasks(self) -> Config:
        tasks = {task.name for task in self.tasks}
        for question in self.motif_questions:
            if question.task not in tasks:
                raise ValueError(f"motif question {question.name} asks about task {question.task}, which is not there")
        return self


def _asking_of(features: Any, tasks: list[dict[str, Any]]) -> Any:
    """The feature suite's section without a profile's motif question that is not asked of these tasks."""
    if not isinstance(features, dict) or features.get("circuit_question") in [task["name"] for task in tasks]:
        return features or {}
    return features | {"circuit_question": ""}


def _default_questions(tasks: list[dict[str, Any]], motif: str) -> list[dict[str, Any]]:
    """The motif in question on every peak task, or on the only task: peaks are of a factor."""
    asked = [task.get("name") for task in tasks if task.get("peaks") or len(tasks) == 1]
    return [{"name": name, "task": name, "motif": motif} for name in asked]


def _stem(location: Any) -> str:
    """Task name of a file: its name without folders and endings."""
    name = re.split(r"[/\\]", str(location).split("#")[0])[-1]
    return re.sub(r"[^A-Za-z0-9_-]", "_", name.split(".")[0]) or "own"
