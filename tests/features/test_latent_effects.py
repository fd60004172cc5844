"""Latents exchanged between runs: what must be exact, slow twins, and the faults of published definitions."""

from itertools import product

import numpy as np
import pytest
import torch
from architectures import LEARNED, POST, PRE
from latent_pairs import CHANGED, SITE, full_pass, make_case, mirror_autoencoder, random_autoencoder
from torch.testing import assert_close

from mints.features.intervention import change_latents, set_latents
from mints.features.latent_effects import (
    ablations,
    added,
    effects_of_each,
    effects_of_sets,
    effects_of_values,
    matched_others,
    matched_set,
    moves_between,
    patch_each,
)

SITES = [SITE, "blocks.1.hook_resid_pre", "blocks.1.hook_mlp_out", "blocks.1.mlp.hook_post", "blocks.1.attn.hook_z"]


@pytest.fixture(scope="module", params=[POST, PRE], ids=["post_norm", "pre_norm"])
def case(request):
    return make_case(request.param)


# The layers above a site


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("architecture", [POST, PRE, LEARNED], ids=["post_norm", "pre_norm", "learned"])
def test_a_run_taken_up_at_a_site_gives_what_the_whole_model_gives(architecture, site):
    case = make_case(architecture, site, probe_layer=1)
    for run, ids in ((case.clean, case.clean_ids), (case.corrupted, case.corrupted_ids)):
        taken_up = case.above.still(run, case.readout, 1)[0]
        assert_close(taken_up.tolist(), full_pass(case, ids), atol=1e-4, rtol=1e-5)


def test_layers_above_run_token_by_token_are_another_model(case):
    """A published forward gave (batch, token) to layers that read (token, batch): no token saw another any more."""
    alone = case.clean.x[0][:, None]  # every token a sequence of its own
    with torch.no_grad():
        faulty = case.encoder.logits(case.encoder.run_from(2, alone, torch.ones(alone.shape[:2], dtype=bool)).residual)
        true = case.encoder(case.clean_ids)
    place, token = CHANGED[0], int(case.corrupted_ids[0, CHANGED[0]])
    faulty_value, true_value = float(faulty[place, 0, token]), float(true[0, place, token])
    assert abs(faulty_value - true_value) > 0.1
    ours = case.above.still(case.clean, case.readout, 1)[0, 2]
    assert float(ours) == pytest.approx(full_pass(case, case.clean_ids)[2], abs=1e-4)


def test_a_probe_that_ends_below_the_site_is_an_error_and_leaves_nothing_behind(case):
    low = make_case(case.encoder.architecture, "blocks.2.hook_resid_post", probe_layer=1)
    with pytest.raises(ValueError, match="blocks.2.hook_resid_post has no influence"):
        low.above.still(low.clean, low.readout, 1)
    assert torch.equal(low.encoder(low.clean_ids), case.encoder(case.clean_ids))


# Exact


@pytest.mark.parametrize(("site", "tokens_per_batch"), [*product(SITES, [20, 1000])])
def test_a_run_patched_with_itself_does_not_change_by_a_bit(site, tokens_per_batch):
    case = make_case(POST, site)
    everywhere = torch.ones(9, dtype=torch.bool)
    moves = moves_between(case.autoencoder, case.clean.x[0], case.clean.x[0], everywhere)
    assert len(moves.latents) == 0
    still = moves._replace(latents=torch.arange(30), amounts=torch.zeros(9, 30), directions=case.autoencoder.W_dec[:30])
    effects = effects_of_each(case.above, case.clean, still, case.readout, tokens_per_batch)
    assert effects.shape == (30, 4)
    assert not effects.any()
    same = case.clean.x.repeat(7, 1, 1)
    assert not effects_of_values(case.above, case.clean, same, case.readout, tokens_per_batch).any()


def test_patching_latents_and_error_everywhere_gives_the_other_run_to_the_bit(case):
    other = case.above.still(case.clean, case.readout, 3)
    patched = case.above.changes(case.corrupted, case.clean.x.repeat(3, 1, 1), case.readout, other)
    assert not patched.any()
    assert (other - case.above.still(case.corrupted, case.readout, 3)).abs().min() > 1e-3


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "unit_norm"])
def test_what_latents_add_and_the_error_make_up_the_difference_of_the_runs(case, normalisation):
    autoencoder = random_autoencoder(case.clean.x.shape[2], normalisation=normalisation)
    everywhere = torch.ones(9, dtype=torch.bool)
    clean, corrupted = case.clean.x[0], case.corrupted.x[0]
    moves = moves_between(autoencoder, corrupted, clean, everywhere)
    frames = [autoencoder.frame(x) for x in (clean, corrupted)]
    adds = [
        autoencoder.moved_by(autoencoder.encode(x), frame) for x, frame in zip((clean, corrupted), frames, strict=True)
    ]
    assert_close(moves.amounts @ moves.directions, adds[0] - adds[1], atol=1e-4, rtol=1e-4)


