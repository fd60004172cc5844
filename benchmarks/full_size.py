"""The reference profile at its published sizes, or at a fraction of them, with random weights: where the time goes.

    python benchmarks/full_size.py --fraction 0.004 [--tokenizer FOLDER] [--folder data/full_size] [--device auto] …

A world in the published layouts is made once: DNABERT-2 (117,074,176 parameters, as pytorch_model.bin) and Nucleotide
Transformer v2 100M (97,889,132, as safetensors) with random weights, the four tasks with their published numbers of
rows, 51,249 CTCF peaks and a genome of 22 chromosomes with the lengths of GRCh38, the last three times the fraction.
It lies as a mirror, from which the command line fetches and runs the whole profile. Every step is then listed with its
seconds, what it asked of the models by their own count, and the share of the machine's measured rate of matrix
products that this makes. Numbers for the whole size are those of the fraction times how much more of what the step
works on there is: tokens of all tasks, pairs, or hidden tokens. That is too much where a step has a cap or a fixed cost
(loading, circuits, the ceilings of the comparison).

Tokens per base depend on the vocabulary. Without --tokenizer (a folder with DNABERT-2's own tokenizer.json) one of
4,096 byte pairs is learnt from the random genome, which makes fewer tokens of it than the official one does.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from mints.config import Config, Task
from mints.configuration_files import read_profile
from mints.data.authorities import Stated
from mints.data.catalogue import add_to_catalogue
from mints.data.motifs import load_motif
from mints.locations import Digest, Remote, choices, hub_folder, is_hub_id, parse
from mints.models.architecture import Architecture
from mints.models.checkpoint import save_model
from mints.models.compute import Compute, resolve_compute
from mints.models.encoder import randomly_initialised
from mints.models.families import FAMILIES
from mints.models.tokenizers import FixedKmerTokenizer, Tokenizer, load_tokenizer, train_bpe
from mints.studies.genomic.qk_alignment import CEILING_SEQUENCES

MAIN = Path(__file__).parents[1] / "main.py"
DNABERT2 = Architecture(
    4096, 768, 12, 12, 3072, "post", 1e-12, "alibi", "geglu", False, True, 3, True, 2
)  # fmt: skip
NT_V2_100M = Architecture(
    4107, 512, 22, 16, 2048, "pre", 1e-12, "rotary", "swiglu", False, False, 1, False, tied_head=False
)  # fmt: skip
CHROMOSOMES = dict(
    zip(
        (f"chr{number}" for number in range(1, 23)),
        (248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422,
         135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167,
         46709983, 50818468),
        strict=True,
    )
)  # fmt: skip
"""Lengths in GRCh38."""

ROWS = {
    "promoter_tata": (300, 5062, 212),
    "promoter_no_tata": (300, 30000, 1372),
    "splice_sites_donors": (600, 30000, 3000),
    "splice_sites_acceptors": (600, 30000, 3000),
}
"""Bases, training rows and test rows of the published tasks."""

LEAST_ROWS = 60
"""Of every table: fewer have no row of each class on the validation chromosomes."""

SITES = {
    "promoter_tata": (218, "TATAAA"),
    "splice_sites_donors": (297, "CAGGTAAGT"),
    "splice_sites_acceptors": (280, "TTTTCTTTTCCTTTTTTNCAGGT"),
}
"""Where the positives of a task carry which letters; N is any."""

CAPPED = {"max_patching_pairs": 2, "max_masked_tokens": 60}
"""Caps of the profile that are scaled, and the least that they become."""

PEAKS, PEAK_BASES = 51_249, 300
MODEL_KEYS = ("model", "model_revision")
SEED_SECONDS = {
    "residual_cache": 659.838,
    "qk_alignment": 9475.141,
    "systematic_causal_intervention": 1344.551,
    "cross_model_tokenization_comparison": 17231.546,
}
"""What the published run took for these steps or their like, on one GPU; 28,760 s for everything."""

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


class World(NamedTuple):
    """Where the stand-in's files lie."""

    mirror: Path
    configuration: Path


