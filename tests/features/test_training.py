"""Training of every kind of sparse autoencoder."""

import copy
import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from mints.features.architectures import KINDS
from mints.features.penalised_kinds import JumpReLU, jump
from mints.features.topk_kinds import BatchTopK, MatryoshkaBatchTopK, TopK
from mints.features.training import DEAD_AFTER, Recipe, Trainer, pace
from mints.features.training_autoencoder import ENCODER_START

D_IN, D_SAE, K, BATCH, STEPS = 16, 48, 4, 256, 120


def batches(count, seed=0, size=BATCH):
    """Sparse sums of 32 fixed directions, about four at a time, away from zero mean and unit scale."""
    fixed = torch.Generator().manual_seed(99)
    directions = functional.normalize(torch.randn(32, D_IN, generator=fixed), dim=1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        on = torch.rand(size, 32, generator=generator) < 4 / 32
        strength = 3 + 3 * torch.rand(size, 32, generator=generator)
        noise = 0.1 * torch.randn(size, D_IN, generator=generator)
        yield 1.5 + (on * strength) @ directions + noise


def recipe(kind="batch_topk", **changes):
    return Recipe(kind, K, D_SAE, STEPS, BATCH, 2e-2, 0)._replace(**changes)


def trained(kind="batch_topk", steps=STEPS, points=10, **changes):
    trainer = Trainer(recipe(kind, **changes), next(batches(1, seed=5)), points=points)
    for x in batches(steps):
        trainer.train(x)
    return trainer


def explained(autoencoder, x):
    output = autoencoder(x).output
    return 1 - float((x - output).square().sum() / (x - x.mean(0)).square().sum())


def explained_by_components(count):
    """What as many principal components as there are active latents explain."""
    strength = torch.linalg.svdvals(HELD_OUT - HELD_OUT.mean(0)).square()
    return float(strength[:count].sum() / strength.sum())


HELD_OUT = next(batches(1, seed=7, size=4000))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_beats_k_principal_components_with_about_k_latents_on_new_tokens(kind):
    trainer = trained(kind)
    autoencoder = trainer.finished()
    # A penalty on their sum makes latents too small: half as many components must do for comparison.
    expected = explained_by_components(K // 2) if kind == "relu" else explained_by_components(K) + 0.2
    assert explained(autoencoder, HELD_OUT) > expected
    active = float((autoencoder.encode(HELD_OUT) > 0).sum(1).float().mean())
    assert active == pytest.approx(K, rel=0.3 if kind == "relu" else 0.05)
    assert_close(
        autoencoder.decode(autoencoder.encode(HELD_OUT), autoencoder.frame(HELD_OUT)), autoencoder(HELD_OUT).output
    )


@pytest.mark.parametrize("kind", ["relu", "topk", "jumprelu"])
def test_the_finished_autoencoder_reconstructs_as_it_did_in_training(kind):
    trainer = trained(kind, steps=20)
    in_training = trainer.autoencoder.outcome(HELD_OUT * trainer.autoencoder.scale, None).error
    finished = trainer.finished()
    assert_close((finished(HELD_OUT).output - HELD_OUT) * finished.scale, in_training, atol=1e-4, rtol=1e-4)


def test_the_start_is_a_unit_decoder_a_shorter_encoder_the_mean_and_the_scale():
    first = next(batches(1, seed=5))
    weights = Trainer(recipe(), first).autoencoder
    assert float(weights.scale) == pytest.approx(math.sqrt(D_IN) / float(first.norm(dim=1).mean()), rel=1e-6)
    assert_close(weights.b_dec.detach(), first.mean(0) * weights.scale)
    assert_close(weights.W_dec.norm(dim=1), torch.ones(D_SAE))
    assert torch.equal(weights.W_enc, ENCODER_START * weights.W_dec)


def test_a_run_is_that_of_dense_products_and_autograd_with_plain_adam():
    """Step by step, without what is sparse here: the losses and the weights after forty steps."""
    first = next(batches(1, seed=5))
    trainer = Trainer(recipe(), first)
    weights = {name: value.detach().clone().requires_grad_() for name, value in trainer.autoencoder.named_parameters()}
    optimiser = torch.optim.Adam(weights.values(), foreach=False)
    W_enc, b_enc, W_dec, b_dec = (weights[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    for step, x in enumerate(batches(40)):
        scaled = x * trainer.autoencoder.scale
        positive = ((scaled - b_dec) @ W_enc.T + b_enc).relu().flatten()
        kept = positive.topk(K * len(x))
        latents = torch.zeros_like(positive).scatter(0, kept.indices, kept.values).view(len(x), -1)
        loss = (latents @ W_dec + b_dec - scaled).square().sum(1).mean()
        assert loss.item() == pytest.approx(trainer.autoencoder.outcome(scaled, None).loss.item(), rel=1e-3)
        optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            W_dec.grad.sub_((W_dec.grad * W_dec).sum(1, keepdim=True) * W_dec)
            optimiser.param_groups[0]["lr"] = 2e-2 * pace(step, STEPS)
            optimiser.step()
            W_dec.copy_(functional.normalize(W_dec, dim=1))
        trainer.silent.zero_()  # the dead latents' loss has a test of its own
        trainer.train(x)
    for name, value in trainer.autoencoder.named_parameters():
        assert_close(value, weights[name], atol=1e-3, rtol=1e-2)


def test_a_decoder_row_keeps_norm_1_and_has_no_gradient_along_itself():
    trainer = Trainer(recipe(), next(batches(1, seed=5)))
    kept = {}
    trainer.optimiser.register_step_pre_hook(lambda *_: kept.update(gradient=trainer.autoencoder.W_dec.grad.clone()))
    for x in batches(3):
        before = trainer.autoencoder.W_dec.detach().clone()
        trainer.train(x)
        assert (kept["gradient"] * before).sum(1).abs().max() < 1e-4
        assert kept["gradient"].abs().max() > 1e-2
        assert_close(trainer.autoencoder.W_dec.norm(dim=1), torch.ones(D_SAE))


def test_topk_activates_k_latents_of_a_token_and_batch_topk_k_on_average():
    x = next(batches(1, seed=5))
    for kind, uneven in ((TopK, False), (BatchTopK, True)):
        autoencoder = kind(D_IN, D_SAE, K)
        autoencoder.initialise(x, 0)
        scaled = x * autoencoder.scale
        pre = (scaled - autoencoder.b_dec) @ autoencoder.W_enc.T
        active = autoencoder.select(pre)
        per_token = active.offsets.diff()
        assert int(per_token.sum()) == K * len(x)
        assert bool((per_token != K).any()) == uneven
        assert (pre[active.rows, active.latents] > 0).all()


def test_a_matryoshka_of_one_level_is_batch_topk():
    x = next(batches(1, seed=5))
    one, plain = MatryoshkaBatchTopK(D_IN, D_SAE, K, widths=(D_SAE,)), BatchTopK(D_IN, D_SAE, K)
    losses = []
    for autoencoder in (one, plain):
        autoencoder.initialise(x, 0)
        losses.append(autoencoder.outcome(x * autoencoder.scale, None).loss)
        losses[-1].backward()
    assert torch.equal(*losses)
    assert_close(one.W_enc.grad, plain.W_enc.grad)


def test_the_first_latents_of_a_matryoshka_explain_more_than_those_of_batch_topk():
    def of_first(kind):
        autoencoder = trained(kind).finished()
        latents = autoencoder.encode(HELD_OUT)
        latents[:, D_SAE // 4 :] = 0
        output = autoencoder.decode(latents, autoencoder.frame(HELD_OUT))
        return 1 - float((HELD_OUT - output).square().sum() / (HELD_OUT - HELD_OUT.mean(0)).square().sum())

    assert of_first("matryoshka_batch_topk") > of_first("batch_topk") + 0.1


def test_jump_gradients_are_those_of_the_written_estimator():
    generator = torch.Generator().manual_seed(0)
    pre = torch.randn(50, 3, generator=generator).requires_grad_()
    threshold = torch.tensor([0.1, 0.5, 0.9], requires_grad=True)
    of_latents, of_gates = torch.randn(2, 50, 3, generator=generator)
    latents, gates = jump(pre, threshold, 0.4)
    ((latents * of_latents).sum() + (gates * of_gates).sum()).backward()
    expected = torch.zeros(3)
    for token in range(50):
        for latent in range(3):
            z, t = pre[token, latent].item(), threshold[latent].item()
            assert latents[token, latent].item() == (pytest.approx(z) if z > t else 0.0)
            assert float(pre.grad[token, latent]) == (float(of_latents[token, latent]) if z > t else 0.0)
            if abs(z - t) < 0.2:
                slope = t * float(of_latents[token, latent]) + float(of_gates[token, latent])
                expected[latent] -= slope / 0.4
    assert_close(threshold.grad, expected, atol=1e-4, rtol=1e-4)


def test_thresholds_of_a_jumprelu_start_where_k_latents_pass():
    x = next(batches(1, seed=5))
    autoencoder = JumpReLU(D_IN, D_SAE, K)
    autoencoder.initialise(x, 0)
    assert float(autoencoder.outcome(x * autoencoder.scale, None).fired.sum()) == pytest.approx(K * len(x), abs=1)


def test_the_threshold_begins_with_a_batch_s_own_value_and_not_with_zero():
    trainer = Trainer(recipe(steps=10), next(batches(1, seed=5)))
    for step, x in enumerate(batches(6)):
        trainer.train(x)
        if step < 4:
            assert float(trainer.autoencoder.threshold) == 0
        if step == 4:
            first = float(trainer.autoencoder.smallest)
            assert float(trainer.autoencoder.threshold) == first > 0
    second = float(trainer.autoencoder.smallest)
    assert float(trainer.autoencoder.threshold) == pytest.approx(0.9 * first + 0.1 * second)


def test_a_latent_is_dead_after_a_share_of_the_run_s_tokens_without_it():
    trainer = Trainer(recipe(), next(batches(1, seed=5)))
    with torch.no_grad():
        trainer.autoencoder.b_enc[3] = -1e6
    limit = DEAD_AFTER * STEPS * BATCH
    dead = []
    for step, x in enumerate(batches(8), start=1):
        trainer.train(x)
        dead.append(bool(trainer.dead[3]))
        assert int(trainer.silent[3]) == step * BATCH
    assert dead == [step * BATCH >= limit for step in range(1, 9)]
    assert any(dead)
    assert not all(dead)


def test_how_often_the_curve_is_noted_changes_no_weight():
    often, seldom = trained(points=STEPS, steps=30), trained(points=2, steps=30)
    for one, other in zip(often.autoencoder.parameters(), seldom.autoencoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_curve_tells_what_happened():
    trainer = trained("topk", steps=24, points=5)
    assert [point.tokens for point in trainer.curve] == [24 * BATCH]
    x = next(batches(1))
    single = Trainer(recipe("topk", steps=1), next(batches(1, seed=5)), points=1)
    loss, error, fired = single.autoencoder.outcome(x * single.autoencoder.scale, None)
    single.train(x)
    (point,) = single.curve
    scaled = x * single.autoencoder.scale
    spread = float((scaled - scaled.mean(0)).square().sum())
    assert point.loss == pytest.approx(loss.item(), rel=1e-5)
    assert point.variance_explained == pytest.approx(1 - float(error.square().sum()) / spread, rel=1e-4)
    assert point.l0 == float(fired.sum()) / BATCH
    assert point.dead_share == 0


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_a_state_gives_the_weights_of_an_uninterrupted_run(kind, tmp_path):
    whole = trained(kind, steps=40)
    first = Trainer(recipe(kind), next(batches(1, seed=5)), points=10)
    for place, x in enumerate(batches(40)):
        if place == 17:
            torch.save(first.state(), tmp_path / "state.pt")
            first = Trainer(recipe(kind, seed=3), next(batches(1, seed=8)), points=10)
            first.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
        first.train(x)
    for name, value in whole.autoencoder.state_dict().items():
        assert torch.equal(value, first.autoencoder.state_dict()[name]), name
    assert first.curve == whole.curve
    assert torch.equal(first.silent, whole.silent)


def test_a_seed_decides_the_weights():
    def weights(seed):
        return copy.deepcopy(trained(steps=2, seed=seed).autoencoder.W_enc)

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    assert [pace(step, 100) for step in (0, 4, 5, 50, 80)] == pytest.approx([0.2, 1, 1, 1, 1])
    assert pace(90, 100) == pytest.approx(0.5)
    assert pace(99, 100) == pytest.approx(0.05)