# Slow twins


def changed_by_engine(case, base, moves, index):
    """One latent of one run set to its value in the other, by an intervention on the whole model."""
    ids = case.corrupted_ids if base == "corrupted" else case.clean_ids
    source = case.clean if base == "corrupted" else case.corrupted
    latent = moves.latents[index]
    values = case.autoencoder.encode(source.x)[..., [int(latent)]]
    where = case.changed[None]
    intervention = change_latents(case.autoencoder, set_latents(latent[None], values), where)
    return np.subtract(full_pass(case, ids, {SITE: intervention}), full_pass(case, ids))


def test_all_latents_in_a_batch_equal_one_whole_pass_per_latent_in_both_directions(case):
    found = patch_each(
        case.above, case.autoencoder, case.clean, case.corrupted, case.changed, case.readout, np.random.default_rng(0)
    )
    moves = moves_between(case.autoencoder, case.corrupted.x[0], case.clean.x[0], case.changed)
    assert found.latents.tolist() == moves.latents.tolist()
    assert 5 < len(found.latents) <= 20
    for index in range(len(found.latents)):
        assert_close(found.denoised[index], changed_by_engine(case, "corrupted", moves, index), atol=2e-4, rtol=1e-4)
        assert_close(found.noised[index], -changed_by_engine(case, "clean", moves, index), atol=2e-4, rtol=1e-4)


