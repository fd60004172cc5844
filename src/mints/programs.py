"""Programs that are no Python packages: whether they are installed, and in which version."""

from __future__ import annotations

import re
import shutil
import subprocess

BLAST = ("blastn", "makeblastdb")

BLAST_INSTALLATION = "apt-get install ncbi-blast+, conda install -c bioconda blast, or brew install blast"
"""How it comes to a machine, for messages."""


def blast_version() -> str | None:
    """Version of NCBI BLAST+; None where it is not installed or does not start."""
    if not all(shutil.which(program) for program in BLAST):
        return None
    try:
        said = subprocess.run([BLAST[0], "-version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d+(\.\d+)+\+?", said)
    return found[0] if found else None
