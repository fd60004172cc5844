"""Edges of a feature circuit: attribution, batched ablation, and both against interventions one by one."""

import numpy as np
import pytest
import torch
from circuit_scene import FP32, kinds, make_scene, run_by_hand

from mints.analysis.bootstrap import Resamples
from mints.errors import UsageError
from mints.features.circuit_names import ERROR, TO_BEHAVIOUR, TO_FEATURE
from mints.features.circuit_sites import in_order, measure_references, narrowed
from mints.features.contrast import Contrast
from mints.features.feature_circuits import attribution, confirm, matched_latents, screen
from mints.features.intervention import change_latents
from mints.features.latent_ablation import ablate_nodes
from mints.features.latent_attribution import attribute_latents


def ablated_alone(scene, site, node, sequence, wanted):
    """Read-out and latents of the later site, unaltered and with one node ablated, one sequence, one whole run."""
    encoder, sites, references, readout, _, _ = scene.setting
    encoding, reference = scene.encodings[sequence], references[site.name]
    content = torch.from_numpy(~encoding.special)[None]
    last = f"blocks.{readout.layer}.hook_resid_post"

    def change(latents):
        after = latents.clone()
        active = latents[..., node] > 0
        after[..., node] = torch.where(active, reference.mean[node], latents[..., node])
        return after

    def at_site(x):
        flat = x.flatten(2)
        if node != ERROR:
            return change_latents(site.autoencoder, change, content)(flat).view_as(x)
        error = flat - site.autoencoder(flat).output
        return (flat + (reference.error - error) * content[..., None]).view_as(x)

    figures = []
    for interventions in ({}, {site.name: at_site}):
        ids = torch.from_numpy(encoding.ids)[None]
        output = encoder.run(ids, sites=[last, wanted.name], interventions=interventions, stop=readout.layer + 1)
        latents = wanted.autoencoder.encode(output.cache[wanted.name].flatten(2))[content]
        mean = output.cache[last][content].double().mean(0)
        figures.append((float(mean @ readout.weights.double()), latents.double().sum(0).numpy()))
    return figures


@pytest.mark.parametrize("kind", kinds())
@torch.no_grad()
def test_every_batched_ablation_is_that_of_one_latent_in_one_sequence(kind):
    scene = make_scene(**kind)
    low, high = scene.setting.sites
    nodes, targets = np.array([0, 3, 7, 11, 12, 19, 28, ERROR]), np.array([1, 4, 5, 20])
    done = ablate_nodes(
        scene.setting.encoder, low, scene.setting.references[low.name], nodes, {high: targets}, scene.encodings,
        scene.setting.readout, FP32, 40,
    )  # fmt: skip
    assert (done.firings[:-1] > 0).sum() > 5
    for place, node in enumerate(nodes):
        for sequence in range(len(scene.encodings)):
            (whole, before), (without, after) = ablated_alone(scene, low, node, sequence, high)
            assert done.behaviour[place, sequence] == pytest.approx(whole - without, abs=1e-4)
            change = done.downstream[high.name][place, sequence]
            np.testing.assert_allclose(change, (before - after)[targets], atol=2e-3)


