"""The whole basecaller study on a small untrained model, by the command line."""

import json

import numpy as np
import pandas as pd
import pytest
from small_study import run_here

from mints.basecaller_config import BasecallerTraining
from mints.models.basecaller import randomly_initialised, save_basecaller
from mints.studies.basecaller.pretraining import bonito_config

CONFIGURATION = """
extends = "embedded"
probe_bootstrap_samples = 60
pair_samples = 600
calibration_strengths = [0.0, 3.0]
calibration_heads = 2
calibration_permutations = 2
calibration_pairs = 1

[simulation]
reads = 4
bases = 120
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results folder of a finished study."""
    folder = tmp_path_factory.mktemp("basecaller")
    recipe = BasecallerTraining(d_model=16, layers=2, heads=1, d_mlp=16, attention_window=(4, 4), state_length=1)
    save_basecaller(folder / "model", randomly_initialised(bonito_config(recipe), 0))
    (folder / "small.toml").write_text(CONFIGURATION)
    given = {"config": folder / "small.toml", "model": folder / "model", "results": folder / "results"}
    flags = [part for name, value in given.items() for part in (f"--{name}", value)]
    outcome = run_here("--study", "basecaller", *flags, "--device", "cpu", "--precision", "fp32")
    assert outcome.code == 0, outcome.err
    return folder / "results"


def facts(results, step):
    return json.loads((results / f"manifests/{step}.json").read_text())["facts"]


def test_every_exact_check_is_in_the_manifest_and_is_zero(results):
    checks = facts(results, "basecaller_patching")["sanity"]
    assert len(checks) == 3
    assert set(checks.values()) == {0.0}


def test_the_last_layers_output_restores_the_whole_chunk_exactly(results):
    table = pd.read_csv(results / "patching/components.csv")
    last = table[(table["granularity"] == "layer") & (table["layer"] == 1) & (table["patch"] == "chunk")]
    assert len(last) == 2 * 2 * 3
    assert last["pm"].to_numpy() == pytest.approx(np.ones(12), abs=1e-7)


def test_tables_follow_from_the_pairs(results):
    pairs = pd.read_csv(results / "patching/pairs.csv")
    assert len(pairs) == 192
    table = pd.read_csv(results / "patching/components.csv")
    chosen = table[(table["measure"] == "sequence") & (table["group"] == "homopolymer")]
    effect = (pairs["sequence_clean"] - pairs["sequence_corrupted"])[pairs["group"] == "homopolymer"]
    assert chosen["effect"].to_numpy() == pytest.approx(np.full(len(chosen), effect.mean()), rel=1e-5)
    assert (chosen["n_failed"] == (effect.abs() < 1e-3).sum()).all()
    without = pairs["alternative"] == "none"
    assert (pairs.loc[without, "sequence_clean"] == 0).all()
    groups = pd.read_csv(results / "tables/basecaller_groups.csv")
    assert set(groups["strata"]) == {96}
    strata = pd.read_csv(results / "tables/basecaller_strata.csv")
    assert set(strata["stratifier"]) == {"base", "run_length", "corruption"}


def test_a_silent_head_is_never_found(results):
    planted = pd.read_csv(results / "calibration/planted_heads.csv")
    assert len(planted) == 4
    silent = planted[planted["strength"] == 0]
    assert (silent["pm"] == 0).all()
    assert not silent["restores"].any()
    assert (planted.loc[planted["strength"] > 0, "pm"] != 0).all()
    nulls = pd.read_csv(results / "tables/basecaller_calibration_nulls.csv")
    assert nulls.loc[nulls["null"] == "reading of permuted pairs", "tests"].tolist() == [2, 2]


def test_reads_are_held_against_their_truth(results):
    reads = pd.read_csv(results / "tables/read_identity.csv")
    columns = reads[["matches", "mismatches", "deletions"]].sum(axis=1)
    assert (columns == 120).all()
    runs = pd.read_csv(results / "tables/homopolymer_lengths.csv")
    assert (runs["length"] * runs["count"]).sum() == 4 * 120
    assert (runs["error"] == runs["called"] - runs["length"]).all()
