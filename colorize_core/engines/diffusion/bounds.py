"""To what pictures are padded, and how large they get by it. No library is loaded."""

from __future__ import annotations

import math

UNET_MULTIPLE = 64
"""Of padded sides for Stable Diffusion and its video form: the VAE's 8 times the U-Net's 8."""

_WIDEST = 2.4  # aspect up to which padding is allowed for


def most_padded(pixels: int, multiple: int) -> float:
    """Most pixels of a picture of `pixels` whose sides are padded to `multiple`, at any aspect up
    to 2.4 : 1 either way."""
    width, height = math.sqrt(pixels * _WIDEST), math.sqrt(pixels / _WIDEST)
    return (width + multiple - 1) * (height + multiple - 1)
