"""Sparse autoencoders as steps of the study: windows, training that a kill only delays, and what is kept."""

from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import POST, scattered

from mints.errors import UsageError
from mints.feature_config import Features
from mints.models.compute import resolve_compute
from mints.models.tokenizers import train_bpe
from mints.pipeline.progress import Reporter
from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.feature_windows import Stretch, genome_windows, split_stretches, training_corpus
from mints.studies.shared import dictionary_training
from mints.studies.shared.dictionaries import open_autoencoder, save_autoencoder, sweep_folders
from mints.studies.shared.dictionary_evaluation import seed_table
from mints.studies.shared.dictionary_training import dictionaries, train_dictionaries
from mints.studies.shared.models import OpenModel

SITE = "blocks.1.hook_resid_post"
RNG = np.random.default_rng(0)
LETTERS = {name: "".join(RNG.choice(list("ACGT"), size)) for name, size in (("a", 2000), ("b", 950), ("c", 1030))}
LETTERS["unknown"] = "N" * 300
LETTERS["c"] = "N" * 210 + LETTERS["c"][210:]
FEATURES = Features(
    sites=[SITE], k=[2, 3], expansion=[2], seeds=2, window=100, training_tokens=1200, batch=60, learning_rate=1e-2
)


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in LETTERS.items()))
    return path


