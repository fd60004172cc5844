"""Figures of circuits: where every head is drawn, what is filled and named, and that nothing overlaps."""

from io import BytesIO
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text
from pandas.testing import assert_frame_equal

from mints.report.circuits import HEAD_MAPS, circuit_spectra_figure, ov_alignment_figure, ov_readout_figure

NOTE = "rotary: no position-free QK matrix, W_Q^T R(offset) W_K differs by offset; QK figures are at offset 0"
SIZES = [(4, 4), (29, 16)]


def heads(layers, per_layer):
    layer, head = np.divmod(np.arange(layers * per_layer), per_layer)
    return pd.DataFrame({"layer": layer, "head": head})


def summary_table(layers=4, per_layer=4):
    table = heads(layers, per_layer)
    rng = np.random.default_rng(0)
    for shown in HEAD_MAPS:
        table[shown.column] = rng.uniform(shown.low, shown.high or 30, len(table))
    return table.assign(qk_form=NOTE)


def audit_table(layers=4, per_layer=4, tasks=("promoter_tata", "ctcf")):
    rng, parts = np.random.default_rng(1), []
    for task in tasks:
        part = heads(layers, per_layer).assign(task=task, probe_layer=1, spectral_norm=2.5)
        part["at_or_below_probe"] = part["layer"] <= 1
        for column, centre in (("write_cosine", 0.2), ("read_cosine", 0.2), ("self_gain", -0.1)):
            part[column] = centre + rng.uniform(-0.1, 0.1, len(part))
            part[f"{column}_null_low"], part[f"{column}_null_high"] = centre - 0.05, centre + 0.06
            part[f"{column}_p"] = part[f"{column}_q"] = 0.5
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.loc[[3, 6], ["write_cosine", "write_cosine_p", "write_cosine_q"]] = [[0.4, 1e-5, 1e-3], [0.5, 1e-5, 1e-3]]
    return table.sample(frac=1, random_state=2)


def alignment_table(vectors=25):
    rng = np.random.default_rng(3)
    values = np.sort(rng.uniform(0, 7, vectors))[::-1]
    write, read = rng.uniform(0, 0.12, vectors), rng.uniform(-0.06, 0.06, vectors)
    columns = {"vector": np.arange(1, vectors + 1), "singular_value": values, "write_cosine": write}
    columns |= {"read_cosine": read, "self_gain_part": values * write * read, "null_cosine": 0.07}
    return pd.DataFrame(columns | {"null_top_cosine": 0.11})


def audited():
    return audit_table().query("task == 'promoter_tata' and layer == 0 and head == 3").iloc[0]


DRAWN = {
    "spectra": lambda layers, per_layer: circuit_spectra_figure(summary_table(layers, per_layer)),
    "audit": lambda layers, per_layer: ov_readout_figure(audit_table(layers, per_layer)),
    "alignment": lambda layers, per_layer: ov_alignment_figure(alignment_table(per_layer + 9), audited()),
}


@pytest.fixture
def written(monkeypatch):
    """Draws a figure and gives every text that was put on paper, with its box in pixels."""

    def draw(figure):
        drawn, original, canvas = [], Text.draw, FigureCanvasAgg(figure)
        canvas.draw()  # settles the layout
        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), original(text, renderer)))
            canvas.draw()
        shown = [text for text in drawn if text.get_visible() and text.get_text().strip()]
        return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]

    return draw


def panels(figure):
    """Axes without the colour bars."""
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def promoter_panels(figure):
    """The audit's row of panels for promoter_tata: write cosine, read cosine, self-gain."""
    first = [axis.get_title(loc="left") for axis in figure.axes].index("promoter tata")
    return figure.axes[first : first + 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DRAWN)
def test_no_text_overlaps_another_or_leaves_the_figure(written, name, size):
    figure = DRAWN[name](*size)
    boxes = written(figure)
    assert len(boxes) > 20
    pairs = combinations([(text, box.shrunk(0.98, 0.9)) for text, box in boxes], 2)
    assert [(a, b) for (a, box), (b, other) in pairs if box.overlaps(other)] == []
    page = figure.bbox
    assert [text for text, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > page.x1 or box.y1 > page.y1] == []


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_table_gives_the_same_bytes(name):
    pictures = []
    for _ in range(2):
        picture = BytesIO()
        DRAWN[name](4, 4).savefig(picture, format="png", metadata={"Software": None})
        pictures.append(picture.getvalue())
    assert pictures[0] == pictures[1]


def test_drawing_does_not_change_the_tables():
    for draw, table in ((circuit_spectra_figure, summary_table()), (ov_readout_figure, audit_table())):
        before = table.copy()
        draw(table)
        assert_frame_equal(table, before)


def test_no_head_gives_figures_that_say_so(written):
    for draw, table in ((circuit_spectra_figure, summary_table()), (ov_readout_figure, audit_table())):
        assert "not measured in this run" in [text for text, _ in written(draw(table[:0]))]


@pytest.mark.parametrize("size", SIZES)
def test_every_head_has_its_colour_at_its_layer_and_place_whatever_the_order_of_the_table(size):
    table = summary_table(*size)
    figure = circuit_spectra_figure(table.sample(frac=1, random_state=4))
    for shown, axis in zip(HEAD_MAPS, panels(figure), strict=True):
        assert axis.get_title(loc="left") == shown.title
        drawn = np.asarray(axis.images[0].get_array())
        for _, row in table.iterrows():
            assert drawn[row["layer"], row["head"]] == row[shown.column]
        assert axis.images[0].norm.vmin == shown.low


