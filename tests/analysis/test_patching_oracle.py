"""Activation patching against raw forward hooks on transformers' own ESM, which share no code with what they check.

Both models compute in float64, so that 1e-6 is far above rounding and far below any effect; transformers turns queries
and keys in float32 all the same, which is what is left between the two.
"""

from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM

from mints.analysis.patching import ProbeLogit
from mints.analysis.patching_sweep import PairSet, sweep_pairs
from mints.models.compute import resolve_compute
from mints.models.families.esm import ESM2
from mints.models.tokenizers import Encoding

FP32 = resolve_compute("cpu", "fp32")  # no autocast: weights keep their own type
LAYERS, HEADS, D_HEAD, PAD = 3, 4, 6, 1
LENGTHS = (17, 9, 5, 12)
BASES_PER_TOKEN = 3
MOTIF_TOKEN = 2
"""In every pair the source differs from the base at this token and the next."""

WINDOWS = [(-4, 0), (0, 3), (2, 7), (-30, 60), (100, 110)]


class HookedEsm:
    """A transformers model whose intermediate values are read and replaced by forward hooks."""

    def __init__(self, model, layer, weights, bias):
        self.layers, self.model = model.esm.encoder.layer, model
        self.layer, self.weights, self.bias = layer, weights, bias

    def module(self, kind, layer):
        block = self.layers[layer]
        return {
            "z": block.attention.output.dense,
            "attention": block.attention.output.dense,
            "mlp": block.output.dense,
            "residual": block,
        }[kind]

    def attach(self, kind, layer, function):
        """Hook the input of the module (z, residual) or its output (attention, mlp)."""
        module = self.module(kind, layer)
        if kind in ("z", "residual"):
            return module.register_forward_pre_hook(lambda _, args: (function(args[0]), *args[1:]))
        return module.register_forward_hook(lambda _, args, output: function(output))

    def values(self, ids):
        """Every component's value in a plain run."""
        kept = {}

        def keep(kind, layer):
            return lambda value: kept.setdefault((kind, layer), value.clone())

        with ExitStack() as stack:
            for kind in ("z", "attention", "mlp", "residual"):
                for layer in range(LAYERS):
                    stack.callback(self.attach(kind, layer, keep(kind, layer)).remove)
            self.model(ids, attention_mask=(ids != PAD).long())
        return kept

    def logit(self, ids, kind=None, layer=None, replace=None):
        """Probe logit of each sequence, with one component's value replaced."""
        seen = []
        with torch.no_grad(), ExitStack() as stack:
            read = self.layers[self.layer].register_forward_hook(lambda _, args, output: seen.append(output))
            stack.callback(read.remove)
            if replace is not None:
                stack.callback(self.attach(kind, layer, replace).remove)
            self.model(ids, attention_mask=(ids != PAD).long())
        (hidden,) = seen
        lengths = (ids != PAD).sum(1).tolist()
        means = [hidden[row, 1 : length - 1].mean(0) for row, length in enumerate(lengths)]
        return np.array([float(mean @ self.weights) + self.bias for mean in means])

    def patched(self, base, source, kind, layer, head=None, positions=None):
        """Logits of the base run with a component (one head of z; some positions) taken from the source run."""
        given = self.values(source)[kind, layer]

        def replace(value):
            value = value.clone()
            where = torch.ones(value.shape[:2], dtype=torch.bool) if positions is None else positions
            columns = slice(None) if head is None else slice(head * D_HEAD, (head + 1) * D_HEAD)
            value[..., columns][where] = given[..., columns][where]
            return value

        return self.logit(base, kind, layer, replace)


