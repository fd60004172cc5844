"""Cost of the sites of one motif on both strands, with p-values: this package against memelite's FIMO, in one run.

    python benchmarks/motif_scan_speed.py [--motif MA0139.1] [--bases 10000000] [--repeats 15]

Needs memelite (0.5.0) beside this package. Both sides start from sequence in memory in the form that they take it
(letters here, one-hot there) and run in turn, after a warm-up in which memelite compiles. `by all windows` are this
package's sites by way of every window's score, which memelite does not give. The last lines compare the sites:
memelite's scores are not rounded, but its p-values are those of log-odds in bins of 0.1 bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.data import motif_scores
from mints.data.motif_scores import SITE_P, MotifScorer, motif_scorer, sites
from mints.data.motifs import load_motif
from mints.data.sequences import decode

try:
    import numba
    from memelite import fimo
except ImportError:
    fimo = None


def by_all_windows(scorer: MotifScorer, sequence: str) -> pd.DataFrame:
    """Sites of this package, picked from the scores of all windows."""
    windows = scorer.windows([sequence])[0]
    start = sites(windows, scorer.width, scorer.threshold())[:, 0]
    bits = windows.bits[start]
    return pd.DataFrame({"start": start, "bits": bits, "strand": windows.strand[start], "p": scorer.p_value(bits)})


def by_hits(scorer: MotifScorer, sequence: str) -> pd.DataFrame:
    """Sites of this package, found without the scores of the other windows."""
    return pd.DataFrame(scorer.hits(sequence)._asdict()).rename(columns={"p_value": "p"})


def by_memelite(scorer: MotifScorer, one_hot: Int[ndarray, "1 4 position"]) -> pd.DataFrame:
    """Sites of memelite, from the same smoothed probabilities; a window has a row for each strand that passes."""
    probabilities = scorer.motif.probabilities(scorer.pseudocount, scorer.background).T
    found: pd.DataFrame = fimo({scorer.motif.id: probabilities}, one_hot, eps=0, threshold=SITE_P)[0]
    return found


def medians(sides: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median milliseconds of each side; the sides take turns, so that a busy machine slows all of them."""
    seconds: list[list[float]] = [[] for _ in sides]
    for work in sides:
        work()
    for _ in range(repeats):
        for taken, work in zip(seconds, sides, strict=True):
            start = perf_counter()
            work()
            taken.append(perf_counter() - start)
    return [1e3 * float(np.median(taken)) for taken in seconds]


def compare(ours: pd.DataFrame, found: pd.DataFrame) -> None:
    """Print how far the sites, scores and p-values of both sides agree."""
    theirs = found.sort_values("score", ascending=False).drop_duplicates("start")
    theirs = theirs.assign(theirs=theirs["strand"].map({"+": 1, "-": -1}))[["start", "score", "p-value", "theirs"]]
    both = ours.merge(theirs, on="start")
    print(f"sites: mints {len(ours):,}, memelite {len(theirs):,}, both {len(both):,}")
    for name, scores in (("mints", ours.set_index("start")["bits"]), ("memelite", theirs.set_index("start")["score"])):
        alone = scores.drop(both["start"])
        best = f", the best with {alone.max():.3f} bits" if len(alone) else ""
        print(f"{name}: least score {scores.min():.3f} bits; {len(alone)} sites alone{best}")
    gap, same = (both["bits"] - both["score"]).abs().max(), (both["strand"] == both["theirs"]).mean()
    low, middle, high = np.quantile(np.log2(both["p"] / both["p-value"]), [0, 0.5, 1])
    print(f"sites of both: same strand {same:.2%}; scores differ by at most {gap:.4f} bits")
    print(f"log2 of p-value of mints / p-value of memelite: median {middle:.3f}, from {low:.3f} to {high:.3f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motif", default="MA0139.1")
    parser.add_argument("--bases", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    asked = parser.parse_args()
    scorer = motif_scorer(load_motif(asked.motif))
    codes = np.random.default_rng(0).integers(0, 4, asked.bases, dtype=np.uint8)
    sequence, one_hot = decode(codes), (codes == np.arange(4)[:, None]).astype(np.int8)[None]
    own = (lambda: by_hits(scorer, sequence), lambda: by_all_windows(scorer, sequence))
    print(f"{asked.motif}, {asked.bases:,} bases, both strands, p <= {SITE_P}")
    if fimo is None:
        hits, windows = medians(own, asked.repeats)
        print(f"mints: {hits:.1f} ms, by all windows {windows:.1f} ms")
        print("memelite is not installed (pip install memelite==0.5.0): nothing to compare with")
        return
    for threads in sorted({1, numba.get_num_threads()}):
        motif_scores.THREADS = threads
        numba.set_num_threads(threads)
        hits, windows, other = medians((*own, lambda: by_memelite(scorer, one_hot)), asked.repeats)
        print(f"threads {threads}: memelite {other:.1f} ms; mints {hits:.1f} ms: {other / hits:.2f} x", end="")
        print(f"; by all windows {windows:.1f} ms: {other / windows:.2f} x")
    compare(by_hits(scorer, sequence), by_memelite(scorer, one_hot))


if __name__ == "__main__":
    main()
