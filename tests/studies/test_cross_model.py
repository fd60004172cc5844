"""The comparison of models through the command line, and whether a checkpoint that was loaded wrongly is noticed."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from small_study import Study

from mints.analysis.loading_checks import EXCHANGES, exchange_checks, exchanged, loss_checks
from mints.analysis.masked_tokens import fit_floors, loss_rows
from mints.analysis.probes import fit_layers
from mints.data.genome import Genome
from mints.models.checkpoint import load_model, save_model
from mints.models.compute import resolve_compute
from mints.models.encoder import randomly_initialised
from mints.models.masking import MaskedBatches, token_stream
from mints.models.pretraining import batch_losses
from mints.studies.genomic.vectors import _by_split, cached_vectors

STEP = "cross_model_tokenization_comparison"
BEFORE = (
    "simulate_genome", "ingest", "masked_token_loss", "residual_cache", "linear_probes", "probe_controls",
    "motif_scoring", "qk_alignment", "attention_enrichment",
)  # fmt: skip
"""What the comparison needs."""

MODELS = ["embedded_dnabert2", "embedded_nt"]


def table(study, name):
    return pd.read_csv(study.results / f"tables/cross_model_{name}.csv")


@pytest.fixture(scope="module")
def mirrored(finished, tmp_path_factory):
    """The same study with the two models in each other's place."""
    original, _ = finished
    folder = tmp_path_factory.mktemp("mirrored")
    configuration = folder / "small.toml"
    text = original.configuration.read_text().replace(
        'extends = "embedded"', 'extends = "embedded"\nmodel = "mints:embedded_nt"'
    )
    compared = (
        '\n[[compared_models]]\nname = "embedded_dnabert2"\nmodel = "mints:embedded_dnabert2"\nprobe_layers = [1, 3]\n'
    )
    configuration.write_text(text + compared)
    study = Study(configuration, folder / "results")
    for step in (*BEFORE, STEP):
        outcome = study.run("--only-step", step)
        assert outcome.code == 0, outcome.err
    return study


def test_a_model_gives_the_same_figures_as_the_run_s_own_and_as_a_compared_one(finished, mirrored):
    study, _ = finished
    by_row = [table(each, "probes").set_index(["task", "model"]).sort_index() for each in (study, mirrored)]
    same = ["layer", "penalty", "n_test", "auroc", "auprc", "accuracy", "mcc", "random_initialisation", "gc_content"]
    pd.testing.assert_frame_equal(by_row[0][same], by_row[1][same], atol=1e-6)
    losses = [table(each, "masked_token_loss").set_index(["model", "masking", "predictor"]).sort_index()
              for each in (study, mirrored)]  # fmt: skip
    point = ["loss", "tokens", "bases", "bits_per_base", "gain"]
    pd.testing.assert_frame_equal(losses[0][point], losses[1][point], rtol=1e-6)
    heads = [table(each, "alignment").set_index(["question", "model", "variant", "layer", "head"]).sort_index()
             for each in (study, mirrored)]  # fmt: skip
    measured = ["r", "r_low", "r_high", "r_inner", "r_beyond_position"]
    pd.testing.assert_frame_equal(heads[0][measured], heads[1][measured], atol=1e-6)


def test_differences_of_the_mirrored_study_are_the_same_with_the_other_sign(finished, mirrored):
    one, other = (
        table(each, "differences").query("kind == 'models'").set_index(["task", "metric"])
        for each in (finished[0], mirrored)
    )
    assert one["difference"].to_dict() == pytest.approx((-other["difference"]).to_dict(), abs=1e-6)
    assert one["difference_low"].to_dict() == pytest.approx((-other["difference_high"]).to_dict(), abs=1e-6)


def test_a_compared_model_s_probe_can_be_fitted_again_from_its_cached_vectors(finished):
    results = finished[0].results
    rows = pd.read_parquet(results / "tasks/donors.parquet")
    cached = cached_vectors(np.load(results / "cross_model/embedded_nt/activations/donors_residual_mean.npz"))
    encoder, tokenizer, *_ = load_model("mints:embedded_nt")
    encoding = tokenizer.encode(rows["sequence"][57])
    cache = encoder.run(torch.from_numpy(encoding.ids)[None], sites=["blocks.*.hook_resid_post"]).cache
    for layer, vectors in cached.items():
        expected = cache[f"blocks.{layer}.hook_resid_post"][0, ~encoding.special].mean(0).detach().numpy()
        assert vectors[57] == pytest.approx(expected, abs=2e-3)
    layers = {layer: _by_split(vectors, rows) for layer, vectors in cached.items()}
    fitted = fit_layers(layers, [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], None)
    test = layers[fitted.chosen].test
    reported = table(finished[0], "probes").set_index(["task", "model"]).loc[("donors", "embedded_nt")]
    assert reported["layer"] == fitted.chosen
    again = roc_auc_score(test.labels, fitted.probes[fitted.chosen].model.logits(test.features))
    assert reported["auroc"] == pytest.approx(again, abs=1e-6)


