"""The comparison of models, against slow twins: metrics of rows really repeated, sums really looped."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mints.analysis.bootstrap import cluster_weights
from mints.analysis.cross_model import (
    MEAN,
    ScoredModel,
    TaskScores,
    best_head_difference,
    difference_table,
    judge_task,
    probe_rows,
    score_model,
)
from mints.analysis.loading_checks import probe_checks, published_checks
from mints.analysis.masked_tokens import loss_rows
from mints.analysis.probes import Labelled, LayerVectors
from mints.analysis.tokenization import tokenization_row
from mints.models.tokenizers import FixedKmerTokenizer

RESAMPLES, LEVEL, ROWS = 60, 0.9, 90


def task_scores(name="promoters", seed=0, strength=(1.5, 0.5), floor=1.0, twin=0.2):
    """Two models of different strength; floors and clusters of three rows."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(ROWS) % 2)

    def scores(signal):
        return signal * (2 * labels - 1) + rng.normal(size=ROWS).round(1)

    models = {
        model: ScoredModel(
            2,
            0.1,
            0.9,
            {
                "residual_probe": scores(each),
                "random_initialisation": scores(twin),
                "shuffled_sequences": scores(0.1),
            },
        )
        for model, each in zip(("a", "b"), strength, strict=True)
    }
    floors = {"gc_content": scores(0.2), "kmer_logistic": scores(floor), "kmer_boosted": scores(0.6)}
    return TaskScores(name, labels, np.arange(ROWS) // 3, models, floors, "kmer_logistic")


def judged(**settings):
    return judge_task(task_scores(**settings), RESAMPLES, np.random.default_rng(9))


def slow_difference(task, first, second, metric):
    """Interval of a difference, from rows that are repeated as often as their cluster was drawn."""
    weights = cluster_weights(task.clusters, RESAMPLES, np.random.default_rng(9))
    gaps = []
    for row in weights:
        chosen = np.repeat(np.arange(ROWS), row)
        gaps.append(metric(task.labels[chosen], first[chosen]) - metric(task.labels[chosen], second[chosen]))
    return [metric(task.labels, first) - metric(task.labels, second), *np.quantile(gaps, [0.05, 0.95])]


@pytest.mark.parametrize(("name", "metric"), [("auroc", roc_auc_score), ("auprc", average_precision_score)])
def test_differences_of_models_floors_and_controls_are_those_of_rows_really_resampled(name, metric):
    task = task_scores()
    a, b = (task.models[model].scores for model in ("a", "b"))
    expected = {
        ("models", "a", "b"): (a["residual_probe"], b["residual_probe"]),
        ("floor", "b", "best_floor"): (b["residual_probe"], task.floors["kmer_logistic"]),
        ("floor", "a", "gc_content"): (a["residual_probe"], task.floors["gc_content"]),
        ("own control", "b", "random_initialisation"): (b["residual_probe"], b["random_initialisation"]),
    }
    table = difference_table([judged()], LEVEL)
    found = table[(table["task"] == "promoters") & (table["metric"] == name)].set_index(["kind", "first", "second"])
    for key, pair in expected.items():
        row = found.loc[key, ["difference", "difference_low", "difference_high"]]
        assert row.tolist() == pytest.approx(slow_difference(task, *pair, metric), abs=1e-9)


def test_the_mean_of_tasks_is_the_mean_of_their_resamples():
    tasks = [judged(), judged(name="donors", seed=4)]
    table = difference_table(tasks, LEVEL)
    gaps = [t.models["a"]["residual_probe"].resampled["auroc"] - t.models["b"]["residual_probe"].resampled["auroc"]
            for t in tasks]  # fmt: skip
    row = table[(table["task"] == MEAN) & (table["kind"] == "models") & (table["metric"] == "auroc")].iloc[0]
    assert row["difference_low"] == pytest.approx(np.quantile((gaps[0] + gaps[1]) / 2, 0.05))
    of_tasks = table[(table["task"] != MEAN) & (table["kind"] == "models") & (table["metric"] == "auroc")]
    assert row["difference"] == pytest.approx(of_tasks["difference"].mean())


def test_a_row_has_the_probe_s_metrics_and_its_own_controls_beside_it():
    task = task_scores()
    rows = {row["model"]: row for row in probe_rows(judged(), LEVEL)}
    for model, row in rows.items():
        scores = task.models[model].scores
        assert row["auroc"] == pytest.approx(roc_auc_score(task.labels, scores["residual_probe"]))
        assert row["accuracy"] == pytest.approx(np.mean((scores["residual_probe"] > 0) == task.labels))
        assert row["random_initialisation"] == pytest.approx(
            roc_auc_score(task.labels, scores["random_initialisation"])
        )
        assert row["kmer_boosted"] == pytest.approx(roc_auc_score(task.labels, task.floors["kmer_boosted"]))


def test_layer_and_penalty_are_chosen_on_validation_and_controls_stand_at_that_layer():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2

    def layer(signal):
        return LayerVectors(*(Labelled(rng.normal(size=(60, 4)) + signal * labels[:, None], labels) for _ in range(3)))

    residual, twin = {0: layer(0), 3: layer(2)}, {0: layer(2), 3: layer(0)}
    found = score_model(residual, {"random_initialisation": twin}, [0.01, 1.0], None)
    assert found.layer == 3
    assert roc_auc_score(labels, found.scores["residual_probe"]) > 0.9
    assert roc_auc_score(labels, found.scores["random_initialisation"]) < 0.7
    assert score_model(residual, {}, [1.0], 0).layer == 0


def test_the_best_heads_are_those_of_the_data_and_their_difference_is_paired():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(41, 5)), rng.normal(size=(41, 3))
    first[0, 4] = np.nan
    head, other, gap = best_head_difference(first, second, LEVEL)
    assert (head, other) == (int(np.argmax(first[0, :4])), int(np.argmax(second[0])))
    by_resample = [first[row, head] - second[row, other] for row in range(1, 41)]
    assert [gap.value, gap.low, gap.high] == pytest.approx(
        [first[0, head] - second[0, other], *np.quantile(by_resample, [0.05, 0.95])]
    )


