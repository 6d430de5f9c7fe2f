"""How networks compute: number format, device, and what makes results repeat."""

from __future__ import annotations

import torch

from colorize_core.engines.contract import Device
from colorize_core.engines.diffusion.settings import Precision

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def dtype_of(precision: Precision) -> torch.dtype:
    """The torch type of a setting's precision."""
    return _DTYPES[precision]


def torch_device(device: Device) -> torch.device:
    """`device` as torch names it, set so that the same input gives the same bytes."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.device(device.kind)


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Standard normal float32, the same on every device: drawn on the CPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
