"""Substitutions and latents through the command line: what must be exact, and figures derived again."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from latent_pairs import random_autoencoder
from patching_pairs import FP32

from mints.config import MotifQuestion
from mints.errors import UsageError
from mints.features.traced_pairs import halves
from mints.models.checkpoint import load_model
from mints.studies.genomic import feature_causality
from mints.studies.genomic.probe_readouts import probe_readout
from mints.studies.genomic.questions import feature_question
from mints.studies.shared.models import OpenModel
from mints.study_config import shipped_checkpoint


@pytest.fixture(scope="module")
def facts(finished):
    return json.loads((finished[0].results / "manifests/feature_causality.json").read_text())["facts"]


def test_what_must_be_exact_is_exact_on_every_pair_of_the_run(facts):
    assert len(facts["sanity"]) == 3
    assert set(facts["sanity"].values()) == {0.0}
    assert facts["pairs"] == {"ranking": 8, "reported": 8}


def test_latents_and_error_at_all_tokens_restore_everything(finished):
    sets = pd.read_csv(finished[0].results / "tables/latent_sets.csv")
    whole = sets[(sets["tokens"] == "all tokens") & (sets["ranking"] == "latents and error")]
    assert len(whole) == 2 * 4
    assert whole["pm"].to_numpy() == pytest.approx(1, abs=1e-6)
    assert whole["change"].to_numpy() == pytest.approx(whole["effect"].to_numpy(), abs=1e-6)


def test_the_pairs_that_rank_latents_share_no_cluster_with_those_that_report_them():
    pairs = pd.DataFrame({"name": range(40), "cluster": np.arange(40) // 3})
    ranking, reported = halves(pairs, 12, np.random.default_rng(0))
    assert len(ranking) == len(reported) == 12
    assert not set(ranking["cluster"]) & set(reported["cluster"])


def test_every_substitution_is_kept_or_counted_and_its_marginal_can_be_derived_again(finished, facts):
    results = finished[0].results
    table = pd.read_csv(results / "features/substitution_effects.csv")
    counts = facts["substitutions"]
    refused = sum(counts[reason] for reason in ("unchanged", "boundaries", "several_tokens", "unknown_letter"))
    assert counts["tried"] == counts["kept"] + refused
    assert counts["kept"] == len(table) > 50
    model = load_model(str(shipped_checkpoint("mints:embedded_dnabert2")), "auto")
    sequences = pd.read_parquet(results / "tasks/ctcf.parquet").set_index("name")["sequence"]
    for row in table.iloc[:: len(table) // 4].itertuples():
        sequence = sequences[row.name]
        assert sequence[row.position] == row.wild_type
        encoding = model.tokenizer.encode(sequence)
        (place,) = np.flatnonzero((encoding.spans[:, 0] <= row.position) & (encoding.spans[:, 1] > row.position))
        ids = torch.from_numpy(encoding.ids)[None]
        with torch.no_grad():
            log_p = model.encoder(ids)[0, place].log_softmax(-1)
        vocabulary = model.tokenizer.id_of
        by_hand = log_p[vocabulary[row.mutant_token]] - log_p[vocabulary[row.wild_type_token]]
        assert row.wild_type_marginal == pytest.approx(float(by_hand), abs=1e-3)


def test_a_question_that_is_not_asked_and_a_probe_below_the_site_are_told():
    questions = [SimpleNamespace(name="ctcf"), SimpleNamespace(name="donors")]
    config = SimpleNamespace(motif_questions=questions, features=SimpleNamespace(circuit_question="donors"))
    assert feature_question(config).name == "donors"
    config.features.circuit_question = ""
    assert feature_question(config).name == "ctcf"
    config.features.circuit_question = "tata"
    with pytest.raises(UsageError, match="'tata' is not a motif question: choose ctcf, donors"):
        feature_question(config)
    probe = {"chosen_layer": np.array(1)} | {f"layer_{layer}_weights": np.full(4, layer) for layer in (0, 1, 3)}
    probe |= {f"layer_{layer}_bias": np.array(layer / 2) for layer in (0, 1, 3)}
    said = []
    run = SimpleNamespace(load=lambda name: probe, warn=said.append)
    assert probe_readout(run, "ctcf").layer == 1
    assert probe_readout(run, "ctcf", ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_post"]).layer == 1
    assert not said
    above = probe_readout(run, "ctcf", ["blocks.2.hook_resid_post", "blocks.0.mlp.hook_post"])
    assert (above.layer, float(above.weights[0]), above.bias) == (3, 3.0, 1.5)
    assert "layer 3's is used" in said[0]
    with pytest.raises(UsageError, match=r"no probed layer lies at or above blocks.5.hook_resid_post"):
        probe_readout(run, "ctcf", ["blocks.5.hook_resid_post"])


class FakeRun:
    """What the step asks of a run, from memory."""

    def __init__(self, inputs, features):
        self.inputs, self.saved, self.said, self.facts = inputs, {}, [], {}
        questions = [MotifQuestion(name="ctcf", task="ctcf", motif="MA0139.1")]
        self.config = SimpleNamespace(
            features=features, motif_questions=questions, probe_bootstrap_samples=50, probe_ci_level=0.95
        )

    def load(self, name):
        return self.inputs[name].copy()

    def save(self, name, value):
        self.saved[name] = value

    def figure(self, name, figure):
        self.saved[name] = figure

    def warn(self, text):
        self.said.append(text)

    def fact(self, key, value):
        self.facts[key] = value

    def rng(self, label):
        return np.random.default_rng(len(label))

    def track(self, items, **_):
        return items


@pytest.fixture
def small_run(monkeypatch):
    """The step on the shipped model with a random dictionary and twenty positives that carry a CTCF site."""
    model = load_model(str(shipped_checkpoint("mints:embedded_dnabert2")), "auto")
    monkeypatch.setattr(feature_causality, "open_model", lambda run: OpenModel(model.encoder, model.tokenizer, FP32))
    autoencoder = random_autoencoder(128, 256, k=8)
    monkeypatch.setattr(feature_causality, "open_autoencoder", lambda run, site: autoencoder)
    rng = np.random.default_rng(0)
    names, sequences = [f"s{row}" for row in range(20)], []
    for _ in names:
        flanks = ["".join(rng.choice(list("ACGT"), 20)) for _ in range(2)]
        sequences.append(flanks[0] + "TGGCCACCAGGGGGCGCTA" + flanks[1])
    places = {"name": names, "cluster": range(20), "label": 1, "split": "test"}
    corrupted = [sequence[:26] + "T" + sequence[27:] for sequence in sequences]
    same = [
        np.array_equal(model.tokenizer.encode(a).spans, model.tokenizer.encode(b).spans)
        for a, b in zip(sequences, corrupted, strict=True)
    ]
    pairs = pd.DataFrame(places | {"clean": sequences, "corrupted": corrupted})[same]
    inputs = {
        "probes/ctcf.npz": {"chosen_layer": np.array(3), "layer_3_weights": np.ones(128), "layer_3_bias": np.array(0)},
        "tasks/ctcf.parquet": pd.DataFrame(places | {"sequence": sequences}),
        "motif_scoring/ctcf_sites.csv": pd.DataFrame(places | {"start": 20, "end": 39, "strand": "+", "bits": 20.0}),
        "counterfactuals/ctcf_pairs.csv": pairs,
    }
    features = SimpleNamespace(sites=["blocks.2.hook_resid_post"], circuit_question="", substitution_sites=2)
    return FakeRun(inputs, features), model


def test_too_few_pairs_are_told_and_their_tables_are_empty_while_substitutions_are_scored(small_run):
    run, _ = small_run
    feature_causality.run_feature_causality(run)
    assert "too few to trace latents with" in run.said[0]
    assert run.saved["tables/latent_effects.csv"].empty
    assert run.saved["tables/integrated_gradients.csv"].empty
    assert len(run.saved["features/substitution_effects.csv"]) == run.facts["substitutions"]["kept"] > 10
    assert run.facts["substitutions"]["sites"] == 2


def test_a_checkpoint_without_a_head_gives_empty_tables_and_says_why(small_run):
    run, model = small_run
    model.encoder.head = None
    feature_causality.run_feature_causality(run)
    assert run.said == ["the checkpoint has no masked-language head: substitutions and latents were not measured"]
    tables = {name: value for name, value in run.saved.items() if name.endswith(".csv")}
    assert len(tables) == 6
    assert all(table.empty or table["change"].isna().all() for table in tables.values())
    assert {"figures/latent_effects", "figures/substitution_map"} == {f"figures/{n}" for n in run.saved if "." not in n}
