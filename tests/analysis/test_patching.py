"""Activation patching: what must be exact, and that nothing is left behind."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from patching_pairs import FP32, LENGTHS, WINDOWS, batch_of, make_pairs, unit_weights

from mints.analysis.attribution import attribute_heads
from mints.analysis.patching import (
    PairTokens,
    ProbeLogit,
    heads_of,
    patch_attention,
    patch_head,
    patch_mlp,
    patch_residual,
    record,
    sweep_heads,
)
from mints.analysis.patching_sweep import sweep_pairs
from mints.errors import UsageError
from mints.models.compute import resolve_compute

PATCHES = (patch_attention, patch_mlp, patch_residual)


@pytest.fixture(scope="module", params=[POST, PRE], ids=["post_norm", "pre_norm"])
def case(request):
    """A model, ragged pairs, and a read-out at the middle layer of three."""
    rng = np.random.default_rng(3)
    architecture = request.param
    encoder = scattered(architecture)
    readout = ProbeLogit(1, unit_weights(architecture, rng), 0.3)
    pairs = make_pairs(rng)
    clean, corrupted = (
        record(encoder, batch_of(side, architecture.pad_id), readout, FP32) for side in (pairs.clean, pairs.corrupted)
    )
    return SimpleNamespace(encoder=encoder, readout=readout, pairs=pairs, clean=clean, corrupted=corrupted)


def at(case, layer):
    """The same case with its read-out at another layer."""
    readout = case.readout._replace(layer=layer)
    batches = case.clean.batch, case.corrupted.batch
    clean, corrupted = (record(case.encoder, batch, readout, FP32) for batch in batches)
    return SimpleNamespace(
        encoder=case.encoder, readout=readout, pairs=case.pairs, clean=clean, corrupted=corrupted
    )  # fmt: skip


# What is exact


@pytest.mark.parametrize("layer_read", [0, 1, 2])
def test_a_run_patched_with_itself_does_not_change_by_a_bit(case, layer_read):
    case = at(case, layer_read)
    for base in (case.clean, case.corrupted):
        for layer, head in heads_of(case.encoder):
            patched = patch_head(case.encoder, base, base, layer, head, case.readout, FP32)
            assert torch.equal(patched, base.readout)
        for layer, patch in product(range(3), PATCHES):
            assert torch.equal(patch(case.encoder, base, base, layer, case.readout, FP32), base.readout)


@pytest.mark.parametrize("layer_read", [0, 1, 2])
def test_patching_everything_gives_the_other_run_to_the_bit(case, layer_read):
    """The whole stream of any layer up to the read-out is everything."""
    case = at(case, layer_read)
    for layer in range(layer_read + 1):
        everything = patch_residual(case.encoder, case.corrupted, case.clean, layer, case.readout, FP32)
        assert torch.equal(everything, case.clean.readout)
    assert not torch.equal(case.clean.readout, case.corrupted.readout)


@pytest.mark.parametrize("layer_read", [0, 1])
def test_patching_above_the_readout_changes_nothing(case, layer_read):
    case = at(case, layer_read)
    for layer in range(layer_read + 1, 3):
        for head in range(case.encoder.architecture.n_heads):
            patched = patch_head(case.encoder, case.corrupted, case.clean, layer, head, case.readout, FP32)
            assert torch.equal(patched, case.corrupted.readout)
        for patch in PATCHES:
            patched = patch(case.encoder, case.corrupted, case.clean, layer, case.readout, FP32)
            assert torch.equal(patched, case.corrupted.readout)


@pytest.mark.parametrize("layer_read", [0, 1, 2])
@pytest.mark.parametrize("tokens_per_batch", [1, 20, 1000])
def test_a_sweep_records_that_its_own_checks_hold_exactly(case, layer_read, tokens_per_batch):
    case = at(case, layer_read)
    sweep = sweep_pairs(case.encoder, case.pairs, case.readout, FP32, WINDOWS, tokens_per_batch)
    assert (sweep.no_op == 0).all()
    assert (sweep.everything == 0).all()
    assert (sweep.above_readout == 0).all()
    assert sweep.no_op.shape == sweep.everything.shape == sweep.above_readout.shape == (len(LENGTHS),)


def test_the_checks_of_a_sweep_can_fail(case):
    """A model that answers differently each time it is asked is found out by all three."""
    generator = torch.Generator().manual_seed(0)

    class Restless:
        layer = 1

        def __call__(self, encoder, residual, batch):
            return case.readout(encoder, residual, batch) + torch.rand(1, generator=generator).double()

    sweep = sweep_pairs(case.encoder, case.pairs, Restless(), FP32, WINDOWS, 1000)
    assert (sweep.no_op > 0).all()
    assert (sweep.everything > 0).all()
    assert (sweep.above_readout > 0).all()


# A run that is taken up after its attention


def test_a_run_taken_up_with_a_known_attention_output_goes_on_as_the_whole_run_did(case):
    tokens, real, _ = case.clean.batch
    with torch.inference_mode():
        whole = case.encoder.run(tokens, real, sites=["blocks.*.hook_resid_post"])
        for layer in range(3):
            residual, attended = at(case, 2).clean.residual[layer], at(case, 2).clean.attention[layer]
            again = case.encoder.run_from(layer, residual, real, sites=["blocks.*.hook_resid_post"], attended=attended)
            assert torch.equal(again.residual, whole.residual)
            for site, value in again.cache.items():
                assert torch.equal(value, whole.cache[site])


def test_the_sites_of_an_attention_that_is_not_run_are_not_passed(case):
    """An intervention there would touch nothing, and must not look like a result."""
    _, real, _ = case.clean.batch
    residual, attended = case.clean.residual[1], case.clean.attention[1]
    skipped = ["blocks.1.attn.hook_z", "blocks.1.attn.hook_pattern", "blocks.1.hook_attn_out"]
    if case.encoder.architecture.norm_placement == "pre":
        skipped.append("blocks.1.ln1.hook_out")
    for site in skipped:
        with pytest.raises(UsageError, match="no site matches"):
            case.encoder.run_from(1, residual, real, interventions={site: torch.zeros_like}, attended=attended)
    kept = ["blocks.1.hook_resid_pre", "blocks.1.hook_resid_mid", "blocks.1.hook_mlp_out", "blocks.2.attn.hook_z"]
    with torch.inference_mode():
        assert [*case.encoder.run_from(1, residual, real, sites=kept, attended=attended).cache] == kept


# Nothing is left behind


def test_an_exception_inside_an_intervention_leaves_the_model_as_it_was(case):
    tokens, real, _ = case.clean.batch
    state = {name: tensor.clone() for name, tensor in case.encoder.state_dict().items()}
    with torch.inference_mode():
        before = case.encoder.run(tokens, real).residual
        for site in ("blocks.1.attn.hook_z", "blocks.*.hook_mlp_out", "hook_embed"):
            calls = []

            def fail(value, calls=calls):
                calls.append(value)
                raise RuntimeError("as asked")

            with pytest.raises(RuntimeError, match="as asked"):
                case.encoder.run(tokens, real, interventions={site: fail})
            assert len(calls) == 1
            assert torch.equal(case.encoder.run(tokens, real).residual, before)
            assert len(calls) == 1
    assert all(torch.equal(state[name], tensor) for name, tensor in case.encoder.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.encoder.modules())


def test_a_failing_readout_leaves_gradients_precision_and_recordings_as_they_were(case):
    class Failing:
        layer = 1

        def __call__(self, encoder, residual, batch):
            raise RuntimeError("as asked")

    bf16 = resolve_compute("cpu", "bf16")
    for step in (sweep_heads, attribute_heads):
        arguments = ([(0, 0)],) if step is sweep_heads else ()
        with pytest.raises(RuntimeError, match="as asked"):
            step(case.encoder, case.corrupted, case.clean, Failing(), bf16, *arguments)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert all(parameter.grad is None for parameter in case.encoder.parameters())
    assert torch.equal(record(case.encoder, case.corrupted.batch, case.readout, FP32).readout, case.corrupted.readout)


def test_a_sweep_changes_neither_weights_nor_recordings(case):
    state = {name: tensor.clone() for name, tensor in case.encoder.state_dict().items()}
    kept = [[value.clone() for value in values] for values in case.corrupted[1:5]]
    sweep_heads(case.encoder, case.corrupted, case.clean, case.readout, FP32, heads_of(case.encoder))
    patch_mlp(case.encoder, case.corrupted, case.clean, 0, case.readout, FP32)
    attribute_heads(case.encoder, case.corrupted, case.clean, case.readout, FP32)
    assert all(torch.equal(state[name], tensor) for name, tensor in case.encoder.state_dict().items())
    for values, before in zip(case.corrupted[1:5], kept, strict=True):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(values, before, strict=True))
    assert all(parameter.grad is None for parameter in case.encoder.parameters())


# The read-out


def test_the_probe_reads_the_mean_over_content_tokens_in_double_precision():
    rng = np.random.default_rng(2)
    residual = torch.from_numpy(rng.normal(size=(2, 5, 4)).astype(np.float32))
    content = torch.tensor([[False, True, True, False, False], [False, False, False, False, False]])
    probe = ProbeLogit(0, torch.tensor([1.0, -2.0, 0.5, 3.0]), 0.25)
    logits = probe(None, residual, PairTokens(torch.zeros(2, 5), content, content))
    by_hand = (residual[0, 1].double() + residual[0, 2].double()) / 2
    expected = float(by_hand @ torch.tensor([1.0, -2.0, 0.5, 3.0]).double()) + 0.25
    assert logits.dtype == torch.float64
    assert logits.tolist() == pytest.approx([expected, 0.25], abs=1e-12)