def test_losses_per_token_and_per_base_are_sums_over_windows_really_drawn():
    rng = np.random.default_rng(2)
    losses = {"unigram": rng.gamma(3, size=(7, 4)), "model": rng.gamma(2, size=(7, 4))}
    bases = rng.integers(1, 7, size=(7, 4)).astype(float)
    weights = rng.multinomial(7, np.full(7, 1 / 7), size=30)
    row = loss_rows(losses, bases, weights, LEVEL, reference="unigram")[1]
    nats, bits, gains = [], [], []
    for drawn in weights:
        windows = np.repeat(np.arange(7), drawn)
        nats.append(losses["model"][windows].mean())
        bits.append(losses["model"][windows].sum() / bases[windows].sum() / np.log(2))
        gains.append((losses["unigram"] - losses["model"])[windows].mean())
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(nats, [0.05, 0.95]))
    assert [row["bits_per_base_low"], row["bits_per_base_high"]] == pytest.approx(np.quantile(bits, [0.05, 0.95]))
    assert [row["gain_low"], row["gain_high"]] == pytest.approx(np.quantile(gains, [0.05, 0.95]))
    assert row["bits_per_base"] == pytest.approx(losses["model"].sum() / bases.sum() / np.log(2))


def test_a_uniform_guess_among_fixed_kmers_costs_two_bits_per_base():
    losses = {"uniform": np.full((3, 2), np.log(4**6))}
    weights = np.ones((5, 3), dtype=int)
    row = loss_rows(losses, np.full((3, 2), 6.0), weights, LEVEL, reference="uniform")[0]
    assert [row["bits_per_base"], row["bits_per_base_low"], row["gain"]] == pytest.approx([2, 2, 0])


def test_rates_of_a_tokenizer_can_be_counted_by_hand():
    tokenizer = FixedKmerTokenizer.generate(3)
    tokenizer.max_tokens = 5
    sequences = ["ACGACGTT", "ACGACGACGACGAC"]  # ACG ACG T T, and ACG ACG ACG ACG A C behind the first token
    row = tokenization_row(tokenizer, tokenizer.encode_many(sequences), 22)
    assert row["tokens"] == 10
    assert row["tokens_per_base"] == pytest.approx(10 / 22)
    assert (row["mean_bases_per_token"], row["median_bases_per_token"]) == (2.2, 3)
    assert row["single_letter_share"] == 0.4
    assert row["over_limit_share"] == 0.5
    assert (row["vocabulary_used"], row["vocabulary"]) == (4, 64 + 4)
    pairs = FixedKmerTokenizer.generate(2)
    assert tokenization_row(pairs, pairs.encode_many(["ACG"]), 3)["single_letter_share"] == 0.5