@torch.no_grad()
def test_edges_of_a_traced_circuit_are_those_of_plain_torch_hooks():
    """An oracle without the package's dictionaries, interventions, suffixes or batches."""
    scene = make_scene()
    low, high = scene.setting.sites
    candidates = screen(scene.setting, scene.sample)
    resamples = Resamples(np.ones((2, len(scene.encodings))), 0.95)
    edges = confirm(scene.setting, candidates, scene.sample, resamples, np.random.default_rng(0)).edges
    by_feature = edges[(edges["kind"] == TO_FEATURE) & (edges["source"] != ERROR)]
    strongest = by_feature.reindex(by_feature["weight"].abs().sort_values(ascending=False).index)["source"].unique()[:4]
    assert len(strongest) == 4
    for node in strongest:
        behaviour, changes, firings = [], 0.0, 0

        def to_mean(latents, node=node):
            after = latents.clone()
            mean = scene.setting.references[low.name].mean[node]
            after[:, node] = torch.where(latents[:, node] > 0, mean, latents[:, node])
            return after

        for encoding in scene.encodings:
            whole, before = run_by_hand(scene, encoding)
            without, after = run_by_hand(scene, encoding, low, to_mean)
            behaviour.append(whole - without)
            firings += int((before[low.name][:, node] > 0).sum())
            changes = changes + (before[high.name] - after[high.name]).sum(0).numpy()
        own = edges[(edges["source"] == node) & (edges["source_site"] == low.name)]
        expected = np.mean(behaviour[::2]) - np.mean(behaviour[1::2])
        assert own.loc[own["kind"] == TO_BEHAVIOUR, "weight"].item() == pytest.approx(expected, abs=1e-4)
        of_latents = own[own["kind"] == TO_FEATURE]
        np.testing.assert_allclose(of_latents["weight"], (changes / firings)[of_latents["target"]], atol=2e-3)
        assert (of_latents["tokens"] == firings).all()
        assert of_latents["weight"].abs().max() > 0.1


@pytest.mark.parametrize("kind", kinds()[:2])
def test_attribution_is_exact_where_the_read_out_is_linear_in_the_site(kind):
    scene = make_scene(**kind, layer=1)
    estimates = attribution(scene.setting, scene.sample)
    low, high = scene.setting.sites
    nodes = np.array([*range(30), ERROR])
    exact = {}
    for site in (low, high):
        done = ablate_nodes(
            scene.setting.encoder, site, scene.setting.references[site.name], nodes, {}, scene.encodings,
            scene.setting.readout, FP32, 40,
        )  # fmt: skip
        exact[site.name] = scene.sample.contrast.of(done.behaviour)
    estimated = {name: np.append(of.latents, of.error) for name, of in estimates.items()}
    np.testing.assert_allclose(estimated[high.name], exact[high.name], atol=1e-5, rtol=1e-4)
    assert np.abs(exact[high.name]).max() > 0.1
    # A layer lies between the lower site and the read-out: there an estimate is an estimate.
    assert np.abs(estimated[low.name] - exact[low.name]).max() > 1e-2


def test_estimates_of_edges_are_derivatives_by_finite_differences():
    scene = make_scene()
    low, high = scene.setting.sites
    targets = np.array([2, 6, 9, 14])
    estimates = attribute_latents(
        scene.setting.encoder, low, high, scene.setting.references[low.name], targets, scene.encodings,
        scene.setting.readout, FP32, 40,
    )  # fmt: skip
    share, mean = 1e-3, scene.setting.references[low.name].mean
    checked = 0
    for node in np.flatnonzero(np.abs(estimates).max(0) > 0.05)[:6]:
        change, firings = 0.0, 0
        for encoding in scene.encodings:

            def a_little(latents, node=node):
                after = latents.clone()
                active = latents[:, node] > 0
                after[:, node] += torch.where(active, share * (mean[node] - latents[:, node]), torch.zeros(()))
                return after

            with torch.no_grad():
                _, before = run_by_hand(scene, encoding)
                _, after = run_by_hand(scene, encoding, low, a_little)
            firings += int((before[low.name][:, node] > 0).sum())
            stays = (before[high.name] > 0) == (after[high.name] > 0)
            change = change + ((before[high.name] - after[high.name]) * stays).sum(0).double().numpy()
        np.testing.assert_allclose(estimates[:, node], change[targets] / share / firings, atol=2e-2, rtol=2e-2)
        checked += 1
    assert checked == 6


