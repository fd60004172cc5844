"""Step: proteins become one checked table with clusters of like sequences and splits."""

from __future__ import annotations

import pandas as pd

from mints.data.deep_mutational_scan import read_scan
from mints.data.protein_splits import describe_proteins, split_clusters
from mints.data.residues import ProteinCounts, read_proteins
from mints.data.shared_words import RESIDUE_WORDS, near_copy_clusters, shared
from mints.errors import MintsError
from mints.locations import here
from mints.pipeline.run import Run


def run_ingest(run: Run) -> None:
    """Read the proteins, group near copies, and split whole groups, those of the scanned proteins to the test set."""
    table = read_table(run)
    table["cluster"] = near_copy_clusters(table["sequence"].tolist(), RESIDUE_WORDS)
    reserved = clusters_of_scans(run, table)
    table["split"] = split_clusters(
        table["cluster"], reserved, run.config.validation_share, run.config.test_share, run.rng("splits")
    )
    run.save("proteins/proteins.parquet", table)
    run.save("tables/proteins.csv", describe_proteins(table))


def read_table(run: Run) -> pd.DataFrame:
    """Columns accession and sequence, without proteins that are too long for the run."""
    counts = ProteinCounts()
    table = pd.DataFrame(read_proteins(here(run.config.proteins), counts))
    fits = table["sequence"].str.len() <= run.config.max_protein_length
    run.fact("proteins_read", len(table))
    run.fact("proteins_left_out_as_too_long", int((~fits).sum()))
    run.fact("ambiguous_residues", dict(sorted(counts.ambiguous.items())))
    run.fact("stops_taken_away", counts.stops)
    if not fits.any():
        raise MintsError(f"no protein of {run.config.proteins} has {run.config.max_protein_length} residues or fewer")
    kept: pd.DataFrame = table[fits].reset_index(drop=True)
    return kept


def clusters_of_scans(run: Run, table: pd.DataFrame) -> set[int]:
    """Clusters with a near copy of a scanned protein: what is learnt from them would be known of the scan."""
    reserved: set[int] = set()
    for scan in run.config.scans:
        wild_type = read_scan(here(scan.file), scan.wild_type).wild_type
        near = shared([wild_type], table["sequence"].tolist(), RESIDUE_WORDS)[0] > RESIDUE_WORDS.near
        run.fact(f"near_copies_of_{scan.name}", int(near.sum()))
        reserved |= {int(cluster) for cluster in table.loc[near, "cluster"]}
    run.fact("clusters_kept_for_test_because_of_scans", len(reserved))
    return reserved
