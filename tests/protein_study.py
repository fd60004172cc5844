"""A small protein study in one process: proteins and annotation written here, an untrained ESM-2-family model."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mints.models.architecture import Architecture
from mints.models.checkpoint import save_model
from mints.models.encoder import randomly_initialised
from mints.models.families import FAMILIES
from mints.models.tokenizers.residue import ResidueTokenizer
from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline
from mints.pipeline.step import step
from mints.protein_config import ProteinConfig
from mints.studies.protein.steps.behaviour_probes import behaviour_probes
from mints.studies.protein.steps.concept_scoring import concept_scoring
from mints.studies.protein.steps.feature_circuits import feature_circuits
from mints.studies.protein.steps.sparse_autoencoders import sparse_autoencoders

SITES = ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"]

POLAR, GREASY, BURIED = "DEKNQRSTGP", "LIVFLIVF", "LIVFLIVDSLA"


def make_proteins(rng):
    """Half of the proteins have a helix or a signal peptide, the others stretches that are about as hydrophobic."""

    def letters(alphabet, count):
        return "".join(rng.choice(list(alphabet), size=count))

    rows, features = [], []
    for number in range(240):
        accession, kind = f"T{number:04d}", ("tm", "sp", "buried", "start")[number % 4]
        before = 0 if kind in ("sp", "start") else int(rng.integers(8, 20))
        core = {
            "tm": "KR" + letters(GREASY, 15), "sp": "MK" + letters(GREASY, 8) + "ASA", "buried": letters(BURIED, 17),
            "start": letters(BURIED, 13),
        }[kind]  # fmt: skip
        sequence = letters(POLAR, before) + core + letters(POLAR, int(rng.integers(20, 30)))
        split = ("train", "train", "validation", "test")[number // 4 % 4]
        rows.append((accession, sequence, number // 2, split))
        if kind in ("tm", "sp"):
            first = before + (2 if kind == "tm" else 0)
            name = {"tm": "Transmembrane", "sp": "Signal peptide"}[kind]
            features.append((accession, name, first + 1, before + len(core), ""))
        features.append((accession, "Chain", 1, len(sequence), "whole"))
        helix = before + len(core) + int(rng.integers(2, 6))
        features.append((accession, "Helix", helix + 1, helix + 8, ""))
    proteins = pd.DataFrame(rows, columns=["accession", "sequence", "cluster", "split"])
    return proteins, pd.DataFrame(features, columns=["accession", "feature", "start_1based", "end_incl", "note"])


@step("ingest_proteins", makes=["proteins/proteins.parquet"])
def ingest(run):
    """The proteins as they are."""
    run.save("proteins/proteins.parquet", make_proteins(np.random.default_rng(3))[0])


class ProteinStudy(NamedTuple):
    """Results of the small study and what it was made of."""

    results: Path
    proteins: pd.DataFrame
    annotation: pd.DataFrame
    config: ProteinConfig


def run_protein_study(folder, *, only_probes=False, caliper=1.0):
    """All steps of this suite, or those up to the probes."""
    proteins, annotation = make_proteins(np.random.default_rng(3))
    annotation.to_csv(folder / "features.tsv", sep="\t", index=False)
    (folder / "proteins.fasta").write_text("".join(f">{a}\n{s}\n" for a, s, *_ in proteins.itertuples(index=False)))
    tokenizer = ResidueTokenizer.generate()
    architecture = Architecture(
        vocabulary_size=33, d_model=16, n_layers=3, n_heads=2, d_mlp=32, norm_placement="pre", norm_epsilon=1e-5,
        position="rotary", mlp="gelu", mlp_input_bias=True, mlp_output_bias=True, pad_id=tokenizer.pad_id,
        embedding_norm=False, token_dropout_mask_id=tokenizer.mask_id,
    )  # fmt: skip
    save_model(folder / "checkpoint", randomly_initialised(architecture, 1), tokenizer, FAMILIES["esm2"])
    features = {
        "sites": SITES, "k": [4], "expansion": [3], "training_tokens": 5_000, "batch": 256,
        "annotations": [{"name": "truth", "file": str(folder / "features.tsv")}], "concept_windows": 40,
        "concept_permutations": 3, "circuit_sequences": 8,
    }  # fmt: skip
    config = ProteinConfig(
        profile="test", results=folder / "results", model=str(folder / "checkpoint"), device="cpu", precision="fp32",
        proteins=str(folder / "proteins.fasta"), features=features, probe_bootstrap_samples=20, decoy_caliper=caliper,
        behaviours=[
            {"name": "tm", "kind": "Transmembrane", "decoys_without": ["Signal peptide"]},
            {"name": "sp", "kind": "Signal peptide", "first": 20, "core": 6},
        ],
    )  # fmt: skip
    steps = (ingest, behaviour_probes)
    if not only_probes:
        steps = (ingest, sparse_autoencoders, concept_scoring, behaviour_probes, feature_circuits)
    expand = {"site": SITES, "dictionary": [], "behaviour": [behaviour.name for behaviour in config.behaviours]}
    Pipeline(steps, config, config.results, expand=expand, version="test", reporter=Reporter(quiet=True)).run()
    return ProteinStudy(config.results, proteins, annotation, config)
