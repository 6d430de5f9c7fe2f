"""Warp error (Lai et al., 2018), on chroma: how much colours flicker where the picture moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.dense_flow import DenseFlow, identity
from colorize_core.engines.exemplar.raster import outside, sampled, size_of
from colorize_core.engines.exemplar.settings import CarrySettings

# Where flow forward and back do not meet within these, something is covered or uncovered.
_OCCLUDED, _OCCLUDED_PX2 = 0.01, 0.5


def warp_error(
    before: F32, after: F32, grey_before: NDArray[np.uint8], grey_after: NDArray[np.uint8]
) -> float:
    """Mean squared difference of two frames' chroma ``[H, W, 2]`` (a*b*), the second brought to the
    first by optical flow (DIS, medium) of the grey frames ``[H, W]``, where that can be followed.
    0 where nothing can."""
    dis = DenseFlow(CarrySettings(flow_preset="medium"))
    there, seen = followed(dis, grey_before, grey_after)
    return squared_change(before, after, there, seen)


def followed(
    dis: DenseFlow, grey_before: NDArray[np.uint8], grey_after: NDArray[np.uint8]
) -> tuple[F32, NDArray[np.bool_]]:
    """Where each pixel of a frame lies in the next one, float32 ``[H, W, 2]`` in x, y, and whether
    it can be followed there, ``[H, W]``."""
    forward = dis.between(grey_before, grey_after)
    there = identity(grey_before.shape) + forward
    back = sampled(dis.between(grey_after, grey_before), there)
    return there, ~(_occluded(forward, back) | outside(there, size_of(there)))


def squared_change(before: F32, after: F32, there: F32, seen: NDArray[np.bool_]) -> float:
    """Mean squared difference of chroma where it is `seen`; 0 where nothing is."""
    if not seen.any():
        return 0.0
    return float(squared_length(before - sampled(after, there))[seen].mean())


def squared_length(vectors: F32) -> F32:
    """Of each of ``[H, W, 2]``: ``[H, W]``."""
    x, y = vectors[..., 0], vectors[..., 1]
    return np.asarray(x * x + y * y, np.float32)


def _occluded(forward: F32, back: F32) -> NDArray[np.bool_]:
    """|f + b|² > 0.01·(|f|² + |b|²) + 0.5, with b where f leads."""
    apart = squared_length(forward + back)
    length = squared_length(forward) + squared_length(back)
    return apart > _OCCLUDED * length + _OCCLUDED_PX2