def make_world(folder: Path, fraction: float, tokenizer: Path | None) -> World:
    """Write every file that the reference profile names, with the sizes times the fraction, into a mirror."""
    config = Config.model_validate(read_profile("reference", None))
    world = World(folder / "mirror", folder / "full_size.toml")
    if world.configuration.is_file():
        return world
    rng = np.random.default_rng(0)
    genome = {name: LETTERS[random_bases(int(length * fraction), rng)] for name, length in CHROMOSOMES.items()}
    peaks = plant_peaks(genome, round(PEAKS * fraction), rng)
    pieces = [genome["chr1"][start : start + 300].tobytes().decode() for start in range(0, 2_000_000, 300)]
    bpe = load_tokenizer(tokenizer, "dnabert2") if tokenizer else train_bpe([p for p in pieces if p], 4096)
    hashes = write_models(world.mirror, config, bpe)
    for task in config.tasks:
        if task.peaks is not None:
            write_text(world.mirror, parse(task.peaks), peaks)
        else:
            write_task(world.mirror, task, genome, fraction, rng)
    fasta = "".join(f">{name}\n{wrapped(sequence)}" for name, sequence in genome.items())
    listed = write_text(world.mirror, parse(str(config.blacklist)), "chr1\t0\t5000\tHigh Signal Region\n")
    address, blacklist = (str(location).partition("#")[0] for location in (config.genome, config.blacklist))
    sha256 = write_text(world.mirror, parse(str(config.genome)), fasta)
    caps = "".join(
        f"{name} = {max(least, round(getattr(config, name) * fraction))}\n" for name, least in CAPPED.items()
    )
    world.configuration.write_text(
        f'extends = "reference"\ngenome = "{address}#sha256={sha256}"\n'
        f'blacklist = "{blacklist}#sha256={listed}"\n{caps}'
        'validation_chromosomes = ["chr1", "chr22"]\n[model_sha256]\n'
        + "".join(f'"{name}" = "{hashes[name]}"\n' for name in config.model_sha256)
    )
    return world


def random_bases(count: int, rng: np.random.Generator) -> np.ndarray:
    """Codes of random bases with a GC content of 41%."""
    return np.searchsorted([0.295, 0.5, 0.705], rng.random(count, dtype=np.float32)).astype(np.uint8)


def plant_peaks(genome: dict[str, np.ndarray], count: int, rng: np.random.Generator) -> str:
    """Write CTCF sites into the genome; returns narrowPeak rows around them."""
    matrix = load_motif("MA0139.1").counts
    share = (matrix / matrix.sum(1, keepdims=True)).cumsum(1)
    lengths = np.array([len(sequence) for sequence in genome.values()])
    rows = []
    for name in rng.choice(list(genome), size=count, p=lengths / lengths.sum()):
        start = int(rng.integers(1000, len(genome[name]) - 1000))
        codes = (rng.random(len(share))[:, None] > share).sum(1).clip(max=3)
        genome[name][start + 140 : start + 140 + len(codes)] = LETTERS[codes]
        rows.append(
            f"{name}\t{start}\t{start + PEAK_BASES}\t.\t1000\t.\t{rng.gamma(2, 20):.2f}\t-1\t5\t{PEAK_BASES // 2}\n"
        )
    return "".join(rows)


def wrapped(sequence: np.ndarray) -> str:
    """Lines of 50 bases, half of them soft-masked, as UCSC writes them."""
    text = sequence.tobytes().decode()
    lines = [text[start : start + 50] for start in range(0, len(text), 50)]
    return "\n".join(line.lower() if number // 20 % 2 else line for number, line in enumerate(lines)) + "\n"


def write_task(
    mirror: Path, task: Task, genome: dict[str, np.ndarray], fraction: float, rng: np.random.Generator
) -> None:
    """Windows of the genome with and without the task's site; test rows on chr20 and chr21."""
    bases, train, test = ROWS[task.name]
    for location, rows, held_out in ((task.train, train, False), (task.test, test, True)):
        where = [name for name in genome if (name in ("chr20", "chr21")) == held_out]
        records = [
            one_row(task.name, genome, str(rng.choice(where)), bases, label % 2, rng)
            for label in range(max(LEAST_ROWS, round(rows * fraction)))
        ]
        table = pd.DataFrame(records, columns=["sequence", "name", "label"]).assign(task=task.name)
        remote = choices(as_remote(location))[0]
        path = mirror / remote.path
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path)
        catalogue(mirror, remote.path)


