"""Confidence-weighted guided filter: sure colours flow to unsure places, along the luma's edges."""

from __future__ import annotations

import numpy as np

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.raster import blurred

_FLOOR = np.float32(1e-4)  # weight of a place without confidence: keeps every window solvable


def guided_smooth(values: F32, weight: F32, guide: F32, radius: int, eps: float) -> F32:
    """Fits, in each window, `values` as a linear function of `guide`, sure places counting more.

    The guided filter of He, Sun and Tang (PAMI 2013) with weighted window means.

    Args:
        values: float32 ``[H, W, 2]``. weight: float32 ``[H, W]`` in [0, 1].
        guide: float32 ``[H, W]``, L*. radius: of the window, in pixels.
        eps: variance of `guide` (L*²) below which a window is averaged instead of fitted.
    """
    side = 2 * radius + 1
    terms = np.empty((*guide.shape, 7), np.float32)
    terms[..., 0], terms[..., 1], terms[..., 2] = 1, guide, guide * guide
    terms[..., 3:5], terms[..., 5:7] = values, values * guide[..., None]
    terms *= (weight + _FLOOR)[..., None]
    sums = blurred(terms, side)
    share, means = sums[..., :1], sums[..., 1:] / sums[..., :1]
    mean_guide, mean_values = means[..., 0:1], means[..., 2:4]
    variance = np.maximum(means[..., 1:2] - mean_guide**2, 0) + np.float32(eps)
    slope = (means[..., 4:6] - mean_guide * mean_values) / variance
    offset = mean_values - slope * mean_guide
    # where the fits that cover a pixel are averaged, windows with sure colours speak louder
    fits = blurred(np.concatenate([slope * share, offset * share, share], axis=2), side)
    return (fits[..., 0:2] * guide[..., None] + fits[..., 2:4]) / fits[..., 4:5]
