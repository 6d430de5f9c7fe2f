"""Colourfulness of a picture (Hasler and Süsstrunk, 2003): 0 is grey, 109 extremely colourful."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def colorfulness(rgb: NDArray[np.uint8] | NDArray[np.float32], *, absolute: bool = False) -> float:
    """Of R'G'B' ``[H, W, 3]`` in 0 to 255: √(σ_rg² + σ_yb²) + 0.3·√(μ_rg² + μ_yb²), with
    rg = R − G and yb = (R + G)/2 − B.

    `absolute` takes |rg| and |yb|, as much published code does and the paper of the measure does
    not; such figures are lower.
    """
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
