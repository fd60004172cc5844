"""Figures of the distributed feature search say what the table says."""

import pandas as pd

from mints.report.feature_search import search_figure, top_latents_figure


def test_latents_stand_at_their_test_correlation_and_are_coloured_by_q():
    table = pd.DataFrame(
        {
            "unit": [4, 9], "validation_r": [0.5, 0.4], "r": [0.3, -0.1], "low": [0.1, -0.2], "high": [0.4, 0.1],
            "q_within_label": [0.01, 0.6], "activation_frequency": [0.25, 1.0],
        }
    )  # fmt: skip
    axis = top_latents_figure(table, "splice_donors", "mlp").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "latent 4  (25% of sequences)",
        "latent 9  (100% of sequences)",
    ]
    test, validation = ([line for line in axis.lines if len(line.get_xdata()) == n] for n in (1, 2))
    assert [line.get_xdata()[0] for line in test] == [0.3, -0.1]
    assert test[0].get_color() != test[1].get_color()
    assert any(list(line.get_xdata()) == [0.5, 0.4] for line in validation)


def test_every_set_of_units_is_drawn_beside_the_latents():
    rows = [
        {"question": "ctcf", "stream": stream, "units": units, "r": r, "low": r - 0.1, "high": r + 0.1}
        for stream in ("mlp", "blocks.1.hook_resid_post")
        for units, r in [("latents", 0.2), ("neurons", 0.3), ("principal components", 0.1), ("random directions", 0.0)]
    ]
    axis = search_figure(pd.DataFrame(rows)).axes[0]
    drawn = [line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    assert drawn == [0.2, 0.3, 0.1, 0.0] * 2
    assert axis.get_yticklabels()[1].get_text() == "layer 1,\nresidual, tokens"


def test_without_a_question_the_figure_says_so():
    figure = search_figure(pd.DataFrame())
    assert figure.axes[0].texts[0].get_text() == "not measured in this run"