def test_a_small_map_carries_its_numbers_and_a_large_one_does_not():
    table = summary_table()
    table.loc[0, "copying_score"], table.loc[1, "qk_symmetry"] = np.nan, -0.001
    symmetry, copying = (panels(circuit_spectra_figure(table))[place] for place in (2, 5))
    numbers = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in copying.texts[1:]}
    assert len(numbers) == 16
    assert numbers[0, 0] == "n/a"
    assert numbers[2, 1] == f"{table.query('layer == 2 and head == 1')['copying_score'].iloc[0]:.2f}"
    assert "0.00" in [text.get_text() for text in symmetry.texts]
    assert "-0.00" not in [text.get_text() for text in symmetry.texts]
    assert len(panels(circuit_spectra_figure(summary_table(29, 16)))[5].texts) == 1  # the line under the title


def test_the_spectra_say_what_a_rotary_model_s_qk_figures_are(written):
    assert NOTE in [text for text, _ in written(circuit_spectra_figure(summary_table()))]


def test_heads_of_the_audit_lie_at_their_layer_and_value_and_only_found_ones_are_filled():
    table = audit_table()
    figure = ov_readout_figure(table)
    write = promoter_panels(figure)[0]
    rows = table[table["task"] == "promoter_tata"].sort_values(["layer", "head"])
    others, found = (line for line in write.lines if line.get_marker() == "o")
    np.testing.assert_allclose(found.get_ydata(), [0.4, 0.5])
    np.testing.assert_allclose(others.get_ydata(), rows.loc[rows["write_cosine_q"] > 0.05, "write_cosine"])
    places = np.sort(np.concatenate([found.get_xdata(), others.get_xdata()]))
    assert np.round(places).tolist() == rows["layer"].tolist()
    assert (np.diff(places) > 0.05).all()
    assert to_hex(others.get_markerfacecolor()) == "#ffffff"
    assert to_hex(found.get_markerfacecolor()) != "#ffffff"


def test_the_clearest_head_is_named_and_of_equal_p_values_the_larger_effect():
    figure = ov_readout_figure(audit_table())
    assert [text.get_text() for text in promoter_panels(figure)[0].texts[1:]] == ["L1H2"]
    assert [text.get_text() for text in promoter_panels(figure)[1].texts] == []


def test_each_head_has_the_interval_of_its_own_null():
    table = audit_table()
    table.loc[5, ["self_gain_null_low", "self_gain_null_high"]] = [-0.9, 0.7]
    gain = promoter_panels(ov_readout_figure(table))[2]
    ends = [tuple(segment[:, 1]) for segment in gain.collections[0].get_segments()]
    assert ends[5] == (-0.9, 0.7)
    assert set(ends[:5] + ends[6:]) == {(-0.1 - 0.05, -0.1 + 0.06)}
    assert gain.get_ylim()[0] < -0.9
    assert gain.get_ylim()[1] > 0.7


def test_a_line_parts_heads_that_can_feed_the_probe_from_those_above_it(written):
    table = audit_table()
    write = panels(ov_readout_figure(table))[0]
    assert [line.get_xdata()[0] for line in write.lines if line.get_linestyle() == "--"] == [1.5]
    legend = "heads to the right lie above the probe"
    assert legend in [text for text, _ in written(ov_readout_figure(table))]
    last = table.assign(probe_layer=3, at_or_below_probe=True)
    assert [line for line in panels(ov_readout_figure(last))[0].lines if line.get_linestyle() == "--"] == []
    assert legend not in [text for text, _ in written(ov_readout_figure(last))]


def test_the_alignment_shows_every_vector_its_nulls_and_the_head_s_tests(written):
    table = alignment_table()
    figure = ov_alignment_figure(table, audited())
    cosines, values, gains = figure.axes
    by_marker = {line.get_marker(): line for line in cosines.lines}
    np.testing.assert_allclose(by_marker["o"].get_ydata(), table["write_cosine"])
    np.testing.assert_allclose(by_marker["D"].get_ydata(), table["read_cosine"])
    assert np.abs(by_marker["o"].get_xdata() - table["vector"]).max() < 0.3
    dashes = {line.get_linestyle(): abs(line.get_ydata()[0]) for line in cosines.lines if line.get_linestyle() in ":--"}
    assert dashes[":"] == 0.07
    assert dashes["--"] == 0.11
    np.testing.assert_allclose([bar.get_height() for bar in values.patches], table["singular_value"])
    np.testing.assert_allclose([bar.get_height() for bar in gains.patches], table["self_gain_part"])
    texts = [text for text, _ in written(figure)]
    assert "OV of layer 0, head 3 against the probe of promoter tata at layer 1" in texts
    assert "spectral norm 2.5" in texts
    assert any(text.startswith("top write 0.400, p = 1e-05; read ") for text in texts)


def test_fewer_vectors_than_25_are_drawn_too():
    assert len(ov_alignment_figure(alignment_table(4), audited()).axes[1].patches) == 4
