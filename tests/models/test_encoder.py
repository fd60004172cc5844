"""Sites, interventions and partial runs of the encoder."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from architectures import DEEP, LEARNED, POST, PRE, scattered

from mints.errors import MintsError, UsageError
from mints.models.encoder import randomly_initialised
from mints.models.sites import site_names


@pytest.fixture(params=[POST, PRE, LEARNED, DEEP], ids=["post-alibi", "pre-rotary", "post-learned", "deepnorm-window"])
def encoder(request):
    model = randomly_initialised(request.param, seed=5)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def batch(encoder, lengths=(12, 5, 9)):
    generator = torch.Generator().manual_seed(11)
    pad_id = encoder.architecture.pad_id
    tokens = torch.full((len(lengths), max(lengths)), pad_id)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(5, 30, (length,), generator=generator)
    return tokens, tokens != pad_id


def test_a_padded_batch_equals_unpadded_singles(encoder):
    tokens, real = batch(encoder)
    together = encoder.run(tokens, real, sites=["blocks.*.hook_resid_post"])
    for row, length in enumerate(real.sum(1).tolist()):
        alone = encoder.run(tokens[row : row + 1, :length], sites=["blocks.*.hook_resid_post"])
        for site, value in alone.cache.items():
            torch.testing.assert_close(together.cache[site][row, :length], value[0], atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(together.residual[row, :length], alone.residual[0], atol=2e-6, rtol=1e-5)


def test_what_stands_at_a_pad_never_changes_a_real_token(encoder):
    tokens, real = batch(encoder)
    other = tokens.clone()
    other[~real] = 17
    first, second = (encoder.run(ids, real).residual for ids in (tokens, other))
    assert torch.equal(first[real], second[real])


def test_run_from_equals_the_full_run_exactly(encoder):
    tokens, real = batch(encoder)
    sites = ["blocks.*.hook_resid_pre", "blocks.*.attn.hook_pattern"]
    full = encoder.run(tokens, real, sites=sites)
    for layer in range(encoder.architecture.n_layers):
        part = encoder.run_from(layer, full.cache[f"blocks.{layer}.hook_resid_pre"], real, sites=sites)
        assert torch.equal(part.residual, full.residual)
        assert all(torch.equal(value, full.cache[site]) for site, value in part.cache.items())


def test_run_from_under_an_intervention_equals_the_full_run_under_it(encoder):
    tokens, real = batch(encoder)
    top = encoder.architecture.n_layers - 1
    silence = {f"blocks.{top}.attn.hook_z": lambda z: z.index_fill(2, torch.tensor([1]), 0.0)}
    entry = encoder.run(tokens, real, sites=[f"blocks.{top}.hook_resid_pre"]).cache[f"blocks.{top}.hook_resid_pre"]
    full = encoder.run(tokens, real, interventions=silence)
    part = encoder.run_from(top, entry, real, interventions=silence)
    assert torch.equal(part.residual, full.residual)
    assert not torch.equal(full.residual, encoder.run(tokens, real).residual)


def test_stopping_early_gives_the_residual_before_that_layer(encoder):
    tokens, real = batch(encoder)
    full = encoder.run(tokens, real, sites=["blocks.1.hook_resid_pre"])
    assert torch.equal(encoder.run(tokens, real, stop=1).residual, full.cache["blocks.1.hook_resid_pre"])


def test_a_no_op_intervention_at_every_site_changes_nothing(encoder):
    tokens, real = batch(encoder)
    plain = encoder(tokens, real)
    for site in site_names(encoder.architecture):
        touched = encoder.run(tokens, real, interventions={site: lambda value: value.clone()})
        assert (encoder.logits(touched.residual) - plain).abs().max() == 0, site


def test_keeping_values_changes_nothing_and_keeps_every_site(encoder):
    tokens, real = batch(encoder)
    output = encoder.run(tokens, real, sites=["*"])
    assert torch.equal(output.residual, encoder.run(tokens, real).residual)
    assert list(output.cache) == site_names(encoder.architecture)


def test_every_site_is_one_that_an_intervention_there_reaches_the_output_from(encoder):
    tokens, real = batch(encoder)
    plain = encoder(tokens, real)
    for site in site_names(encoder.architecture):
        generator = torch.Generator().manual_seed(1)
        moved = encoder.run(
            tokens, real, interventions={site: lambda v, g=generator: v + torch.randn(v.shape, generator=g)}
        )
        assert (encoder.logits(moved.residual) - plain)[real].abs().max() > 1e-3, site


def test_putting_in_the_cached_value_of_another_input_gives_the_other_run(encoder):
    tokens, real = batch(encoder)
    other = tokens.clone()
    other[real] = 34 - tokens[real]
    target = encoder.run(other, real, sites=["hook_embed"])
    patched = encoder.run(tokens, real, interventions={"hook_embed": lambda _: target.cache["hook_embed"]})
    assert torch.equal(patched.residual, target.residual)


def test_a_patch_in_one_layer_leaves_the_layers_below_as_they_were(encoder):
    tokens, real = batch(encoder)
    plain = encoder.run(tokens, real, sites=["blocks.*.hook_resid_post"]).cache
    changed = encoder.run(
        tokens, real, sites=["blocks.*.hook_resid_post"], interventions={"blocks.1.hook_mlp_out": lambda v: v * 0}
    ).cache
    assert torch.equal(plain["blocks.0.hook_resid_post"], changed["blocks.0.hook_resid_post"])
    assert not torch.equal(plain["blocks.1.hook_resid_post"], changed["blocks.1.hook_resid_post"])


def test_the_residual_stream_is_the_sum_of_its_parts(encoder):
    tokens, real = batch(encoder)
    cache = encoder.run(tokens, real, sites=["*"]).cache
    weight = encoder.architecture.deepnorm_alpha
    for layer, block in enumerate(encoder.blocks):
        at = f"blocks.{layer}."
        mid = weight * cache[f"{at}hook_resid_pre"] + cache[f"{at}hook_attn_out"]
        mid = block.ln1(mid) if block.post_norm else mid
        torch.testing.assert_close(mid, cache[f"{at}hook_resid_mid"])
        post = weight * mid + cache[f"{at}hook_mlp_out"]
        torch.testing.assert_close(block.ln2(post) if block.post_norm else post, cache[f"{at}hook_resid_post"])


def test_heads_add_up_to_the_attention_output(encoder):
    tokens, real = batch(encoder)
    cache = encoder.run(tokens, real, sites=["blocks.0.*"]).cache
    attention = encoder.blocks[0].attn
    output_matrix = attention.output.weight.view(-1, attention.n_heads, attention.d_head)
    per_head = torch.einsum("bphd,mhd->bphm", cache["blocks.0.attn.hook_z"], output_matrix)
    torch.testing.assert_close(per_head.sum(2) + attention.output.bias, cache["blocks.0.hook_attn_out"])


def test_patterns_are_distributions_over_real_keys(encoder):
    tokens, real = batch(encoder)
    pattern = encoder.run(tokens, real, sites=["blocks.*.attn.hook_pattern"]).cache["blocks.1.attn.hook_pattern"]
    torch.testing.assert_close(pattern.sum(-1), torch.ones(pattern.shape[:-1]))
    assert (pattern * (real[:, None, :, None] & ~real[:, None, None, :])).abs().max() == 0


def test_an_intervention_on_scores_cannot_open_a_pad(encoder):
    tokens, real = batch(encoder)
    output = encoder.run(
        tokens,
        real,
        sites=["blocks.0.attn.hook_pattern"],
        interventions={"blocks.0.attn.hook_attn_scores": lambda scores: scores * 0},
    )
    pattern = output.cache["blocks.0.attn.hook_pattern"]
    seen = 3 if encoder.architecture.attention_window else 5  # itself and two after it, of the first query's
    assert torch.allclose(pattern[1, 0, 0, :seen], torch.full((seen,), 1 / seen))
    assert pattern[1, 0, 0, seen:].abs().max() == 0


def test_fused_attention_agrees_and_still_gives_patterns(encoder):
    tokens, real = batch(encoder)
    explicit = encoder.run(tokens, real, sites=["*.hook_pattern", "*.hook_z"])
    encoder.fused_attention = True
    fused = encoder.run(tokens, real, sites=["*.hook_z"])
    torch.testing.assert_close(fused.residual[real], explicit.residual[real], atol=2e-6, rtol=1e-5)
    patterns = encoder.run(tokens, real, sites=["*.hook_pattern"]).cache
    assert len(patterns) == encoder.architecture.n_layers


def test_a_site_or_pattern_that_matches_nothing_is_an_error(encoder):
    tokens, real = batch(encoder)
    with pytest.raises(UsageError, match="no site matches 'blocks.9.attn.hook_z'"):
        encoder.run(tokens, real, sites=["blocks.9.attn.hook_z"])
    with pytest.raises(UsageError, match="no site matches 'blocks.0.attn.hook_result'"):
        encoder.run(tokens, real, interventions={"blocks.0.attn.hook_result": lambda value: value})
    residual = encoder.run(tokens, real, stop=1).residual
    with pytest.raises(UsageError, match="no site matches 'blocks.0"):
        encoder.run_from(1, residual, real, interventions={"blocks.0.hook_resid_post": lambda value: value})


def test_an_intervention_that_changes_the_shape_is_an_error(encoder):
    tokens, real = batch(encoder)
    with pytest.raises(ValueError, match=r"intervention at blocks.0.attn.hook_z gave shape"):
        encoder.run(tokens, real, interventions={"blocks.0.attn.hook_z": lambda z: z[:, :, :1]})


def test_a_failing_intervention_leaves_the_model_as_it_was(encoder):
    tokens, real = batch(encoder)
    before = encoder.run(tokens, real).residual

    def fail(_):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        encoder.run(tokens, real, interventions={"blocks.1.hook_attn_out": fail})
    assert torch.equal(encoder.run(tokens, real).residual, before)


def test_nothing_of_a_run_outlives_its_output(encoder):
    tokens, real = batch(encoder)
    output = encoder.run(tokens, real, sites=["blocks.0.hook_resid_post"])
    kept = weakref.ref(output.cache["blocks.0.hook_resid_post"])
    del output
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize(("offset", "capacity"), [(0, 16), (2, 14)])
def test_more_tokens_than_learned_positions_is_one_clear_line(offset, capacity):
    encoder = randomly_initialised(replace(LEARNED, position_offset=offset), seed=0)
    longest = torch.full((2, capacity + 1), 5)
    longest[:, -1] = LEARNED.pad_id
    assert encoder.run(longest).residual.isfinite().all()
    longest[1, -1] = 5
    with pytest.raises(MintsError, match=rf"^a sequence has {capacity + 1} tokens, the model takes {capacity}: "):
        encoder.run(longest)


def test_random_initialisation_is_the_same_for_a_seed_and_differs_between_seeds():
    first, same, other = (randomly_initialised(POST, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], other["blocks.0.attn.qkv.weight"])
    assert first["blocks.0.ln1.weight"].eq(1).all()
    assert first["blocks.0.mlp.output.bias"].eq(0).all()


def test_the_window_is_that_of_brute_force():
    """Each query by itself, over exactly the keys that it may see."""
    encoder = scattered(DEEP)
    tokens, real = batch(encoder, lengths=(12,))
    cache = encoder.run(tokens, real, sites=["blocks.1.attn.*"]).cache
    q, k, v, z = (cache[f"blocks.1.attn.{site}"][0] for site in ("hook_rot_q", "hook_rot_k", "hook_v", "hook_z"))
    before, after = DEEP.attention_window
    for query in range(12):
        seen = [key for key in range(12) if query - before <= key <= query + after]
        for head in range(DEEP.n_heads):
            weights = torch.stack([q[query, head] @ k[key, head] / 6**0.5 for key in seen]).softmax(0)
            expected = sum(weight * v[key, head] for weight, key in zip(weights, seen, strict=True))
            torch.testing.assert_close(z[query, head], expected)


def test_a_wide_window_is_no_window():
    wide, free = replace(DEEP, attention_window=(11, 40)), replace(DEEP, attention_window=None)
    tokens, real = batch(scattered(DEEP))
    first, second = (scattered(architecture).run(tokens, real).residual for architecture in (wide, free))
    assert torch.equal(first, second)
    assert not torch.equal(first, scattered(DEEP).run(tokens, real).residual)


@pytest.mark.parametrize("fused", [False, True])
def test_a_query_that_sees_pads_alone_spoils_no_real_token(fused):
    encoder = scattered(DEEP)
    encoder.fused_attention = fused
    tokens, real = batch(encoder, lengths=(30, 4))
    residual = encoder.run(tokens, real).residual
    alone = encoder.run(tokens[1:, :4]).residual
    torch.testing.assert_close(residual[1, :4], alone[0], atol=2e-6, rtol=1e-5)


def test_an_encoder_without_tokens_is_entered_at_its_first_block():
    architecture = replace(DEEP, vocabulary_size=0, masked_language_head=False)
    encoder = scattered(architecture)
    residual = torch.randn(2, 9, 24)
    output = encoder.run_from(0, residual, sites=["*"])
    assert torch.equal(output.cache["blocks.0.hook_resid_pre"], residual)
    assert list(output.cache) == site_names(architecture)
    assert "hook_embed" not in output.cache
    with pytest.raises(ValueError, match="no token embedding"):
        encoder.run(torch.zeros(2, 9, dtype=torch.int64))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="masked-language head needs a vocabulary"):
        replace(DEEP, vocabulary_size=0)
    with pytest.raises(ValueError, match="deepnorm_alpha belongs"):
        replace(POST, deepnorm_alpha=2.0)
