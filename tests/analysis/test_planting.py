"""Planted detectors do what they say, and nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from patching_pairs import FP32, encoding_of, make_pairs, unit_weights

from mints.analysis.attention_statistics import sum_attention
from mints.analysis.bootstrap import Resamples
from mints.analysis.ceiling import Ceiling, attention_input, cross_products
from mints.analysis.evidence import Thresholds
from mints.analysis.patching import ProbeLogit
from mints.analysis.planting import GAIN, Detector, make_detector, plant
from mints.analysis.token_roles import TokenRoles
from mints.analysis.trial import Scene, Setting, measure

LAYER, HEAD, LENGTH = 1, 2, 60
RESIDUAL_LENGTH = 5.0


@pytest.fixture(scope="module", params=[POST, PRE], ids=["alibi", "rotary"])
def case(request):
    """A model, sequences with a motif score for every content token, and a detector made from them."""
    rng = np.random.default_rng(2)
    encoder = scattered(request.param)
    encodings = [encoding_of(rng.integers(5, 30, LENGTH)) for _ in range(8)]
    bits = [rng.normal(size=LENGTH - 2) for _ in encodings]
    products = cross_products(encoder, encodings, bits, FP32, tokens_per_batch=1000)
    readout = rng.normal(size=request.param.d_model)
    detector = make_detector(products, LAYER, HEAD, readout, RESIDUAL_LENGTH)
    return SimpleNamespace(encoder=encoder, encodings=encodings, detector=detector, readout=readout, rng=rng)


def run(encoder, encoding, *sites):
    with torch.inference_mode():
        cache = encoder.run(torch.from_numpy(encoding.ids)[None], sites=[*sites]).cache
    return [cache[site][0].double().numpy() for site in sites]


def alibi(n_heads, length):
    """The penalty of 6 heads, by the published slopes."""
    slopes = np.array([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])
    assert n_heads == len(slopes)
    place = np.arange(length)
    return -slopes[:, None, None] * np.abs(place[:, None] - place[None, :])


def content_scores(encoder, encoding):
    """(scores without position's penalty, what the layer's attention reads)."""
    scores, x = run(encoder, encoding, f"blocks.{LAYER}.attn.hook_attn_scores", attention_input(encoder, LAYER))
    if encoder.architecture.position == "alibi":
        scores = scores - alibi(encoder.architecture.n_heads, len(encoding.ids))
    return scores, x


def readings(detector, x):
    return (x - detector.mean) @ detector.reads


def test_a_detectors_reading_has_unit_variance_within_sequences_and_mean_zero_over_all(case):
    read = []
    for encoding in case.encodings:
        (x,) = run(case.encoder, encoding, attention_input(case.encoder, LAYER))
        read.append(readings(case.detector, x)[1:-1])
    assert np.mean(read) == pytest.approx(0, abs=1e-4)
    assert np.mean([part.var() for part in read]) == pytest.approx(1, rel=1e-4)


def test_a_detector_writes_along_the_readout_by_its_share_of_the_streams_length(case):
    assert np.linalg.norm(case.detector.writes) == pytest.approx(GAIN * RESIDUAL_LENGTH)
    cosine = case.detector.writes @ case.readout / np.linalg.norm(case.detector.writes) / np.linalg.norm(case.readout)
    assert cosine == pytest.approx(1)


@pytest.mark.parametrize("strength", [0.25, 1.0, 4.0])
def test_the_score_of_a_token_is_its_reading_times_the_strength_for_every_query(case, strength):
    """To rounding with ALiBi; rotary positions turn even the slowest pair a little, by half a percent on 60 tokens."""
    planted = plant(case.encoder, case.detector, strength)
    is_rotary = case.encoder.architecture.position == "rotary"
    for encoding in case.encodings[:3]:
        scores, x = content_scores(planted, encoding)
        expected = np.broadcast_to(strength * readings(case.detector, x), scores[HEAD].shape)
        np.testing.assert_allclose(scores[HEAD], expected, rtol=1e-2 if is_rotary else 0, atol=1e-4)


def test_what_the_head_writes_is_what_it_attends_to(case):
    strength = 2.0
    planted = plant(case.encoder, case.detector, strength)
    sites = [f"blocks.{LAYER}.{site}" for site in ("attn.hook_pattern", "attn.hook_z", "hook_attn_out")]
    pattern, z, attended, x = run(planted, case.encodings[0], *sites, attention_input(planted, LAYER))
    silent = plant(case.encoder, case.detector, 0.0)
    (without,) = run(silent, case.encodings[0], f"blocks.{LAYER}.hook_attn_out")
    read = pattern[HEAD] @ readings(case.detector, x)
    np.testing.assert_allclose(z[:, HEAD, 0], read, atol=1e-4)
    assert (z[:, HEAD, 1:] == 0).all()
    np.testing.assert_allclose(attended - without, strength * np.outer(read, case.detector.writes), atol=1e-4)
    assert np.abs(attended - without).max() > 0.01


def test_at_strength_0_the_head_is_silent(case):
    silent = plant(case.encoder, case.detector, 0.0)
    scores, z = run(silent, case.encodings[0], *(f"blocks.{LAYER}.attn.hook_{site}" for site in ("attn_scores", "z")))
    assert (z[:, HEAD] == 0).all()
    assert np.abs(z).max((0, 2))[np.arange(z.shape[1]) != HEAD].min() > 0.01
    bare = alibi(scores.shape[0], LENGTH)[HEAD] if case.encoder.architecture.position == "alibi" else 0
    np.testing.assert_allclose(scores[HEAD], np.broadcast_to(bare, scores[HEAD].shape), atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 3.0])
def test_only_the_heads_own_rows_and_columns_are_changed(case, strength):
    planted = plant(case.encoder, case.detector, strength).state_dict()
    architecture = case.encoder.architecture
    own = torch.zeros(architecture.d_model, dtype=torch.bool)
    own[HEAD * architecture.d_head : (HEAD + 1) * architecture.d_head] = True
    attention = f"blocks.{LAYER}.attn."
    others = {
        f"{attention}qkv.weight": (~own).repeat(3),
        f"{attention}qkv.bias": (~own).repeat(3),
        f"{attention}output.weight": (slice(None), ~own),
    }
    for name, before in case.encoder.state_dict().items():
        kept = others.get(name, ...)
        assert torch.equal(planted[name][kept], before[kept]), name
        assert torch.equal(planted[name], before) == (name not in others), name


def test_other_heads_of_the_layer_and_the_layers_below_go_on_as_before(case):
    planted = plant(case.encoder, case.detector, 4.0)
    sites = [f"blocks.{LAYER}.attn.hook_z", f"blocks.{LAYER - 1}.hook_resid_post"]
    (z, below), (z_before, below_before) = (run(model, case.encodings[0], *sites) for model in (planted, case.encoder))
    assert (below == below_before).all()
    others = np.arange(z.shape[1]) != HEAD
    np.testing.assert_allclose(z[:, others], z_before[:, others], atol=1e-6)
    assert np.abs(z[:, HEAD] - z_before[:, HEAD]).max() > 0.01


def test_the_original_model_is_untouched(case):
    before = {name: tensor.clone() for name, tensor in case.encoder.state_dict().items()}
    planted = plant(case.encoder, case.detector, 2.0)
    with torch.no_grad():
        for parameter in planted.parameters():
            parameter.fill_(0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in case.encoder.state_dict().items())


# A trial


def make_scene(encoder, rng):
    """Sequences whose motif score is what the layer's residual says along one direction, and ragged pairs."""
    encodings = [encoding_of(rng.integers(5, 30, length)) for length in (30, 24, 28, 30, 26, 22)]
    direction = rng.normal(size=encoder.architecture.d_model)
    x = [run(encoder, encoding, attention_input(encoder, LAYER))[0][1:-1] for encoding in encodings]
    bits = [part @ direction for part in x]
    lengths = [len(part) for part in bits]
    flat = np.concatenate(bits)
    roles = TokenRoles(
        np.repeat(np.arange(len(lengths)), lengths),
        np.concatenate([np.arange(1, length + 1) for length in lengths]),
        np.stack([flat, rng.permutation(flat)], axis=1).astype(np.float32),
        np.stack([flat > np.quantile(flat, 0.9)] * 2, axis=1),
        np.stack([flat < np.quantile(flat, 0.5)] * 2, axis=1),
        np.ones(len(flat), dtype=bool),
        np.ones(len(lengths), dtype=bool),
    )
    weights = rng.multinomial(6, np.full(6, 1 / 6), size=60)
    pair_weights = rng.multinomial(5, np.full(5, 1 / 5), size=60)
    pairs = make_pairs(rng)
    ceilings = [Ceiling(0.9, 0.8, 0.95)] * encoder.architecture.n_layers
    scene = Scene(encodings, roles, weights, pairs, np.ones(5, dtype=bool), Resamples(pair_weights, 0.9), ceilings)
    mean, spread = np.concatenate(x).mean(0), np.sqrt(np.mean([part.var() for part in bits]))
    return scene, Detector(LAYER, HEAD, direction / spread, mean, 0.1 * rng.normal(size=len(direction)))


