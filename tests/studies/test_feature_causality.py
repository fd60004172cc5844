"""Substitutions and latents through the command line: what must be exact, and figures derived again."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mints.config import shipped_checkpoint
from mints.errors import MintsError, UsageError
from mints.models.checkpoint import load_model
from mints.studies.genomic.feature_causality import probe_above
from mints.studies.genomic.latent_pairs import halves
from mints.studies.genomic.questions import feature_question
from mints.studies.genomic.substitution_effects import asked_substitutions


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


def test_controls_stand_outside_all_sites_on_the_same_base_and_take_the_offset_of_their_place():
    scorer = SimpleNamespace(columns=np.arange(12).reshape(3, 4) ** 2, units_per_bit=2)
    sites = pd.DataFrame(
        {"name": ["a"], "cluster": [7], "sequence": ["GACTTACGNA"], "start": [1], "end": [4], "strand": ["-"]}
    )
    found = pd.DataFrame({"name": ["a", "a", "b"], "start": [1, 4, 0], "end": [4, 5, 10]})
    table = asked_substitutions(sites, found, scorer, np.random.default_rng(0))
    at_sites, controls = (table[table["kind"] == kind] for kind in ("site", "control"))
    assert len(at_sites) == 9
    first = at_sites[(at_sites["position"] == 1) & (at_sites["mutant"] == "C")].iloc[0]
    assert (first["offset"], first["motif_wild_type"], first["motif_mutant"]) == (2, "T", "G")  # the other strand
    assert first["bits_change"] == (10**2 - 11**2) / 2
    assert set(controls["position"]) <= {0, 5, 6, 7, 9}
    assert controls["position"].groupby(controls["wild_type"]).first().to_dict().keys() == {"A", "C"}  # no T is left
    assert all("GACTTACGNA"[row.position] == row.wild_type for row in controls.itertuples())
    assert set(controls.loc[controls["wild_type"] == "A", "offset"]) == {2}


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
    assert probe_above(run, "ctcf", "blocks.1.hook_resid_post").layer == 1
    assert not said
    above = probe_above(run, "ctcf", "blocks.2.hook_resid_post")
    assert (above.layer, float(above.weights[0]), above.bias) == (3, 3.0, 1.5)
    assert "layer 3's is used" in said[0]
    with pytest.raises(MintsError, match=r"no probed layer lies above blocks.5.hook_resid_post"):
        probe_above(run, "ctcf", "blocks.5.hook_resid_post")
