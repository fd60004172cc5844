"""Training of basecallers: it learns, and goes on after an interruption to identical weights."""

import numpy as np
import pytest
import torch

from mints.models.basecaller import crf, randomly_initialised
from mints.models.basecaller.crf import Targets
from mints.models.basecaller.settings import parse_config
from mints.models.basecaller.training import Chunks, evaluate, train
from mints.models.compute import Compute
from mints.models.optimisation import Recipe

CPU = Compute(torch.device("cpu"), "fp32")
WIDTH = 16
CONFIG = {
    "model": {
        "type": "seqdistmodel",
        "seqdist": {"state_len": 1},
        "encoder": {
            "conv": {
                "sublayers": [
                    {
                        "type": "convolution", "insize": 1, "size": WIDTH, "winlen": 5, "stride": 2, "padding": 2,
                        "activation": "swish", "norm": "batchnorm",
                    },
                    {"type": "permute", "dims": (0, 2, 1)},
                ]
            },
            "transformer_encoder": {
                "depth": 1,
                "layer": {
                    "d_model": WIDTH, "nhead": 2, "dim_feedforward": 16, "deepnorm_alpha": 1.2, "deepnorm_beta": 0.6,
                    "attn_window": (4, 4),
                },
            },
            "crf": {"insize": WIDTH, "state_len": 1, "scale": 5.0, "blank_score": 2.0, "permute": (1, 0, 2)},
        },
    },
    "run_info": {"sample_rate": 5000},
}  # fmt: skip


def steps_of_current(step, batch=8):
    """A level per base, held for six samples; no base is repeated."""
    rng = np.random.default_rng([7, step])
    bases = rng.integers(1, 4, size=(batch, 12)).cumsum(axis=1) % 4
    signal = np.repeat(bases - 1.5, 6, axis=1) + 0.05 * rng.standard_normal((batch, 72))
    lengths = torch.full((batch,), 12)
    return Chunks(torch.from_numpy(signal.astype(np.float32)), Targets(torch.from_numpy(bases), lengths))


class StoppedError(Exception):
    pass


def run(folder, recipe, stop_at=None):
    basecaller = randomly_initialised(parse_config(CONFIG, "test"), seed=0)

    def track(steps):
        for step in steps:
            if step == stop_at:
                raise StoppedError
            yield step

    folder.mkdir(exist_ok=True)
    try:
        curve = train(
            basecaller, steps_of_current, [steps_of_current(10_000)], recipe, CPU, checkpoint=folder / "state.pt",
            report=lambda _: None, track=track,
        )  # fmt: skip
    except StoppedError:
        return None
    return basecaller, curve


def test_levels_are_learnt_and_called(tmp_path):
    basecaller, curve = run(tmp_path, Recipe(steps=80, batch=8, learning_rate=2e-2, evaluate_every=40))
    assert [point.step for point in curve] == [40, 80]
    assert curve[-1].bases == 80 * 8 * 12
    assert curve[-1].heldout_loss < 0.1 < curve[0].train_loss
    fresh = steps_of_current(20_000)
    assert evaluate(basecaller, [fresh], CPU) == pytest.approx(curve[-1].heldout_loss, abs=0.1)
    assert not basecaller.training
    with torch.inference_mode():
        scores = basecaller(fresh.signal)
    called = crf.decode(scores, 1)
    truth = ["".join("ACGT"[base] for base in row) for row in fresh.targets.bases]
    # The first base is told by the first move alone, and may be missing.
    assert [call.sequence[-11:] for call in called] == [bases[-11:] for bases in truth]
    times = np.array([call.times[-10:] for call in called])
    assert np.abs(times - 3 * np.arange(2, 12)).max() <= 2  # six samples are three time steps


def test_the_loss_is_the_likelihood_of_the_bases(tmp_path):
    basecaller = randomly_initialised(parse_config(CONFIG, "test"), seed=1)
    chunks = steps_of_current(0)
    with torch.inference_mode():
        scores = basecaller(chunks.signal)
    truth = ["".join("ACGT"[base] for base in row) for row in chunks.targets.bases]
    expected = -crf.log_likelihood(scores, truth, 1).sum() / (8 * 12)
    assert evaluate(basecaller, [chunks], CPU) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("stop_at", [7, 10, 13])
def test_an_interrupted_training_goes_on_to_identical_weights_and_curve(tmp_path, stop_at):
    recipe = Recipe(steps=16, batch=8, evaluate_every=6, save_every=5)
    straight, curve = run(tmp_path / "a", recipe)
    assert run(tmp_path / "b", recipe, stop_at=stop_at) is None
    resumed, resumed_curve = run(tmp_path / "b", recipe)
    assert resumed_curve == curve
    expected = straight.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())
    assert not (tmp_path / "b" / "state.pt").exists()
