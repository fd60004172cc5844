"""Dictionaries, concepts, behaviours and circuits of a small protein study: what the artifacts say is held by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from protein_study import SITES, run_protein_study
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from mints.data.hydropathy import hydropathy
from mints.errors import MintsError
from mints.features.latent_evidence import covered
from mints.features.saelens import from_saelens
from mints.models.checkpoint import load_model
from mints.pipeline.run import Run
from mints.studies.protein.steps.feature_circuits import feature_circuits

KINDS = {"tm": "Transmembrane", "sp": "Signal peptide"}
PUBLISHED_META = {"model": str, "behavior": str, "sae_layers": list, "d_sae": int, "k": int}
PUBLISHED_FEATURES_META = {
    "model": str, "behavior": str, "data_fasta": str, "graph_json": str, "layers": list,
    "top_examples_per_feature": int, "mask_percentile": int, "mask_rel_to_max": float, "top_positions_k": int,
    "max_len": int, "device": str,
}  # fmt: skip
PUBLISHED_EXAMPLE = {
    "accession": str, "sequence": str, "seq_len": int, "behavior": str, "behavior_segments": list,
    "feature_segments": list, "top_positions": list, "max_act": float, "threshold": float,
    "overlap_frac_feature_in_behavior": float,
}  # fmt: skip
"""Keys and types of the published viewer's files."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return run_protein_study(tmp_path_factory.mktemp("proteins"))


def read(study, name):
    path = study.results / name
    return json.loads(path.read_text()) if path.suffix == ".json" else pd.read_csv(path)


@pytest.fixture(scope="module")
def latents(study):
    """Activations of every site's latents along every protein, one at a time, without the package's batches."""
    model = load_model(study.config.model, "auto")
    found = {}
    for site in SITES:
        folder = study.results / "sparse_autoencoders" / site
        weights = load_file(folder / "sae_weights.safetensors")
        autoencoder = from_saelens(json.loads((folder / "cfg.json").read_text()), weights)
        for accession, sequence in zip(study.proteins["accession"], study.proteins["sequence"], strict=True):
            ids = torch.from_numpy(model.tokenizer.encode(sequence).ids)[None]
            with torch.no_grad():
                x = model.encoder.run(ids, sites=[site]).cache[site][0, 1:-1]
                found[site, accession] = autoencoder.encode(x).numpy()
    return found


@pytest.mark.parametrize("name", KINDS)
def test_decoys_are_as_long_and_as_hydrophobic_in_proteins_of_the_same_split_without_the_annotation(study, name):
    rows = pd.read_parquet(study.results / f"behaviours/{name}.parquet")
    split_of = study.proteins.set_index("accession")["split"]
    carriers = set(study.annotation.loc[study.annotation["feature"] == KINDS[name], "accession"])
    signals = set(study.annotation.loc[study.annotation["feature"] == "Signal peptide", "accession"])
    assert (rows["split"].to_numpy() == split_of[rows["accession"]].to_numpy()).all()
    assert not rows["accession"].duplicated().any()
    for row in rows.itertuples():
        assert (row.accession in carriers) == (row.label == 1)
        part = row.sequence[row.start : row.end]
        assert row.hydropathy == pytest.approx(hydropathy(part).mean(), abs=1e-6)
        if name == "tm" and row.label == 0:
            assert row.accession not in signals
        if name == "sp":
            assert (row.start, row.end) == (0, 20)
            cores = [hydropathy(part[i : i + 6]).sum() for i in range(15)]
            assert hydropathy(row.sequence[row.core_start : row.core_end]).sum() == pytest.approx(max(cores))
            assert row.core_end - row.core_start == 6
    for _, pair in rows.groupby(["split", "pair"]):
        assert sorted(pair["label"]) == [0, 1]
        assert np.ptp(pair["end"] - pair["start"]) == 0
        assert np.ptp(pair["hydropathy"]) <= study.config.decoy_caliper


