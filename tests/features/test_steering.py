"""Steering at many sites: the sites, the batched arms, and what nulls have in common with the latent."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import POST, PRE, scattered
from scipy.sparse import csr_array
from torch.testing import assert_close

from mints.features.autoencoder import SparseAutoencoder
from mints.features.intervention import add_to_latents, change_latents, set_latents
from mints.features.steering import Arm, Steered, steer
from mints.features.steering_latents import (
    LatentUse,
    choose_latents,
    dose_gradient,
    latent_use,
    matched_latents,
    steered_latent,
)
from mints.features.steering_sites import FAR, REST, steering_sites, substitutes
from mints.models.compute import resolve_compute
from mints.models.tokenizers import train_bpe

FP32 = resolve_compute("cpu", "fp32")
SITE = "blocks.1.hook_resid_post"
MOTIF = "CCACGT"
PLACE = 40
"""First base of the motif in every sequence."""


@pytest.fixture(scope="module")
def tokenizer():
    rng = np.random.default_rng(0)
    return train_bpe(["".join(rng.choice(list("ACGT"), 400)) for _ in range(20)], 48)


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return scattered(replace(POST, vocabulary_size=len(tokenizer.vocabulary), pad_id=tokenizer.pad_id))


def sequences(count, seed=1):
    rng = np.random.default_rng(seed)
    return [
        "".join(rng.choice(list("ACGT"), PLACE)) + MOTIF + "".join(rng.choice(list("ACGT"), 50 + 3 * index))
        for index in range(count)
    ]


def opened(tokenizer, count=5):
    encodings = tokenizer.encode_many(sequences(count))
    motif = np.tile([PLACE, PLACE + len(MOTIF)], (count, 1))
    return steering_sites(encodings, motif, np.full(count, PLACE + 2), tokenizer, np.random.default_rng(4))


def some_autoencoder(encoder, site=SITE, d_sae=40):
    d_in = encoder.architecture.d_mlp if "mlp" in site else encoder.architecture.d_model
    autoencoder = SparseAutoencoder(d_in, d_sae, "topk", k=6)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        autoencoder.W_enc.normal_(generator=generator)
        autoencoder.W_dec.normal_(generator=generator)
        autoencoder.scale.fill_(0.5)
    return autoencoder.requires_grad_(False)


def alone(autoencoder, latent=7, scale=1.5):
    """A latent to steer, without nulls."""
    return steered_latent(autoencoder, latent, scale, 0, np.array([], dtype=int), np.random.default_rng(0))


def by_hand(encoder, tokenizer, sites, index, intervention=None, site=SITE):
    """`MEASURES` of one sequence alone, from a full run and Python's own arithmetic."""
    ids = torch.from_numpy(sites.encodings[index].ids)[None]
    with torch.no_grad():
        plain = encoder(ids)[0].double().log_softmax(-1)
        interventions = {site: intervention} if intervention else {}
        log_p = encoder.logits(encoder.run(ids, interventions=interventions).residual)[0].double().log_softmax(-1)
    at, before = log_p[sites.hidden[index]].tolist(), plain[sites.hidden[index]].tolist()
    target = int(sites.target[index])
    others = [at[token] for token in tokenizer.maskable_ids if token != target]
    elsewhere = sum(np.exp(value) for token, value in enumerate(at) if token != target)
    substituted = [at[token] for token in sites.substitutes[index]]
    rest = [log_p[place, truth] for place, truth in zip(sites.rest[index], sites.rest_truth[index], strict=True)]
    return {
        "target_log_odds": at[target] - np.log(elsewhere),
        "target_log_p": at[target],
        "substitution_log_odds": at[target] - np.mean(substituted) if substituted else np.nan,
        "off_target_log_p": np.mean(others),
        "target_rank": 1 + sum(value > at[target] for value in at),
        "kl": sum(np.exp(b) * (b - a) for a, b in zip(at, before, strict=True)),
        "rest_loss": -np.mean([float(value) for value in rest]),
    }


