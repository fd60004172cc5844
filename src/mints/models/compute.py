"""The one place that decides where and in which precision a model runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from mints.errors import MintsError, UsageError
from mints.models.work import Work, counted_by

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "tf32", "bf16")


SMALLEST_BATCH = 256
"""Tokens per batch that a device must have memory for."""


@dataclass(frozen=True)
class Compute:
    """A device and the precision of matrix products on it; weights stay float32."""

    device: torch.device
    precision: str
    """fp32, tf32 (CUDA only) or bf16."""

    work: Work = field(default_factory=Work, compare=False)
    """What was computed here."""

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Context of forward passes without gradients."""
        with torch.inference_mode(), self.autocast():
            yield

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Context in which matrix products have this precision and are counted; restores torch's setting afterwards."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        try:
            bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
            with bf16, counted_by(self.work):
                yield
        finally:
            torch.set_float32_matmul_precision(before)

    def halve(self, tokens_per_batch: int) -> int:
        """A smaller batch, after one of this size did not fit into memory; the account and its listener are told.

        Raises MintsError where the batch was `SMALLEST_BATCH` or less.
        """
        smaller = tokens_per_batch // 2
        if smaller < SMALLEST_BATCH:
            raise MintsError(
                f"the {self.device.type} has too little memory for {tokens_per_batch} tokens at a time:"
                " use --device cpu, or close what else runs there"
            )
        if self.work.smallest_batch is None or smaller < self.work.smallest_batch:
            self.work.smallest_batch = smaller
            self.work.warn(f"out of memory with {tokens_per_batch} tokens at a time: going on with {smaller}")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return smaller


def resolve_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """The device and precision that these settings mean on this machine.

    `auto` takes CUDA, then MPS, then the CPU; and bf16 where the chip is fast at it: CUDA with bf16, or a CPU with AMX.
    Raises MintsError where a device is asked for that is not there.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}: choose {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}: choose {', '.join(PRECISIONS)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if there[name])
    elif not there[device]:
        raise MintsError(f"device {device} is not available on this machine: use --device auto")
    if precision == "auto":
        precision = "bf16" if _fast_at_bf16(device) else "fp32"
    elif precision == "tf32" and device != "cuda":
        raise UsageError(f"precision tf32 is CUDA's alone, and the device is {device}: use fp32 or bf16")
    return Compute(torch.device(device), precision)


def _fast_at_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and bool(torch.cpu._is_amx_tile_supported())
