"""Circuits at named positions: ablated, read and counted there alone, while the model reads the whole sequence."""

import numpy as np
import pytest
import torch
from circuit_scene import FP32, make_scene

from mints.features.circuit_names import ERROR
from mints.features.intervention import change_latents
from mints.features.latent_ablation import ablate_nodes
from mints.features.named_positions import at_positions
from mints.models.tokenizers import Encoding


def test_tokens_outside_of_the_letters_are_frame():
    spans = np.array([[0, 0], [0, 2], [2, 4], [4, 5], [5, 5]])
    encoding = Encoding(np.arange(5), spans, np.array([True, False, False, False, True]))
    assert at_positions(encoding, 1, 3).special.tolist() == [True, False, False, True, True]
    assert at_positions(encoding, 4, 9).special.tolist() == [True, True, True, False, True]
    assert encoding.special.tolist() == [True, False, False, False, True]
    with pytest.raises(ValueError, match="5 to 9"):
        at_positions(encoding, 5, 9)


@torch.no_grad()
def test_a_latent_is_ablated_at_its_named_positions_and_the_probe_reads_their_mean():
    scene = make_scene()
    low, high = scene.setting.sites
    reference = scene.setting.references[low.name]
    lettered = [
        encoding._replace(spans=np.stack([np.arange(len(encoding.ids)) - 1, np.arange(len(encoding.ids))], axis=1))
        for encoding in scene.encodings
    ]
    named = [at_positions(encoding, 1, 4) for encoding in lettered]
    nodes, targets = np.array([3, 7, 11, 19, ERROR]), np.array([1, 4, 20])
    done = ablate_nodes(
        scene.setting.encoder, low, reference, nodes, {high: targets}, named, scene.setting.readout, FP32, 40
    )
    assert (done.firings[-1] == [3] * len(named)).all()
    checked = 0
    for row, encoding in enumerate(lettered):
        ids = torch.from_numpy(encoding.ids)[None]
        where = torch.zeros_like(ids, dtype=torch.bool)
        where[0, 2:5] = True  # letters 1, 2, 3 stand behind the first special token
        for place, node in enumerate(nodes[:-1]):

            def to_mean(latents, node=node):
                after = latents.clone()
                after[..., node] = torch.where(latents[..., node] > 0, reference.mean[node], latents[..., node])
                return after

            figures = []
            for interventions in ({}, {low.name: change_latents(low.autoencoder, to_mean, where)}):
                last = f"blocks.{scene.setting.readout.layer}.hook_resid_post"
                cache = scene.setting.encoder.run(ids, sites=[last, high.name], interventions=interventions).cache
                mean = cache[last][0, 2:5].double().mean(0)
                latents = high.autoencoder.encode(cache[high.name])[0, 2:5].double().sum(0)
                figures.append((float(mean @ scene.setting.readout.weights.double()), latents[targets].numpy()))
            (whole, before), (without, after) = figures
            assert done.behaviour[place, row] == pytest.approx(whole - without, abs=1e-4)
            np.testing.assert_allclose(done.downstream[high.name][place, row], before - after, atol=2e-3)
            checked += abs(whole - without) > 1e-3
    assert checked > 5
