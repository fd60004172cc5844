from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from mints.analysis.bootstrap import cluster_weights
from mints.analysis.controls import (
    CALIPER,
    LABELS,
    TaskActivations,
    beyond_composition,
    gc_matched_rows,
    probe_controls,
)
from mints.analysis.floors import SplitSequences
from mints.analysis.probes import Labelled, LayerVectors, fit_probe
from mints.data.composition import gc_content

PENALTIES = [1e-2, 1.0]
ROWS = (300, 150, 240)
SETTINGS = {"penalties": PENALTIES, "resamples": 60, "level": 0.9, "random_label_runs": 4}


def activations(signal=2.0, gc_step=0.08, blur=0.0, seed=0):
    """A task with unequal GC, and vectors that hold GC (less clearly by `blur`), the class itself (`signal`) and noise.

    The random model sees GC alone; on shuffled sequences the class is gone.
    """
    rng = np.random.default_rng(seed)
    frames, vectors = [], {"residual": [], "random_initialisation": [], "shuffled": []}
    first = 0
    for size in ROWS:
        labels = rng.integers(0, 2, size=size)
        gc = 0.42 + gc_step * labels
        letters = [rng.choice(list("ACGT"), 50, p=[(1 - g) / 2, g / 2, g / 2, (1 - g) / 2]) for g in gc]
        clusters = first + np.arange(size) // 2
        first = clusters[-1] + 1
        starts = pd.array(rng.integers(0, 10**6, size=size), dtype="Int64")
        frame = pd.DataFrame({"sequence": ["".join(x) for x in letters], "label": labels, "cluster": clusters})
        frames.append(frame.assign(chromosome="chr1", start=starts))
        content = gc_content(frames[-1]["sequence"].tolist())[:, None] * 10
        for name, strength in (("residual", signal), ("random_initialisation", 0), ("shuffled", 0)):
            noise = rng.normal(size=(size, 5))
            noise[:, 0] += strength * labels
            seen = content + blur * rng.normal(size=(size, 1))
            vectors[name].append(Labelled(np.hstack([seen, noise]).astype(np.float32), labels))
    return TaskActivations(
        name="planted",
        layer=2,
        rows=SplitSequences(*frames),
        **{name: LayerVectors(*parts) for name, parts in vectors.items()},
    )


@pytest.fixture(autouse=True)
def one_thread():
    """Small trees on many threads wait for one another on a busy machine."""
    with threadpool_limits(1):
        yield


@cache
def planted():
    return activations()


@cache
def table():
    return probe_controls(planted(), rng=np.random.default_rng(1), **SETTINGS).table.set_index("control")


def test_every_control_has_a_row_with_its_task_layer_and_figures():
    assert set(table().index) == set(LABELS)
    assert (table()["task"] == "planted").all()
    assert (table()["layer"] == 2).all()
    assert table()["auroc"].notna().all()
    assert (table()["auroc_low"] <= table()["auroc"]).all()
    assert (table()["auroc"] <= table()["auroc_high"]).all()


def test_the_probe_s_row_is_the_probe_itself():
    train, validation, test = planted().residual
    probe = fit_probe(train, validation, PENALTIES)
    expected = roc_auc_score(test.labels, probe.model.logits(test.features))
    assert table().loc["residual_probe", "auroc"] == pytest.approx(expected)
    assert table().loc["residual_probe", "validation_auroc"] == probe.validation_auroc


def test_a_random_label_probe_is_near_chance():
    row = table().loc["random_labels"]
    assert row["auroc"] == pytest.approx(0.5, abs=0.12)
    assert row["auroc_low"] < 0.5 < row["auroc_high"]


def test_what_has_lost_the_signal_falls_to_the_level_of_gc_content():
    gc = table().loc["gc_content", "auroc"]
    for control in ("random_initialisation", "shuffled_sequences"):
        assert table().loc[control, "auroc"] == pytest.approx(gc, abs=0.03)
        assert table().loc[control, "difference_low"] > 0


def test_a_paired_difference_equals_a_loop_over_the_same_resamples():
    """The first child generator draws the resamples, so that the loop can draw them too."""
    rng = np.random.default_rng(1).spawn(5)[0]
    task = planted()
    labels = task.residual.test.labels
    weights = cluster_weights(task.rows.test["cluster"].to_numpy(), SETTINGS["resamples"], rng)
    scores = {}
    for name in ("residual", "random_initialisation"):
        train, validation, test = getattr(task, name)
        scores[name] = fit_probe(train, validation, PENALTIES).model.logits(test.features)
    differences = []
    for weight in weights:
        rows = np.repeat(np.arange(len(labels)), weight)
        probe, control = (roc_auc_score(labels[rows], scores[name][rows]) for name in scores)
        differences.append(probe - control)
    row = table().loc["random_initialisation"]
    assert [row["difference_low"], row["difference_high"]] == pytest.approx(np.quantile(differences, [0.05, 0.95]))
    assert row["difference"] == pytest.approx(table().loc["residual_probe", "auroc"] - row["auroc"])


