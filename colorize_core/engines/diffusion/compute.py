"""How networks compute: number format, device, and what makes results repeat."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from colorize_core.engines.contract import Device
from colorize_core.engines.diffusion.settings import Precision

_MOST_VARIANTS = 64  # of one class's compiled code
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


def compile_layers(layers: Iterable[nn.Module]) -> None:
    """Compile layers one by one. Those whose hooks or processors come and go are not for this:
    compiled code goes on as if nothing had changed, or is compiled anew for each change."""
    # Layers of one class share the limit, and differ in width.
    limit = max(_MOST_VARIANTS, torch._dynamo.config.recompile_limit)
    torch._dynamo.config.recompile_limit = limit
    for layer in layers:
        layer.compile()
