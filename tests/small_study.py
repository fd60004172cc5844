"""A small study that every test of the command line can copy: two tasks on a small simulated genome."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

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
training_tokens = 20000
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
    """`python main.py …` as a user types it, in a folder of its own."""
    done = subprocess.run(
        [sys.executable, str(MAIN), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment,
        timeout=400,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Study(NamedTuple):
    """A results folder and the configuration that made it."""

    configuration: Path
    results: Path

    def run(self, *arguments):
        """A command on this study."""
        return run_main("--config", self.configuration, "--results", self.results, *arguments)

    def artifacts(self):
        """Content of every CSV and JSON artifact; manifests and the cache of hashes are none."""
        paths = [p for p in sorted(self.results.rglob("*")) if p.suffix in (".csv", ".json")]
        others = ("pipeline_run.json", ".hash_cache.json")
        kept = [p for p in paths if "manifests" not in p.parts and p.name not in others]
        return {str(p.relative_to(self.results)): p.read_bytes() for p in kept}