def test_the_own_model_s_figures_are_those_of_the_earlier_steps(finished):
    results = finished[0].results
    metrics = pd.read_csv(results / "tables/linear_probe_metrics.csv").query("chosen").set_index("task")
    controls = pd.read_csv(results / "tables/linear_probe_controls.csv").set_index(["task", "control"])
    own = table(finished[0], "probes").query("model == 'embedded_dnabert2'").set_index("task")
    for task in ("donors", "ctcf"):
        assert own.loc[task, "auroc"] == pytest.approx(metrics.loc[task, "auroc"], abs=1e-6)
        for control in ("random_initialisation", "shuffled_sequences", "kmer_logistic", "kmer_boosted", "gc_content"):
            assert own.loc[task, control] == pytest.approx(controls.loc[(task, control), "auroc"], abs=1e-6)
        best = own.loc[task, "best_floor"]
        assert own.loc[task, "beyond_floor"] == pytest.approx(controls.loc[(task, best), "difference"], abs=1e-6)
    heads = table(finished[0], "alignment").query("question == 'ctcf' and model == 'embedded_dnabert2'")
    saved = pd.read_csv(results / "qk_alignment/ctcf_qk_alignment.csv").query("token_set == 'all_tokens'")
    place = ["variant", "layer", "head"]
    expected = saved[saved["variant"] != "shuffled"].set_index(place)["r"]
    assert heads.set_index(place)["r"].to_dict() == expected.to_dict()


def test_the_summary_names_the_models_and_repeats_the_tables(finished):
    path = finished[0].results / "tables/cross_model_tokenization_comparison.json"
    summary = json.loads(path.read_text())
    assert [model["name"] for model in summary["models"]] == MODELS
    assert [model["tokenizer"] for model in summary["models"]] == ["BytePairTokenizer", "FixedKmerTokenizer"]
    assert summary["suspicious"] == []
    assert [row["auroc"] for row in summary["probes"]] == pytest.approx(table(finished[0], "probes")["auroc"].tolist())
    facts = json.loads((finished[0].results / f"manifests/{STEP}.json").read_text())["facts"]
    assert set(facts["bases_per_second"]) == set(MODELS)


def test_the_step_alone_makes_the_same_bytes_again(study):
    before = study.artifacts()
    outcome = study.run("--only-step", STEP)
    assert outcome.code == 0, outcome.err
    assert study.artifacts() == before


def test_a_smaller_cap_takes_some_of_the_alignment_s_sequences_for_every_model(study):
    before = table(study, "alignment_summary").set_index(["question", "model"])
    outcome = study.run("--only-step", STEP, "--max-cross-model-qk-alignment-sequences", "60")
    assert outcome.code == 0, outcome.err
    after = table(study, "alignment_summary").set_index(["question", "model"])
    assert (after["sequences"] == 60).all()
    assert (after["support_tokens"] < before["support_tokens"]).all()
    assert (after["largest_r"] != before["largest_r"]).all()


def test_without_another_model_the_step_takes_no_part(study):
    plan = study.run("--dry-run", "--json", "--model", "mints:embedded_nt")
    assert STEP not in [row["step"] for row in json.loads(plan.out)]


# Checkpoints that were loaded wrongly


def exchange(first, second):
    def change(encoder):
        for layer in range(encoder.architecture.n_layers):
            for parameter in (encoder.block(layer).attn.qkv.weight, encoder.block(layer).attn.qkv.bias):
                rows = torch.arange(len(parameter)).reshape(3, -1)
                order = list(range(3))
                order[first], order[second] = second, first
                parameter.copy_(parameter[rows[order].flatten()].clone())

    return change


def reverse(encoder):
    encoder.blocks = torch.nn.ModuleList([encoder.block(layer) for layer in (3, 2, 1, 0)])


