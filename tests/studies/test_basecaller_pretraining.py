"""`--study basecaller --pretrain`: what it leaves behind is what it says of itself."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch

from mints.basecaller_config import BasecallerConfig, BasecallerTraining, SignalSimulation
from mints.models.basecaller import load_basecaller
from mints.models.basecaller.settings import read_config
from mints.models.basecaller.training import evaluate
from mints.models.compute import Compute
from mints.studies.basecaller.pore import simulated_levels
from mints.studies.basecaller.pretraining import (
    HELDOUT_CHUNKS,
    TRAINING,
    bonito_config,
    call_heldout_reads,
    draw_chunks,
)
from mints.studies.basecaller.study import open_pipeline
from mints.study_config import shipped_checkpoint

RECIPE = {
    "d_model": 16, "layers": 1, "heads": 2, "d_mlp": 16, "state_length": 2, "samples": 240, "batch": 2, "steps": 3,
    "heldout_reads": 2, "heldout_bases": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of one recipe."""
    folders = [tmp_path_factory.mktemp("results") for _ in range(2)]
    for folder in folders:
        config = BasecallerConfig(results=folder, training=RECIPE, simulation={}, device="cpu", precision="fp32")
        open_pipeline(config, pretraining=True, quiet=True).run()
    return folders[0], folders[1], config


def test_the_same_recipe_gives_the_same_bytes(trained):
    first, second, _ = trained
    for name in ("checkpoint/config.toml", "checkpoint/weights_1.tar", "tables/training_curve.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (first / "tables/read_identity.csv").read_bytes() == (second / "tables/read_identity.csv").read_bytes()


def test_the_saved_model_is_the_one_that_the_curve_ends_with(trained):
    folder, _, config = trained
    curve = pd.read_csv(folder / "tables/training_curve.csv")
    assert curve["step"].tolist() == [1, 2, 3]
    loaded = load_basecaller(folder / "checkpoint")
    levels = simulated_levels(config.simulation)
    heldout = [draw_chunks(config.training, levels, (HELDOUT_CHUNKS, batch)) for batch in range(4)]
    compute = Compute(torch.device("cpu"), "fp32")
    # The file is in half precision.
    assert evaluate(loaded.basecaller, heldout, compute) == pytest.approx(curve["heldout_loss"].iloc[-1], rel=0.01)
    drawn = sum(int(draw_chunks(config.training, levels, (TRAINING, step)).targets.lengths.sum()) for step in range(3))
    assert curve["bases"].iloc[-1] == drawn


def test_identity_is_matches_over_columns_and_stands_in_the_manifest(trained):
    folder, _, _ = trained
    table = pd.read_csv(folder / "tables/read_identity.csv")
    assert len(table) == 2
    columns = table[["matches", "mismatches", "insertions", "deletions"]]
    np.testing.assert_allclose(table["identity"], table["matches"] / columns.sum(axis=1))
    assert (table["true_bases"] == 60).all()
    assert (table["matches"] + table["mismatches"] + table["insertions"] == table["called_bases"]).all()
    facts = json.loads((folder / "manifests/pretrain_basecaller.json").read_text())["facts"]
    assert facts["read_identity"] == pytest.approx(table["matches"].sum() / columns.to_numpy().sum())
    weights = (folder / "checkpoint/weights_1.tar").read_bytes()
    assert facts["weights_sha256"] == hashlib.sha256(weights).hexdigest()


def test_batches_differ_and_what_is_held_out_is_never_trained_on(trained):
    _, _, config = trained
    levels = simulated_levels(config.simulation)
    first, again, second, heldout = (
        draw_chunks(config.training, levels, key).signal
        for key in ((TRAINING, 0), (TRAINING, 0), (TRAINING, 1), (HELDOUT_CHUNKS, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, heldout)


def test_the_shipped_model_calls_reads_of_its_pore():
    shipped = load_basecaller(shipped_checkpoint("mints:embedded_basecaller"))
    recipe = BasecallerTraining(heldout_reads=4, heldout_bases=250, seed=5)  # reads that no figure was taken from
    compute = Compute(torch.device("cpu"), "fp32")
    called = call_heldout_reads(shipped, recipe, simulated_levels(SignalSimulation()), compute)
    assert (
        called["matches"].sum() / called[["matches", "mismatches", "insertions", "deletions"]].to_numpy().sum() > 0.93
    )
    # Another pore is another language.
    other = call_heldout_reads(shipped, recipe, simulated_levels(SignalSimulation(seed=2)), compute)
    assert other["identity"].max() < 0.7


def test_the_shipped_model_has_the_shape_of_the_recipe():
    folder = shipped_checkpoint("mints:embedded_basecaller")
    assert read_config(folder / "config.toml") == bonito_config(BasecallerTraining())
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
