"""One network of a model, loaded as all parts load theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, cast

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.compute import dtype_of
from colorize_core.engines.diffusion.settings import Precision

Network = TypeVar("Network", bound=ModelMixin)


def load_network(
    kind: type[Network],
    folder: Path,
    precision: Precision,
    device: torch.device,
    *,
    channels_last: bool,
) -> Network:
    """diffusers' network in `folder`, frozen and ready to be evaluated on `device`.

    Raises:
        WeightsMissing: it is not there in `precision`.
    """
    network = kind.from_pretrained(
        folder,
        variant=weights.variant(folder.parent, folder.name, precision),
        torch_dtype=dtype_of(precision),
        use_safetensors=True,
        local_files_only=True,
    )
    module = cast(nn.Module, network)  # whose `to` the type checker can read
    module.requires_grad_(False).eval().to(device)
    if channels_last:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):  # convolutions in time have five dimensions
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return network
