"""Figures of the comparison of models: every figure at its place, and nothing on top of anything else."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, detail, legend, written
from pandas.testing import assert_frame_equal

from mints.report.cross_model import differences_figure, heads_figure, probes_figure, tokenization_figure

TASKS = ["promoter_no_tata", "splice_sites_donors_matched", "ctcf", "splice_sites_acceptors", "tata"]
MODELS = ["embedded_dnabert2", "nucleotide-transformer-v2-100m", "third"]
THRESHOLDS = {"r": 0.5, "rho": 2.0}


def probes(tasks=5, models=2):
    rows = pd.DataFrame(list(product(TASKS[:tasks], MODELS[:models])), columns=["task", "model"])
    rows["auroc"] = 0.7 + 0.02 * np.arange(len(rows))
    rows["auroc_low"], rows["auroc_high"] = rows["auroc"] - 0.03, rows["auroc"] + 0.03
    beside = {"random_initialisation": 0.6, "kmer_logistic": 0.82, "kmer_boosted": 0.8, "gc_content": 0.55}
    return rows.assign(layer=3, n_test=1200, best_floor="kmer_logistic", flag="none", **beside)


def differences(tasks=5, models=2):
    rows = []
    chosen = MODELS[:models]
    pairs = [("models", a, b) for i, a in enumerate(chosen) for b in chosen[i + 1 :]]
    pairs += [(kind, model, second) for model in chosen for kind, second in
              (("own control", "random_initialisation"), ("own control", "shuffled_sequences"),
               ("floor", "best_floor"), ("floor", "gc_content"))]  # fmt: skip
    for place, ((kind, first, second), metric) in enumerate(product(pairs, ("auroc", "auprc"))):
        for task in [*TASKS[:tasks], "mean of tasks"]:
            value = 0.1 - 0.01 * place
            rows.append([task, kind, metric, first, second, value, value - 0.02, value + 0.02])
    columns = ["task", "kind", "metric", "first", "second", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=columns)


def tokenizers(tasks=5, models=2):
    rates = probes(tasks, models)[["task", "model"]]
    rates["mean_bases_per_token"] = np.where(rates["model"] == MODELS[0], 3.4, 5.7)
    predictors = ["model", "unigram", "two-sided token bigram"]
    losses = pd.DataFrame(list(product(MODELS[:models], ["15% hidden", "one token hidden"], predictors)),
                          columns=["model", "masking", "predictor"])  # fmt: skip
    losses["bits_per_base"] = 1.9 + 0.01 * np.arange(len(losses))
    return rates, losses.assign(
        bits_per_base_low=losses["bits_per_base"] - 0.01, bits_per_base_high=losses["bits_per_base"] + 0.01
    )


def best_heads(questions=4, models=2):
    rows = pd.DataFrame(list(product(TASKS[:questions], MODELS[:models])), columns=["question", "model"])
    return rows.assign(
        heads=144, largest_r=0.3, largest_r_low=0.25, largest_r_high=0.35, r_head="L11H10", largest_ceiling=0.45,
        largest_r_inner=0.2, untrained_r=0.1, rho_head="L2H3", largest_rho=1.4, largest_rho_low=1.2,
        largest_rho_high=1.6,
        untrained_rho=1.05, aligned=0, enriched=3,
    )  # fmt: skip


@pytest.mark.parametrize(("tasks", "models"), [(1, 2), (4, 3), (5, 2)])
@pytest.mark.parametrize(
    "draw",
    [
        lambda *size: probes_figure(probes(*size)),
        lambda *size: differences_figure(differences(*size)),
        lambda *size: tokenization_figure(*tokenizers(*size)),
        lambda *size: heads_figure(best_heads(*size), THRESHOLDS),
    ],
)
def test_no_text_overlaps_another_or_leaves_the_figure(draw, tasks, models):
    assert collisions(draw(tasks, models)) == []


@pytest.mark.parametrize(
    "figure",
    [
        lambda: probes_figure(probes().iloc[:0]),
        lambda: differences_figure(differences().iloc[:0]),
        lambda: tokenization_figure(tokenizers()[0].iloc[:0], tokenizers()[1]),
        lambda: heads_figure(pd.DataFrame(columns=["question", "model"]), THRESHOLDS),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(figure):
    assert "not measured in this run" in [text for text, _ in written(figure())]


@pytest.mark.parametrize(("draw", "table"), [(probes_figure, probes()), (differences_figure, differences())])
def test_drawing_leaves_the_table_as_it_was(draw, table):
    before = table.copy()
    draw(table)
    assert_frame_equal(table, before)


def names(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_probes_stand_above_untrained_twins_and_floors_with_intervals_of_their_own():
    axis = probes_figure(probes()).axes[0]
    points = [line.get_xdata()[0] for line in axis.lines if line.get_marker() not in ("None", None)]
    assert points == pytest.approx([0.7, 0.72, 0.6, 0.6, 0.82, 0.8, 0.55])
    assert names(axis) == [
        *MODELS[:2], *(f"{model}, untrained" for model in MODELS[:2]), "k-mers, logistic", "k-mers, boosted",
        "GC content",
    ]  # fmt: skip
    assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"] == [0.82]
    assert axis.collections[0].get_segments()[0][:, 0] == pytest.approx([0.67, 0.73])


def test_a_model_that_fails_a_rule_is_named_in_the_figure():
    table = probes()
    table.loc[3, "flag"] = "fails: something"
    assert names(probes_figure(table).axes[0])[:2] == [MODELS[0], f"{MODELS[1]} (flagged)"]


def test_differences_have_a_panel_per_pair_then_per_floor_then_per_twin_on_one_scale():
    figure = differences_figure(differences())
    assert [axis.get_title(loc="left") for axis in figure.axes] == [MODELS[0], *MODELS[:2], *MODELS[:2]]
    assert detail(figure.axes[0]) == f"minus {MODELS[1]}"
    assert [detail(axis) for axis in figure.axes[1:]] == [
        *["minus k-mer floor"] * 2,
        *["minus untrained twin"] * 2,
    ]
    assert len({axis.get_xlim() for axis in figure.axes}) == 1
    values = [[line.get_xdata()[0] for line in axis.lines if line.get_marker() == "P"] for axis in figure.axes]
    assert values == [pytest.approx([value]) for value in (0.1, 0.04, -0.04, 0.08, 0.0)]


def test_losses_per_base_stand_above_their_own_floors_and_beside_two_bits():
    lengths, losses = tokenization_figure(*tokenizers()).axes
    assert names(losses)[:3] == [MODELS[0], "unigram", "two-sided token bigram"]
    assert names(losses)[3] == MODELS[1]
    values = [line.get_xdata()[0] for line in losses.lines if line.get_marker() not in ("None", None)]
    assert values == pytest.approx([1.9, 1.91, 1.92, 1.96, 1.97, 1.98])
    assert list(lengths.lines[1].get_xdata()) == [5.7] * 5


def test_best_heads_have_their_ceiling_twin_and_threshold():
    figure = heads_figure(best_heads(), THRESHOLDS)
    left, right = figure.axes[:2]
    assert names(left) == [f"{MODELS[0]}, L11H10", f"{MODELS[1]}, L11H10"]
    by_marker = {line.get_marker(): line.get_xdata()[0] for line in left.lines if line.get_marker() != "None"}
    assert by_marker == pytest.approx({"X": 0.1, "s": 0.2, "|": 0.45, "o": 0.3, "D": 0.3})
    assert "|" not in {line.get_marker() for line in right.lines}
    thresholds = [
        [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"] for axis in (left, right)
    ]
    assert thresholds == [[0.5], [2.0]]
    assert detail(right) == "enriched: 3/144, 3/144 heads"
    assert "highest ceiling of a layer" in legend(figure)
