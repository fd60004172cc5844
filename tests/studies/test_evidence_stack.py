"""The evidence stack through the command line: its artifacts, and that they can be re-derived."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress

from mints.data.motif_scores import motif_scorer
from mints.data.motifs import Motif
from mints.models.checkpoint import load_model

QUESTIONS = ("ctcf", "donors")


def facts_of(study, step):
    return json.loads((study.results / f"manifests/{step}.json").read_text())["facts"]


def slow_score(columns, sequence):
    complement = str.maketrans("ACGT", "TGCA")
    strands = (sequence, sequence.translate(complement)[::-1])
    return max(sum(columns[place]["ACGT".index(base)] for place, base in enumerate(strand)) for strand in strands)


def test_every_token_s_motif_score_can_be_derived_again_from_its_sequence(finished):
    results = finished[0].results
    motif = json.loads((results / "motif_scoring/ctcf_motif.json").read_text())
    counts = np.array(motif["counts"]) + 4 * motif["pseudocount"] * np.array(motif["background"])
    bits = np.log2(counts / counts.sum(1, keepdims=True) / np.array(motif["background"]))
    columns = np.round(bits * motif["units_per_bit"]) / motif["units_per_bit"]
    sequences = pd.read_parquet(results / "tasks/ctcf.parquet")["sequence"]
    with np.load(results / "motif_scoring/ctcf_tokens.npz") as dump:
        tokens = {name: dump[name] for name in dump.files}
    width = motif["width"]
    for row in (0, 7, len(sequences) - 1):
        sequence = sequences[row]
        of_row = tokens["sequence"] == row
        windows = [slow_score(columns, sequence[start : start + width]) for start in range(len(sequence) - width + 1)]
        for (start, end), score, support in zip(
            tokens["span"][of_row], tokens["bits"][of_row], tokens["support"][of_row], strict=True
        ):
            over = [bits for place, bits in enumerate(windows) if place < end and place + width > start]
            assert score == pytest.approx(max(over), abs=1e-4)
            assert support == (max(over) >= motif["threshold_bits"])


def test_an_anchored_motif_is_estimated_from_the_training_positives_and_its_sites_stand_there(finished):
    results = finished[0].results
    table = pd.read_parquet(results / "tasks/donors.parquet")
    training = table[(table["split"] == "train") & (table["label"] == 1)]["sequence"]
    motif = json.loads((results / "motif_scoring/donors_motif.json").read_text())
    assert motif["counts"][3] == [0, 0, len(training), 0]  # the G of GT
    sites = pd.read_csv(results / "motif_scoring/donors_sites.csv")
    assert set(sites["start"]) == {97}
    assert len(sites) == (table["label"] == 1).sum()
    scorer = motif_scorer(Motif("donors", "donors", np.array(motif["counts"], dtype=float)))
    assert motif["threshold_p"] == pytest.approx(float(scorer.p_value(np.array([motif["threshold_bits"]]))[0]))


@pytest.mark.parametrize("question", QUESTIONS)
def test_alignment_and_enrichment_have_a_row_per_head_with_interval_nulls_and_ceiling(finished, question):
    results = finished[0].results
    alignment = pd.read_csv(results / f"qk_alignment/{question}_qk_alignment.csv")
    registered = alignment[(alignment["variant"] == "model") & (alignment["token_set"] == "all_tokens")]
    assert list(zip(registered["layer"], registered["head"], strict=True)) == [
        (i, j) for i in range(4) for j in range(4)
    ]
    assert (registered["r_low"] <= registered["r"]).all()
    assert (registered["r"] <= registered["r_high"]).all()
    assert (registered["ceiling"] > registered["r"]).mean() > 0.8
    assert registered["p_permuted"].between(1 / 6, 1).all()
    assert np.allclose(registered["r_over_ceiling"], registered["r"] / registered["ceiling"], atol=1e-6)
    enrichment = pd.read_csv(results / f"enrichment/{question}_qk_alignment_matched_attention_enrichment.csv")
    of_model = enrichment[enrichment["variant"] == "model"]
    assert (of_model["n_support"] == of_model["n_background"]).all()
    assert (of_model["rho_low"] <= of_model["rho"]).all()
    assert of_model["rho"].between(0.2, 5).all()
    assert set(alignment["variant"]) == {"model", "random_initialisation", "shuffled"}


def test_every_pair_keeps_the_token_boundaries_of_the_model_s_tokenizer(finished):
    tokenizer = load_model("mints:embedded_dnabert2").tokenizer
    for question in QUESTIONS:
        pairs = pd.read_csv(finished[0].results / f"counterfactuals/{question}_pairs.csv")
        assert len(pairs) == 16
        for clean, corrupted in zip(pairs["clean"], pairs["corrupted"], strict=True):
            first, second = tokenizer.encode(clean), tokenizer.encode(corrupted)
            assert np.array_equal(first.spans, second.spans)
            assert clean != corrupted
    scanned, donors = (pd.read_csv(finished[0].results / f"counterfactuals/{name}_pairs.csv") for name in QUESTIONS)
    assert (scanned["score_corrupted"] < scanned["score_clean"]).all()
    # The best window beside a known site may be another one, which stays.
    assert (donors["score_corrupted"] <= donors["score_clean"]).all()
    assert (donors["score_corrupted"] < donors["score_clean"]).mean() > 0.9
    assert (donors["clean"].str[100:102] == "GT").all()
    assert (donors["corrupted"].str[100:102] != "GT").all()


def test_yields_count_what_was_tried_refused_and_accepted(finished):
    table = pd.read_csv(finished[0].results / "tables/counterfactual_yield.csv")
    made = table[table["set"] == "boundary-preserving"]
    refused = made[[column for column in made if column.startswith("refused_")]].sum(axis=1)
    assert (made["tried"] == made["accepted"] + refused).all()
    fixed = table[table["set"] == "fixed edit"].iloc[0]
    edits = pd.read_csv(finished[0].results / "counterfactuals/donors_fixed_edit.csv")
    assert fixed["with_site"] == len(edits)
    assert fixed["misaligned_share"] == pytest.approx((~edits["aligned"]).mean())


def test_the_sanity_of_patching_is_in_the_manifest_and_exactly_zero(finished):
    sanity = facts_of(finished[0], "systematic_causal_intervention")["sanity"]
    assert set(sanity) == set(QUESTIONS)
    assert all(value == 0 for checks in sanity.values() for value in checks.values())


def test_patching_tables_hold_both_directions_nulls_components_and_windows(finished):
    results = finished[0].results
    for question in QUESTIONS:
        heads = pd.read_csv(results / f"patching/{question}_batch_activation_patching.csv")
        assert heads.groupby("direction").size().to_dict() == {"denoising": 16, "noising": 16}
        chosen = int(heads["readout_layer"].iloc[0])
        above = heads[heads["layer"] > chosen]
        assert (above["pm"] == 0).all()
        components = pd.read_csv(results / f"patching/{question}_components.csv")
        whole = components[(components["granularity"] == "residual") & (components["layer"] == 0)]
        assert np.allclose(whole["pm"], 1, atol=1e-6)
        assert whole["flag"].str.contains("proves nothing").all()
        windows = pd.read_csv(results / f"patching/{question}_windows.csv")
        assert (windows["end"] - windows["start"] == 10).all()


def test_the_verdict_needs_all_three_criteria(finished):
    evidence = pd.read_csv(finished[0].results / "tables/evidence.csv")
    assert len(evidence) == 32
    every = evidence["aligned"] & evidence["enriched"] & evidence["restored"]
    assert ((evidence["verdict"] == "motif detector") == every).all()


def test_the_calibration_plants_detectors_and_states_what_a_negative_result_is_worth(finished):
    results = finished[0].results
    detection = pd.read_csv(results / "tables/calibration_detection.csv")
    silent = detection[detection["strength"] == 0]
    assert (silent["detected"] == 0).all()
    assert (detection["planted"] == 2).all()
    planted = pd.read_csv(results / "calibration/planted_heads.csv")
    assert planted.loc[planted["strength"] == 1, "rho"].min() > planted.loc[planted["strength"] == 0, "rho"].max()
    nulls = pd.read_csv(results / "tables/calibration_false_positives.csv")
    assert set(nulls["null"]) == {"permuted motif", "shuffled sequences", "random initialisation"}
    assert (nulls["rate"] <= nulls["upper"]).all()
    statements = pd.read_csv(results / "tables/calibration_sensitivity.csv")["statement"]
    assert statements.str.contains("negative result").all()


def test_asking_for_a_head_that_is_not_there_is_refused(study):
    outcome = study.run("--audited-head", "9", "--from-step", "circuit_export")
    assert outcome.code == 2
    assert "--audited-head 9 does not exist: the model has heads 0 to 3" in outcome.err


def test_a_question_about_a_task_that_is_not_there_is_refused(study, tmp_path):
    other = tmp_path / "other.toml"
    text = study.configuration.read_text().replace('task = "donors"', 'task = "acceptors"')
    other.write_text(text)
    outcome = study._replace(configuration=other).run("--dry-run")
    assert outcome.code == 2
    assert "motif question donors asks about task acceptors, which is not there" in outcome.err


@pytest.mark.parametrize("question", QUESTIONS)
def test_head_examples_take_the_statistics_of_the_same_tokens_apart(finished, question):
    folder = finished[0].results / "head_examples"
    heads = pd.read_csv(folder / f"{question}_heads.csv")
    alignment = pd.read_csv(folder.parent / f"qk_alignment/{question}_qk_alignment.csv")
    registered = alignment[(alignment["variant"] == "model") & (alignment["token_set"] == "all_tokens")]
    # All sequences of the alignment are among the sample of so small a study.
    assert np.allclose(heads["r"], registered["r"], atol=1e-4)
    assert heads["strongest_by"].notna().sum() in range(2, 7)
    assert "restoration" in " ".join(heads["strongest_by"].dropna())
    with np.load(folder / f"{question}_tokens.npz") as tokens:
        assert tokens["key_scores"].shape == (len(tokens["motif_score"]), 16)
        fits = [linregress(tokens["motif_score"], column) for column in tokens["key_scores"].T]
    for fit, slope in zip(fits, heads["slope"], strict=True):
        assert fit.slope == pytest.approx(slope, abs=4 * fit.stderr)  # tokens drawn from those of the slope


@pytest.mark.parametrize("question", QUESTIONS)
def test_example_sequences_have_their_sites_and_what_each_token_receives(finished, question):
    folder = finished[0].results / "head_examples"
    shown = json.loads((folder / f"{question}_sequences.json").read_text())
    sites = pd.read_csv(folder.parent / f"motif_scoring/{question}_sites.csv")
    assert [example["label"] for example in shown] == [1, 1, 0]
    with np.load(folder / f"{question}_attention.npz") as arrays:
        for place, example in enumerate(shown):
            known = sites[sites["name"] == example["name"]]
            assert [site["start"] for site in example["sites"]] == known["start"].tolist()
            assert [site["bits"] for site in example["sites"]] == pytest.approx(known["bits"].tolist(), abs=1e-4)
            received, pattern = arrays[f"received_{place}"], arrays[f"pattern_{place}"].astype(float)
            assert len(received) == len(example["spans"])
            assert received.sum(0).max() < 1  # the rest goes to the special tokens
            assert (pattern.sum(2) < 1.01).all()
            layer, head = arrays["pattern_heads"][0]
            # Over content queries alone the mean is not quite that over all queries.
            assert np.corrcoef(pattern[0].mean(0), received[:, layer * 4 + head])[0, 1] > 0.9