def make_model():
    """Random weights far from their initial values, so that norms, biases and attention matter."""
    torch.manual_seed(0)
    configuration = EsmConfig(
        vocab_size=33, hidden_size=HEADS * D_HEAD, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=36, position_embedding_type="rotary", token_dropout=True, mask_token_id=2, pad_token_id=PAD,
        layer_norm_eps=1e-5, attn_implementation="eager",
    )  # fmt: skip
    model = EsmForMaskedLM(configuration).eval().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.2)
    state = {name: tensor.float() for name, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    return model, ESM2.load(configuration.to_dict(), state, "random ESM").double()


def encoding_of(ids):
    """Three bases per token between two special ones."""
    content = len(ids) - 2
    starts = np.arange(content) * BASES_PER_TOKEN
    spans = np.zeros((len(ids), 2), dtype=int)
    spans[1:-1] = np.stack([starts, starts + BASES_PER_TOKEN], axis=1)
    special = np.zeros(len(ids), dtype=bool)
    special[[0, -1]] = True
    return Encoding(np.array(ids), spans, special)


def padded(rows):
    ids = torch.full((len(rows), max(map(len, rows))), PAD)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module", params=[1, 2], ids=["readout_below_the_top", "readout_of_the_last_layer"])
def case(request, model):
    """Ragged pairs, the sweep over them, and the oracle."""
    reference, encoder = model
    rng = np.random.default_rng(4)
    clean = [rng.integers(5, 33, length).tolist() for length in LENGTHS]
    corrupted = [list(row) for row in clean]
    for row in corrupted:
        row[MOTIF_TOKEN : MOTIF_TOKEN + 2] = rng.integers(5, 33, 2).tolist()
    weights = torch.from_numpy(rng.normal(size=HEADS * D_HEAD))
    readout = ProbeLogit(request.param, weights, -0.4)
    sides = [[encoding_of(row) for row in side] for side in (clean, corrupted, clean, clean, corrupted)]
    start = np.full(len(LENGTHS), (MOTIF_TOKEN - 1) * BASES_PER_TOKEN)
    pairs = PairSet(*sides, start)
    return SimpleNamespace(
        clean=padded(clean), corrupted=padded(corrupted), rows=(clean, corrupted), encoder=encoder, readout=readout,
        pairs=pairs,
        sweep=sweep_pairs(encoder, pairs, readout, FP32, WINDOWS, tokens_per_batch=1000),
        oracle=HookedEsm(reference, request.param, weights, -0.4),
    )  # fmt: skip


def equal(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_unpatched_logits_equal_those_of_the_hub_model(case):
    equal(case.sweep.denoising.clean, case.oracle.logit(case.clean))
    equal(case.sweep.denoising.corrupted, case.oracle.logit(case.corrupted))
    assert np.abs(case.sweep.denoising.clean - case.sweep.denoising.corrupted).min() > 0.01


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_one_head_equals_a_pre_hook_on_the_slice_of_its_output_projection(case, direction):
    base, source = (case.corrupted, case.clean) if direction == "denoising" else (case.clean, case.corrupted)
    ours = case.sweep.denoising.heads if direction == "denoising" else case.sweep.noised_heads
    plain = case.oracle.logit(base)
    for layer in range(LAYERS):
        for head in range(HEADS):
            expected = case.oracle.patched(base, source, "z", layer, head=head)
            equal(ours[:, layer, head], expected)
            if layer <= case.readout.layer:
                assert np.abs(expected - plain).max() > 1e-3


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize(("place", "kind"), [*enumerate(("residual", "attention", "mlp"))])
def test_one_component_equals_a_hook_on_its_module(case, direction, place, kind):
    base, source = (case.corrupted, case.clean) if direction == "denoising" else (case.clean, case.corrupted)
    ours = case.sweep.denoised_components if direction == "denoising" else case.sweep.noised_components
    for layer in range(LAYERS):
        equal(ours[:, layer, place], case.oracle.patched(base, source, kind, layer))


def test_a_nucleotide_window_equals_a_hook_that_replaces_the_tokens_it_overlaps(case):
    expected_tokens = {(-4, 0): [1], (0, 3): [2], (2, 7): [2, 3, 4], (-30, 60): [*range(1, 16)], (100, 110): []}
    for place, window in enumerate(WINDOWS):
        positions = torch.zeros(case.clean.shape, dtype=torch.bool)
        positions[:, expected_tokens[window]] = True
        for row, length in enumerate(LENGTHS):
            positions[row, length - 1 :] = False  # neither the closing special token nor pads are nucleotides
        for layer in range(LAYERS):
            expected = case.oracle.patched(case.corrupted, case.clean, "residual", layer, positions=positions)
            equal(case.sweep.windows[:, layer, place], expected)


def test_noising_is_denoising_with_the_sides_exchanged(case):
    clean, corrupted, control, *others = case.pairs
    exchanged = PairSet(corrupted, clean, control, *others)
    again = sweep_pairs(case.encoder, exchanged, case.readout, FP32, WINDOWS, tokens_per_batch=1000)
    np.testing.assert_array_equal(again.noised_heads, case.sweep.denoising.heads)
    np.testing.assert_array_equal(again.denoising.heads, case.sweep.noised_heads)
    np.testing.assert_array_equal(again.noised_components, case.sweep.denoised_components)


def test_a_padded_row_is_patched_as_it_is_alone(case):
    for row, (clean, corrupted) in enumerate(zip(*case.rows, strict=True)):
        base, source = torch.tensor([corrupted]), torch.tensor([clean])
        for layer in range(LAYERS):
            for head in range(HEADS):
                expected = case.oracle.patched(base, source, "z", layer, head=head)
                equal(case.sweep.denoising.heads[row, layer, head], expected[0])
            for place, kind in enumerate(("residual", "attention", "mlp")):
                expected = case.oracle.patched(base, source, kind, layer)
                equal(case.sweep.denoised_components[row, layer, place], expected[0])
