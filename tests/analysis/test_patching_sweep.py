"""The batched sweep over pairs against one pair, one site and one whole hooked forward pass at a time.

In float64, so that nothing but rounding of the sixteenth digit is between a sum of differences and the difference of
sums.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from patching_pairs import FP32, LENGTHS, WINDOWS, encoding_of, make_pairs, unit_weights

from mints.analysis.patching import ProbeLogit
from mints.analysis.patching_sweep import denoise_heads, empty_sweep, part_of, sweep_pairs

WINDOW_TOKENS = ([1], [2], [2, 3, 4, 5, 6])
"""Tokens of WINDOWS: the motif starts with the second content token."""

NEAR = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module", params=[POST, PRE], ids=["post_norm", "pre_norm"])
def case(request):
    """A model, ragged pairs, and a read-out at the middle layer of three."""
    rng = np.random.default_rng(3)
    readout = ProbeLogit(1, unit_weights(request.param, rng), 0.3)
    return SimpleNamespace(encoder=scattered(request.param).double(), readout=readout, pairs=make_pairs(rng))


def run_alone(case, encoding, interventions=None, sites=()):
    """(logit, cache) of one sequence: every layer is run, and the mean is taken by hand."""
    site = f"blocks.{case.readout.layer}.hook_resid_post"
    with torch.inference_mode():
        tokens = torch.from_numpy(encoding.ids)[None]
        cache = case.encoder.run(tokens, sites=[site, *sites], interventions=interventions).cache
    mean = cache[site][0, 1:-1].double().mean(0)
    return float(mean @ case.readout.weights) + case.readout.bias, cache


def patched_alone(case, base, source, site, change):
    """Logit of the base with a site's value made from its own and the source's."""
    _, cache = run_alone(case, source, sites=[site])
    return run_alone(case, base, {site: lambda value: change(value, cache[site])})[0]


def replace_head(head):
    def change(value, given):
        value = value.clone()
        shared = min(value.shape[1], given.shape[1])
        value[:, :shared, head] = given[:, :shared, head]
        return value

    return change


def replace_tokens(tokens):
    def change(value, given):
        value = value.clone()
        value[:, tokens] = given[:, tokens]
        return value

    return change


def slow_heads(case, base, source):
    n_layers, n_heads = case.encoder.architecture.n_layers, case.encoder.architecture.n_heads
    figures = np.zeros((len(base), n_layers, n_heads))
    for row, layer, head in np.ndindex(*figures.shape):
        site = f"blocks.{layer}.attn.hook_z"
        figures[row, layer, head] = patched_alone(case, base[row], source[row], site, replace_head(head))
    return figures


def slow_components(case, base, source):
    figures = np.zeros((len(base), 3, 3))
    for row, layer, place in np.ndindex(*figures.shape):
        site = f"blocks.{layer}." + ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")[place]
        figures[row, layer, place] = patched_alone(case, base[row], source[row], site, lambda own, given: given)
    return figures


@pytest.fixture(scope="module")
def slow(case):
    """All figures of a sweep by plain loops."""
    clean, corrupted, control, partner, motifless, _ = case.pairs
    windows = np.zeros((len(LENGTHS), 3, len(WINDOWS)))
    for row, layer, place in np.ndindex(*windows.shape):
        tokens = [token for token in WINDOW_TOKENS[place] if token < LENGTHS[row] - 1]
        site = f"blocks.{layer}.hook_resid_pre"
        windows[row, layer, place] = patched_alone(case, corrupted[row], clean[row], site, replace_tokens(tokens))
    return {
        "clean": [run_alone(case, encoding)[0] for encoding in clean],
        "corrupted": [run_alone(case, encoding)[0] for encoding in corrupted],
        "control": [run_alone(case, encoding)[0] for encoding in control],
        "heads": slow_heads(case, corrupted, clean),
        "partner_heads": slow_heads(case, corrupted, partner),
        "motifless_heads": slow_heads(case, corrupted, motifless),
        "control_heads": slow_heads(case, control, clean),
        "noised_heads": slow_heads(case, clean, corrupted),
        "denoised_components": slow_components(case, corrupted, clean),
        "noised_components": slow_components(case, clean, corrupted),
        "windows": windows,
    }


@pytest.mark.parametrize("tokens_per_batch", [1, 20, 1000])
def test_the_batched_sweep_equals_hooked_full_passes_of_one_sequence_each(case, slow, tokens_per_batch):
    sweep = sweep_pairs(case.encoder, case.pairs, case.readout, FP32, WINDOWS, tokens_per_batch)
    fast = sweep._asdict() | sweep.denoising._asdict()
    for name, expected in slow.items():
        np.testing.assert_allclose(fast[name], expected, **NEAR, err_msg=name)
    effect = np.abs(fast["clean"] - fast["corrupted"])
    assert effect.min() > 1e-3
    assert (np.ptp(fast["heads"][:, :2], axis=2) > 1e-5).all()
    assert (np.abs(fast["partner_heads"] - fast["motifless_heads"]).max((1, 2)) > 1e-5).all()


def test_single_precision_is_near_double_precision(case, slow):
    encoder = scattered(case.encoder.architecture)
    sweep = sweep_pairs(encoder, case.pairs, case.readout, FP32, WINDOWS, 20)
    fast = sweep._asdict() | sweep.denoising._asdict()
    for name, expected in slow.items():
        np.testing.assert_allclose(fast[name], expected, rtol=0, atol=1e-5, err_msg=name)


def test_a_partner_gives_only_the_tokens_that_both_sequences_have(case, slow):
    """However much longer it is than all sequences of the batch."""
    rng = np.random.default_rng(0)
    strangers = [encoding_of(rng.integers(5, 30, length)) for length in (40, 5, 4, 23, 40)]
    pairs = case.pairs._replace(partner=strangers)
    again = denoise_heads(case.encoder, pairs, case.readout, FP32, 1000)
    np.testing.assert_allclose(again.partner_heads, slow_heads(case, pairs.corrupted, strangers), **NEAR)
    np.testing.assert_allclose(again.heads, slow["heads"], **NEAR)


def test_denoising_alone_equals_the_sweeps_part_and_leaves_other_heads_undefined(case):
    sweep = sweep_pairs(case.encoder, case.pairs, case.readout, FP32, WINDOWS, 20)
    whole = denoise_heads(case.encoder, case.pairs, case.readout, FP32, 20)
    for name, ours, theirs in zip(whole._fields, whole, sweep.denoising, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    chosen = [(0, 1), (2, 3)]
    some = denoise_heads(case.encoder, case.pairs, case.readout, FP32, 20, chosen)
    for name in ("heads", "partner_heads", "motifless_heads", "control_heads"):
        ours, theirs = getattr(some, name), getattr(whole, name)
        assert {*zip(*np.nonzero(np.isfinite(ours).all(0)), strict=True)} == {*chosen}
        for layer, head in chosen:
            np.testing.assert_array_equal(ours[:, layer, head], theirs[:, layer, head])


def test_parts_of_the_pairs_give_their_rows_of_the_whole(case):
    whole = denoise_heads(case.encoder, case.pairs, case.readout, FP32, 1000)
    parts = [
        denoise_heads(case.encoder, part_of(case.pairs, *part), case.readout, FP32, 1000) for part in ((0, 2), (2, 5))
    ]
    for name in whole._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(joined, getattr(whole, name), **NEAR, err_msg=name)


def test_the_sweep_of_no_pairs_has_the_shapes_of_every_other(case):
    sweep = sweep_pairs(case.encoder, case.pairs, case.readout, FP32, WINDOWS, 1000)
    empty = empty_sweep(3, case.encoder.architecture.n_heads, len(WINDOWS))
    full, none = sweep._asdict() | sweep.denoising._asdict(), empty._asdict() | empty.denoising._asdict()
    for name in full.keys() - {"denoising"}:
        assert none[name].shape == (0, *full[name].shape[1:]), name


@pytest.mark.parametrize("side", ["corrupted", "control"])
def test_a_pair_whose_sides_differ_in_their_token_boundaries_is_refused(case, side):
    moved = list(getattr(case.pairs, side))
    spans = moved[2].spans.copy()
    spans[3, 1] += 1
    moved[2] = moved[2]._replace(spans=spans)
    with pytest.raises(ValueError, match="token boundaries of a pair differ"):
        sweep_pairs(case.encoder, case.pairs._replace(**{side: moved}), case.readout, FP32, WINDOWS, 1000)
    with pytest.raises(ValueError, match="token boundaries of a pair differ"):
        denoise_heads(case.encoder, case.pairs._replace(**{side: moved}), case.readout, FP32, 1000)
