"""Step: pairs of clean and corrupted signal."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "signal_pairs",
    needs=["signal/reads.npz"],
    may_need=["simulated_signal/levels.tsv"],
    makes=[
        "pairs/pairs.npz",
        "tables/signal_pairs.csv",
        "tables/signal_pair_counts.csv",
        "figures/signal_pairs.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "levels",
        "pairs",
        "pair_samples",
        "noise_strengths",
        "dampening_strengths",
        "chunk_samples",
        "chunk_overlap",
        "seed",
    ],
    opens=["levels", "model"],
    without_effect=["tokens_per_batch"],
)
def signal_pairs(run: Run) -> None:
    """Pair signals that differ in one run of a base, or in one place without a run, and nowhere else."""
    from mints.studies.basecaller.signal_pairs import run_signal_pairs

    run_signal_pairs(run)