def test_the_hidden_token_covers_the_core_and_everything_else_lies_where_it_should(tokenizer):
    sites = opened(tokenizer)
    assert len(sites.given) >= 4
    for row, given in enumerate(sites.given):
        sequence, encoding = sequences(5)[given], tokenizer.encode(sequences(5)[given])
        start, end = encoding.spans[sites.hidden[row]]
        assert start <= PLACE + 2 < end
        assert sequence[start:end] == tokenizer.vocabulary[sites.target[row]]
        masked = np.flatnonzero(sites.encodings[row].ids != encoding.ids)
        assert sorted(masked) == sorted([sites.hidden[row], *sites.rest[row]])
        assert (sites.encodings[row].ids[masked] == tokenizer.mask_id).all()
        assert sites.rest_truth[row].tolist() == encoding.ids[sites.rest[row]].tolist()
        assert [sites.left[row], sites.right[row]] == [sites.hidden[row] - 1, sites.hidden[row] + 1]
        away = np.array([sites.far[row], *sites.rest[row]])
        assert len(set(away)) == 1 + REST
        assert (np.abs(away - sites.hidden[row]) >= FAR).all()
        spans = encoding.spans[away]
        assert ((spans[:, 1] <= PLACE) | (spans[:, 0] >= PLACE + len(MOTIF))).all()


def test_a_sequence_without_room_or_with_an_n_beside_its_core_has_no_site(tokenizer):
    short, unknown, good = "ACGT" + MOTIF + "ACGT", "ACGT" * 20 + "N" + MOTIF[2:] + "ACGT" * 20, sequences(1)[0]
    encodings = tokenizer.encode_many([short, unknown, good])
    motif = np.array([[4, 10], [80, 85], [PLACE, PLACE + 6]])
    sites = steering_sites(encodings, motif, np.array([6, 80, PLACE + 2]), tokenizer, np.random.default_rng(0))
    assert sites.given.tolist() == [2]
    nothing = steering_sites(encodings[:1], motif[:1], np.array([6]), tokenizer, np.random.default_rng(0))
    assert len(nothing.given) == 0
    assert nothing.rest.shape == (0, REST)


def test_substitutes_differ_in_one_base_of_the_motif(tokenizer):
    word = max(tokenizer.vocabulary, key=lambda token: len(token) if set(token) <= set("ACGT") else 0)
    found = {tokenizer.vocabulary[token] for token in substitutes(tokenizer, tokenizer.id_of[word], np.array([-3, 1]))}
    expected = {base + word[1:] for base in "ACGT"} & set(tokenizer.vocabulary) - {word}
    assert found == expected
    single = substitutes(tokenizer, tokenizer.id_of["A"], np.array([0, 9]))
    assert sorted(tokenizer.vocabulary[token] for token in single) == ["C", "G", "T"]
    assert len(substitutes(tokenizer, tokenizer.id_of["A"], np.array([1, 9]))) == 0


@pytest.mark.parametrize("site", [SITE, "blocks.0.mlp.hook_post", "blocks.1.attn.hook_z", "blocks.2.hook_resid_pre"])
@pytest.mark.parametrize("tokens_per_batch", [150, 4000])
def test_batched_steering_is_each_site_steered_alone_by_the_interventions_on_latents(
    encoder, tokenizer, site, tokens_per_batch
):
    sites, autoencoder = opened(tokenizer), some_autoencoder(encoder, site)
    steered = alone(autoencoder)
    arms = [
        Arm(0, p, kind, dose) for p in ("hidden", "neighbours", "far") for kind in ("add", "clamp") for dose in (0, 2)
    ]
    found = steer(encoder, tokenizer, autoencoder, site, sites, steered, arms, FP32, tokens_per_batch)
    for row in range(len(sites.given)):
        plain = by_hand(encoder, tokenizer, sites, row)
        np.testing.assert_allclose(found.base[row], list(plain.values()), atol=2e-5)
        for at, arm in enumerate(arms):
            where = torch.zeros(1, len(sites.encodings[row].ids), dtype=torch.bool)
            where[0, sites.places(arm.position)[row]] = True
            make = add_to_latents if arm.kind == "add" else set_latents
            change = change_latents(autoencoder, make(torch.tensor([7]), arm.dose * 1.5), where)
            expected = by_hand(encoder, tokenizer, sites, row, _flat(change), site)
            np.testing.assert_allclose(found.change[at, row] + found.base[row], list(expected.values()), atol=1e-4)
    assert np.abs(found.change[1, :, 0]).min() > 1e-3  # the latent does something


