"""Pretraining: it learns, it resumes to identical weights, and nothing else depends on when it was interrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mints.models.architecture import Architecture
from mints.models.compute import Compute
from mints.models.encoder import randomly_initialised
from mints.models.masking import MaskedBatches, MaskedSequences
from mints.models.optimisation import Recipe
from mints.models.pretraining import evaluate, pretrain
from mints.models.tokenizers import FixedKmerTokenizer, ResidueTokenizer

TOKENIZER = FixedKmerTokenizer.generate(1)
SHAPE = Architecture(
    vocabulary_size=len(TOKENIZER.vocabulary), d_model=16, n_layers=1, n_heads=2, d_mlp=16, norm_placement="pre",
    norm_epsilon=1e-5, position="rotary", mlp="swiglu", mlp_input_bias=False, mlp_output_bias=False,
    pad_id=TOKENIZER.pad_id, embedding_norm=False, tied_head=False,
)  # fmt: skip
CPU = Compute(torch.device("cpu"), "fp32")


def periodic_batches(seed):
    """ACGTACGT…: every hidden base follows from its neighbours."""
    stream = TOKENIZER.encode("ACGT" * 300)
    return MaskedBatches(stream.ids[~stream.special], TOKENIZER, context=12, share=0.2, seed=seed)


class StoppedError(Exception):
    pass


def train(tmp_path, recipe, stop_at=None):
    encoder = randomly_initialised(SHAPE, seed=0)
    heldout = [periodic_batches(9).draw(32, always_mask=True)]

    def track(steps):
        for step in steps:
            if step == stop_at:
                raise StoppedError
            yield step

    try:
        curve = pretrain(
            encoder, periodic_batches(1), heldout, recipe, CPU, checkpoint=tmp_path / "state.pt", report=lambda _: None,
            track=track,
        )  # fmt: skip
    except StoppedError:
        return None
    return encoder, curve


def test_a_predictable_sequence_is_learnt(tmp_path):
    encoder, curve = train(tmp_path, Recipe(steps=120, batch=16, learning_rate=1e-2, evaluate_every=40))
    assert [point.step for point in curve] == [40, 80, 120]
    assert curve[0].tokens == 40 * 16 * 12
    assert curve[-1].heldout_loss < 0.2 < curve[0].heldout_loss
    fresh = [periodic_batches(5).draw(64, always_mask=True)]
    assert evaluate(encoder, fresh, CPU) < 0.2
    assert not encoder.training


@pytest.mark.parametrize("stop_at", [7, 10, 13])
def test_an_interrupted_training_goes_on_to_identical_weights_and_curve(tmp_path, stop_at):
    recipe = Recipe(steps=20, batch=8, evaluate_every=6, save_every=5)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    straight, curve = train(tmp_path / "a", recipe)
    assert train(tmp_path / "b", recipe, stop_at=stop_at) is None
    resumed, resumed_curve = train(tmp_path / "b", recipe)
    assert resumed_curve == curve
    expected = straight.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())
    assert not (tmp_path / "b" / "state.pt").exists()


def test_a_flat_stream_leaves_no_more_than_its_entropy_to_learn(tmp_path):
    rng = np.random.default_rng(0)
    stream = TOKENIZER.encode("".join(rng.choice(list("ACGT"), size=5000)))
    batches = MaskedBatches(stream.ids[~stream.special], TOKENIZER, context=12, share=0.2, seed=0)
    heldout = [batches.draw(256, always_mask=True)]
    encoder = randomly_initialised(SHAPE, seed=0)
    pretrain(
        encoder, batches, heldout, Recipe(steps=250, batch=32), CPU, checkpoint=tmp_path / "s.pt",
        report=lambda _: None, track=lambda steps: steps,
    )  # fmt: skip
    assert evaluate(encoder, heldout, CPU) == pytest.approx(np.log(4), abs=0.04)


RESIDUES = ResidueTokenizer.generate()
OF_PROTEINS = replace(
    SHAPE, vocabulary_size=len(RESIDUES.vocabulary), mlp="gelu", mlp_input_bias=True, mlp_output_bias=True,
    pad_id=RESIDUES.pad_id, token_dropout_mask_id=RESIDUES.mask_id,
)  # fmt: skip


def proteins(seed):
    """Repeats of MKLVAW of several lengths: every hidden residue follows from its neighbours."""
    encodings = RESIDUES.encode_many(["MKLVAW" * repeats for repeats in (2, 2, 3, 4, 5)])
    return MaskedSequences(encodings, RESIDUES, context=20, share=0.15, seed=seed)


def train_on_proteins(folder, steps, stop_at=None):
    encoder = randomly_initialised(OF_PROTEINS, seed=0)

    def track(numbers):
        for step in numbers:
            if step == stop_at:
                raise StoppedError
            yield step

    recipe = Recipe(steps=steps, batch=8, learning_rate=1e-2, evaluate_every=20, save_every=5)
    heldout = [proteins(9).draw(32, always_mask=True) for _ in range(4)]
    curve = pretrain(
        encoder, proteins(1), heldout, recipe, CPU, checkpoint=folder / "state.pt", report=lambda _: None, track=track
    )
    return encoder, curve


def test_padded_proteins_with_token_dropout_are_learnt_and_resume_to_identical_weights(tmp_path):
    straight, curve = train_on_proteins(tmp_path, 150)
    assert curve[-1].heldout_loss < 0.5 < 1.5 < curve[0].heldout_loss
    with pytest.raises(StoppedError):
        train_on_proteins(tmp_path, 150, stop_at=47)
    resumed, resumed_curve = train_on_proteins(tmp_path, 150)
    assert resumed_curve == curve
    expected = straight.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.state_dict().items())
    drawn = proteins(1)
    assert curve[-1].tokens == sum(drawn.draw(8).content for _ in range(150))


def test_the_mask_s_own_embedding_reaches_no_other_token_where_it_is_dropped():
    encoder = randomly_initialised(OF_PROTEINS, seed=0)
    batch = proteins(3).draw(8, always_mask=True)
    before = encoder.run(batch.tokens).residual
    with torch.no_grad():
        encoder.embed.weight[RESIDUES.mask_id] += 5
    assert torch.equal(encoder.run(batch.tokens).residual, before)
