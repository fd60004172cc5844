"""Places of a layered graph: even, without needless crossings, and always the same."""

import numpy as np

from mints.report.page.graph_layout import Link, crossings, layered, spread


def test_crossings_that_need_not_be_are_undone():
    layers = [0, 0, 0, 1, 1, 1]
    links = [Link(0, 5, 1.0), Link(1, 4, 1.0), Link(2, 3, 1.0)]
    places = layered(layers, links)
    assert crossings(np.array(layers), spread(3)[[0, 1, 2, 0, 1, 2]], links) == 3
    assert crossings(np.array(layers), places[:, 1], links) == 0


def test_nodes_of_a_layer_are_evenly_spaced_in_their_column():
    places = layered([0, 1, 1, 1, 2], [Link(0, 3, 1.0), Link(3, 4, 0.5)])
    assert places[:, 0].tolist() == [0, 1, 1, 1, 2]
    assert sorted(places[1:4, 1]) == [1 / 6, 3 / 6, 5 / 6]
    assert places[0, 1] == places[4, 1] == 0.5


def test_a_heavy_crossing_is_worth_more_than_a_light_one():
    # Any order of the second layer leaves one pair of lines crossed; the lighter pair is to be it.
    links = [Link(0, 2, 1.0), Link(1, 3, 1.0), Link(0, 3, 0.1), Link(1, 2, 0.1)]
    places = layered([0, 0, 1, 1], links)
    same_order = (places[0, 1] < places[1, 1]) == (places[2, 1] < places[3, 1])
    assert same_order
    assert np.isclose(crossings(np.array([0, 0, 1, 1]), places[:, 1], links), 0.01)


def test_a_graph_without_edges_or_without_nodes_has_places():
    assert layered([0, 0], [])[:, 1].tolist() == [0.25, 0.75]
    assert layered([], []).shape == (0, 2)
