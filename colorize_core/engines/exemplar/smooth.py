"""Confidence-weighted guided filter: sure colours flow to unsure places, along the luma's edges."""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32

_FLOOR = 1e-4  # weight of a place without any confidence: keeps every window solvable


def guided_smooth(values: F32, weight: F32, guide: F32, radius: int, eps: float) -> F32:
    """Fits, in each window, `values` as a linear function of `guide`, sure places counting more.

    The guided filter of He, Sun and Tang (PAMI 2013) with weighted window means.

    Args:
        values: float32 ``[H, W, 2]``. weight: float32 ``[H, W]`` in [0, 1].
        guide: float32 ``[H, W]``, L*. radius: of the window, in pixels.
        eps: variance of `guide` (L*²) below which a window is averaged instead of fitted.
    """
    size = (2 * radius + 1, 2 * radius + 1)
    w = weight + np.float32(_FLOOR)
    terms = np.stack(
        [
            w,
            w * guide,
            w * guide * guide,
            w * values[..., 0],
            w * values[..., 1],
            w * guide * values[..., 0],
            w * guide * values[..., 1],
        ],
        axis=2,
    )
    sums = _box(terms, size)
    means = sums[..., 1:] / sums[..., :1]
    mean_guide, variance = means[..., 0], means[..., 1] - means[..., 0] ** 2
    mean_values = means[..., 2:4]
    covariance = means[..., 4:6] - mean_guide[..., None] * mean_values
    slope = covariance / (np.maximum(variance, 0) + np.float32(eps))[..., None]
    offset = mean_values - slope * mean_guide[..., None]
    # windows that hold sure colours speak louder when the fits that cover a pixel are averaged
    share = sums[..., :1]
    fits = _box(np.concatenate([slope * share, offset * share, share], axis=2), size)
    return (fits[..., 0:2] * guide[..., None] + fits[..., 2:4]) / fits[..., 4:5]


def _box(values: F32, size: tuple[int, int]) -> F32:
    return cv2.blur(values, size, borderType=cv2.BORDER_REFLECT)