def test_helices_are_where_the_annotation_has_them(study):
    rows = pd.read_parquet(study.results / "behaviours/tm.parquet")
    places = study.annotation[study.annotation["feature"] == "Transmembrane"].set_index("accession")
    own = rows[rows["label"] == 1]
    assert (own["start"].to_numpy() == places.loc[own["accession"], "start_1based"].to_numpy() - 1).all()
    assert (own["end"].to_numpy() == places.loc[own["accession"], "end_incl"].to_numpy()).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_read_out_is_the_logit_of_the_mean_last_residual_over_the_named_residues(study, name):
    rows = pd.read_parquet(study.results / f"behaviours/{name}.parquet")
    rows = rows[rows["split"] == "test"]
    model = load_model(study.config.model, "auto")
    with np.load(study.results / f"behaviours/{name}_probe.npz") as probe:
        weights, bias, layer = probe["weights"], float(probe["bias"]), int(probe["layer"])
    assert layer == 2
    logits = []
    for row in rows.itertuples():
        ids = torch.from_numpy(model.tokenizer.encode(row.sequence).ids)[None]
        with torch.no_grad():
            x = model.encoder.run(ids, sites=["blocks.2.hook_resid_post"]).cache["blocks.2.hook_resid_post"]
        logits.append(float(x[0, 1 + row.start : 1 + row.end].mean(0).numpy() @ weights) + bias)
    table = read(study, "tables/behaviour_probes.csv").set_index(["behaviour", "scorer"])
    assert table.loc[(name, "probe"), "auroc"] == pytest.approx(roc_auc_score(rows["label"], logits))
    known = roc_auc_score(rows["label"], rows["hydropathy"])
    assert table.loc[(name, "hydropathy"), "auroc"] == pytest.approx(known)
    rows = rows.assign(logit=logits)
    drawn = drawn_pairs(study, name, rows).groupby("label")["logit"].mean()
    graph = read(study, f"circuits/{name}_circuit_graph.json")
    assert graph["meta"]["contrast"] == pytest.approx(drawn[1] - drawn[0], abs=1e-4)
    floors = table.loc[name].drop("probe")
    assert table.loc[(name, "probe"), "floor"] == floors["validation_auroc"].idxmax()


@pytest.mark.parametrize("name", KINDS)
def test_graphs_have_the_published_schema_with_signs_intervals_and_no_node_that_leads_nowhere(study, name):
    graph = read(study, f"circuits/{name}_circuit_graph.json")
    assert {key: type(graph["meta"][key]) for key in PUBLISHED_META} == PUBLISHED_META
    assert graph["meta"]["behavior"] == name
    assert graph["meta"]["sae_layers"] == [0, 2]
    end = f"behavior:{name}"
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert len(nodes) == len(graph["nodes"])
    assert nodes[end] == {"id": end, "kind": "behavior"}
    for node in graph["nodes"]:
        if node["kind"] == "feature":
            assert node["id"] == f"L{node['layer']}:F{node['feature']}"
        assert node["kind"] in ("feature", "error", "behavior")
    weights = {}
    for edge in graph["edges"]:
        assert set(edge) >= {"src", "dst", "weight", "kind", "low", "high", "sign"}
        assert edge["kind"] == ("feat->behavior" if edge["dst"] == end else "feat->feat")
        assert edge["sign"] == np.sign(edge["weight"])
        assert edge["low"] > 0 or edge["high"] < 0
        weights.setdefault(edge["kind"], []).append(abs(edge["weight"]))
        if edge["dst"] == end:
            assert nodes[edge["src"]]["importance"] == edge["weight"]
    assert graph["meta"]["largest_weight"] == {kind: max(of_kind) for kind, of_kind in weights.items()}
    reached = {end}
    for _ in range(3):
        reached |= {edge["src"] for edge in graph["edges"] if edge["dst"] in reached}
    assert reached == set(nodes)


@pytest.mark.parametrize("name", KINDS)
def test_evidence_has_the_published_schema_with_segments_of_its_own_behaviour_and_test_proteins_alone(
    study, latents, name
):
    document = read(study, f"circuits/features_{name}.json")
    meta = document["meta"]
    assert {key: type(meta[key]) for key in PUBLISHED_FEATURES_META} == PUBLISHED_FEATURES_META
    graph = read(study, f"circuits/{name}_circuit_graph.json")
    assert meta["graph_json"] == f"{name}_circuit_graph.json"
    ids = [feature["id"] for feature in document["features"]]
    assert sorted(ids) == sorted(node["id"] for node in graph["nodes"] if node["kind"] == "feature")
    test = set(study.proteins.loc[study.proteins["split"] == "test", "accession"])
    sequences = study.proteins.set_index("accession")["sequence"]
    places = study.annotation[study.annotation["feature"] == KINDS[name]].set_index("accession")
    seen = 0
    for feature in document["features"]:
        maxima = {each: latents[feature["site"], each][:, feature["feature"]].max() for each in test}
        shown = [each["accession"] for each in feature["examples"]]
        assert [maxima[each] for each in shown] == pytest.approx(sorted(maxima.values(), reverse=True)[: len(shown)])
        assert len(shown) == min(8, sum(value > 0 for value in maxima.values()))
        for each in [*feature["examples"], *feature["negatives"]]:
            assert {key: type(each[key]) for key in PUBLISHED_EXAMPLE} == PUBLISHED_EXAMPLE
            assert each["sequence"] == sequences[each["accession"]]
            track = latents[feature["site"], each["accession"]][:, feature["feature"]]
            assert each["activations"] == pytest.approx(track, rel=1e-3, abs=1e-6)
            expected = []
            if each["accession"] in places.index:
                row = places.loc[each["accession"]]
                expected = [[row["start_1based"] - 1, row["end_incl"] - 1]]  # 0-based, inclusive
            assert each["behavior_segments"] == expected
            threshold = max(np.percentile(track, 90), 0.5 * track.max())
            assert each["threshold"] == pytest.approx(threshold, rel=1e-3)
            fires = track >= threshold
            assert (covered(each["feature_segments"], len(track)) == fires).all()
            within = fires & covered(expected, len(track))
            assert each["overlap_frac_feature_in_behavior"] == pytest.approx(within.sum() / fires.sum())
            top = each["top_positions"]
            assert [place["act"] for place in top] == pytest.approx(
                sorted(track, reverse=True)[:10], rel=1e-3, abs=1e-6
            )
            seen += bool(expected)
        assert all(not each["behavior_segments"] for each in feature["negatives"])
    assert seen > 0


