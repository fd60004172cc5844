"""What is drawn in a figure: cells, crosses, legends, and every text with its place on paper."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text


def heads(layers, n_heads):
    """One row per head."""
    return pd.DataFrame(list(product(range(layers), range(n_heads))), columns=["layer", "head"])


def cells(axis):
    """Colour of every cell by its left and right end and its row."""
    (drawn,) = (found for found in axis.collections if isinstance(found, PatchCollection))
    drawn.update_scalarmappable()
    boxes = [path.get_extents() for path in drawn.get_paths()]
    colours = [to_hex(colour) for colour in drawn.get_facecolors()]
    places = [(round(box.x0, 6), round(box.x1, 6), round((box.y0 + box.y1) / 2, 6)) for box in boxes]
    return dict(zip(places, colours, strict=True))


def crosses(axis):
    """Where something was not measured."""
    return [
        (x, y) for line in axis.lines if line.get_marker() == "x" for x, y in np.transpose(line.get_data()).tolist()
    ]


def detail(axis):
    """The quieter line below a panel's title."""
    return axis.texts[0].get_text()


def legend(figure):
    """What the legend names."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def written(figure):
    """Every text on paper with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = []
    original = Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), original(text, renderer)))
        canvas.draw()
    shown = [text for text in drawn if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), Text.get_window_extent(text, canvas.get_renderer())) for text in shown]


def collisions(figure):
    """Pairs of texts that overlap, and texts that leave the figure."""
    boxes = written(figure)
    assert len(boxes) > 10
    pairs = combinations([(text, box.shrunk(0.98, 0.9)) for text, box in boxes], 2)
    overlapping = [(a, b) for (a, box), (b, other) in pairs if box.overlaps(other)]
    page = figure.bbox
    cut = [text for text, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > page.x1 or box.y1 > page.y1]
    return overlapping + cut