def one_row(
    task: str, genome: dict[str, np.ndarray], chromosome: str, bases: int, label: int, rng: np.random.Generator
) -> tuple[str, str, int]:
    """Sequence, name and label; a positive carries its site in nine letters of ten."""
    start = int(rng.integers(0, len(genome[chromosome]) - bases))
    letters = genome[chromosome][start : start + bases].copy()
    at, site = SITES.get(task, (0, ""))
    for offset, letter in enumerate(site if label else ""):
        if letter != "N" and (rng.random() < 0.9 or site[offset : offset + 2] in ("GT", "AG") or letter in "TG"):
            letters[at + offset] = ord(letter)
    return letters.tobytes().decode(), f"{chromosome}:{start}-{start + bases}|{label}", label


def write_models(mirror: Path, config: Config, bpe: Tokenizer) -> dict[str, str]:
    """Both models under their official names, the first as a pickle of tensors; returns the SHA-256 of its files."""
    hashes: dict[str, str] = {}
    named = [
        (config.model, config.model_revision),
        *((m.model, m.model_revision) for m in config.compared_models),
    ]
    for repository, revision in named:
        if not is_hub_id(repository):
            continue
        folder = hub_folder("models", repository, revision or "main")
        path = mirror / folder
        if "DNABERT" in repository:
            encoder, family = randomly_initialised(DNABERT2, 0), FAMILIES["dnabert2"]
            save_model(path, encoder, bpe, family)
            (path / "model.safetensors").unlink()
            torch.save(family.official_state(encoder), path / "pytorch_model.bin")
        else:
            encoder, family = randomly_initialised(NT_V2_100M, 0), FAMILIES["nucleotide_transformer"]
            save_model(path, encoder, FixedKmerTokenizer.generate(6), family)
        written = {file.name: catalogue(mirror, folder / file.name) for file in sorted(path.iterdir())}
        hashes = hashes or written
    return hashes


def as_remote(location: Any) -> Remote:
    """The remote file that a location of the profile means."""
    remote = parse(location)
    assert isinstance(remote, Remote)
    return remote


def write_text(mirror: Path, remote: Path | Remote, text: str) -> str:
    """Write a gzip file of the mirror; returns its SHA-256."""
    assert isinstance(remote, Remote)
    path = mirror / remote.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as stream:
        stream.write(text.encode())
    return catalogue(mirror, remote.path)


def catalogue(mirror: Path, path: PurePosixPath) -> str:
    """Note a file's SHA-256 in the mirror's catalogue, and return it."""
    with (mirror / path).open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    add_to_catalogue(mirror, {str(path): Stated(Digest("sha256", sha256), (mirror / path).stat().st_size)})
    return sha256


def product_rate(compute: Compute, seconds: float = 2.0) -> float:
    """Floating-point operations a second of matrix products of DNABERT-2's shapes, in the run's precision."""
    tokens = 65_536 if compute.device.type == "cuda" else 2048
    x = torch.randn(tokens, DNABERT2.d_model, device=compute.device)
    weight = torch.randn(2 * DNABERT2.d_mlp, DNABERT2.d_model, device=compute.device)
    if compute.precision == "bf16":
        x, weight = x.bfloat16(), weight.bfloat16()
    times: list[float] = []
    with compute.inference():
        while sum(times) < seconds:
            started = time.perf_counter()
            (x @ weight.T).sum().item()
            times.append(time.perf_counter() - started)
    return 2 * tokens * weight.numel() / statistics.median(times)


