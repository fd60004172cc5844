"""Figures of steering and of the dictionaries of decoder rows: what is drawn, and that no text covers another."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from figure_reading import collisions, detail, legend, written
from matplotlib.collections import FillBetweenPolyCollection

from mints.features import meta_probe
from mints.features.meta_tables import COVARIANCE, DECODER, ISOTROPIC, UNTRAINED
from mints.report.meta_sae import ABOVE, BELOW, PROBES, ROWS, meta_sae_figure
from mints.report.steering import steering_figure

DOSES = [0.0, 0.5, 1.0, 2.0, 8.0]


def steering_table(sites=1, latents=4):
    rows = []
    for site, latent, kind, position, measure, dose in product(
        range(sites),
        range(latents),
        ["add", "clamp"],
        ["hidden", "neighbours", "far"],
        ["target_log_odds", "off_target_log_p", "kl"],
        reversed(DOSES),
    ):
        effect = (dose if position == "hidden" else 0.1 * dose) * (1 if measure == "target_log_odds" else -0.5)
        null = (kind, position) == ("add", "hidden")
        rows.append(
            {"site": f"blocks.{site}.hook_resid_post", "latent": 900 + latent, "chosen_by": "reads the motif"}
            | {"position": position, "kind": kind, "dose": dose, "measure": measure, "sites": 48}
            | {"effect": effect + (100 if kind == "clamp" else 0), "low": effect - 0.1, "high": effect + 0.1}
            | {f"{name}_{end}": (side * dose if null else np.nan)
               for name, (end, side) in product(("directions", "latents"), (("low", -0.2), ("high", 0.1)))}
        )  # fmt: skip
    return pd.DataFrame(rows)


def curve_table(sites=2):
    rows = [
        {"site": f"blocks.{site}.mlp.hook_post", "rows": rows, "k": k, "seed": seed}
        | {"left_pursuit": 0.9 - 0.05 * k - 0.02 * place + 0.01 * seed}
        for site, (place, rows), k, seed in product(range(sites), enumerate(ROWS), (2, 4, 8), range(3))
    ]
    return pd.DataFrame(rows)


def probe_table(sites=2, concepts=6):
    names = [*PROBES, "meta-latent, on z-scored activations"]
    rows = [
        {"site": f"blocks.{site}.mlp.hook_post", "concept": f"truth/five_prime_UTR_{concept}", "probe": name}
        | {"f1": 0.1 * place, "f1_low": 0.1 * place - 0.02, "f1_high": 0.1 * place + 0.03}
        for site, concept, (place, name) in product(range(sites), range(concepts), enumerate(names))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("sites", "latents"), [(1, 1), (2, 4)])
def test_texts_of_the_steering_figure_keep_clear_of_each_other(sites, latents):
    table = steering_table(sites, latents)
    figure = steering_figure(table, question="splice sites acceptors")
    assert collisions(figure) == []
    panels = [axis for axis in figure.axes if axis.lines]
    assert len(panels) == sites * latents
    assert [detail(axis) for axis in panels[:1]] == ["blocks.0.hook_resid_post, 48 sites"]


def test_a_panel_shows_added_amounts_by_dose_with_their_nulls():
    axis = steering_figure(steering_table(1, 1)).axes[0]
    assert axis.get_title(loc="left") == "latent 900, reads the motif"
    curves = {tuple(line.get_xdata()): line.get_ydata() for line in axis.lines if line.get_marker() == "o"}
    assert list(curves) == [tuple(DOSES)]
    assert list(curves[tuple(DOSES)]) == DOSES  # nothing of the clamp, in ascending dose
    far = next(line for line in axis.lines if line.get_marker() == "s")
    assert list(far.get_ydata()) == pytest.approx([0.1 * dose for dose in DOSES])
    bands = [found for found in axis.collections if isinstance(found, FillBetweenPolyCollection)]
    assert len(bands) == 2
    for band in bands:
        box = band.get_paths()[0].get_extents()
        assert [box.x0, box.x1, box.y0, box.y1] == pytest.approx([0, 8, -1.6, 0.8])


def test_without_sites_the_figure_says_so():
    texts = [text for text, _ in written(steering_figure(pd.DataFrame(), question="ctcf"))]
    assert "not measured in this run" in texts


@pytest.mark.parametrize(("sites", "concepts"), [(1, 1), (2, 6)])
def test_texts_of_the_meta_figure_keep_clear_of_each_other(sites, concepts):
    figure = meta_sae_figure(curve_table(sites), probe_table(sites, concepts))
    assert collisions(figure) == []
    assert [text for text in legend(figure) if text.strip()] == [ABOVE, *ROWS, BELOW, *PROBES]


def test_curves_are_means_of_seeds_with_their_spread_and_probes_stand_at_their_concept():
    figure = meta_sae_figure(curve_table(1), probe_table(1, 2))
    left, right = figure.axes[:2]
    curve = next(line for line in left.lines if line.get_marker() == "o")
    assert list(curve.get_xdata()) == [2, 4, 8]
    assert list(curve.get_ydata()) == pytest.approx([0.81, 0.71, 0.51])
    first = left.collections[0].get_segments()[0]
    assert first[:, 1].tolist() == pytest.approx([0.8, 0.82])
    assert [label.get_text() for label in right.get_yticklabels()] == ["five prime UTR 0", "five prime UTR 1"]
    logistic = next(line for line in right.lines if line.get_marker() == "D")
    place = 0.1 * list(PROBES).index("logistic probe, trained")
    assert list(logistic.get_xdata()) == pytest.approx([place, place])
    assert list(np.round(logistic.get_ydata()).astype(int)) == [0, 1]


def test_the_figure_knows_the_rows_and_probes_of_the_tables():
    assert list(ROWS) == [DECODER, ISOTROPIC, COVARIANCE, UNTRAINED]
    assert set(PROBES) <= {value for value in vars(meta_probe).values() if isinstance(value, str)}


def test_without_concepts_the_curves_stand_alone():
    figure = meta_sae_figure(curve_table(2), pd.DataFrame(columns=["site", "concept", "probe"]))
    assert collisions(figure) == []
    assert legend(figure) == [*ROWS]
    assert len(figure.axes) == 2
