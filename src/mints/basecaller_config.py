"""The basecaller study's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from mints.section import Location, Section
from mints.study_config import StudyConfig


class SignalSimulation(Section):
    """The simulated current of the embedded profile."""

    seed: int = 1
    """Seed of the level table and of the reads; independent of the analysis seed."""

    reads: PositiveInt = 64
    """Number of held-out reads."""

    bases: PositiveInt = 400
    """Length of each of them."""


class BasecallerTraining(Section):
    """Training of a small basecaller on simulated current (`--pretrain`)."""

    d_model: PositiveInt = 64
    """Width of the residual stream."""

    layers: PositiveInt = 4
    """Number of layers."""

    heads: PositiveInt = 4
    """Attention heads per layer."""

    d_mlp: PositiveInt = 128
    """Width of the gated feed-forward."""

    attention_window: tuple[NonNegativeInt, NonNegativeInt] = (31, 32)
    """Positions that a query sees before and after itself."""

    state_length: PositiveInt = 3
    """Bases per state of the CRF."""

    samples: PositiveInt = 1200
    """Length of a training chunk."""

    batch: PositiveInt = 8
    """Chunks per step."""

    steps: PositiveInt = 4000
    """Training steps."""

    learning_rate: PositiveFloat = 0.015
    """Peak learning rate, of Muon and AdamW alike."""

    heldout_reads: PositiveInt = 32
    """Simulated reads on which the saved model's identity is measured."""

    heldout_bases: PositiveInt = 400
    """Length of these reads."""

    weights_dtype: Literal["float32", "float16"] = "float16"
    """Number format of the saved weights."""

    seed: int = 0
    """Seed of the weights and of the simulated chunks and reads."""


class BasecallerConfig(StudyConfig):
    """Everything that a result of the basecaller study depends on."""

    study: Literal["basecaller"] = "basecaller"
    """This study."""

    model: str = "dna_r10.4.1_e8.2_400bps_sup@v5.2.0"
    """Folder of an unpacked Bonito model (config.toml and weights), or a shipped checkpoint (mints:NAME)."""

    reads: Location | None = None
    """Reads: a POD5 file, a folder of them, or arrays in pA (.npz, .npy)."""

    read_ids: list[str] = []
    """Ids of the reads that are wanted; default all."""

    sample_rate: PositiveInt | None = None
    """Samples per second of arrays that do not say it."""

    trim: bool = True
    """Leave out the open pore's signal at the beginning of each read, by Bonito's rule; not of reads whose sequence is
    known."""

    normalisation: Literal["model", "quantile", "med_mad"] = "model"
    """How current becomes the model's input: as the model says, or for reads of another pore by each read's own
    quantiles, or its median and median absolute deviation."""

    max_reads: PositiveInt | None = None
    """Cap on reads."""

    max_read_samples: PositiveInt | None = None
    """Cap on samples of each read; what is beyond is not looked at."""

    chunk_samples: PositiveInt = 3600
    """Samples of the chunks in which whole reads are called: a multiple of the model's stride, as is their overlap."""

    chunk_overlap: NonNegativeInt = 360
    """Samples that neighbouring chunks share."""

    levels: Location | None = None
    """Table of current levels by k-mer, by which pairs are simulated where all reads have their true sequence."""

    pairs: PositiveInt = 24
    """Most pairs of each group and corruption, spread evenly over four bases and six lengths: a multiple of 24."""

    pair_samples: PositiveInt = 720
    """Samples of each signal of a pair; a multiple of the model's stride."""

    noise_strengths: list[PositiveFloat] = [0.25, 0.5, 1.0, 2.0]
    """Deviations of the noise of a corruption, in units of the signal's own; the weakest that changes the call."""

    dampening_strengths: list[Annotated[float, Field(gt=0, le=1)]] = [0.5, 0.75, 0.9, 1.0]
    """Shares of the distance from the local mean that dampening takes away; the weakest that changes the call."""

    patch_margin: NonNegativeInt = 2
    """Positions on either side of where a pair differs that are patched as well."""

    registered_restoration: float = 0.5
    """Least lower bound of the share that a component restores; fixed before any result existed."""

    calibrate: bool = False
    """Measure what the head sweep could have seen in this model: planted heads, and nulls. Needs simulated pairs."""

    calibration_strengths: list[NonNegativeFloat] = [0.0, 0.03, 0.1, 0.3]
    """Strengths of the planted heads: the share of the pairs' effect that they carry, to first order."""

    calibration_pairs: PositiveInt = 4
    """Simulated pairs of each base, run length and corruption: half are fitted on, half are patched."""

    calibration_heads: PositiveInt = 6
    """Most heads in whose place a head that carries the repeat count is planted, one at a time."""

    calibration_permutations: PositiveInt = 8
    """Heads planted at the largest strength whose reading was fitted to permuted pairs."""

    simulation: SignalSimulation | None = None
    """Simulated current, where the profile has it."""

    training: BasecallerTraining = BasecallerTraining()
    """Recipe of --pretrain."""
