"""What ablating a latent costs at hidden tokens, against one intervention in one whole run at a time."""

import numpy as np
import pandas as pd
import pytest
import torch
from circuit_scene import make_scene

from mints.analysis.bootstrap import Resamples
from mints.features.circuit_names import ERROR
from mints.features.contrast import Contrast
from mints.features.evaluation import HiddenTokens
from mints.features.masked_loss import LossChanges, ablated_losses, loss_table, with_q

MASK = 4


class Hiding:
    mask_id = MASK


@torch.no_grad()
def test_losses_are_those_of_one_ablation_in_one_sequence():
    scene = make_scene()
    site = scene.setting.sites[0]
    reference, nodes = scene.setting.references[site.name], np.array([3, 7, 11, 19, ERROR])
    hidden = HiddenTokens(np.repeat(np.arange(8), 2), np.tile([1, 3], 8))
    result = ablated_losses(scene.setting, site, nodes, scene.sample, Hiding, hidden)
    encoder, autoencoder = scene.setting.encoder, site.autoencoder
    for row, encoding in enumerate(scene.encodings):
        ids = torch.from_numpy(encoding.ids.copy())[None]
        truth = ids[0, [1, 3]].clone()
        ids[0, [1, 3]] = MASK
        content = torch.from_numpy(~encoding.special)
        losses = []
        for node in [None, *nodes]:

            def ablate(x, node=node, content=content):
                latents, output = autoencoder(x)
                if node == ERROR:
                    moved = reference.error - (x - output)
                else:
                    change = torch.where(latents[..., node] > 0, reference.mean[node] - latents[..., node], 0.0)
                    moved = change[..., None] * autoencoder.W_dec[node] / autoencoder.scale
                return x + moved * content[:, None]

            changed = {} if node is None else {site.name: ablate}
            logits = encoder.logits(encoder.run(ids, interventions=changed).residual)[0, [1, 3]]
            losses.append(float(torch.nn.functional.cross_entropy(logits, truth)))
        assert result.whole[row] == pytest.approx(losses[0], abs=1e-4)
        np.testing.assert_allclose(result.changes[:, row], np.array(losses[1:]) - losses[0], atol=1e-4)
    assert np.abs(result.changes).max() > 0.05


def test_the_table_has_both_sides_their_difference_and_what_matched_latents_do():
    nodes = np.array([5, ERROR])
    own = LossChanges(np.array([1.0, 2.0, 3.0, 4.0]), np.array([[0.4, 0.2, 0.1, 0.1], [1.0, 1.0, 0.0, 1.0]]))
    null = LossChanges(own.whole, np.array([[0.1, -0.3, 9.0, 9.0], [0.5, 0.5, 9.0, 9.0], [0.0, 0.0, 9.0, 9.0]]))
    resamples = Resamples(np.array([[2, 0, 2, 0], [0, 2, 0, 2]]), 1.0)
    table = loss_table("site", nodes, own, null, Contrast.of_labels(np.array([1, 1, 0, 0])), resamples)
    assert table["loss"].tolist() == [1.5, 1.5]
    assert table["loss_decoys"].tolist() == [3.5, 3.5]
    np.testing.assert_allclose(table["delta_loss"], [0.3, 1.0])
    np.testing.assert_allclose(table[["low", "high"]].iloc[0], [0.2, 0.4])
    np.testing.assert_allclose(table["difference"], [0.2, 0.5])
    np.testing.assert_allclose(table["null"], np.sqrt((0.1**2 + 0.5**2) / 3))
    assert table["p"].tolist()[0] == 2 / 4  # one of three matched latents is as large as 0.3
    assert np.isnan(table["p"].iloc[1])
    judged = with_q(pd.concat([table, table.assign(p=[0.01, np.nan])], ignore_index=True))
    np.testing.assert_allclose(judged["q"], [0.5, np.nan, 0.02, np.nan])