def test_a_trial_finds_what_a_planted_head_reads_and_judges_patched_heads_alone(case):
    rng = np.random.default_rng(9)
    scene, detector = make_scene(case.encoder, rng)
    readout = ProbeLogit(2, unit_weights(case.encoder.architecture, rng), 0.0)
    setting = Setting(FP32, 200, Thresholds(r=0.5, p=0.05, rho=2.0, pm=-100.0), 0.9)
    planted, silent = (plant(case.encoder, detector, strength) for strength in (3.0, 0.0))
    found, missed = (
        measure(model, scene, readout, setting, heads=[(LAYER, HEAD)]).set_index(["layer", "head"])
        for model in (planted, silent)
    )
    assert len(found) == case.encoder.architecture.n_layers * case.encoder.architecture.n_heads
    assert found.loc[(LAYER, HEAD), "r"] > 0.99
    assert found.loc[(LAYER, HEAD), "rho"] > 2
    assert missed.loc[(LAYER, HEAD), "pm"] == pytest.approx(0, abs=1e-12)
    assert found["pm"].notna().sum() == 1
    assert not found.drop(index=(LAYER, HEAD))["restored"].any()
    whole = measure(planted, scene, readout, setting).set_index(["layer", "head"])
    assert whole["pm"].notna().all()
    assert whole.loc[(LAYER, HEAD)].drop("pm_q").equals(found.loc[(LAYER, HEAD)].drop("pm_q"))


def test_a_silent_heads_key_score_is_constant_and_aligns_with_nothing(case):
    scene, detector = make_scene(case.encoder, np.random.default_rng(9))
    sums = sum_attention(plant(case.encoder, detector, 0.0), scene.encodings, scene.roles, FP32, 200)
    column = LAYER * case.encoder.architecture.n_heads + HEAD
    assert np.abs(sums.rows.all_tokens.within_xx[:, column]).max() < 1e-9
