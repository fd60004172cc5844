"""Bonito's transformer basecallers: the one encoder behind a convolution front, with a CRF or a CTC head."""

from mints.models.basecaller.files import LoadedBasecaller, load_basecaller, save_basecaller
from mints.models.basecaller.model import Basecaller, BasecallerOutput, randomly_initialised

__all__ = [
    "Basecaller",
    "BasecallerOutput",
    "LoadedBasecaller",
    "load_basecaller",
    "randomly_initialised",
    "save_basecaller",
]
