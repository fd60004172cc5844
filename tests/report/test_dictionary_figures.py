"""Figures of the sparse autoencoders show what the tables say."""

import numpy as np
import pandas as pd

from mints.report.dictionaries import sweep_figure, training_figure

SITE = "blocks.1.hook_resid_post"


def sweep_table():
    rows = []
    for place, (encoder, k, expansion) in enumerate(
        [("model", 16, 4), ("model", 32, 4), ("model", 16, 8), ("random_initialisation", 16, 4)]
    ):
        recovered = 0.6 + place / 10 if encoder == "model" else np.nan
        for split, shift in (("validation", 0.3), ("test", 0.0)):
            row = {"encoder": encoder, "site": SITE, "k": k, "expansion": expansion, "seed": 0, "split": split}
            row |= {"l0": float(k), "variance_explained": 0.5 + place / 10 - shift}
            for name in ("recovered_of_zero", "recovered_of_mean"):
                row |= {name: recovered - shift, f"{name}_low": recovered - 0.1, f"{name}_high": recovered + 0.1}
            rows.append(row)
    return pd.DataFrame(rows)


def test_the_sweep_shows_test_windows_by_active_latents_with_a_line_per_size():
    explained, of_zero, _ = sweep_figure(sweep_table()).axes
    lines = {tuple(np.round(line.get_ydata(), 3)): line for line in explained.lines}
    assert set(lines) == {(0.5, 0.6), (0.7,), (0.8,)}
    assert np.allclose(lines[(0.5, 0.6)].get_xdata(), [16, 32], rtol=0.05)
    assert lines[(0.8,)].get_markerfacecolor() == "white"
    assert lines[(0.5, 0.6)].get_color() != lines[(0.7,)].get_color()
    drawn = [line.get_ydata().tolist() for line in of_zero.lines]
    assert [0.6, 0.7] in [np.round(values, 3).tolist() for values in drawn]
    ends = [path.vertices[:, 1].round(3).tolist() for group in of_zero.collections for path in group.get_paths()]
    assert [0.5, 0.7] in ends


def test_losses_that_were_not_measured_are_said_to_be_missing():
    table = sweep_table()
    table = table[table["encoder"] != "model"]
    _, of_zero, of_mean = sweep_figure(table).axes
    assert [text.get_text() for text in of_zero.texts if "measured" in text.get_text()] == ["not measured in this run"]
    assert any("not measured" in text.get_text() for text in of_mean.texts)


def test_every_dictionary_s_training_is_a_line_over_tokens():
    rows = [
        {"encoder": encoder, "site": SITE, "k": k, "expansion": 4, "seed": 0, "tokens": tokens}
        | {"loss": 1.0, "variance_explained": k / 100 + tokens / 1e7, "l0": float(k), "dead_share": 0.01}
        for encoder, k in (("model", 16), ("model", 32), ("random_initialisation", 16))
        for tokens in (1_000_000, 2_000_000)
    ]
    explained, active, dead = training_figure(pd.DataFrame(rows)).axes
    assert [line.get_xdata().tolist() for line in explained.lines] == [[1.0, 2.0]] * 3
    assert np.round([line.get_ydata() for line in explained.lines], 3).tolist() == [
        [0.26, 0.36],
        [0.42, 0.52],
        [0.26, 0.36],
    ]
    assert [line.get_linestyle() for line in explained.lines] == ["-", "-", "--"]
    assert explained.lines[0].get_alpha() < explained.lines[1].get_alpha()
    assert [line.get_ydata()[0] for line in active.lines] == [16, 32, 16]
    assert [line.get_ydata()[0] for line in dead.lines] == [0.01] * 3


def test_an_empty_table_is_said_to_be_empty():
    for figure in (sweep_figure(pd.DataFrame()), training_figure(pd.DataFrame())):
        assert figure.axes[0].texts[0].get_text() == "not measured in this run"
