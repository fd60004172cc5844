import copy

import numpy as np
import pytest
import torch
from basecaller_scene import FP32, ask_about, make_basecaller, some_pairs

from mints.analysis.basecalling.planting import (
    SEQUENCE,
    FitSide,
    gradients,
    layer_fit,
    make_counter,
    plant,
    window_average,
)
from mints.analysis.basecalling.sweep import Chunks, ScoreReadout, open_recording, positions_of
from mints.analysis.basecalling.tables import Judges
from mints.analysis.basecalling.trial import Changes, judge_head, patch_one_head
from mints.analysis.bootstrap import Resamples, cluster_weights

LAYER, HEAD = 1, 2


@pytest.fixture(scope="module")
def scene():
    """Pairs of which one side has a base more than the other, on an untrained model in float64."""
    basecaller = copy.deepcopy(make_basecaller()).double()
    pairs = [p for p in some_pairs(400, group="homopolymer") if p.corrupted_sequence is not None][:16]
    pairs = [pair._replace(clean=pair.clean.astype(float), corrupted=pair.corrupted.astype(float)) for pair in pairs]
    clean, corrupted = (np.stack([getattr(pair, side) for pair in pairs]) for side in ("clean", "corrupted"))
    start, end = (np.array([getattr(pair, side) for pair in pairs]) for side in ("start", "end"))
    run, elsewhere = positions_of(start, end, basecaller.stride, clean.shape[1] // basecaller.stride, 1)
    question = ask_about(basecaller, pairs).question
    chunks = Chunks(clean, corrupted, clean[::-1].copy(), corrupted[::-1].copy(), corrupted[::-1].copy(), question,
                    run, elsewhere)  # fmt: skip
    more = np.array([len(pair.clean_sequence) - len(pair.corrupted_sequence) for pair in pairs], dtype=float)
    recordings = (open_recording(basecaller, side, question, FP32) for side in (clean, corrupted))
    return basecaller, chunks, FitSide(*recordings, torch.from_numpy(run)), more


def counter_of(scene):
    """The counter of one head, fitted on all pairs."""
    basecaller, _, fit, more = scene
    return make_counter(layer_fit(basecaller, fit, LAYER, FP32), more, HEAD)


def test_a_head_of_equal_scores_averages_over_its_window(scene):
    basecaller, chunks, fit, more = scene
    counter = counter_of(scene)
    planted = plant(basecaller, counter, 1.0)
    d_head = planted.encoder.architecture.d_head
    recording = open_recording(planted, chunks.clean, chunks.question, FP32)
    average = window_average(chunks.run.shape[1], planted.encoder.architecture.attention_window)
    reading = average @ recording.residual[LAYER] @ torch.from_numpy(counter.reads)
    torch.testing.assert_close(recording.z[LAYER][:, :, HEAD, 0], reading, rtol=1e-5, atol=1e-5)
    assert (recording.z[LAYER][:, :, HEAD, 1:] == 0).all()
    assert d_head > 1


def test_at_the_run_the_reading_tells_which_side_has_a_base_more_in_the_pairs_it_was_fitted_on(scene):
    basecaller, chunks, fit, more = scene
    counter = counter_of(scene)
    average = window_average(chunks.run.shape[1], basecaller.encoder.architecture.attention_window)
    weights = fit.run.double() / fit.run.sum(1, keepdim=True)
    reading = [
        ((average @ side.residual[LAYER] @ torch.from_numpy(counter.reads)) * weights).sum(1).numpy()
        for side in (fit.clean, fit.corrupted)
    ]
    difference = more * (reading[0] - reading[1])
    assert difference.mean() > 0.5
    assert np.sqrt((difference**2).mean()) == pytest.approx(1)
    assert counter.mean == pytest.approx(np.mean(reading))


def test_the_gradient_is_the_slope_of_the_log_odds_along_the_attention_output(scene):
    basecaller, _, fit, _ = scene
    gradient = gradients(basecaller, fit, LAYER, FP32)
    direction = torch.randn(gradient.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    base = fit.corrupted
    step = 1e-5

    def odds(amount):
        attended = base.attention[LAYER] + amount * fit.run[..., None] * direction
        residual = basecaller.encoder.run_from(LAYER, base.residual[LAYER], base.batch.real, attended=attended).residual
        return ScoreReadout(basecaller)(basecaller.encoder, residual, base.batch)[:, SEQUENCE]

    slope = ((odds(step) - odds(-step)) / (2 * step)).detach().numpy()
    np.testing.assert_allclose(gradient @ direction.numpy(), slope, rtol=1e-4, atol=1e-5)


def test_at_strength_zero_the_head_is_silent_and_patching_it_changes_exactly_nothing(scene):
    basecaller, chunks, fit, more = scene
    counter = counter_of(scene)
    silent = patch_one_head(plant(basecaller, counter, 0.0), chunks, LAYER, HEAD, FP32)
    for change in (silent.own, silent.other_corrupted, silent.other_site, silent.unrelated):
        assert (change == 0).all()
    judges = Judges(*[Resamples(cluster_weights(np.arange(16), 200, np.random.default_rng(0)), 0.95)] * 3)
    row = judge_head(silent, judges, 8)
    assert not row["restores"]
    assert row["pm"] == 0


def test_what_is_planted_restores_more_the_stronger_it_is(scene):
    basecaller, chunks, fit, more = scene
    counter = counter_of(scene)
    shares = []
    for strength in (0.02, 0.1, 0.3):
        changes = patch_one_head(plant(basecaller, counter, strength), chunks, LAYER, HEAD, FP32)
        shares.append(changes.own.sum() / changes.effect.sum())
    assert 0 < shares[0] < shares[1] < shares[2]


def test_planting_leaves_the_model_itself_and_all_other_heads_as_they_were(scene):
    basecaller, _, fit, _ = scene
    before = copy.deepcopy(basecaller.state_dict())
    planted = plant(basecaller, counter_of(scene), 1.0)
    assert all(torch.equal(value, before[name]) for name, value in basecaller.state_dict().items())
    d_head = basecaller.encoder.architecture.d_head
    others = [row for row in range(4 * d_head) if row // d_head != HEAD]
    for name in ("qkv", "output"):
        own, new = (getattr(model.encoder.block(LAYER).attn, name).weight for model in (basecaller, planted))
        if name == "qkv":
            own, new = own.view(3, -1, own.shape[1]), new.view(3, -1, new.shape[1])
        assert torch.equal(own[:, others], new[:, others])


def test_a_head_counts_as_restoring_only_beyond_every_null():
    rng = np.random.default_rng(0)
    effect = rng.normal(5, 1, size=40)
    judges = Judges(*[Resamples(cluster_weights(np.arange(40), 300, rng), 0.95)] * 3)
    noise = rng.normal(0, 0.1, size=40)
    good = Changes(effect, 0.7 * effect, noise, noise, noise)
    assert judge_head(good, judges, 16)["above_zero"]
    assert judge_head(good, judges, 16)["restores"]
    assert not judge_head(good._replace(own=noise), judges, 16)["above_zero"]
    for null in ("other_corrupted", "other_site", "unrelated"):
        row = judge_head(good._replace(**{null: 0.7 * effect + noise}), judges, 16)
        assert row["above_zero"]
        assert not row["restores"]
