"""What not every machine has: a test that needs it is skipped where it is missing, and says how to install it."""

import shutil

import pytest

from mints.programs import BLAST_INSTALLATION, blast_version

WITHOUT_BLAST = f"NCBI BLAST+ is not installed: {BLAST_INSTALLATION}"
needs_blast = pytest.mark.skipif(blast_version() is None, reason=WITHOUT_BLAST)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WITHOUT_CHROMIUM = "chromium is not installed: apt-get install chromium, or Google Chrome by any other way"


def oracle(module):
    """An independent implementation, or what drives one; imported where it is used, since that takes seconds."""
    library = module.partition(".")[0]
    return pytest.importorskip(module, reason=f"{library} is not installed: pip install -r requirements-oracles.txt")


def pod5_library():
    """The library of POD5 files, which not every version of Python has."""
    return pytest.importorskip("pod5", reason="pod5 is not installed: pip install pod5")