# Rules


def failed(checks):
    return {(check.model, check.check) for check in checks if not check.passes}


def test_probes_that_are_no_better_than_their_twin_or_far_below_composition_are_called_out():
    assert failed(probe_checks([judged(strength=(1.5, 1.2))], LEVEL)) == set()
    weak = [judged(strength=(1.5, 0.0), floor=2.0, twin=0.0), judged(seed=3, strength=(1.5, 0.0), floor=2.0, twin=0.0)]
    assert failed(probe_checks(weak, LEVEL)) == {
        ("b", "probes above their untrained twins"),
        ("b", "probes above half of the k-mer floors"),
    }
    opposite = probe_checks([judged(strength=(1.5, -1.0))], LEVEL)
    assert ("b", "probes above GC content") in failed(opposite)
    statement = next(
        check.statement for check in opposite if check.check == "probes above GC content" and check.model == "b"
    )
    assert "tell less than GC content alone (mean of 1 tasks: -0." in statement


def test_the_share_of_the_floor_is_of_what_lies_above_chance():
    task = judged(strength=(1.5, 0.4), floor=2.0)
    (check,) = (c for c in probe_checks([task], LEVEL) if c.model == "b" and c.check.startswith("probes above half"))
    labels, floor = task.scores.labels, task.scores.floors["kmer_logistic"]
    probe = roc_auc_score(labels, task.scores.models["b"].scores["residual_probe"])
    assert check.value == pytest.approx(probe - 0.5 - (roc_auc_score(labels, floor) - 0.5) / 2)


PUBLISHED = [
    {"model": "lab/model-", "predictor": "residual_probe", "data": "tasks_v2", "task": "donors", "auroc": 0.9,
     "tolerance": 0.05, "source": "a paper"},
    {"model": "", "predictor": "gc_content", "data": "tasks_v2", "task": "donors", "auroc": 0.65, "tolerance": 0.03,
     "source": "a paper"},
]  # fmt: skip


def held_against_published(auroc=0.8, gc=0.64, model="lab/model-large", data="hf://tasks_v2/donors"):
    row = {"task": "donors", "model": "m", "auroc": auroc, "auroc_low": auroc - 0.02, "auroc_high": auroc + 0.02}
    return published_checks(pd.DataFrame([row | {"gc_content": gc}]), PUBLISHED, {"m": model}, {"donors": data})


def test_a_probe_far_below_a_published_figure_is_called_out_with_how_far():
    (probe, floor) = held_against_published()
    assert not probe.passes
    assert "AUROC 0.800 lies 0.100 below the published 0.900 (a paper)" in probe.statement
    assert floor.passes
    assert not held_against_published(gc=0.6)[1].passes, "the file is not the published one"
    assert held_against_published(auroc=0.84)[0].passes, "the interval reaches into the tolerance"


@pytest.mark.parametrize(
    ("settings", "checks"),
    [({"model": "mints:embedded_nt"}, 1), ({"data": "simulated/donors"}, 0), ({"model": "other", "data": "x"}, 0)],
)
def test_published_figures_speak_of_their_own_model_and_data_alone(settings, checks):
    assert len(held_against_published(**settings)) == checks


def test_every_published_figure_has_a_source_and_a_tolerance():
    import tomllib

    from mints.config import Config

    figures = tomllib.loads(Config().published_probes.read_text())["figures"]
    keys = {"model", "predictor", "data", "task", "auroc", "tolerance", "source"}
    assert all(set(figure) == keys and figure["source"] and figure["tolerance"] > 0 for figure in figures)
    named = [(figure["model"], figure["predictor"], figure["task"]) for figure in figures]
    assert len(set(named)) == len(named)
    dnabert2 = [figure["auroc"] for figure in figures if "DNABERT-2" in figure["model"]]
    assert dnabert2 == [0.9137, 0.9383, 0.8954, 0.8847]
    assert len(figures) == 16
