"""A small study that every test of the command line can copy: two tasks on a small simulated genome."""

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from mints.cli import main

MAIN = Path(__file__).parents[1] / "main.py"
CONFIGURATION = """
extends = "embedded"
max_probe_train = 300
max_probe_test = 120
max_masked_tokens = 300
probe_bootstrap_samples = 60
probe_control_random_label_runs = 2
probe_layers = [1, 3]
max_qk_alignment_sequences = 120
permuted_motifs = 5
max_patching_pairs = 16
max_feature_search_sequences = 60
sae_epochs = 2
calibration_strengths = [0.0, 1.0]
calibration_heads = 2
calibration_sequences = 64
calibration_pairs = 8
calibration_replicates = 1
token_dump = true
test_chromosomes = ["chr4", "chr5"]
validation_chromosomes = ["chr6"]

[features]
k = [8]
expansion = [2]
training_tokens = 8000
batch = 512
concept_windows = 60
concept_permutations = 3
circuit_question = "ctcf"
substitution_sites = 8
circuit_sequences = 8
steering_sites = 6
steering_doses = [0.0, 2.0]
meta_latents = 8

[simulation]
chromosomes = 6
chromosome_length = 150000
train_sequences = 300
validation_sequences = 120
test_sequences = 120

[[tasks]]
name = "donors"
train = "{results}/simulated_genome/tasks/splice_sites_donors.train.fna"
validation = "{results}/simulated_genome/tasks/splice_sites_donors.validation.fna"
test = "{results}/simulated_genome/tasks/splice_sites_donors.test.fna"

[[tasks]]
name = "ctcf"
peaks = "{results}/simulated_genome/ctcf.narrowPeak.gz"

[[motif_questions]]
name = "ctcf"
task = "ctcf"
motif = "MA0139.1"

[[motif_questions]]
name = "donors"
task = "donors"
anchor = 97
width = 9
core = [3, 5]
edit = ["GTAAGT", "GCGAGT"]

[[compared_models]]
name = "embedded_nt"
model = "mints:embedded_nt"
probe_layers = [1, 3]
"""


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def run_main(*arguments, folder=None, **environment):
    """`python main.py …` as a user types it: in a process of its own, which takes seconds to import what it needs."""
    done = subprocess.run(
        [sys.executable, str(MAIN), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"} | environment,
        timeout=1500,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def run_here(*arguments):
    """The same command in this process: for what a process of its own would not make different."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


class Study(NamedTuple):
    """A results folder and the configuration that made it."""

    configuration: Path
    results: Path

    @property
    def flags(self):
        """What names this study on a command line."""
        return ["--config", str(self.configuration), "--results", str(self.results)]

    def run(self, *arguments):
        """A command on this study, in this process."""
        return run_here(*self.flags, *arguments)

    def start(self, *arguments, **options):
        """A command on this study as a process of its own, to be sent signals; what it says comes by its `stderr`."""
        command = [sys.executable, str(MAIN), *self.flags, *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)

    def artifacts(self):
        """Content of every CSV and JSON artifact; manifests are none, nor is what is hidden: a lock, hashes."""
        paths = [p for p in sorted(self.results.rglob("*")) if p.suffix in (".csv", ".json")]
        others = [p for p in paths if p.name.startswith(".") or p.name == "pipeline_run.json" or "manifests" in p.parts]
        return {str(p.relative_to(self.results)): p.read_bytes() for p in paths if p not in others}
