"""The genomic study through the command line: what it makes, how it resumes, and what it says."""

import json
import signal
import time

import numpy as np
import pandas as pd
import pytest
from small_study import run_here

from mints.studies.genomic.vectors import cached_vectors

STEPS = [
    "simulate_genome",
    "ingest",
    "corpus_audit",
    "masked_token_loss",
    "residual_cache",
    "linear_probes",
    "probe_controls",
    "circuit_export",
    "motif_scoring",
    "qk_alignment",
    "attention_enrichment",
    "counterfactuals",
    "systematic_causal_intervention",
    "evidence",
    "head_examples",
    "calibration",
    "sparse_autoencoders",
    "distributed_feature_search",
    "concept_scoring",
    "feature_causality",
    "feature_circuits",
    "steering",
    "meta_sae",
    "latent_dashboards",
    "cross_model_tokenization_comparison",
    "report",
]


def statuses(study):
    record = json.loads((study.results / "pipeline_run.json").read_text())
    return {step["name"]: step["status"] for step in record["steps"]}


def test_a_run_makes_every_table_figure_and_manifest(finished):
    study, outcome = finished
    for name in ("linear_probe_metrics", "linear_probe_controls", "beyond_composition", "masked_token_loss", "tasks"):
        assert len(pd.read_csv(study.results / f"tables/{name}.csv"))
    for name in ("linear_probe_layers", "linear_probe_controls", "linear_probe_reliability", "masked_token_loss"):
        assert (study.results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    for step in STEPS:
        assert json.loads((study.results / f"manifests/{step}.json").read_text())["status"] == "complete"
    assert "Is the label decodable beyond composition?" in outcome.out
    assert "Is a head a motif detector?" in outcome.out
    assert "What could these criteria have seen?" in outcome.out
    assert "Which model tells more, on the same sequences?" in outcome.out
    assert f"[{len(STEPS)}/{len(STEPS)}] report: done" in outcome.err


def test_the_run_manifest_tells_configuration_versions_device_and_registered_thresholds(finished):
    study, _ = finished
    record = json.loads((study.results / "pipeline_run.json").read_text())
    assert record["status"] == "complete"
    assert record["configuration"]["registered"] == {"qk_r": 0.5, "qk_p": 0.05, "enrichment": 2.0, "restoration": 0.5}
    assert record["configuration"]["probe_layers"] == [1, 3]
    assert record["versions"]["torch"].startswith("2.")
    facts = {key: value for step in record["steps"] for key, value in step["facts"].items()}
    assert facts["device"] == "cpu"
    assert facts["model_family"] == "dnabert2"


def test_metrics_hold_a_row_per_task_and_layer_and_name_one_layer_by_validation(finished):
    table = pd.read_csv(finished[0].results / "tables/linear_probe_metrics.csv")
    assert table.groupby("task")["layer"].apply(list).to_dict() == {"ctcf": [1, 3], "donors": [1, 3]}
    for _, rows in table.groupby("task"):
        chosen = rows[rows["chosen"]]
        assert chosen["validation_auroc"].tolist() == [rows["validation_auroc"].max()]
        assert (rows["auroc_low"] <= rows["auroc"]).all()
        assert (rows["auroc"] <= rows["auroc_high"]).all()


def test_every_control_stands_beside_every_probe_and_the_probe_s_figure_agrees_between_tables(finished):
    controls = pd.read_csv(finished[0].results / "tables/linear_probe_controls.csv")
    expected = {
        "residual_probe", "gc_content", "kmer_logistic", "kmer_boosted", "metadata", "gc_matched_test",
        "gc_matched_test_gc_only", "random_labels", "low_to_high_gc", "high_to_low_gc", "random_initialisation",
        "shuffled_sequences", "shuffled_test_sequences",
    }  # fmt: skip
    assert all(set(rows["control"]) == expected for _, rows in controls.groupby("task"))
    metrics = pd.read_csv(finished[0].results / "tables/linear_probe_metrics.csv")
    chosen = metrics[metrics["chosen"]].set_index("task")["auroc"]
    probes = controls[controls["control"] == "residual_probe"].set_index("task")["auroc"]
    assert probes.to_dict() == pytest.approx(chosen.to_dict(), abs=1e-7)


def test_cached_vectors_are_those_of_the_encoder_on_the_sequence(finished):
    import torch

    from mints.models.checkpoint import load_model

    results = finished[0].results
    table = pd.read_parquet(results / "tasks/donors.parquet")
    arrays = np.load(results / "activations/donors_residual_mean.npz")
    encoder, tokenizer, *_ = load_model("mints:embedded_dnabert2")
    for row in (0, 57, len(table) - 1):
        encoding = tokenizer.encode(table["sequence"][row])
        cache = encoder.run(torch.from_numpy(encoding.ids)[None], sites=["blocks.*.hook_resid_post"]).cache
        for place, (layer, vectors) in enumerate(cached_vectors(arrays).items()):
            expected = cache[f"blocks.{layer}.hook_resid_post"][0, ~encoding.special].mean(0).detach().numpy()
            half_a_step = 2**-11 * np.abs(expected - arrays["offset"][place])
            assert (np.abs(vectors[row] - expected) <= half_a_step + 1e-5).all()
    assert arrays["residual"].dtype == np.float16


def test_splits_are_by_chromosome_and_no_cluster_is_on_two_sides(finished):
    table = pd.read_parquet(finished[0].results / "tasks/ctcf.parquet")
    by_split = table.groupby("split")["chromosome"].agg(set).to_dict()
    assert by_split == {"train": {"chr1", "chr2", "chr3"}, "validation": {"chr6"}, "test": {"chr4", "chr5"}}
    assert (table.groupby("cluster")["split"].nunique() == 1).all()
    assert table["signal"][table["label"] == 1].mean() > 2 * table["signal"][table["label"] == 0].mean()


def test_the_same_command_again_skips_every_step(study):
    outcome = study.run()
    assert outcome.code == 0
    assert set(statuses(study).values()) == {"skipped"}


def test_only_probe_controls_reruns_them_from_caches_to_the_same_bytes_without_loading_the_model(study):
    before = study.artifacts()
    (study.results / "tables/beyond_composition.csv").unlink()
    outcome = run_without_model(study, "--only-probe-controls")
    assert outcome.code == 0, outcome.err
    assert study.artifacts() == before
    assert [name for name, status in statuses(study).items() if status == "ran"] == ["probe_controls"]


def run_without_model(study, *arguments):
    """The model's folder is out of the way: loading it would fail."""
    return study.run(*arguments, "--model", "./no-such-checkpoint")


def test_a_changed_field_reruns_what_reads_it_and_says_so(study):
    plan = study.run("--dry-run", "--json", "--probe-bootstrap-samples", "61")
    reasons = {row["step"]: (row["runs"], row["reason"]) for row in json.loads(plan.out)}
    assert reasons["linear_probes"] == (True, "configuration changed: probe_bootstrap_samples 60 -> 61")
    assert reasons["residual_cache"] == (False, "complete")


def test_a_flipped_byte_in_a_cache_is_found_and_the_step_remade(study):
    before = study.artifacts()
    path = study.results / "activations/donors_residual_mean.npz"
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 1
    path.write_bytes(broken)
    refused = study.run("--only-probe-controls")
    assert refused.code == 1
    assert "activations/donors_residual_mean.npz" in refused.err
    assert "--from-step residual_cache" in refused.err
    outcome = study.run()
    assert outcome.code == 0, outcome.err
    assert statuses(study)["residual_cache"] == "ran"
    assert path.read_bytes() == whole
    assert study.artifacts() == before


def wait_for(process, step):
    """Read what a run says until it has begun with a step."""
    while f"] {step} (" not in (line := process.stderr.readline()):
        assert line, f"the run ended before {step}"


def test_killed_runs_and_a_step_s_older_name_lead_to_the_bytes_of_an_uninterrupted_run(finished, tmp_path):
    study = finished[0]._replace(results=tmp_path / "killed")
    for step in ("ingest", "residual_cache", "attention_enrichment"):
        with study.start() as process:
            wait_for(process, step)
            time.sleep(0.2)
            process.kill()
    undisturbed, so_far = finished[0].artifacts(), study.artifacts()
    assert "qk_alignment/ctcf_qk_alignment.csv" in so_far
    assert so_far == {name: undisturbed[name] for name in so_far}
    outcome = study.run("--from-step", "strict_mechanistic_proofs")
    assert outcome.code == 0, outcome.err
    ran = [name for name, status in statuses(study).items() if status == "ran"]
    assert ran == STEPS[STEPS.index("qk_alignment") :]
    assert study.artifacts() == undisturbed


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_control_c_and_a_scheduler_s_stop_end_with_130_and_keep_finished_steps(finished, tmp_path, sent):
    study = finished[0]._replace(results=tmp_path / "stopped")
    # A shell that started the tests in its background has told its children to ignore Ctrl-C.
    with study.start(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        wait_for(process, "residual_cache")
        while not list(study.results.glob(".work/residual_cache-*/*/*.npz")):  # in the middle of its work
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(sent)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted: finished steps are kept" in rest
    assert statuses(study)["residual_cache"] == "interrupted"
    assert "ingest" in [path.stem for path in (study.results / "manifests").glob("*.json")]


def test_two_runs_at_once_on_one_folder_the_second_is_refused(study):
    with study.start("--overwrite") as first:
        wait_for(first, "simulate_genome")
        second = study.run()
        first.kill()
    assert second.code == 1
    assert f"process {first.pid}" in second.err


def test_the_results_of_another_profile_are_not_touched(study):
    before = study.artifacts()
    outcome = run_here("--profile", "embedded", "--results", study.results)
    assert outcome.code == 1
    assert "holds results of profile 'small', not 'embedded'" in outcome.err
    assert study.artifacts() == before