@pytest.fixture
def make_run(tmp_path, fasta, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(features=FEATURES, validation=("b",), test=("c",), name="sparse_autoencoders", seed=0, makes=()):
        config = SimpleNamespace(
            genome=fasta, validation_chromosomes=list(validation), test_chromosomes=list(test), seed=seed,
            features=features, tokens_per_batch=None,
        )  # fmt: skip
        declared = step(name, makes=makes, needs=makes, reads=list(vars(config)))(lambda run: None)
        return Run(declared, config, tmp_path / "results", Reporter(stream=StringIO()), tmp_path / "work")

    return make


def test_windows_lie_side_by_side_on_the_split_s_chromosomes(make_run):
    for split, names in (("train", "a"), ("validation", "b"), ("test", "c")):
        table = genome_windows(make_run(), split, 1000)
        assert set(table["chromosome"]) == set(names)
        assert (table["end"] - table["start"] == 100).all()
        assert (table["start"] % 100 == 0).all()
        assert table["start"].is_monotonic_increasing
        for row in table.itertuples():
            assert row.sequence == LETTERS[row.chromosome][row.start : row.end]
    assert len(genome_windows(make_run(), "train", 1000)) == 20
    assert genome_windows(make_run(), "test", 1000)["start"].tolist() == list(range(200, 1000, 100))


def test_a_smaller_count_gives_some_of_the_same_windows_in_every_step_and_a_seed_others(make_run):
    few, more = (genome_windows(make_run(name=name), "train", n) for name, n in (("one", 5), ("two", 9)))
    assert set(few["start"]) < set(more["start"])
    assert set(genome_windows(make_run(seed=1), "train", 5)["start"]) != set(few["start"])


def test_a_genome_without_held_out_chromosomes_gives_the_ends_of_its_own():
    parts = split_stretches({"x": 1000, "y": 200}, ["chr22"], ["chr20"])
    assert parts["test"] == [Stretch("x", 900, 1000), Stretch("y", 180, 200)]
    assert parts["validation"] == [Stretch("x", 800, 900), Stretch("y", 160, 180)]
    assert parts["train"] == [Stretch("x", 0, 800), Stretch("y", 0, 160)]
    only_test = split_stretches({"x": 1000, "y": 200}, ["chr22"], ["y"])
    assert only_test["test"] == [Stretch("y", 0, 200)]
    assert only_test["validation"] == [Stretch("x", 900, 1000)]


def test_a_split_of_unknown_bases_alone_is_an_error(make_run):
    with pytest.raises(UsageError, match="no window of 100 bases for test"):
        genome_windows(make_run(test=["unknown"]), "test", 10)


def test_short_records_of_a_corpus_are_windows_of_their_own(make_run, tmp_path):
    corpus = tmp_path / "corpus.fa"
    corpus.write_text(">s\nACGTAC\n>l\n" + "ACGGT" * 50 + "\n")
    tiles = training_corpus(make_run(FEATURES.model_copy(update={"corpus": corpus})))
    assert [tiles[place] for place in range(len(tiles))] == ["ACGTAC", "ACGGT" * 20, "ACGGT" * 20]


def test_all_dictionaries_of_a_sweep_have_a_folder_of_their_own():
    assert sweep_folders([16, 32], [8, 4], 2) == {
        "k16_x4": (16, 4, 0),
        "k32_x8": (32, 8, 0),
        "k32_x4": (32, 4, 0),
        "seed_1": (16, 8, 1),
    }
    assert [d.folder for d in dictionaries(FEATURES, "model")] == [
        f"sparse_autoencoders/{SITE}{rest}" for rest in ("", "/k3_x2", "/seed_1")
    ]
    assert [d.folder for d in dictionaries(FEATURES, "random_initialisation")] == [
        f"sparse_autoencoders/{SITE}/random_initialisation"
    ]


@pytest.fixture(scope="module")
def model():
    tokenizer = train_bpe([LETTERS["a"]], 30)
    architecture = replace(POST, vocabulary_size=len(tokenizer.vocabulary), pad_id=tokenizer.pad_id)
    return OpenModel(scattered(architecture), tokenizer, resolve_compute("cpu", "fp32"))


def trained(run, model, wanted, label):
    return train_dictionaries(run, model, model.encoder, training_corpus(run), wanted, label)


def weights(trainers):
    return [trainer.autoencoder.state_dict() for trainer in trainers.values()]


def test_a_killed_training_goes_on_to_identical_weights(make_run, model, monkeypatch):
    wanted = dictionaries(FEATURES, "model")
    whole = trained(make_run(), model, wanted, "whole")

    class Killed(BaseException):
        pass

    save, calls = dictionary_training.save, []

    def save_and_die(*arguments):
        save(*arguments)
        calls.append(arguments[2])
        if len(calls) == 7:
            raise Killed

    monkeypatch.setattr(dictionary_training, "save", save_and_die)
    with pytest.raises(Killed):
        trained(make_run(), model, wanted, "killed")
    assert calls == [1, 2, 3, 4, 5, 6, 7]
    monkeypatch.setattr(dictionary_training, "save", save)
    resumed = trained(make_run(), model, wanted, "killed")
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert [t.curve for t in whole.values()] == [t.curve for t in resumed.values()]
    finished = trained(make_run(), model, wanted, "killed")
    assert torch.equal(weights(finished)[0]["W_enc"], weights(whole)[0]["W_enc"])


def test_dictionaries_of_one_stream_are_those_trained_alone(make_run, model):
    wanted = dictionaries(FEATURES, "model")
    together = trained(make_run(), model, wanted, "together")
    for dictionary in wanted:
        alone = trained(make_run(), model, [dictionary], f"alone {dictionary.k} {dictionary.seed}")
        assert torch.equal(alone[dictionary].autoencoder.W_dec, together[dictionary].autoencoder.W_dec)


def test_a_dictionary_is_opened_as_it_was_saved(make_run, model):
    (dictionary,) = dictionaries(FEATURES.model_copy(update={"k": [2], "seeds": 1}), "model")
    trainer = trained(make_run(), model, [dictionary], "one")[dictionary]
    names = [f"{dictionary.folder}/{name}" for name in ("cfg.json", "sae_weights.safetensors")]
    run = make_run(makes=names)
    save_autoencoder(run, dictionary.folder, trainer.finished(), {"hook_name": SITE})
    x = torch.randn(20, 24, generator=torch.Generator().manual_seed(0))
    opened = open_autoencoder(run, SITE)
    torch.testing.assert_close(opened.encode(x), trainer.finished().encode(x), atol=1e-5, rtol=1e-5)


def test_twins_are_counted_between_seeds_of_one_recipe_and_among_living_latents(model, make_run):
    wanted = dictionaries(FEATURES, "model")
    trainers = trained(make_run(), model, wanted, "seeds")
    finished = {dictionary: trainer.finished() for dictionary, trainer in trainers.items()}
    first, _, second = wanted
    with torch.no_grad():
        finished[second].W_dec.copy_(finished[first].W_dec)
    alive = {dictionary: np.ones(48, dtype=bool) for dictionary in wanted}
    alive[second][:8] = False
    table = seed_table(finished, alive)
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["first_seed"], row["second_seed"], row["first_alive"], row["second_alive"]) == (0, 1, 48, 40)
    assert (row["twins"], row["twin_share"]) == (40, 1.0)
    assert pd.api.types.is_string_dtype(table["site"])