def swap_gates(encoder):
    for layer in range(encoder.architecture.n_layers):
        weight = encoder.block(layer).mlp.input.weight
        weight.copy_(torch.roll(weight.clone(), len(weight) // 2, 0))


def randomise_attention(encoder):
    other = randomly_initialised(encoder.architecture, 3)
    for layer in range(encoder.architecture.n_layers):
        encoder.block(layer).attn.qkv.load_state_dict(other.block(layer).attn.qkv.state_dict())


FAULTS = {
    "queries as keys": exchange(0, 1),
    "keys as values": exchange(1, 2),
    "layers reversed": reverse,
    "gates swapped": swap_gates,
    "random attention": randomise_attention,
}


def broken(model, fault):
    encoder, tokenizer, family, _ = load_model(f"mints:{model}")
    encoder = copy.deepcopy(encoder)
    with torch.no_grad():
        FAULTS.get(fault, lambda _: None)(encoder)
    return encoder, tokenizer, family


def exam_of(tokenizer, genome):
    """Masked batches of two held-out chromosomes, and the floors of the other four."""
    training, heldout = (
        token_stream(tokenizer, [genome.fetch(name, 0, 150_000) for name in names])
        for names in (["chr1", "chr2", "chr3", "chr6"], ["chr4", "chr5"])
    )
    drawn = MaskedBatches(heldout, tokenizer, context=62, share=0.15, seed=0)
    return [drawn.draw(64, always_mask=True) for _ in range(5)], fit_floors(training, len(tokenizer.vocabulary))


def failing(encoder, exam):
    """Rules about the masked-token loss that a model fails."""
    batches, floors = exam
    compute = resolve_compute("cpu", "fp32")

    def losses(model):
        return np.concatenate([batch_losses(model, batch, compute).numpy().reshape(64, -1) for batch in batches])

    truth = np.concatenate([batch.truth.numpy() for batch in batches])
    both = {"model": losses(encoder), "unigram": floors.unigram_losses(truth).reshape(320, -1)}
    weights = np.random.default_rng(0).multinomial(320, np.full(320, 1 / 320), size=200)
    rows = pd.DataFrame(loss_rows(both, np.ones_like(both["model"]), weights, 0.95, reference="unigram"))
    found = {"": both["model"].mean(1)} | {name: losses(other).mean(1) for name, other in exchanged(encoder)}
    assert list(found)[1:] == list(EXCHANGES)
    checks = loss_checks("m", rows.assign(masking="15% hidden")) + exchange_checks("m", found, weights, 0.95)
    return {check.check.removeprefix("masked-token loss ") for check in checks if not check.passes}


@pytest.fixture(scope="module")
def exams(finished):
    """What the checkpoints of every model are asked."""
    genome = Genome.open(finished[0].results / "simulated_genome/genome.fa")
    return {model: exam_of(load_model(f"mints:{model}").tokenizer, genome) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_the_shipped_models_fail_no_rule(model, exams):
    assert failing(broken(model, None)[0], exams[model]) == set()


@pytest.mark.parametrize(
    ("model", "fault", "rule"),
    [
        *((model, "queries as keys", "rises with queries and keys exchanged") for model in MODELS),
        *((model, "keys as values", "rises with keys and values exchanged") for model in MODELS),
        *((model, "layers reversed", "rises with its layers in reverse order") for model in MODELS),
        *((model, "gates swapped", "rises with the halves of its gated feed-forward exchanged") for model in MODELS),
        *((model, "random attention", "below the unigram floor, 15% hidden") for model in MODELS),
        ("embedded_dnabert2", "random attention", "rises with its queries silenced"),
    ],
)
def test_a_checkpoint_whose_tensors_are_in_the_wrong_place_is_noticed_and_the_fault_named(model, fault, rule, exams):
    assert rule in failing(broken(model, fault)[0], exams[model])


def test_a_wrongly_loaded_model_is_flagged_in_table_summary_and_on_the_screen(study, tmp_path):
    encoder, tokenizer, family = broken("embedded_nt", "keys as values")
    save_model(tmp_path / "wrong", encoder, tokenizer, family)
    other = tmp_path / "small.toml"
    text = study.configuration.read_text()
    other.write_text(text + '\n[[compared_models]]\nname = "wrong"\nmodel = "./wrong"\n')
    outcome = study._replace(configuration=other).run("--only-step", STEP)
    assert outcome.code == 0, outcome.err
    assert "wrong may not be loaded as it was trained" in outcome.err
    assert "keys and values exchanged" in outcome.err
    probes = table(study, "probes").set_index(["task", "model"])["flag"]
    assert probes["donors", "embedded_dnabert2"] == "none"
    assert "masked-token loss rises with keys and values exchanged" in probes["donors", "wrong"]
    assert "fails: " in outcome.out
    path = study.results / "tables/cross_model_tokenization_comparison.json"
    assert json.loads(path.read_text())["suspicious"] == ["wrong"]


def test_two_models_of_one_name_are_refused(study, tmp_path):
    other = tmp_path / "small.toml"
    twice = '\n[[compared_models]]\nname = "embedded_dnabert2"\nmodel = "mints:embedded_nt"\n'
    other.write_text(study.configuration.read_text() + twice)
    outcome = study._replace(configuration=other).run("--dry-run")
    assert outcome.code == 2
    assert "two models are called embedded_dnabert2" in outcome.err
