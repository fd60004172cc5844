"""Writes the simulated proteins in the formats of the real sources: FASTA, UniProt's table, ProteinGym's tables."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pandas as pd

from mints.data.simulation.protein_scans import Scan, simulate_scans
from mints.data.simulation.proteins import SimulatedProtein, simulate_proteins
from mints.protein_config import ProteinSimulation

LINE = 60
"""Residues per line of the FASTA."""


class ProteinSummary(TypedDict):
    """What was written, counted."""

    proteins: int
    residues: int
    paralogues: int
    kinds: dict[str, int]
    """Proteins by architecture."""

    features: dict[str, int]
    domains: dict[str, int]
    """Domains by family."""

    scans: dict[str, dict[str, object]]
    """Where each scan's domain lies, and how well its noisy measurements can be foretold at all: Spearman's correlation
    of the true effects with them.
    """


def write_proteins(simulation: ProteinSimulation, folder: Path) -> ProteinSummary:
    """Simulate and write everything below `folder`; the same bytes for the same configuration.

    proteins.fasta (UniProt's headers, 60 residues a line), features.tsv, segments.csv, dms/NAME.csv and truth/NAME.csv.
    """
    world = simulate_proteins(simulation)
    scans = simulate_scans(simulation, world)
    features, segments = world.features(), world.segments()
    for part in ("dms", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_fasta(world.proteins, folder / "proteins.fasta")
    features.to_csv(folder / "features.tsv", sep="\t", index=False, lineterminator="\n")
    _write_table(segments, folder / "segments.csv")
    for scan in scans:
        _write_table(scan.measured, folder / "dms" / f"{scan.name}.csv")
        _write_table(scan.truth, folder / "truth" / f"{scan.name}.csv")
    domains = features.loc[features["feature"] == "Domain", "note"]
    return {
        "proteins": len(world.proteins),
        "residues": sum(len(protein.sequence) for protein in world.proteins),
        "paralogues": sum(bool(protein.ancestor) for protein in world.proteins),
        "kinds": _counted(pd.Series([protein.plan.kind for protein in world.proteins])),
        "features": _counted(features["feature"]),
        "domains": _counted(domains),
        "scans": {scan.name: _describe(scan) for scan in scans},
    }


def write_fasta(proteins: list[SimulatedProtein], path: Path) -> None:
    """UniProt's headers: database, accession, entry name, description, organism, gene."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, protein in enumerate(proteins, start=1):
            description = f"Simulated {protein.plan.kind.replace('_', '-')} protein"
            file.write(
                f">sp|{protein.accession}|P{number}_SIM {description} OS=Simulated OX=0 GN=P{number} PE=5 SV=1\n"
            )
            text = protein.sequence
            file.writelines(text[at : at + LINE] + "\n" for at in range(0, len(text), LINE))


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.6f", lineterminator="\n")


def _counted(values: pd.Series) -> dict[str, int]:
    return {str(value): int(number) for value, number in values.value_counts().sort_index().items()}


def _describe(scan: Scan) -> dict[str, object]:
    doubles = scan.measured["mutant"].str.contains(":")
    ceiling = scan.measured["DMS_score"].corr(scan.truth["effect"], method="spearman")
    return {
        "accession": scan.accession,
        "family": scan.family,
        "start_1based": scan.start + 1,
        "singles": int((~doubles).sum()),
        "doubles": int(doubles.sum()),
        "spearman_of_truth_with_measurement": round(float(ceiling), 4),
    }
