"""The basecaller study's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from mints.section import Location, Section
from mints.study_config import StudyConfig


class SignalSimulation(Section):
    """The simulated current of the embedded profile."""

    seed: int = 1
    """Seed of the level table and of the reads; independent of the analysis seed."""

    reads: PositiveInt = 64
    """Number of held-out reads."""


class BasecallerConfig(StudyConfig):
    """Everything that a result of the basecaller study depends on."""

    study: Literal["basecaller"] = "basecaller"
    """This study."""

    model: str = "dna_r10.4.1_e8.2_400bps_sup@v5.2.0"
    """Folder of an unpacked Bonito model (config.toml and weights), or a shipped checkpoint (mints:NAME)."""

    reads: Location | None = None
    """Reads: a POD5 file, a folder of them, or arrays (.npz)."""

    sample_rate: PositiveFloat | None = None
    """Samples per second of arrays that do not say it."""

    levels: Location | None = None
    """Table of current levels by k-mer, by which signal is simulated anew with one repeat more or fewer."""

    pairs: PositiveInt = 128
    """Most pairs of each group and corruption."""

    simulation: SignalSimulation | None = None
    """Simulated current, where the profile has it."""
