"""The account of what a model computed, against torch's own counter."""

from dataclasses import replace

import pytest
import torch
from architectures import DEEP, LEARNED, POST, PRE
from torch.utils.flop_counter import FlopCounterMode

from mints.models.compute import Compute
from mints.models.encoder import randomly_initialised
from mints.models.work import Work

TOKENS = torch.randint(5, 30, (3, 11), generator=torch.Generator().manual_seed(0))
REAL = torch.ones_like(TOKENS, dtype=torch.bool)


def both(function):
    """Operations by torch's counter, and by the account."""
    compute = Compute(torch.device("cpu"), "fp32")
    with FlopCounterMode(display=False) as counter, compute.inference():
        function()
    return counter.get_total_flops(), compute.work


@pytest.mark.parametrize("architecture", [POST, PRE, LEARNED, DEEP, replace(POST, mlp="gelu")])
def test_operations_are_those_that_torch_counts(architecture):
    encoder = randomly_initialised(architecture, seed=0).requires_grad_(False)
    expected, work = both(lambda: encoder.run(TOKENS, REAL))
    assert work == Work(passes=1, tokens=33, floating_point_operations=expected, warn=work.warn)
    expected, work = both(lambda: encoder(TOKENS, REAL))
    assert work.floating_point_operations == expected


def test_a_run_that_starts_or_ends_midway_counts_for_what_it_does():
    encoder = randomly_initialised(POST, seed=0).requires_grad_(False)
    residual = torch.randn(3, 11, 24)
    expected, work = both(lambda: encoder.run(TOKENS, REAL, stop=1))
    assert work.floating_point_operations == expected
    expected, work = both(lambda: encoder.run_from(1, residual, REAL))
    assert work.floating_point_operations == expected
    expected, work = both(lambda: encoder.run_from(1, residual, REAL, attended=residual))
    assert work.floating_point_operations == expected


def test_what_runs_outside_a_context_is_not_counted_and_accounts_are_apart():
    encoder = randomly_initialised(POST, seed=0).requires_grad_(False)
    one, other = (Compute(torch.device("cpu"), "fp32") for _ in range(2))
    with torch.no_grad():
        encoder.run(TOKENS, REAL)
    with one.inference():
        encoder.run(TOKENS, REAL)
        encoder.run(TOKENS, REAL)
    assert (one.work.passes, other.work.passes) == (2, 0)
    assert one == other