def test_a_latent_s_scores_are_of_test_residues_with_the_threshold_of_validation(study, latents):
    feature = read(study, "circuits/features_tm.json")["features"][0]
    with np.load(study.results / f"concepts/{feature['site']}_pairs.npz") as pairs:
        place = [str(each) for each in pairs["concepts"]].index("truth/Transmembrane")
        hits, called = (int(pairs[f"test_{n}"][feature["feature"], place]) for n in ("true_positives", "called"))
        positives = int(pairs["test_positives"][place])
        assert feature["auroc"] == pytest.approx(float(pairs["test_auroc"][feature["feature"], place]))
    assert feature["f1"] == pytest.approx(2 * hits / (called + positives))
    assert feature["recall"] == pytest.approx(hits / positives)


@pytest.mark.parametrize("name", KINDS)
def test_specificity_is_of_the_mean_activation_on_cores_of_own_residues_decoys_and_the_other_behaviour(
    study, latents, name
):
    table = read(study, "tables/circuit_specificity.csv")
    table = table[table["behaviour"] == name]
    other = next(each for each in KINDS if each != name)
    rows = {each: pd.read_parquet(study.results / f"behaviours/{each}.parquet") for each in KINDS}
    at_most = {each: of[of["split"] == "test"] for each, of in rows.items()}
    checked = 0
    for row in table.groupby("site").head(5).itertuples():

        def mean_of(part, row=row):
            values = [
                latents[row.site, each.accession][each.core_start : each.core_end, row.latent].mean()
                for each in part.itertuples()
            ]
            return np.array(values)

        drawn = {each: drawn_pairs(study, each, at_most[each]) for each in KINDS}
        own, decoys = (mean_of(drawn[name][drawn[name]["label"] == label]) for label in (1, 0))
        theirs = mean_of(drawn[other][drawn[other]["label"] == 1])
        assert getattr(row, f"mean_{name}") == pytest.approx(own.mean(), rel=1e-3, abs=1e-6)
        for kind, values in (("decoys", decoys), (other, theirs)):
            area = roc_auc_score(np.repeat([1, 0], [len(own), len(values)]), np.concatenate([own, values]))
            assert getattr(row, f"auroc_{kind}") == pytest.approx(area, abs=0.03)  # ties by rounding
            checked += area != 0.5
    assert checked > 4


def drawn_pairs(study, name, rows):
    """The pairs that the step drew: those whose positives' count fits `circuit_sequences`."""
    run = Run(feature_circuits, study.config, study.results, None, study.results)
    pairs = run.rng(f"{name} test pairs").permutation(rows["pair"].nunique())[:4]
    return rows[rows["pair"].isin(pairs)]


def test_tables_hold_every_behaviour_and_the_curves_begin_at_nothing_and_end_at_everything(study):
    curves = read(study, "tables/feature_circuit_curves.csv")
    total = 2 * 48
    for _, of_behaviour in curves.groupby("behaviour"):
        value = of_behaviour.set_index(["measure", "errors", "nodes"])["value"]
        assert value["faithfulness", "keep", total] == 1
        assert value["faithfulness", "remove", 0] == 0
        assert value["completeness", "keep", total] == 0
        assert of_behaviour["random_circuits"].max() == 3
    for name in ("feature_circuit_edges", "feature_circuit_curves", "circuit_masked_loss", "circuit_specificity"):
        assert set(read(study, f"tables/{name}.csv")["behaviour"]) == set(KINDS)
    overlap = read(study, "tables/circuit_overlap.csv")
    assert overlap["site"].tolist() == SITES
    assert (overlap["shared"] <= overlap[["first_latents", "second_latents"]].min(axis=1)).all()


def test_hydropathy_and_words_of_residues_are_among_the_baselines_of_concepts(study):
    baselines = read(study, "tables/concept_baselines.csv")
    assert {"hydropathy", "word_identity", "token_identity", "untrained_latents"} <= set(baselines["baseline"])
    helix = baselines[baselines["concept"] == "Transmembrane"].set_index(["site", "baseline"])["f1"]
    for site in SITES:  # helices are hydrophobic stretches, which no residue is alone
        assert helix[site, "hydropathy"] > helix[site, "token_identity"] + 0.1


def test_a_behaviour_without_matched_decoys_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(MintsError, match=r"behaviour tm: .* raise decoy_caliper"):
        run_protein_study(tmp_path, only_probes=True, caliper=1e-9)
