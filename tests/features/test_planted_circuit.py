"""A circuit written into the weights, and whether tracing finds it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import LEARNED, POST, PRE
from circuit_scene import FP32, make_scene, random_encodings
from torch.testing import assert_close

from mints.errors import UsageError
from mints.features.autoencoder import SparseAutoencoder
from mints.features.circuit_sites import Site, measure_references
from mints.features.feature_circuits import Setting
from mints.features.planted_circuit import (
    choose_pairs,
    driven_share,
    make_pair,
    plant_circuit,
    planted_readout,
    planting_layer,
    planting_tokens,
)
from mints.features.planted_recovery import rank_of, recover, recovery_table
from mints.models.encoder import randomly_initialised

SITES = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


def by_token(x, ids):
    """A dictionary whose latents tell one token from all others, each written along its own direction."""
    kinds = np.unique(ids)
    rows = torch.stack([x[ids == kind].mean(0) for kind in kinds]) - x.mean(0)
    rows = rows / rows.norm(dim=1, keepdim=True)
    autoencoder = SparseAutoencoder(x.shape[1], len(kinds), "threshold")
    with torch.no_grad():
        autoencoder.W_dec.copy_(rows)
        autoencoder.W_enc.copy_(torch.linalg.pinv(rows, rtol=1e-3))
        autoencoder.b_dec.copy_(x.mean(0))
        pre = autoencoder.pre_activations(x)
        own = torch.stack([pre[ids == kind, place].mean() for place, kind in enumerate(kinds)])
        autoencoder.threshold.copy_(own / 2)
    return autoencoder.requires_grad_(False)


@pytest.fixture(scope="module", params=["post", "pre", "plain"])
def toy(request):
    """An untrained model whose dictionaries know its tokens, so that a circuit between two of them stands out."""
    architecture = {"post": POST, "pre": PRE, "plain": LEARNED}[request.param]
    encoder = randomly_initialised(replace(architecture, d_model=48, d_mlp=64, vocabulary_size=40), seed=3)
    encoder.requires_grad_(False)
    with torch.no_grad():
        encoder.embed.weight.mul_(30)  # tokens differ
    rng = np.random.default_rng(5)
    training, testing = (random_encodings(count, rng, 40) for count in (60, 40))
    cache, ids = {site: [] for site in SITES}, []
    for encoding in training:
        ids.append(encoding.ids[~encoding.special])
        run = encoder.run(torch.from_numpy(encoding.ids)[None], sites=SITES).cache
        for site in SITES:
            cache[site].append(run[site][0, ~torch.from_numpy(encoding.special)])
    sites = [Site(site, by_token(torch.cat(values), np.concatenate(ids))) for site, values in cache.items()]
    readout = planted_readout(sites[1], 0)
    references = measure_references(encoder, sites, training, readout, FP32)
    setting = Setting(encoder, sites, references, readout, FP32)
    return setting, training, testing, planting_tokens(setting, training)


def test_the_planted_neuron_fires_where_a_does_and_b_then_has_its_usual_value(toy):
    setting, training, _, tokens = toy
    for pair in choose_pairs(setting, tokens, training, 2, np.random.default_rng(0)):
        planted = plant_circuit(setting.encoder, pair, 1.0)
        neuron, fires, before, after = [], [], [], []
        high = setting.sites[1].autoencoder
        for encoding in training:
            ids, content = torch.from_numpy(encoding.ids)[None], ~torch.from_numpy(encoding.special)
            sites = [*SITES, f"blocks.{pair.layer}.mlp.hook_post"]
            clean, changed = (encoder.run(ids, sites=sites).cache for encoder in (setting.encoder, planted))
            fires.append(setting.sites[0].autoencoder.encode(clean[SITES[0]])[0, content, pair.upstream] > 0)
            neuron.append(changed[sites[2]][0, content, pair.neuron])
            for values, cache in ((before, clean), (after, changed)):
                values.append(high.pre_activations(cache[SITES[1]])[0, content, pair.downstream])
        neuron, fires, before, after = (torch.cat(parts) for parts in (neuron, fires, before, after))
        assert neuron[fires].abs().sum() / neuron.abs().sum() == pytest.approx(pair.selectivity, abs=1e-3)
        assert neuron[fires].mean() > 5 * neuron[~fires].abs().mean()
        usual = before[before > high.threshold[pair.downstream]].mean()
        assert abs(after[fires].mean() - usual) < 0.35 * (usual - before[fires].mean())
        assert (after - before)[~fires].abs().mean() < 0.2 * (after - before)[fires].mean()


def test_only_one_neuron_is_touched_and_at_strength_0_it_is_silent(toy):
    setting, _, _, tokens = toy
    pair = make_pair(setting, tokens, 4, 9)
    before = setting.encoder.state_dict()
    for strength in (0.0, 2.0):
        after = plant_circuit(setting.encoder, pair, strength).state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        inner = f"blocks.{pair.layer}.mlp."
        assert {name for name in changed if not name.endswith("bias")} <= {
            f"{inner}input.weight",
            f"{inner}output.weight",
        }
        columns = (before[f"{inner}output.weight"] != after[f"{inner}output.weight"]).any(0)
        assert columns.nonzero().flatten().tolist() == [pair.neuron]
        assert_close(after[f"{inner}output.weight"][:, pair.neuron], strength * pair.writes)
    assert torch.equal(before["embed.weight"], setting.encoder.embed.weight)


def test_a_planted_circuit_is_recovered_and_one_of_strength_0_is_not(toy):
    setting, training, testing, tokens = toy
    pairs = choose_pairs(setting, tokens, training, 4, np.random.default_rng(1))
    assert len(pairs) == 4
    trials = pd.DataFrame(
        [recover(setting, pair, strength, training, testing) for strength in (0.0, 1.5) for pair in pairs]
    )
    silent, strong = (trials[trials["strength"] == strength] for strength in (0.0, 1.5))
    # The model's own edge into b, from the latent of the same token, may be stronger; no other is.
    assert (strong["edge_rank"] <= 2).all()
    assert (strong["edge"] > 0).all()
    assert (strong["upstream_rank"] <= 5).all()
    assert (strong["downstream_rank"] <= 3).all()
    assert (silent["edge_rank"] > 5).sum() >= 3
    rates = recovery_table(trials, 0.95).set_index(["criterion", "strength"])["rate"]
    assert rates["edge a → b", 1.5] == 1 > 0.3 > rates["edge a → b", 0.0]


def test_the_readout_is_the_mean_along_the_decoder_row_of_b(toy):
    setting, *_ = toy
    readout = planted_readout(setting.sites[1], 7)
    row = setting.sites[1].autoencoder.W_dec[7]
    assert readout.layer == 1
    assert_close(readout.weights, row / row.norm())


def test_a_neuron_is_driven_by_the_latent_that_it_reads_and_by_no_other(toy):
    setting, training, _, tokens = toy
    pair = make_pair(setting, tokens, 4, 9)
    assert driven_share(setting, pair, training) > 0.8
    assert abs(driven_share(setting, pair._replace(upstream=20), training)) < 0.2


def test_ranks_count_those_that_are_stronger():
    confirmed, exact = np.array([2, 5, 8]), np.array([0.5, -2.0, 1.0])
    estimates = np.array([9.0, 0.1, 0, 0, 0.2, 0, 3.0, 0, 0])
    assert [rank_of(latent, confirmed, exact, estimates) for latent in (5, 8, 2)] == [1, 2, 3]
    assert [rank_of(latent, confirmed, exact, estimates) for latent in (0, 6, 4, 1)] == [4, 5, 6, 7]


def test_detection_rates_carry_exact_intervals():
    trials = pd.DataFrame(
        {
            "strength": [0.0, 0.0, 1.0, 1.0],
            "edge_found": [False, False, True, True],
            "upstream_found": [False, True, True, False],
            "downstream_found": True,
        }
    )
    table = recovery_table(trials, 0.95).set_index(["criterion", "strength"])
    assert table.loc[("edge a → b", 1.0), ["detected", "planted", "rate"]].tolist() == [2, 2, 1.0]
    assert table.loc[("edge a → b", 1.0), "low"] == pytest.approx(0.025**0.5)
    assert table.loc[("whole circuit", 1.0), "rate"] == 0.5
    assert table.loc[("whole circuit", 0.0), "high"] == pytest.approx(1 - 0.025**0.5)
    assert len(recovery_table(trials.iloc[:0], 0.95)) == 0


def test_a_circuit_is_planted_below_the_output_of_a_later_layer_alone():
    low, high = make_scene().setting.sites
    assert planting_layer([low, high]) == 1
    with pytest.raises(UsageError, match="later layer's hook_resid_post"):
        planting_layer([low, high._replace(name="blocks.1.hook_mlp_out")])
    with pytest.raises(UsageError, match="later layer's hook_resid_post"):
        planting_layer([low._replace(name="blocks.1.mlp.hook_post"), high])
