"""Runs taken up at a site: against whole runs with the same intervention, pads, rows in any order and later sites."""

from itertools import product

import pytest
import torch
from architectures import LEARNED, POST, PRE, scattered
from torch.testing import assert_close

from mints.errors import UsageError
from mints.features.restart import adding, putting, reaches_other_tokens, restart_at
from mints.models.sites import block_sites

LAST = "blocks.1.hook_resid_post"
ARCHITECTURES = {"post_norm": POST, "pre_norm": PRE, "learned": LEARNED}
SITES = [
    (name, f"blocks.{layer}.{site}")
    for name, architecture in ARCHITECTURES.items()
    for layer in (0, 1)
    for site in block_sites(architecture)
]


def padded_batch():
    generator = torch.Generator().manual_seed(0)
    real = torch.arange(9) < torch.tensor([[9], [6], [4]])
    tokens = torch.randint(5, 30, (3, 9), generator=generator)
    return torch.where(real, tokens, 0), real


@pytest.mark.parametrize(("name", "site"), SITES)
@torch.no_grad()
def test_rows_taken_up_at_any_site_are_whole_runs_with_the_intervention(name, site):
    encoder, (tokens, real) = scattered(ARCHITECTURES[name]), padded_batch()
    restart = restart_at(encoder, tokens, real, site)
    which = torch.tensor([2, 0, 1, 0, 1])
    moved = torch.randn(5, *restart.x.shape[1:], generator=torch.Generator().manual_seed(1))
    some = restart.rows(which)
    later = {LAST: lambda x: 0.9 * x} if site != LAST else {}
    for change in (adding(moved), putting(some.x + moved)):
        taken_up = some.run(encoder, change, sites=[site, LAST], interventions=later)
        for row, sequence in enumerate(which.tolist()):

            def alone(x, row=row):
                return x + moved[[row]].view_as(x)

            ids, inside = tokens[[sequence]], real[[sequence]]
            whole = encoder.run(ids, inside, sites=[site, LAST], interventions={site: alone} | later)
            for place in {site, LAST}:
                assert_close(taken_up.cache[place][[row]], whole.cache[place], atol=2e-5, rtol=1e-4)
            assert_close(taken_up.residual[row], whole.residual[0], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("site", ["blocks.0.attn.hook_z", "blocks.1.mlp.hook_post", LAST])
@torch.no_grad()
def test_a_batch_taken_up_again_and_again_without_a_change_is_one_run_whether_added_or_put(site):
    encoder, (tokens, real) = scattered(PRE), padded_batch()
    restart = restart_at(encoder, tokens, real, site).repeated(2)
    nothing = restart.run(encoder, adding(torch.zeros(restart.x.shape))).residual
    assert torch.equal(nothing, restart.run(encoder, putting(restart.x)).residual)
    assert_close(nothing, encoder.run(tokens.repeat(2, 1), real.repeat(2, 1)).residual, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("site", ["hook_embed", "blocks.7.hook_resid_post", "blocks.1.hook_nothing"])
def test_a_site_that_no_layer_has_is_an_error(site):
    with pytest.raises(UsageError, match="no layer of the model has a site"):
        restart_at(scattered(POST), *padded_batch(), site)


@torch.no_grad()
def test_whether_a_change_at_one_token_can_change_another_is_what_a_run_shows():
    encoder, (tokens, _) = scattered(PRE), padded_batch()
    real = torch.ones(1, 9, dtype=torch.bool)
    names = ("hook_resid_pre", "attn.hook_v", "attn.hook_z", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    for layer, name in product(range(PRE.n_layers), names):
        site = f"blocks.{layer}.{name}"
        run = restart_at(encoder, tokens[:1], real, site)
        x = run.x.clone()
        x[0, 4, :3] += 1.0
        moved, still = (run.run(encoder, putting(value)).residual for value in (x, run.x))
        reached = bool((moved - still)[0, [2, 6]].abs().max() > 1e-6)
        assert reached == reaches_other_tokens(site, PRE.n_layers), site
