"""Figures of behaviours: what is drawn is what the tables and files hold."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba

from mints.report.behaviours import behaviour_figure, specificity_figure, tracks_figure
from mints.report.style import BLUE, ORANGE, VERMILLION


def drawn_example(accession, segments):
    activations = np.zeros(30)
    activations[[4, 5, 11]] = [2.0, 3.0, 1.0]
    return {
        "accession": accession, "seq_len": 30, "behavior_segments": segments, "activations": activations.tolist(),
        "threshold": 1.5, "max_act": 3.0,
    }  # fmt: skip


def feature(name, **fields):
    return {"id": name, "auroc": 0.9, "f1": 0.5, "examples": [], "negatives": []} | fields


def test_tracks_show_activations_and_shade_the_annotated_residues_counted_from_one():
    own, other = drawn_example("P1", [[4, 8]]), drawn_example("P2", [])
    document = {"features": [feature("L1:F3", examples=[own, other], negatives=[other]), feature("L1:F9")]}
    figure = tracks_figure(document, question="tm")
    first, second, third, last = figure.axes
    (shade,) = first.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (4.5, 9.5)  # residues 5 to 9
    assert shade.get_facecolor()[:3] == to_rgba(ORANGE)[:3]
    stems = first.collections[0].get_segments()
    assert [(stem[0][0], stem[1][1]) for stem in stems if stem[1][1] > 0] == [(5, 2.0), (6, 3.0), (12, 1.0)]
    assert not second.patches
    assert not last.patches
    assert [text.get_text() for text in third.texts] == ["none"]
    assert first.get_title(loc="left") == "L1:F3   P1"
    assert "AUROC 0.90, F1 0.50; annotated" in [text.get_text() for text in first.texts]
    assert "without the behaviour" in [text.get_text() for text in last.texts]


def test_nothing_is_drawn_of_latents_without_an_example():
    figure = tracks_figure({"features": [feature("L1:F9")]}, question="tm")
    assert figure.axes[0].texts[0].get_text() == "not measured in this run"


def test_probes_stand_beside_their_floors():
    rows = [("tm", name, 20, 0.9 - place / 10, 0.8, 0.95) for place, name in enumerate(("probe", "hydropathy"))]
    table = pd.DataFrame(rows, columns=["behaviour", "scorer", "n_test", "auroc", "low", "high"])
    (axis,) = behaviour_figure(table).axes
    assert [label.get_text() for label in axis.get_yticklabels()][:2] == ["probe", "hydropathy"]
    numbers = [text.get_text() for text in axis.texts]
    assert [number for number in numbers if number in ("0.900", "0.800", "n/a")] == ["0.900", "0.800", "n/a", "n/a"]


def test_latents_of_the_largest_effect_come_first_with_an_area_for_each_kind_of_region():
    table = pd.DataFrame(
        {
            "behaviour": "tm", "site": "blocks.2.hook_resid_post", "latent": [4, 9], "weight": [0.1, -0.5],
            "auroc_decoys": [0.6, 0.9], "auroc_decoys_low": [0.5, 0.8], "auroc_decoys_high": [0.7, 1.0],
            "auroc_sp": [0.3, np.nan], "auroc_sp_low": [0.2, np.nan], "auroc_sp_high": [0.4, np.nan],
        }
    )  # fmt: skip
    (axis,) = specificity_figure(table).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["L2:F9", "L2:F4"]
    points = {line.get_color(): line.get_xdata().tolist() for line in axis.lines if line.get_marker() in ("s", "o")}
    assert points == {VERMILLION: [0.9, 0.6], BLUE: [0.3]}
