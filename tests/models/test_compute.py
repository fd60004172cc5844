"""Devices and precisions."""

import pytest
import torch

from mints.errors import MintsError, UsageError
from mints.models.compute import Compute, resolve_compute


def test_auto_takes_bf16_on_a_cpu_only_where_it_has_matrix_tiles(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for tiles, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles)
        assert resolve_compute() == Compute(torch.device("cpu"), precision)


def test_what_is_asked_for_is_taken_and_what_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_compute("cpu", "bf16").precision == "bf16"
    with pytest.raises(MintsError, match="device cuda is not available"):
        resolve_compute("cuda")
    with pytest.raises(UsageError, match="tf32 is CUDA's alone"):
        resolve_compute("cpu", "tf32")
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        resolve_compute("tpu")
    with pytest.raises(UsageError, match="unknown precision 'fp8'"):
        resolve_compute("cpu", "fp8")


def test_bf16_products_happen_inside_the_context_and_nowhere_after_it():
    compute = resolve_compute("cpu", "bf16")
    a = torch.ones(2, 2)
    with compute.inference():
        assert (a @ a).dtype == torch.bfloat16
        assert not torch.is_grad_enabled()
    assert (a @ a).dtype == torch.float32
    assert torch.is_grad_enabled()


def test_the_matmul_setting_is_restored_also_after_an_exception():
    before = torch.get_float32_matmul_precision()
    with pytest.raises(RuntimeError, match="on purpose"), resolve_compute("cpu", "fp32").autocast():
        raise RuntimeError("on purpose")
    assert torch.get_float32_matmul_precision() == before