def test_gc_matching_really_changes_the_test_set_and_takes_gc_away_but_not_the_signal():
    matched = table().loc["gc_matched_test"]
    assert 20 <= matched["n_test"] < ROWS[2]
    gc_only = table().loc["gc_matched_test_gc_only", "auroc"]
    assert gc_only < table().loc["gc_content", "auroc"] - 0.2
    assert matched["auroc"] > gc_only + 0.2


def test_matched_pairs_keep_the_caliper_and_use_no_row_twice():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, size=400)
    gc = np.round(rng.normal(0.4 + 0.1 * labels, 0.06), 2)
    kept = gc_matched_rows(labels, gc, rng)
    assert len(set(kept.tolist())) == len(kept)
    positives, negatives = (np.sort(gc[kept][labels[kept] == label]) for label in (1, 0))
    assert len(positives) == len(negatives) < (labels == 1).sum()
    # In one dimension the sorted order is an optimal pairing: if any keeps the caliper, this one does.
    assert np.abs(positives - negatives).max() <= CALIPER + 1e-9


def test_no_match_is_left_out_that_is_within_the_caliper():
    """Greedy matching ends only when no free pair is close enough."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, size=200)
    gc = rng.random(200)
    kept = gc_matched_rows(labels, gc, rng)
    left = np.setdiff1d(np.arange(200), kept)
    apart = np.abs(gc[left][labels[left] == 1][:, None] - gc[left][labels[left] == 0][None, :])
    assert (apart > CALIPER).all()


def test_sequences_that_cannot_be_matched_give_an_empty_row_with_a_note_and_no_crash():
    far = probe_controls(activations(gc_step=0.5), rng=np.random.default_rng(1), **SETTINGS).table.set_index("control")
    for control in ("gc_matched_test", "gc_matched_test_gc_only", "low_to_high_gc", "high_to_low_gc"):
        assert np.isnan(far.loc[control, "auroc"])
        assert "fewer than 10" in far.loc[control, "note"]
    assert far["auroc"].notna().sum() == len(LABELS) - 4


def test_gc_shift_trains_on_one_half_and_tests_on_the_other():
    gc = [gc_content(part["sequence"].tolist()) for part in planted().rows]
    low = [values <= np.median(gc[0]) for values in gc]
    assert table().loc["low_to_high_gc", ["n_train", "n_test"]].tolist() == [low[0].sum(), (~low[2]).sum()]
    assert table().loc["high_to_low_gc", ["n_train", "n_test"]].tolist() == [(~low[0]).sum(), low[2].sum()]


def test_validation_names_one_k_mer_floor():
    chosen = table()[table()["chosen_on_validation"].astype(bool)]
    floors = table().loc[["kmer_logistic", "kmer_boosted"], "validation_auroc"]
    assert chosen.index.tolist() == [floors.idxmax()]


def test_swapped_test_labels_change_no_choice():
    task = planted()
    swapped = task._replace(
        rows=task.rows._replace(test=task.rows.test.assign(label=1 - task.rows.test["label"])),
        **{
            name: part._replace(test=part.test._replace(labels=1 - part.test.labels))
            for name, part in (("residual", task.residual), ("shuffled", task.shuffled))
        },
    )
    other = probe_controls(swapped, rng=np.random.default_rng(1), **SETTINGS).table.set_index("control")
    choices = ["validation_auroc", "chosen_on_validation"]
    pd.testing.assert_frame_equal(other[choices], table()[choices])
    assert other.loc["residual_probe", "auroc"] == pytest.approx(1 - table().loc["residual_probe", "auroc"])


def test_the_same_seed_gives_the_same_table():
    again = probe_controls(planted(), rng=np.random.default_rng(1), **SETTINGS).table.set_index("control")
    pd.testing.assert_frame_equal(again, table())


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.05, "beyond the k-mer floor"),
        (-0.01, 0.05, "not beyond the k-mer floor"),
        (-0.05, -0.01, "below the k-mer floor"),
    ],
)
def test_the_verdict_follows_the_paired_interval_against_the_chosen_floor(low, high, verdict):
    rows = [
        {"control": "residual_probe", "auroc": 0.9, "chosen_on_validation": False},
        {"control": "kmer_logistic", "auroc": 0.7, "chosen_on_validation": False, "difference_low": 0.1},
        {
            "control": "kmer_boosted",
            "auroc": 0.88,
            "chosen_on_validation": True,
            "difference": 0.02,
            "difference_low": low,
            "difference_high": high,
        },
    ]
    (row,) = beyond_composition(pd.DataFrame(rows).assign(task="t", layer=1)).to_dict("records")
    assert row["best_floor"] == "kmer_boosted"
    assert row["difference"] == 0.02
    assert row["verdict"] == verdict


def test_a_probe_with_more_than_composition_is_beyond_the_floor_and_one_without_is_not():
    rich = beyond_composition(table().reset_index()).iloc[0]
    poor_table = probe_controls(activations(signal=0, blur=3), rng=np.random.default_rng(1), **SETTINGS).table
    assert rich["verdict"] == "beyond the k-mer floor"
    assert beyond_composition(poor_table).iloc[0]["verdict"] != "beyond the k-mer floor"
