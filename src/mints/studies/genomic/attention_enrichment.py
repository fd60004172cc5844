"""Step: attention enrichment, from the pass that the alignment made."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from numpy import ndarray

from mints.analysis.attention_enrichment import enrichment_table
from mints.analysis.head_sums import HeadSums, PermutedSums, from_arrays
from mints.pipeline.run import Run
from mints.report.head_maps import head_map
from mints.studies.genomic.fields import SUM_VARIANTS


def run_attention_enrichment(run: Run) -> None:
    """Compare the attention that motif tokens receive with that of matched background tokens."""
    for asked in run.config.motif_questions:
        tables = []
        for variant in SUM_VARIANTS:
            arrays = run.load(f"qk_alignment/{asked.name}_{variant}_sums.npz")
            tables.append(enrichment_of(arrays, variant, run.config.probe_ci_level))
        result = pd.concat(tables, ignore_index=True)
        run.save(f"enrichment/{asked.name}_qk_alignment_matched_attention_enrichment.csv", result)
        figure = head_map(
            result[result["variant"] == "model"],
            "rho",
            title=f"Attention to {asked.name.replace('_', ' ')} tokens over matched background",
            label="ρ",
            centre=1,
            threshold=run.config.registered.enrichment,
        )
        run.figure(f"{asked.name}_qk_alignment_matched_attention_enrichment_rho_heatmap", figure)


def enrichment_of(arrays: Mapping[str, ndarray], variant: str, level: float) -> pd.DataFrame:
    """Enrichment of every head from the sums of one pass of the alignment."""
    sums, permuted = from_arrays(HeadSums, arrays), from_arrays(PermutedSums, arrays, "permuted")
    table = enrichment_table(sums, permuted, int(arrays["n_heads"]), level=level)
    table.insert(0, "variant", variant)
    return table
