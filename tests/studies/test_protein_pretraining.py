"""Protein study: its simulated world, its splits, and the pretraining of its small model."""

import json

import numpy as np
import pandas as pd
import pytest

from mints.config import Config
from mints.data.simulation.proteins import simulate_proteins
from mints.errors import MintsError, UsageError
from mints.models.checkpoint import load_model
from mints.models.compute import resolve_compute
from mints.models.masking import MaskedSequences
from mints.models.pretraining import batch_losses, evaluate
from mints.protein_config import ProteinConfig, ProteinSimulation, Scan
from mints.studies.genomic.study import open_pipeline as open_genomic_pipeline
from mints.studies.protein.study import open_pipeline
from mints.studies.shared import pretraining as shared_pretraining
from mints.study_config import Pretraining

SCANS = ("HELICAL1_SIM", "STRANDED1_SIM", "MIXED1_SIM")
RECIPE = Pretraining(
    family="esm2", d_model=8, layers=1, heads=2, d_mlp=16, context=150, batch=4, steps=4, masked_share=0.15
)


def configuration(results):
    simulated = results / "simulated_proteins"
    return ProteinConfig(
        results=results,
        profile="embedded",
        simulation=ProteinSimulation(proteins=400),
        proteins=simulated / "proteins.fasta",
        scans=[Scan(name=name, file=simulated / "dms" / f"{name}.csv") for name in SCANS],
        pretraining=RECIPE,
        precision="fp32",
        probe_bootstrap_samples=50,
    )


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Results folder of a pretraining that nobody disturbed."""
    results = tmp_path_factory.mktemp("pretraining") / "results"
    open_pipeline(configuration(results), pretraining=True, quiet=True).run()
    return results


def facts(results, step):
    return json.loads((results / "manifests" / f"{step}.json").read_text())["facts"]


def test_no_cluster_is_in_two_splits_and_the_scanned_proteins_are_for_testing(pretrained):
    proteins = pd.read_parquet(pretrained / "proteins/proteins.parquet")
    assert list(proteins) == ["accession", "sequence", "cluster", "split"]
    assert proteins.groupby("cluster")["split"].nunique().max() == 1
    summary = json.loads((pretrained / "simulated_proteins/summary.json").read_text())
    scanned = proteins.set_index("accession").loc[[summary["scans"][name]["accession"] for name in SCANS]]
    assert set(scanned["split"]) == {"test"}
    counted = pd.read_csv(pretrained / "tables/proteins.csv").set_index("split")
    assert counted["proteins"].to_dict() == proteins["split"].value_counts().to_dict()
    assert counted["residues"].sum() == proteins["sequence"].str.len().sum()
    found = facts(pretrained, "ingest_proteins")
    assert [found[f"near_copies_of_{name}"] for name in SCANS] == [1, 1, 1]
    assert found["clusters_kept_for_test_because_of_scans"] == 3


def test_the_checkpoint_is_of_esm_2_and_its_stated_loss_is_measured_on_the_test_proteins(pretrained):
    encoder, tokenizer, family, _ = load_model(str(pretrained / "checkpoint"))
    assert family.name == "esm2"
    assert encoder.architecture.token_dropout_mask_id == tokenizer.mask_id
    proteins = pd.read_parquet(pretrained / "proteins/proteins.parquet")
    sequences = proteins.loc[proteins["split"] == "test", "sequence"].tolist()
    test = MaskedSequences(
        tokenizer.encode_many(sequences), tokenizer, context=RECIPE.context, share=0.15, seed=RECIPE.seed + 2
    )
    compute = resolve_compute("cpu", "fp32")
    losses = np.concatenate([batch_losses(encoder, batch, compute).numpy() for _, batch in test.once(64)])
    table = pd.read_csv(pretrained / "tables/pretraining_loss.csv").set_index("predictor")
    assert table.loc["model", "loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert set(table["tokens"]) == {len(losses)}
    assert set(table["units"]) == {len(sequences)}
    training = "".join(proteins.loc[proteins["split"] == "train", "sequence"])
    share = {residue: training.count(residue) / len(training) for residue in "ACDEFGHIKLMNPQRSTVWY"}
    truth = [tokenizer.vocabulary[token] for _, batch in fresh(test, sequences, tokenizer) for token in batch.truth]
    assert table.loc["unigram", "loss"] == pytest.approx(-np.mean([np.log(share[r]) for r in truth]), abs=2e-3)
    assert table.loc["unigram", "gain"] == 0


def fresh(test, sequences, tokenizer):
    again = MaskedSequences(tokenizer.encode_many(sequences), tokenizer, context=150, share=0.15, seed=RECIPE.seed + 2)
    return again.once(64)


def test_an_interrupted_pretraining_goes_on_to_the_same_bytes(pretrained, tmp_path, monkeypatch):
    whole = shared_pretraining.pretrain

    class StoppedError(Exception):
        pass

    def stopping(*arguments, track, **named):
        def until(steps):
            for step in steps:
                if step == 3:
                    raise StoppedError
                yield step

        return whole(*arguments, track=until, **named)

    results = tmp_path / "results"
    pipeline = open_pipeline(configuration(results), pretraining=True, quiet=True)
    monkeypatch.setattr(shared_pretraining, "pretrain", stopping)
    with pytest.raises(StoppedError):
        pipeline.run()
    assert not (results / "checkpoint").exists()
    monkeypatch.setattr(shared_pretraining, "pretrain", whole)
    open_pipeline(configuration(results), pretraining=True, quiet=True).run()
    for name in ("checkpoint/model.safetensors", "tables/training_curve.csv", "tables/pretraining_loss.csv"):
        assert (results / name).read_bytes() == (pretrained / name).read_bytes()


@pytest.mark.parametrize(
    ("fasta", "fields", "complaint"),
    [
        (">a\nACGTACGT\n>b\nACGNNT\n", {}, "it is DNA"),
        (">a\nMKLVAAWY\n>b\nMKLVWWWW\n", {"max_protein_length": 5}, "has 5 residues or fewer"),
        (">a\nMKLVAAWY\n>b\nWWGHEDLL\n", {}, "leave none for"),
    ],
)
def test_what_cannot_be_ingested_is_refused_in_one_line(tmp_path, fasta, fields, complaint):
    path = tmp_path / "mine.fasta"
    path.write_text(fasta)
    config = ProteinConfig(results=tmp_path / "results", proteins=path, **fields)
    with pytest.raises(MintsError, match=complaint):
        open_pipeline(config, quiet=True).run(only_step="ingest_proteins")


def test_pretraining_without_proteins_or_with_another_study_s_family_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(UsageError, match="--pretrain needs proteins"):
        open_pipeline(ProteinConfig(results=tmp_path, pretraining=RECIPE), pretraining=True, quiet=True)
    of_dna = ProteinConfig(results=tmp_path, proteins="mine.fasta")
    with pytest.raises(UsageError, match="a model of proteins is of esm2"):
        open_pipeline(of_dna, pretraining=True, quiet=True)
    of_proteins = Config(results=tmp_path, genome="mine.fa", pretraining=RECIPE)
    with pytest.raises(UsageError, match="a model of DNA"):
        open_genomic_pipeline(of_proteins, pretraining=True, quiet=True)


def test_proteins_that_are_too_long_are_left_out_and_counted(tmp_path):
    rng = np.random.default_rng(0)
    lengths = [30, 40, 50, 60, 70, 80, 300, 400]
    path = tmp_path / "mine.fasta"
    path.write_text("".join(f">p{n}\n{''.join(rng.choice(list('ACDEFGHIKLMNPQRSTVWY'), n))}x\n" for n in lengths))
    config = ProteinConfig(results=tmp_path / "results", proteins=path, max_protein_length=100)
    open_pipeline(config, quiet=True).run(only_step="ingest_proteins")
    proteins = pd.read_parquet(tmp_path / "results/proteins/proteins.parquet")
    assert proteins["accession"].tolist() == ["p30", "p40", "p50", "p60", "p70", "p80"]
    found = facts(tmp_path / "results", "ingest_proteins")
    assert found["proteins_left_out_as_too_long"] == 2
    assert found["ambiguous_residues"] == {"X": 8}


def test_the_shipped_model_knows_the_families_of_the_simulation():
    encoder, tokenizer, *_ = load_model("mints:embedded_esm2")
    world = simulate_proteins(ProteinSimulation(proteins=150))
    sequences = [protein.sequence for protein in world.proteins if protein.plan.domains]
    drawn = MaskedSequences(tokenizer.encode_many(sequences), tokenizer, context=256, share=0.15, seed=7)
    batches = [batch for _, batch in drawn.once(32)]
    assert evaluate(encoder, batches, resolve_compute("cpu", "fp32")) < 2.62