def ratios(results: Path, bpe: Tokenizer, run: dict[str, Any]) -> dict[str, float]:
    """By step: how much more of what it works on there is at full size; under the empty name, for all other steps.

    Alignment goes through a question's sequences twice: once for the statistics, and once for the ceilings, which at
    full size need `CEILING_SEQUENCES` of them alone.
    """
    here, whole, passes = {}, {}, {}
    for path in sorted((results / "tasks").glob("*.parquet")):
        table = pd.read_parquet(path)
        _, train, test = ROWS.get(path.stem, (0, PEAKS, PEAKS))
        here[path.stem] = sum(len(encoding.ids) for encoding in bpe.encode_many(table["sequence"].tolist()))
        times = (train + test) / len(table)
        whole[path.stem] = here[path.stem] * times
        passes[path.stem] = here[path.stem] * (times + min(times, CEILING_SEQUENCES / len(table))) / 2
    full = Config.model_validate(read_profile("reference", None))
    pairs, hidden = (getattr(full, name) / run["configuration"][name] for name in CAPPED)
    asked = [question.task for question in full.motif_questions]
    return {
        "": sum(whole.values()) / sum(here.values()),
        "systematic_causal_intervention": pairs,
        "masked_token_loss": hidden,
        "head_examples": 1.0,
        "qk_alignment": sum(passes[task] for task in asked) / sum(here[task] for task in asked),
    }


def report(run: dict[str, Any], scale: dict[str, float], rate: float) -> Iterator[str]:
    """Lines of the table."""
    yield f"measured rate of matrix products: {rate / 1e9:,.0f} GFLOP/s"
    yield "| step | seconds | tokens (M) | TFLOP | share of the rate | PFLOP at full size | seconds | the seed's |"
    yield "|---|---|---|---|---|---|---|---|"
    together = np.zeros(5)
    for step in run["steps"]:
        work = [facts for name, facts in step["facts"].items() if name.endswith("_work")]
        flop, tokens = (sum(w[key] for w in work) for key in ("floating_point_operations", "tokens"))
        times = scale.get(step["name"], scale[""])
        figures = np.array([step["seconds"], tokens, flop, flop * times, step["seconds"] * times])
        together += figures
        yield row(step["name"], figures, rate, SEED_SECONDS.get(step["name"]))
    yield row("all", together, rate, 28_760)
    yield f"full size: {together[3] / 1e15:,.1f} PFLOP; at the measured rate alone {together[3] / rate / 3600:.2f} h"


def row(name: str, figures: np.ndarray, rate: float, seed: float | None) -> str:
    """One line; figures: seconds, tokens, operations, and the last and the first at full size."""
    seconds, tokens, flop, whole, whole_seconds = figures
    share = f"{flop / rate / seconds:.0%}" if flop else ""
    cells = (f"{seconds:.1f}", f"{tokens / 1e6:.2f}", f"{flop / 1e12:.1f}", share, f"{whole / 1e15:.2f}")
    return f"| {name} | {' | '.join(cells)} | {whole_seconds:,.0f} | {'' if seed is None else f'{seed:,.0f}'} |"


def main() -> None:
    """Make the world, run the profile on it, and print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fraction", type=float, default=0.004)
    parser.add_argument("--folder", type=Path, default=Path("data") / "full_size")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve() / f"{arguments.fraction:g}"
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    world = make_world(folder, arguments.fraction, arguments.tokenizer)
    print(f"world of {folder_bytes(world.mirror) / 1e9:.2f} GB made in {time.perf_counter() - started:.0f} s")
    compute = resolve_compute(arguments.device, arguments.precision)
    before = product_rate(compute)
    shutil.rmtree(folder / "results", ignore_errors=True)
    command = [sys.executable, str(MAIN), "--config", str(world.configuration), "--results", "results"]
    command += ["--mirror", str(world.mirror), "--offline"]
    command += ["--device", arguments.device, "--precision", arguments.precision]
    subprocess.run(command, cwd=folder, check=True)
    run = json.loads((folder / "results" / "pipeline_run.json").read_text())
    where = f"{compute.device.type}, {compute.precision}, {torch.get_num_threads()} threads"
    print(f"{where}; fraction {arguments.fraction:g}")
    rate = max(before, product_rate(compute))
    folder_of_model = world.mirror / hub_folder("models", *(run["configuration"][key] for key in MODEL_KEYS))
    scale = ratios(folder / "results", load_tokenizer(folder_of_model, "dnabert2"), run)
    print("\n".join(report(run, scale, rate)))
    print(f"results: {folder_bytes(folder / 'results') / 1e9:.3f} GB on disk")


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
