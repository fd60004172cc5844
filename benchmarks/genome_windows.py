"""Cost of a genome that does not fit in memory: the copy of this package against those that pyfaidx reads.

    python benchmarks/genome_windows.py [--megabases 200] [--windows 20000]

A soft-masked random genome is written as ordinary gzip; every side then makes its copy of it, with upper-case letters,
and reads the same random windows of 200 bases. All sides share the reading of the FASTA file.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pyfaidx
from Bio import bgzf

from mints.data.genome import Genome
from mints.data.sequences import ReadCounts, fasta_pieces

LINE, BLOCK, WIDTH = 50, 5_000_000, 200
Fetch = Callable[[int], str]


def write_genome(path: Path, megabases: int) -> None:
    """One chromosome of random letters, half of them in lower case, as gzip."""
    rng = np.random.default_rng(0)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(b">chr1\n")
        for _ in range(megabases * 1_000_000 // BLOCK):
            codes = rng.integers(0, 4, BLOCK) + 4 * np.repeat(rng.random(BLOCK // 500) < 0.5, 500)
            lines = np.frombuffer(b"ACGTacgt", dtype=np.uint8)[codes].reshape(-1, LINE)
            stream.write(np.pad(lines, ((0, 0), (0, 1)), constant_values=ord("\n")).tobytes())


def by_mints(path: Path, folder: Path) -> Fetch:
    """Three bases in a byte."""
    genome = Genome.open(path, folder)
    return lambda start: genome.fetch("chr1", start, start + WIDTH)


def by_pyfaidx(path: Path, folder: Path, level: int | None) -> Fetch:
    """Upper-case FASTA with an index: plain, or in blocks of gzip at a level."""
    copy = folder / ("genome.fa" if level is None else "genome.fa.gz")
    with copy.open("wb") if level is None else bgzf.BgzfWriter(copy, "wb", compresslevel=level) as stream:
        stream.write(b">chr1\n")
        rest = ""
        for piece in fasta_pieces(path, ReadCounts()):
            letters = rest + piece.letters
            whole = len(letters) // LINE * LINE
            stream.write("".join(letters[at : at + LINE] + "\n" for at in range(0, whole, LINE)).encode())
            rest = letters[whole:]
    genome = pyfaidx.Fasta(str(copy), as_raw=True, rebuild=True)
    return lambda start: str(genome["chr1"][start : start + WIDTH])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabases", type=int, default=200)
    parser.add_argument("--windows", type=int, default=20_000)
    asked = parser.parse_args()
    starts = np.random.default_rng(1).integers(0, asked.megabases * 1_000_000 - WIDTH, asked.windows).tolist()
    sides: dict[str, Callable[[Path, Path], Fetch]] = {
        "mints, three bases in a byte": by_mints,
        "pyfaidx, plain": lambda path, folder: by_pyfaidx(path, folder, None),
        "pyfaidx, BGZF level 1": lambda path, folder: by_pyfaidx(path, folder, 1),
        "pyfaidx, BGZF level 6": lambda path, folder: by_pyfaidx(path, folder, 6),
    }
    with TemporaryDirectory() as name:
        source = Path(name) / "genome.fa.gz"
        write_genome(source, asked.megabases)
        expected: list[str] = []
        for label, make in sides.items():
            folder = Path(name) / label
            folder.mkdir()
            begin = perf_counter()
            fetch = make(source, folder)
            made = perf_counter()
            windows = [fetch(start) for start in starts]
            read = perf_counter()
            expected = expected or windows
            if windows != expected:
                raise SystemExit(f"{label} reads other letters")
            size = sum(file.stat().st_size for file in folder.iterdir()) / asked.megabases / 1e6
            rate = asked.windows / (read - made)
            print(f"{label}: {made - begin:.1f} s to make, {size:.3f} bytes a base, {rate:,.0f} windows/s")


if __name__ == "__main__":
    main()
