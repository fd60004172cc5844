"""Training of TopK, BatchTopK, Matryoshka and JumpReLU autoencoders against SAELens's with the same weights."""

import pytest
import torch
from torch.testing import assert_close

from mints.features.penalised_kinds import jump
from mints.features.topk_kinds import AUXILIARY_WEIGHT, BatchTopK, MatryoshkaBatchTopK, TopK

D_IN, D_SAE, K, WIDTHS = 10, 40, 4, (5, 20, 40)
SHAPE = {"d_in": D_IN, "d_sae": D_SAE, "k": K, "rescale_acts_by_decoder_norm": False, "aux_loss_coefficient": 1.0}
KINDS = {
    "topk": (TopK, "TopK", {}),
    "batch_topk": (BatchTopK, "BatchTopK", {}),
    "matryoshka": (
        lambda *shape: MatryoshkaBatchTopK(*shape, widths=WIDTHS),
        "MatryoshkaBatchTopK",
        {"matryoshka_widths": list(WIDTHS)},
    ),
}
"""Our class, how the names of SAELens's two begin, and what its configuration has more."""


def pair(sae_lens, kind, bias=-6.0):
    """Our autoencoder and theirs with the same weights. bias: mean of the encoder's bias."""
    ours_class, name, settings = KINDS[kind]
    configuration = getattr(sae_lens.saes, f"{name}TrainingSAEConfig")(**SHAPE, **settings)
    ours, theirs = ours_class(D_IN, D_SAE, K), getattr(sae_lens.saes, f"{name}TrainingSAE")(configuration)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
        ours.b_enc.add_(bias)
        theirs.W_enc.copy_(ours.W_enc.T)
        for name in ("b_enc", "W_dec", "b_dec"):
            getattr(theirs, name).copy_(getattr(ours, name))
    return ours, theirs


def theirs_of(sae_lens, theirs, x, dead=None):
    step = sae_lens.saes.sae.TrainStepInput(
        sae_in=x, coefficients={}, dead_neuron_mask=dead, n_training_steps=0, is_logging_step=False
    )
    return theirs.training_forward_pass(step)


def assert_same_gradients(ours, theirs, factor=1.0):
    assert_close(ours.W_enc.grad, factor * theirs.W_enc.grad.T, atol=1e-4, rtol=1e-4)
    for name in ("b_enc", "W_dec", "b_dec"):
        assert_close(getattr(ours, name).grad, factor * getattr(theirs, name).grad, atol=1e-4, rtol=1e-4)
    assert ours.W_enc.grad.abs().max() > 1e-3


X = 2 * torch.randn(64, D_IN, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_loss_error_activity_and_gradients_are_saelens_s(sae_lens, kind):
    ours, theirs = pair(sae_lens, kind)
    found, expected = ours.outcome(X, None), theirs_of(sae_lens, theirs, X)
    assert_close(found.loss, expected.loss, atol=1e-4, rtol=1e-5)
    assert_close(found.error, (expected.sae_out - X).detach(), atol=1e-5, rtol=1e-5)
    assert torch.equal(found.fired, (expected.feature_acts > 0).sum(0))
    assert int((expected.feature_acts > 0).sum(1).min()) < K
    found.loss.backward()
    expected.loss.backward()
    assert_same_gradients(ours, theirs)


def test_the_smallest_active_latent_of_a_batch_is_the_one_that_moves_saelens_s_threshold(sae_lens):
    ours, theirs = pair(sae_lens, "batch_topk")
    ours.outcome(X, None)
    theirs_of(sae_lens, theirs, X)
    assert_close(theirs.cfg.topk_threshold_lr * ours.smallest, theirs.topk_threshold)
    assert float(ours.smallest) > 0


def test_the_auxiliary_loss_is_saelens_s_in_units_of_the_residual_s_variance(sae_lens):
    """Where every dead latent is positive; SAELens also decodes those that are below zero."""
    ours, theirs = pair(sae_lens, "topk", bias=30.0)
    dead = torch.zeros(D_SAE, dtype=torch.bool)
    dead[::5] = True  # 8 latents, of which d_in / 2 = 5 are used
    with torch.no_grad():
        error = ours.outcome(X, None).error
        centred = X - ours.b_dec
        pre = centred @ ours.W_enc.T + ours.b_enc
    assert (pre > 0).all()
    found = ours.auxiliary_loss(pre, centred, error, dead)
    expected = theirs_of(sae_lens, theirs, X, dead).losses["auxiliary_reconstruction_loss"]
    factor = AUXILIARY_WEIGHT * D_IN * len(X) / float((error - error.mean(0)).square().sum())
    assert_close(found, factor * expected, atol=1e-5, rtol=1e-5)
    found.backward()
    expected.backward()
    assert_same_gradients(ours, theirs, factor)


def test_jump_and_its_estimated_gradients_are_saelens_s(sae_lens):
    library = sae_lens.saes.jumprelu_sae
    generator = torch.Generator().manual_seed(2)
    pre, of_latents, of_gates = torch.randn(3, 200, 6, generator=generator)
    thresholds = torch.rand(6, generator=generator)
    found, expected = ([pre.clone().requires_grad_(), thresholds.clone().requires_grad_()] for _ in range(2))
    latents, gates = jump(*found, 0.3)
    ((latents * of_latents).sum() + (gates * of_gates).sum()).backward()
    their_latents, their_gates = (each.apply(*expected, 0.3, False) for each in (library.JumpReLU, library.Step))
    ((their_latents * of_latents).sum() + (their_gates * of_gates).sum()).backward()
    assert torch.equal(latents, their_latents)
    assert torch.equal(gates, their_gates)
    assert_close(found[0].grad, expected[0].grad)
    assert_close(found[1].grad, expected[1].grad, atol=1e-4, rtol=1e-4)