def test_one_latent_equals_a_raw_forward_hook_that_shares_no_code(case):
    moves = moves_between(case.autoencoder, case.corrupted.x[0], case.clean.x[0], case.changed)
    effects = effects_of_each(case.above, case.corrupted, moves, case.readout)
    weights = {name: value.double().numpy() for name, value in case.autoencoder.state_dict().items()}

    def latents_of(x):
        pre = (x * 0.7 - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
        kept = np.zeros_like(pre)
        for row, values in enumerate(pre):
            best = np.argsort(-values)[:5]
            kept[row, best] = np.maximum(values[best], 0)
        return kept

    clean, corrupted = (latents_of(run.x[0].double().numpy()) for run in (case.clean, case.corrupted))
    before = full_pass(case, case.corrupted_ids)
    for index in (0, len(effects) - 1):
        latent = int(moves.latents[index])
        move = np.zeros(case.clean.x.shape[1:])
        for place in CHANGED:
            move[place] = (clean[place, latent] - corrupted[place, latent]) * weights["W_dec"][latent] / 0.7

        def hook(module, arguments, output, move=move):
            return output + torch.from_numpy(move).float()

        handle = case.encoder.blocks[1].register_forward_hook(hook)
        after = full_pass(case, case.corrupted_ids)
        handle.remove()
        assert_close(effects[index], np.subtract(after, before), atol=2e-4, rtol=1e-4)


def test_ablating_all_latents_in_a_batch_equals_one_at_a_time_and_inactive_ones_do_nothing(case):
    everywhere = torch.ones(9, dtype=torch.bool)
    moves = ablations(case.autoencoder, case.clean.x[0], everywhere)
    effects = dict(
        zip(moves.latents.tolist(), effects_of_each(case.above, case.clean, moves, case.readout), strict=True)
    )
    before = full_pass(case, case.clean_ids)
    for latent in range(0, 60, 4):
        ablated = change_latents(case.autoencoder, set_latents(torch.tensor([latent]), 0.0))
        expected = np.subtract(full_pass(case, case.clean_ids, {SITE: ablated}), before)
        assert_close(effects.get(latent, np.zeros(4)), expected, atol=2e-4, rtol=1e-4)


def test_sets_move_their_members_together_and_the_empty_one_moves_nothing(case):
    moves = moves_between(case.autoencoder, case.corrupted.x[0], case.clean.x[0], case.changed)
    latents = moves.latents.numpy()
    sets = [latents[:0], latents[:1], latents[[0, 2, 3]], np.arange(60), np.setdiff1d(np.arange(60), latents)]
    effects = effects_of_sets(case.above, case.corrupted, moves, sets, case.readout)
    assert not effects[0].any()
    assert not effects[4].any()
    assert_close(effects[1], effects_of_each(case.above, case.corrupted, moves, case.readout)[0], atol=1e-5, rtol=1e-5)
    for row, members in ((2, [0, 2, 3]), (3, list(range(len(latents))))):
        value = case.corrupted.x.clone()
        for member in members:
            value[0] += moves.amounts[:, member, None] * moves.directions[member]
        by_hand = effects_of_values(case.above, case.corrupted, value, case.readout)[0]
        assert_close(effects[row], by_hand, atol=1e-5, rtol=1e-5)


def test_for_a_linear_read_out_the_gradient_s_estimate_is_exact_and_effects_add_up(case):
    """The probe on the site's own stream is linear in the latents."""
    linear = make_case(case.encoder.architecture, probe_layer=1)
    found = patch_each(
        linear.above, linear.autoencoder, linear.clean, linear.corrupted, torch.ones(9, dtype=torch.bool),
        linear.readout, np.random.default_rng(0),
    )  # fmt: skip
    assert_close(found.estimated[:, 0], found.denoised[:, 0], atol=1e-5, rtol=1e-4)
    assert_close(found.noised[:, 0], found.denoised[:, 0], atol=1e-5, rtol=1e-4)
    total = effects_of_values(linear.above, linear.corrupted, linear.clean.x, linear.readout)[0, 0]
    errors = [
        run.x[0] - added(linear.autoencoder, run.x[0]) @ linear.autoencoder.W_dec
        for run in (linear.clean, linear.corrupted)
    ]
    of_error = float((errors[0] - errors[1])[1:-1].mean(0).double() @ linear.probe.weights)
    assert found.denoised[:, 0].sum() + of_error == pytest.approx(total, abs=1e-5)


def test_random_directions_are_as_long_as_the_latents_own_moves(case):
    moves = moves_between(case.autoencoder, case.corrupted.x[0], case.clean.x[0], case.changed)
    random = moves.along_random_directions(np.random.default_rng(1))
    assert_close(random.lengths(), moves.lengths())
    by_hand = [(moves.amounts[:, [n]] * moves.directions[n]).norm() for n in range(len(moves.latents))]
    assert_close(moves.lengths(), torch.stack(by_hand))
    cosine = torch.nn.functional.cosine_similarity(random.directions, moves.directions)
    assert cosine.abs().max() < 0.9


# Nulls


def test_matched_latents_are_the_nearest_in_length_and_frequency():
    lengths = np.array([1.0, 2.0, 3.0, 10.0, 11.0])
    frequencies = np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    assert matched_others(lengths, frequencies, 1)[:, 0].tolist() == [1, 0, 1, 2, 3]
    assert sorted(matched_others(lengths, frequencies, 2)[4].tolist()) == [2, 3]
    assert matched_others(lengths[:1], frequencies[:1], 3).shape == (1, 0)


def test_a_matched_set_holds_other_latents_of_like_length_and_frequency():
    rng = np.random.default_rng(0)
    lengths = np.concatenate([np.linspace(1, 2, 50), np.zeros(50)])
    frequencies = rng.uniform(size=100)
    chosen = np.array([45, 47, 49])
    drawn = np.array([matched_set(chosen, lengths, frequencies, rng) for _ in range(200)])
    assert not np.isin(drawn, chosen).any()
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert (lengths[drawn] > 0).all()
    others = np.setdiff1d(np.arange(50), chosen)
    nearer = np.abs(frequencies[drawn] - frequencies[chosen]).mean() + np.abs(lengths[drawn] - lengths[chosen]).mean()
    any_pair = (
        np.abs(frequencies[others, None] - frequencies[chosen]).mean()
        + np.abs(lengths[others, None] - lengths[chosen]).mean()
    )
    assert nearer < 0.7 * any_pair
    with pytest.raises(ValueError, match="too few to match"):
        matched_set(np.arange(60), lengths, frequencies, rng)


# The published patching effect, and its faults


def published_effect(case, autoencoder, latent, keep_error=False):
    """One token: latents before the rule, one taken from the mutant; the token's error dropped; score at that token."""
    place = CHANGED[0]
    wild, mutant = (run.x[0, place] for run in (case.clean, case.corrupted))
    pre, pre_mutant = autoencoder.pre_activations(wild), autoencoder.pre_activations(mutant)
    patched = pre.clone()
    patched[latent] = pre_mutant[latent]

    def decoded(values):
        kept = torch.relu(values)
        if autoencoder.rule == "topk":
            best = kept.topk(autoencoder.k).indices
            kept = torch.zeros_like(kept).index_put((best,), kept[best])
        return autoencoder.decode(kept, autoencoder.frame(wild))

    error = wild - decoded(pre) if keep_error else 0

    def score(value):
        def put(x):
            x = x.clone()
            x[0, place] = value
            return x

        with torch.no_grad():
            log_p = case.encoder.logits(case.encoder.run(case.clean_ids, interventions={SITE: put}).residual)
        log_p = log_p[0, place].double().log_softmax(-1)
        return float(log_p[case.corrupted_ids[0, place]] - log_p[case.clean_ids[0, place]])

    return score(decoded(patched) + error) - score(decoded(pre) + error), score(decoded(pre)), score(wild)


@pytest.fixture(scope="module")
def one_change(case):
    """The pair with its first change alone."""
    corrupted = case.clean_ids.clone()
    corrupted[0, CHANGED[0]] = case.corrupted_ids[0, CHANGED[0]]
    case.one = make_case(case.encoder.architecture)
    case.one.corrupted_ids = corrupted
    case.one.corrupted = case.one.above.record(corrupted)
    case.one.readout = case.one.readout._replace(corrupted=corrupted)
    case.one.changed = (case.one.clean_ids != corrupted)[0]
    return case.one


def ours(case, autoencoder):
    moves = moves_between(autoencoder, case.clean.x[0], case.corrupted.x[0], case.changed)
    effects = effects_of_each(case.above, case.clean, moves, case.readout)[:, 2]
    return dict(zip(moves.latents.tolist(), effects.tolist(), strict=True))


def test_where_the_faults_cannot_show_the_published_effect_is_ours(one_change):
    """No error, no competition among latents, attention above the layer."""
    autoencoder = mirror_autoencoder(one_change.clean.x.shape[2])
    effects = ours(one_change, autoencoder)
    assert len(effects) > 24
    for latent in range(48):
        published, _, _ = published_effect(one_change, autoencoder, latent)
        assert effects.get(latent, 0.0) == pytest.approx(published, abs=2e-4)


def test_dropping_the_error_shifts_the_score_before_anything_is_patched(one_change):
    _, without_error, true = published_effect(one_change, one_change.autoencoder, 0)
    assert abs(without_error - true) > 0.1
    nothing = effects_of_values(one_change.above, one_change.clean, one_change.clean.x, one_change.readout)
    assert nothing[0, 2] == 0.0
    assert float(one_change.above.still(one_change.clean, one_change.readout, 1)[0, 2]) == pytest.approx(true, abs=1e-4)


def test_one_latent_changed_before_the_rule_pushes_another_out(one_change):
    autoencoder, place = one_change.autoencoder, CHANGED[0]
    wild, mutant = (autoencoder.pre_activations(run.x[0, place]) for run in (one_change.clean, one_change.corrupted))
    kept = wild.topk(5).indices
    entering = next(latent for latent in mutant.topk(5).indices.tolist() if latent not in kept)
    patched = wild.clone()
    patched[entering] = wild.max() + 1
    after = patched.topk(5).indices
    swapped = set(kept.tolist()) ^ set(after.tolist())
    assert len(swapped) == 2  # the one that entered, and one that nobody touched
    moves = moves_between(autoencoder, one_change.clean.x[0], one_change.corrupted.x[0], one_change.changed)
    alone = (moves.latents == entering).nonzero()[0, 0]
    value = one_change.clean.x[0] + moves.amounts[:, [alone]] * moves.directions[alone]
    untouched = value[place] - one_change.clean.x[0, place]
    assert_close(untouched, moves.amounts[place, alone] * autoencoder.W_dec[entering], atol=1e-5, rtol=1e-4)


def test_the_latents_that_change_least_are_no_random_control(one_change):
    """A published control took the five of smallest |change|: they do nothing, whatever the model."""
    autoencoder, place = one_change.autoencoder, CHANGED[0]
    wild, mutant = (autoencoder.pre_activations(run.x[0, place]) for run in (one_change.clean, one_change.corrupted))
    least = (mutant - wild).abs().argsort()[:5].tolist()
    published = [abs(published_effect(one_change, autoencoder, latent)[0]) for latent in least]
    found = patch_each(
        one_change.above, autoencoder, one_change.corrupted, one_change.clean, one_change.changed, one_change.readout,
        np.random.default_rng(0),
    )  # fmt: skip
    others = matched_others(found.lengths, np.ones(len(found.lengths)), 3)
    matched = np.abs(found.denoised[others][..., 2]).mean()
    assert max(published) < 0.05 * matched