def test_a_latent_beyond_the_first_256_is_a_candidate_like_any_other():
    """The published graphs hold latents below 256 alone: only those can have been ablated."""
    scene = make_scene()
    low, high = scene.setting.sites
    strongest = screen(scene.setting, scene.sample).nodes[high.name][:1]
    order = np.arange(600) % 30
    wide = [site._replace(autoencoder=narrowed(site.autoencoder, torch.from_numpy(order))) for site in (low, high)]
    with torch.no_grad():
        for site in wide:  # copies 0 to 569 are silent
            site.autoencoder.threshold[:570] = 1e9
    references = measure_references(scene.setting.encoder, wide, scene.encodings, scene.setting.readout, FP32, 40)
    candidates = screen(scene.setting._replace(sites=wide, references=references), scene.sample)
    assert all((candidates.nodes[site.name] >= 570).all() for site in wide)
    assert 570 + strongest[0] in candidates.nodes[high.name]


def test_the_screen_does_not_see_the_sequences_on_which_edges_are_measured():
    scene = make_scene()
    half = scene.sample._replace(encodings=scene.encodings[:4], contrast=Contrast.of_labels(np.array([1, 0, 1, 0])))
    other = scene.sample._replace(encodings=scene.encodings[4:], contrast=half.contrast)
    candidates = screen(scene.setting, half)
    resamples = Resamples(np.ones((2, 4)), 0.95)
    edges = confirm(scene.setting, candidates, other, resamples, np.random.default_rng(0)).edges
    again = confirm(
        scene.setting, candidates, other._replace(contrast=Contrast.of_labels(np.array([0, 1, 0, 1]))), resamples,
        np.random.default_rng(0),
    ).edges  # fmt: skip
    first, second = (table[table["kind"] == TO_BEHAVIOUR] for table in (edges, again))
    assert (first["source"] == second["source"]).all()
    np.testing.assert_allclose(first["weight"], -second["weight"], atol=1e-12)


def test_matches_fire_as_often_and_as_strongly_and_are_never_the_chosen_ones():
    scene = make_scene()
    reference = scene.setting.references[scene.setting.sites[0].name]
    frequency = torch.linspace(0.01, 0.5, 400)
    reference = reference._replace(frequency=frequency, active_mean=2 * frequency, mean=frequency)
    chosen = np.array([20, 200, 390])
    matched = matched_latents(reference, chosen, 4, np.random.default_rng(0))
    assert len(set(matched)) == len(matched) == 12
    assert not set(matched) & set(chosen)
    for latent in chosen:
        near = np.abs(matched - latent).argsort()[:4]
        assert (np.abs(matched[near] - latent) <= 8).all()


def test_dictionaries_that_never_fire_leave_the_error_nodes_alone():
    scene = make_scene()
    with torch.no_grad():
        for site in scene.setting.sites:
            site.autoencoder.threshold.fill_(1e9)
    references = measure_references(
        scene.setting.encoder, scene.setting.sites, scene.encodings, scene.setting.readout, FP32, 40
    )
    setting = scene.setting._replace(references=references)
    resamples = Resamples(np.ones((2, len(scene.encodings))), 0.95)
    candidates = screen(setting, scene.sample)
    edges = confirm(setting, candidates, scene.sample, resamples, np.random.default_rng(0)).edges
    assert edges["source"].tolist() == [ERROR, ERROR]
    assert edges["q"].isna().all()
    assert (edges["weight"].abs() > 0.01).all()


def test_sites_that_make_no_circuit_are_refused():
    scene = make_scene()
    encoder, (low, high), _, readout, _, _ = scene.setting
    assert in_order([high, low], encoder, readout) == [low, high]
    with pytest.raises(UsageError, match="two sites or more"):
        in_order([low], encoder, readout)
    with pytest.raises(UsageError, match="each once"):
        in_order([low, high, low], encoder, readout)
    with pytest.raises(UsageError, match="above the read-out"):
        in_order([low, high], encoder, readout._replace(layer=0))
    with pytest.raises(UsageError, match="no place inside"):
        in_order([low, high._replace(name="blocks.1.hook_nothing")], encoder, readout)


def test_a_topk_dictionary_cannot_be_narrowed():
    with pytest.raises(ValueError, match="without the others"):
        narrowed(make_scene(rule="topk", k=5).setting.sites[0].autoencoder, torch.arange(3))