def _flat(change):
    """The intervention on activations whose heads lie side by side."""
    return lambda x: change(x.flatten(2)).view_as(x)


def test_a_steered_run_is_a_raw_forward_hook_on_the_block(encoder, tokenizer):
    sites, autoencoder = opened(tokenizer), some_autoencoder(encoder)
    direction = torch.randn(1, 24, generator=torch.Generator().manual_seed(1))
    steered = Steered(3, 0.8, direction / direction.norm())
    found = steer(encoder, tokenizer, autoencoder, SITE, sites, steered, [Arm(0, "hidden", "clamp", 4.0)], FP32)
    for row in range(len(sites.given)):

        def hook(module, inputs, output, place=sites.hidden[row]):
            x = output[0, place]
            pre = (x * 0.5 - autoencoder.b_dec) @ autoencoder.W_enc + autoencoder.b_enc
            kept = pre.topk(6)
            now = float(pre[3].relu()) if 3 in kept.indices else 0.0
            moved = output.clone()
            moved[0, place] += (4.0 * 0.8 - now) / 0.5 * autoencoder.W_dec[3].norm() * steered.directions[0]
            return moved

        handle = encoder.block(1).register_forward_hook(hook)
        with torch.no_grad():
            log_p = encoder(torch.from_numpy(sites.encodings[row].ids)[None])[0, sites.hidden[row]].log_softmax(-1)
        handle.remove()
        expected = float(log_p[sites.target[row]])
        assert found.base[row, 1] + found.change[0, row, 1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("architecture", [POST, PRE])
def test_a_dose_of_nothing_changes_nothing_to_the_bit(architecture, tokenizer):
    model = scattered(replace(architecture, vocabulary_size=len(tokenizer.vocabulary), pad_id=tokenizer.pad_id))
    sites, autoencoder = opened(tokenizer), some_autoencoder(model)
    steered = steered_latent(autoencoder, 7, 1.5, 3, np.array([1, 2]), np.random.default_rng(0))
    arms = [Arm(direction, position, "add", 0.0) for direction in range(6) for position in ("hidden", "far")]
    arms.insert(5, Arm(0, "hidden", "add", 3.0))
    found = steer(model, tokenizer, autoencoder, SITE, sites, steered, arms, FP32, tokens_per_batch=400)
    still = np.delete(found.change, 5, axis=0)
    assert (still[np.isfinite(still)] == 0).all()
    assert np.abs(found.change[5, :, 0]).max() > 1e-3


def test_every_null_moves_the_activations_by_as_much_as_the_latent(encoder, tokenizer):
    sites, autoencoder = opened(tokenizer), some_autoencoder(encoder)
    steered = steered_latent(autoencoder, 7, 1.5, 4, np.array([1, 2, 30]), np.random.default_rng(0))
    assert_close(steered.directions.norm(dim=1), torch.ones(8))
    assert_close(steered.directions[0], autoencoder.W_dec[7] / autoencoder.W_dec[7].norm())
    assert_close(steered.directions[6], autoencoder.W_dec[2] / autoencoder.W_dec[2].norm())
    assert (steered.directions[1:5] @ steered.directions[1:5].T - torch.eye(4)).abs().max() < 0.9
    moved = []
    original = encoder.run_from

    def watched(layer, residual, *args, **settings):
        moved.append(residual.clone())
        return original(layer, residual, *args, **settings)

    encoder.run_from = watched
    try:
        arms = [Arm(direction, "hidden", "clamp", 2.0) for direction in range(8)]
        steer(encoder, tokenizer, autoencoder, SITE, sites, steered, arms, FP32)
    finally:
        del encoder.run_from
    plain, changed = (part.unflatten(0, (8, -1)) for part in moved)
    lengths = (changed - plain).norm(dim=-1)
    assert_close(lengths, lengths[:1].expand_as(lengths), atol=1e-4, rtol=1e-4)
    assert (lengths.amax((0, 2)) > 1).all()


def test_steering_leaves_weights_and_sites_as_they_were_and_no_hook_behind(encoder, tokenizer):
    sites, autoencoder = opened(tokenizer), some_autoencoder(encoder)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    ids = [encoding.ids.copy() for encoding in sites.encodings]
    steered = alone(autoencoder)
    steer(encoder, tokenizer, autoencoder, SITE, sites, steered, [Arm(0, "hidden", "add", 3.0)], FP32)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all((encoding.ids == kept).all() for encoding, kept in zip(sites.encodings, ids, strict=True))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_scale_and_frequency_follow_their_definitions():
    rng = np.random.default_rng(2)
    dense = rng.exponential(size=(200, 6)) * (rng.random((200, 6)) < [0.5, 0.1, 0.02, 0.9, 0.3, 0.0])
    use = latent_use(csr_array(dense))
    for latent in range(6):
        values = dense[:, latent]
        assert use.frequency[latent] == pytest.approx((values > 0).mean())
        if latent < 5:
            assert use.scale[latent] == pytest.approx(np.quantile(values[values > 0], 0.99))
    assert np.isnan(use.scale[5])


def test_latents_are_chosen_once_by_the_first_score_that_names_them_and_only_where_they_are_active():
    use = LatentUse(np.array([1.0, np.nan, 2.0, 1.0, 1.0]), np.array([0.1, 0.0, 0.2, 0.1, 0.1]))
    scores = {"reads": np.array([0.9, 1.0, 0.8, 0.1, 0.2]), "writes": np.array([5.0, 9.0, -1.0, 2.0, 1.0])}
    assert choose_latents(scores, use, 2) == [(0, "reads"), (2, "reads"), (3, "writes"), (4, "writes")]
    assert choose_latents(scores, use, 9) == [(0, "reads"), (2, "reads"), (4, "reads"), (3, "reads")]


def test_matched_latents_fire_about_as_often_and_are_none_of_the_steered():
    frequency = np.concatenate([np.geomspace(1e-4, 0.5, 300), np.zeros(50)])
    drawn = matched_latents(frequency, 150, 20, np.array([149, 151]), np.random.default_rng(0))
    assert len(set(drawn)) == 20
    assert not {149, 150, 151} & set(drawn)
    assert np.abs(drawn - 150).max() <= 31
    few = matched_latents(frequency[:5], 2, 20, np.array([2, 3]), np.random.default_rng(0))
    assert few.tolist() == [0, 1, 4]


def test_the_dose_gradient_is_the_slope_of_a_small_dose(encoder, tokenizer):
    sites, autoencoder = opened(tokenizer), some_autoencoder(encoder)
    scale = np.linspace(0.5, 2, 40)
    scale[3] = np.nan
    slopes = dose_gradient(encoder, autoencoder, SITE, sites, scale, FP32, tokens_per_batch=200)
    assert np.isnan(slopes[3])
    for latent in (0, 7, 21):
        steered = alone(autoencoder, latent, scale[latent])
        arms = [Arm(0, "hidden", "add", dose) for dose in (0.02, 0.01)]
        whole, half = steer(encoder, tokenizer, autoencoder, SITE, sites, steered, arms, FP32).change[:, :, 0].mean(1)
        slope = (4 * half - whole) / 0.02  # the curvature cancels
        assert slope == pytest.approx(slopes[latent], abs=0.003)
