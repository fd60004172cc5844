"""Programs that are no Python packages: whether they are installed, and in which version."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

BLAST = ("blastn", "makeblastdb")

BLAST_INSTALLATION = "apt-get install ncbi-blast+, conda install -c bioconda blast, or brew install blast"
"""How it comes to a machine, for messages."""


def blast_version() -> str | None:
    """Version of NCBI BLAST+; None where it is not installed or does not start."""
    places = [shutil.which(program) for program in BLAST]
    return None if None in places else _version_of(str(places[0]))


@cache
def _version_of(program: str) -> str | None:
    """What a program of BLAST+ says; asked once, as steps ask often."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+(\.\d+)+\+?", said)
    return found[0] if found else None
