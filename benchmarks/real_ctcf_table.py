"""One table of labelled sequences from the FASTA and the target file of the CTCF peaks (benchmarks/real_data.md).

python benchmarks/real_ctcf_table.py data/real/ctcf_tfbs/kerasgenomics_test.fa data/real_ctcf.csv
"""

import sys
from pathlib import Path

import pandas as pd

from mints.data.sequences import read_fasta


def main(fasta: Path, table: Path) -> None:
    """Write name, sequence and label; the first column of the target file is 1 for a bound sequence."""
    labels = [int(line.split()[0]) for line in fasta.with_suffix(".target").read_text(encoding="utf-8").splitlines()]
    records = pd.DataFrame(read_fasta(fasta)).assign(label=labels)
    # A shuffled peak carries its peak's coordinates, and goes into the same split and cluster.
    places = records["name"].str.removesuffix("_shuf")
    records.assign(name=places + "|" + records["label"].astype(str)).to_csv(table, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
