"""How many sequences give a pair with DNABERT-2's own tokenizer, and why the others do not.

python benchmarks/counterfactual_yield.py TOKENIZER_FOLDER --ctcf peaks.fa --tata prom_300_tata.csv --donors splice.csv

Every accepted pair is tokenized again here, and its boundaries, its scores and its length are checked without the
search's own code.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from mints.config import MotifQuestion
from mints.data.counterfactuals import Refused, control_edit, destroy_sites, is_aligned, replace_motif
from mints.data.sequences import read_fasta
from mints.models.tokenizers import load_tokenizer
from mints.studies.genomic.questions import boundaries, open_question


def read_tables(arguments):
    """(question, table of sequence and label) of every file that was given."""
    if arguments.ctcf:
        sequences = [record.sequence for record in read_fasta(arguments.ctcf)]
        target = arguments.ctcf.with_suffix(".target").read_text(encoding="utf-8").splitlines()
        labels = [int(line.split()[0]) for line in target]
        yield (
            MotifQuestion(name="ctcf", task="ctcf", motif="MA0139.1"),
            pd.DataFrame({"sequence": sequences, "label": labels}),
        )
    if arguments.tata:
        yield MotifQuestion(name="tata", task="tata", motif="MA0108.2"), pd.read_csv(arguments.tata)
    if arguments.donors:
        table = pd.read_csv(arguments.donors)
        donors = MotifQuestion(name="donors", task="donors", anchor=197, width=9, core=(3, 5))
        yield donors, table.assign(label=(table["label"] == 1).astype(int))


def measure(asked, table, keep, most):
    """One line per question."""
    question = open_question(asked, table.assign(split="train"))
    rule, rng = question.rule(), np.random.default_rng(0)
    positives = table.loc[table["label"] == 1, "sequence"].tolist()[:most]
    outcomes, pairs, controls = Counter(), [], 0
    for sequence in positives:
        pair = destroy_sites(sequence, rule, keep, rng)
        if isinstance(pair, Refused):
            outcomes[pair.value] += 1
        else:
            pairs.append(pair)
            controls += control_edit(pair, rule, keep, rng) is not None
    with_site = len(positives) - outcomes["no_site"] - outcomes["unknown_letters"]
    aligned = [np.array_equal(*keep([pair.clean, pair.corrupted])) for pair in pairs]
    destroyed = [question.scorer.windows([pair.corrupted])[0].bits for pair in pairs]
    if asked.anchor is None:
        gone = [bool((bits < question.threshold).all()) for bits in destroyed]
    else:
        gone = [bool(bits[asked.anchor] < question.threshold) for bits in destroyed]
    sizes = Counter(len(pair.positions) for pair in pairs)
    print(f"{asked.name}: {len(positives)} positives, {with_site} with a site, {len(pairs)} pairs")
    print(f"  a window is a site from {rule.threshold:.2f} bits on")
    print(f"  share of those with a site {len(pairs) / with_site:.4f}; refused {dict(outcomes)}")
    print(
        f"  aligned {np.mean(aligned):.4f}, destroyed {np.mean(gone):.4f}; with a control {controls / len(pairs):.3f}"
    )
    gc = np.abs([pair.gc_change for pair in pairs])
    print(f"  substitutions {dict(sorted(sizes.items()))}; |GC change| {gc.mean():.3f}, 0 in {np.mean(gc == 0):.3f}")
    if asked.name == "tata":
        edits = [(sequence, replace_motif(sequence, "TATAAA", "GCGCGC")) for sequence in positives]
        made = [is_aligned(clean, edited, keep) for clean, edited in edits if edited is not None]
        print(f"  TATAAA → GCGCGC: {len(made)} sequences, {1 - np.mean(made):.4f} misaligned")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path)
    for name in ("ctcf", "tata", "donors"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--most", type=int, default=2000, help="positives per question")
    arguments = parser.parse_args()
    keep = boundaries(load_tokenizer(arguments.tokenizer, "dnabert2"))
    for asked, table in read_tables(arguments):
        measure(asked, table, keep, arguments.most)


if __name__ == "__main__":
    main()
