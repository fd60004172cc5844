"""Exact scores of all latent × concept pairs: sparse counts against a loop over latents and thresholds, in one run.

    python benchmarks/concept_scoring_speed.py [--tokens 20000] [--latents 1024] [--active 16] [--concepts 32]

The loop is what a reader of the definition would write: for every latent and every value that it takes, the tokens at
or above it, counted against every concept at once (a vector against a dense matrix). It is run on as many latents as
`--looped` says, and its CPU time for all of them is that of these times latents over looped; the counts and thresholds
of these latents are compared, and all must be equal. Both sides start from the same activations and labels.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.features.concepts import Matrix
from mints.features.exact_thresholds import Best, best_thresholds, rank_sparse


def made_up(tokens: int, latents: int, active: int, concepts: int) -> tuple[Matrix, Matrix]:
    """Activations of `active` latents a token, some far more often active than others, and concepts in stretches."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.full(latents, 0.5))
    drawn = rng.choice(latents, size=(tokens, active), p=share)
    values = rng.exponential(size=(tokens, active)).astype(np.float32)
    at = (np.repeat(np.arange(tokens), active), drawn.ravel())
    activations = csr_array((values.ravel(), at), shape=(tokens, latents))
    activations.sum_duplicates()
    labels = np.zeros((tokens, concepts), dtype=bool)
    for concept in range(concepts):
        for start in rng.integers(0, tokens - 60, size=rng.integers(5, tokens // 400)):
            labels[start : start + rng.integers(1, 60), concept] = True
    return activations, csr_array(labels)


def by_loop(
    activations: Float[ndarray, "token latent"], labels: Bool[ndarray, "token concept"]
) -> tuple[Float[ndarray, "latent concept"], Int[ndarray, "latent concept"], Int[ndarray, "latent concept"]]:
    """Threshold, true positives and calls of the largest F1, latent by latent and threshold by threshold."""
    shape = (activations.shape[1], labels.shape[1])
    threshold, hits, calls = np.full(shape, np.inf, dtype=np.float32), np.zeros(shape, int), np.zeros(shape, int)
    counted, positives = labels.astype(np.float32), labels.sum(0)
    for latent, values in enumerate(activations.T):
        best = np.zeros(labels.shape[1])
        for limit in np.unique(values[values > 0])[::-1]:
            called = values >= limit
            tp, n = called.astype(np.float32) @ counted, int(called.sum())
            f1 = 2 * tp.astype(np.float64) / (n + positives)
            better = f1 > best
            best[better], threshold[latent, better] = f1[better], limit
            hits[latent, better], calls[latent, better] = tp[better], n
    return threshold, hits, calls


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--latents", type=int, default=1024)
    parser.add_argument("--active", type=int, default=16)
    parser.add_argument("--concepts", type=int, default=32)
    parser.add_argument("--looped", type=int, default=192)
    asked = parser.parse_args()
    activations, labels = made_up(asked.tokens, asked.latents, asked.active, asked.concepts)
    best_thresholds(rank_sparse(activations), labels)
    taken, found = [], None
    for _ in range(3):
        start = process_time()
        found = best_thresholds(rank_sparse(activations), labels)
        taken.append(process_time() - start)
    assert isinstance(found, Best)
    looped = np.random.default_rng(1).permutation(asked.latents)[: asked.looped]
    dense, dense_labels = activations[:, looped].toarray(), labels.toarray()
    start = process_time()
    threshold, hits, calls = by_loop(dense, dense_labels)
    loop = (process_time() - start) * asked.latents / len(looped)
    sparse = float(np.median(taken))
    print(f"{asked.tokens:,} tokens, {asked.latents:,} latents, {activations.nnz:,} active, {asked.concepts} concepts")
    print(f"sparse counts, all pairs at all thresholds: {sparse:.3f} CPU s")
    print(f"dense loop, {len(looped)} latents, scaled to all: {loop:.1f} CPU s: {loop / sparse:.0f} x")
    same = {
        "thresholds": np.array_equal(found.threshold[looped], threshold),
        "true positives": np.array_equal(found.counts.true_positives[looped], hits),
        "calls": np.array_equal(found.counts.called[looped], calls),
    }
    print("identical: " + ", ".join(f"{name} {equal}" for name, equal in same.items()))
    if not all(same.values()):
        raise SystemExit("the two sides differ")


if __name__ == "__main__":
    main()
