"""Circuits alone, and the model without them."""

import numpy as np
import pandas as pd
import pytest
import torch
from circuit_scene import D_SAE, kinds, latents_by_hand, make_scene

from mints.analysis.bootstrap import Resamples
from mints.features.circuit_curves import circuit_curves, make_circuit, random_circuit, run_circuits
from mints.features.feature_circuits import attribution, rank_nodes


def everything(scene):
    return pd.DataFrame(
        [(site.name, latent) for site in scene.setting.sites for latent in range(D_SAE)], columns=["site", "latent"]
    )


def clean_readouts(scene):
    encoder, readout = scene.setting.encoder, scene.setting.readout
    figures = []
    for encoding in scene.encodings:
        last = f"blocks.{readout.layer}.hook_resid_post"
        residual = encoder.run(torch.from_numpy(encoding.ids)[None], sites=[last]).cache[last]
        content = torch.from_numpy(~encoding.special)
        figures.append(float(residual[0, content].double().mean(0) @ readout.weights.double() + readout.bias))
    return np.array(figures)


@pytest.mark.parametrize("kind", kinds())
@torch.no_grad()
def test_all_nodes_are_the_model_and_the_complement_of_all_is_none(kind):
    scene = make_scene(**kind)
    full = make_circuit(scene.setting.sites, everything(scene), errors=True)
    empty = make_circuit(scene.setting.sites, everything(scene).iloc[:0], errors=False)
    readouts = run_circuits(scene.setting, [full, empty.complement(), empty, full.complement()], scene.sample)
    assert (readouts[0] == readouts[1]).all()
    assert (readouts[2] == readouts[3]).all()
    np.testing.assert_allclose(readouts[0], clean_readouts(scene), atol=1e-5)
    assert np.abs(readouts[0] - readouts[2]).max() > 0.1


@pytest.mark.parametrize("errors", [True, False])
@torch.no_grad()
def test_a_circuit_run_is_the_run_with_every_other_node_set_by_hand(errors):
    """Plain torch hooks on whole layers, one sequence at a time, latents and reconstruction from their definition."""
    scene = make_scene()
    encoder, sites, references, readout, _, _ = scene.setting
    nodes = everything(scene).sample(17, random_state=3)
    result = run_circuits(scene.setting, [make_circuit(sites, nodes, errors=errors)], scene.sample)[0]
    for encoding, value in zip(scene.encodings, result, strict=True):
        content = torch.from_numpy(~encoding.special)
        handles, seen = [], {}
        for site in sites:
            kept = nodes.loc[nodes["site"] == site.name, "latent"].to_numpy(copy=True)

            def only(module, inputs, output, site=site, kept=kept, content=content):
                autoencoder, x = site.autoencoder, output[0].clone()
                latents = latents_by_hand(autoencoder, x)
                error = x - (latents @ autoencoder.W_dec + autoencoder.b_dec) / 0.7
                chosen = references[site.name].mean.repeat(len(x), 1)
                chosen[:, kept] = latents[:, kept]
                rest = error if errors else references[site.name].error
                x[content] = ((chosen @ autoencoder.W_dec + autoencoder.b_dec) / 0.7 + rest)[content]
                return x[None]

            handles.append(encoder.blocks[site.layer].register_forward_hook(only))
        handles.append(
            encoder.blocks[2].register_forward_hook(
                lambda module, inputs, output, seen=seen: seen.update(end=output[0])
            )
        )
        encoder(torch.from_numpy(encoding.ids)[None])
        for handle in handles:
            handle.remove()
        expected = float(seen["end"][content].double().mean(0) @ readout.weights.double() + readout.bias)
        assert value == pytest.approx(expected, abs=1e-4)


def test_curves_begin_at_nothing_and_end_at_everything():
    scene = make_scene()
    ranking = rank_nodes(attribution(scene.setting, scene.sample))
    resamples = Resamples(np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=20), 0.9)
    curves = circuit_curves(scene.setting, ranking, scene.sample, resamples, np.random.default_rng(1))
    value = curves.set_index(["measure", "errors", "nodes"])["value"]
    assert value["faithfulness", "keep", 60] == 1
    assert value["faithfulness", "remove", 0] == 0
    assert value["completeness", "keep", 60] == 0
    assert value["completeness", "remove", 0] == 1
    # Removing a circuit with its errors leaves what its complement keeps, and the other way round.
    assert value["completeness", "keep", 0] == value["faithfulness", "remove", 60]
    assert value["completeness", "remove", 60] == value["faithfulness", "keep", 0]
    again = circuit_curves(scene.setting, ranking, scene.sample, resamples, np.random.default_rng(1))
    pd.testing.assert_frame_equal(curves, again)


def test_minimality_is_what_a_circuit_loses_with_one_node():
    scene = make_scene()
    sites = scene.setting.sites
    ranking = rank_nodes(attribution(scene.setting, scene.sample))
    resamples = Resamples(np.ones((2, 8)), 0.9)
    curves = circuit_curves(scene.setting, ranking, scene.sample, resamples, np.random.default_rng(1))
    nodes = ranking[ranking["latent"] >= 0].iloc[:4]
    subsets = [nodes, *(nodes.drop(index=node) for node in nodes.index)]
    circuits = [make_circuit(sites, subset, errors=True) for subset in subsets]
    empty = make_circuit(sites, nodes.iloc[:0], errors=False)
    full, none, whole, *without = scene.sample.contrast.of(
        run_circuits(scene.setting, [empty.complement(), empty, *circuits], scene.sample)
    )
    expected = np.median((whole - np.array(without)) / (full - none))
    row = curves[(curves["measure"] == "minimality") & (curves["errors"] == "keep") & (curves["nodes"] == 4)]
    assert row["value"].item() == pytest.approx(expected, abs=1e-9)
    assert abs(expected) > 1e-4


def test_random_circuits_match_sites_and_firing_frequency_and_share_no_node():
    scene = make_scene()
    references = {
        name: reference._replace(frequency=torch.linspace(0.01, 0.9, 500))
        for name, reference in scene.setting.references.items()
    }
    low, high = scene.setting.sites
    nodes = pd.DataFrame({"site": [low.name, low.name, high.name], "latent": [50, 300, 450]})
    for seed in range(5):
        setting = scene.setting._replace(references=references)
        drawn = random_circuit(setting, nodes, np.random.default_rng(seed))
        assert drawn["site"].tolist() == nodes["site"].tolist()
        assert not set(map(tuple, drawn.to_numpy())) & set(map(tuple, nodes.to_numpy()))
        assert (np.abs(drawn["latent"] - nodes["latent"]) <= 11).all()


def test_a_random_circuit_is_smaller_where_too_few_latents_fire():
    scene = make_scene()
    low, high = scene.setting.sites
    frequency = torch.zeros(D_SAE)
    frequency[[3, 4, 5]] = 0.1
    references = {name: part._replace(frequency=frequency) for name, part in scene.setting.references.items()}
    nodes = pd.DataFrame({"site": [low.name] * 5, "latent": [3, 4, 7, 8, 9]})
    drawn = random_circuit(scene.setting._replace(references=references), nodes, np.random.default_rng(0))
    assert sorted(drawn["latent"]) == [3, 4, 5]
