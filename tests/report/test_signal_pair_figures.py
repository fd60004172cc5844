"""Figure of signal pairs: what is drawn, in which unit, and that no title covers another."""

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, legend
from matplotlib.colors import to_hex

from mints.data.nanopore.levels import simulate_levels
from mints.data.nanopore.pair_tables import pair_arrays, pair_table
from mints.data.nanopore.simulated_pairs import Recipe, simulate_pairs
from mints.report.signal_pairs import signal_pairs_figure
from mints.report.style import BLUE, VERMILLION


@pytest.fixture(scope="module")
def pairs():
    return simulate_pairs(np.random.default_rng(0), 1, Recipe(simulate_levels(np.random.default_rng(1)))).pairs


def titles(figure):
    return [panel.get_title(loc="left") for panel in figure.axes]


def test_each_kind_has_a_panel_with_both_sides_in_pa_and_ms(pairs):
    table, arrays = pair_table(pairs), pair_arrays(pairs)
    figure = signal_pairs_figure(table, arrays, np.full(len(table), 5000))
    assert titles(figure)[::2] == [
        "run of 5 A: noise of 2 deviations",
        "run of 5 C: dampened by 100%",
        "run of 5 G: simulated with a repeat more",
        "run of 5 T: simulated with a repeat fewer",
    ]
    assert titles(figure)[1] == "5 bases without a run: noise of 2 deviations"
    of_panel = table[(table["group"] == "homopolymer") & (table["corruption"] == "dampening")]
    (row,) = of_panel[(of_panel["base"] == "C") & (of_panel["run_length"] == 5)].to_dict("records")
    lines = {to_hex(line.get_color()): line.get_data() for line in figure.axes[2].lines if len(line.get_xdata()) > 2}
    for name, colour in (("clean", BLUE), ("corrupted", VERMILLION)):
        time, current = lines[colour.lower()]
        assert time[60] == 0
        assert time[110] == pytest.approx(10)  # fifty samples of 0.2 ms
        first = row["start"] - 60
        expected = arrays[name][row["pair"]][first : first + len(current)] * 23.5 + 93.7
        assert current == pytest.approx(expected)


def test_the_letters_of_a_re_simulation_are_those_of_both_sequences(pairs):
    table = pair_table(pairs)
    figure = signal_pairs_figure(table, pair_arrays(pairs), np.full(len(table), 5000))
    panel = figure.axes[4]
    letters = {
        colour: "".join(text.get_text() for text in panel.texts if to_hex(text.get_color()) == colour.lower())
        for colour in (BLUE, VERMILLION)
    }
    chosen = (table["group"] == "homopolymer") & (table["corruption"] == "repeat_more") & (table["base"] == "G")
    (row,) = table[chosen & (table["run_length"] == 5)].to_dict("records")
    assert letters[BLUE] in row["clean_sequence"]
    assert letters[VERMILLION] in row["corrupted_sequence"]
    assert "GGGGG" in letters[BLUE]
    assert "GGGGGG" in letters[VERMILLION]


def test_the_legend_names_every_mark_and_no_text_covers_another(pairs):
    few = [pair for pair in pairs if pair.corruption == "repeat_more"]
    figure = signal_pairs_figure(pair_table(few), pair_arrays(few), np.full(len(few), 5000))
    assert legend(figure) == ["clean", "corrupted", "border of two bases (clean)", "where the two sides may differ"]
    overlapping = [texts for texts in collisions(figure) if max(len(text) for text in texts) > 1]
    assert overlapping == []  # but for single letters, which stand as close as their bases


def test_pairs_of_one_kind_leave_the_other_panel_empty_and_no_pairs_say_so(pairs):
    few = [pair for pair in pairs if (pair.group, pair.corruption) == ("homopolymer", "noise")]
    assert titles(signal_pairs_figure(pair_table(few), pair_arrays(few), np.full(len(few), 5000))) == [
        "run of 5 A: noise of 2 deviations",
        "3 to 8 bases without a run: noise",
    ]
    nothing = signal_pairs_figure(pd.DataFrame(columns=pair_table(pairs).columns), {}, np.zeros(0))
    assert "not measured" in nothing.axes[0].texts[0].get_text()
