"""Memory of part `svd`, by the widths of its networks; no weights are loaded.

Counted are the tensors that live at once in each network's largest moment. What a driver, cuDNN
or cuBLAS take for themselves is not. Pixels are of padded pictures; a latent has one for 64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colorize_core.engines.contract import Memory
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.bidirectional import Plan
from colorize_core.engines.diffusion.published import ELEMENT_BYTES
from colorize_core.engines.diffusion.settings import SvdSettings

_LATENT = 64  # pixels for one position of a latent
_LATENTS = 16  # bytes of one position: four channels, float32
_PICTURES = 60  # bytes a pixel: five float32 pictures around the networks
_MULTIPLE = 64
_WIDEST = 2.4  # aspect up to which padding is allowed for


@dataclass(frozen=True, slots=True)
class Widths:
    """Channels of the networks' blocks, at full size first. Defaults: Stable Video Diffusion.
    `stem`: of a ControlNet's stems; 0 without a ControlNet."""

    unet: tuple[int, ...] = (320, 640, 1280, 1280)
    vae: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2  # in one down block of the U-Net
    stem: int = 0

    @classmethod
    def of(cls, settings: SvdSettings) -> Widths:
        """Of the weights that are on this machine; of the published ones where none are."""
        unet, vae = (
            weights.configuration(settings.weights, settings.revision, name) or {}
            for name in ("unet", "vae")
        )
        controlnet: Mapping[str, Any] = {}
        if settings.controlnet:
            controlnet = weights.configuration(*_as_component(settings.controlnet)) or {}
        return cls(
            tuple(unet.get("block_out_channels", cls.unet)),
            tuple(vae.get("block_out_channels", cls.vae)),
            unet.get("layers_per_block", cls.layers),
            controlnet.get("stem_channels", (0,))[0],
        )
