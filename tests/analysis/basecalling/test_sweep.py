"""Every patch of the sweep against a hook of torch on the module itself, which shares no code with it."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from basecaller_scene import FP32, ask_about, make_basecaller, scores_of, some_pairs

from mints.analysis.basecalling.measures import read_scores
from mints.analysis.basecalling.sweep import Chunks, positions_of, reduce, sweep_chunks

N_LAYERS, N_HEADS = 2, 4


@pytest.fixture(scope="module")
def scene():
    """Pairs, what is asked of them, and their sweep; in float64, where differences are none of rounding."""
    basecaller, pairs = copy.deepcopy(make_basecaller()).double(), some_pairs(6)
    pairs = [pair._replace(clean=pair.clean.astype(float), corrupted=pair.corrupted.astype(float)) for pair in pairs]
    clean, corrupted = (np.stack([getattr(pair, side) for pair in pairs]) for side in ("clean", "corrupted"))
    question = ask_about(basecaller, pairs).question
    start, end = (np.array([getattr(pair, side) for pair in pairs]) for side in ("start", "end"))
    run, elsewhere = positions_of(start, end, basecaller.stride, clean.shape[1] // basecaller.stride, 1)
    others = (clean[::-1].copy(), corrupted[::-1].copy(), np.roll(corrupted, 1, 0))
    chunks = Chunks(clean, corrupted, *others, question, run, elsewhere)
    return basecaller, chunks, sweep_chunks(basecaller, chunks, FP32)


@contextmanager
def hooked(module, hook, *, before=False):
    handle = module.register_forward_pre_hook(hook) if before else module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def module_of(basecaller, layer, component):
    block = basecaller.encoder.blocks[layer]
    return {0: block, 1: block.attn, 2: block.mlp}.get(component, block.attn.output)


def value_in(basecaller, signal, layer, component):
    """What a component gives in a run; of a head, what goes into the output matrix."""
    seen = []
    before = component > 2

    def look(module, given, value=None):
        seen.append((given[0] if before else value).clone())

    with hooked(module_of(basecaller, layer, component), look, before=before):
        scores_of(basecaller, signal)
    return seen[0]


def patched_by_hook(basecaller, base, source, layer, component, where):
    """Scores of the base run whose component gives the source run's value at some positions."""
    taken = value_in(basecaller, source, layer, component)
    where = torch.from_numpy(where)[..., None]
    if component <= 2:
        module = module_of(basecaller, layer, component)
        with hooked(module, lambda module, given, value: torch.where(where, taken, value)):
            return scores_of(basecaller, base)
    width = taken.shape[-1] // N_HEADS
    columns = slice((component - 3) * width, (component - 2) * width)

    def exchange(module, given):
        value = given[0].clone()
        value[..., columns] = torch.where(where, taken, value)[..., columns]
        return (value,)

    with hooked(module_of(basecaller, layer, component), exchange, before=True):
        return scores_of(basecaller, base)


def by_hooks(scene, base, source, where):
    """Figures of every layer and component, one after another."""
    basecaller, chunks, _ = scene
    figures = [
        [
            read_scores(patched_by_hook(basecaller, base, source, layer, component, where), chunks.question).numpy()
            for component in range(3 + N_HEADS)
        ]
        for layer in range(N_LAYERS)
    ]
    return np.stack([np.stack(row, axis=1) for row in figures], axis=1)


def unpatched(scene, signal):
    return read_scores(scores_of(scene[0], signal), scene[1].question).numpy()


def everywhere(chunks):
    return np.ones_like(chunks.run)


CASES = {
    "denoised": lambda c: (c.corrupted, c.clean, c.run),
    "noised": lambda c: (c.clean, c.corrupted, c.run),
    "denoised_chunk": lambda c: (c.corrupted, c.clean, everywhere(c)),
    "noised_chunk": lambda c: (c.clean, c.corrupted, everywhere(c)),
    "other_clean": lambda c: (c.corrupted, c.other_clean, c.run),
    "other_corrupted": lambda c: (c.corrupted, c.other_corrupted, c.run),
    "other_site": lambda c: (c.corrupted, c.clean, c.elsewhere),
    "unrelated": lambda c: (c.corrupted, c.unrelated, c.run),
}


@pytest.mark.parametrize("name", CASES)
def test_every_patch_equals_a_forward_hook_on_the_module(scene, name):
    _, chunks, swept = scene
    base, source, where = CASES[name](chunks)
    figures = by_hooks(scene, base, source, where)
    target = chunks.corrupted if name.startswith("noised") else chunks.clean
    expected = reduce(figures, unpatched(scene, base), unpatched(scene, target))
    if name.endswith("chunk"):
        figures[:, :, 3:] = expected.maximum[:, :, 3:] = np.nan
    np.testing.assert_allclose(getattr(swept, name).measures, figures[..., :2], atol=1e-6, rtol=0)
    np.testing.assert_allclose(getattr(swept, name).maximum, expected.maximum, atol=1e-6, rtol=0)
    if name == "denoised":
        np.testing.assert_allclose(swept.tracks, figures[:, :, :3, 2:], atol=1e-6, rtol=0)


def test_patching_with_itself_changes_nothing_and_patching_everything_gives_the_other_run(scene):
    _, _, swept = scene
    assert (swept.no_op == 0).all()
    assert (swept.everything == 0).all()


def test_the_last_layers_output_restores_and_takes_away_exactly(scene):
    _, _, swept = scene
    assert (swept.last_layer == 0).all()
    assert (swept.denoised_chunk.measures[:, -1, 0] == swept.clean).all()
    assert (swept.noised_chunk.measures[:, -1, 0] == swept.corrupted).all()


def test_a_patch_at_the_run_differs_from_one_of_the_whole_chunk_and_from_one_elsewhere(scene):
    _, _, swept = scene
    changes = [
        getattr(swept, name).measures for name in ("denoised", "denoised_chunk", "other_site", "other_corrupted")
    ]
    for i, first in enumerate(changes):
        for second in changes[i + 1 :]:
            assert not np.allclose(first, second)


def test_the_seeds_figure_is_the_largest_share_over_time_steps_that_differ():
    start = np.array([[0.0, 0.0, 1.0, 2.0, 3.0]])
    target = np.array([[1.0, 1.0, 2.0, 2.0, 1.0]])
    figures = np.array([0.5, 0.25, 1.5, 9.0, 1.5])[None, None, None]
    assert reduce(figures, start, target).maximum.item() == 0.75
    assert np.isnan(reduce(figures, start, start).maximum.item())


def test_positions_cover_the_samples_with_their_margin_and_the_others_lie_before_them_where_there_is_room():
    run, elsewhere = positions_of(np.array([60, 14]), np.array([85, 30]), stride=6, count=20, margin=1)
    assert np.flatnonzero(run[0]).tolist() == list(range(9, 16))
    assert np.flatnonzero(elsewhere[0]).tolist() == list(range(1, 8))
    assert np.flatnonzero(run[1]).tolist() == list(range(1, 6))
    assert np.flatnonzero(elsewhere[1]).tolist() == list(range(7, 12))
    assert not (run & elsewhere).any()
