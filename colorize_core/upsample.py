"""Chroma from the working size to the film's size, along the edges of the film's lightness."""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32

_RADIUS = 2  # small pixels; the window of the local linear model
_EPS = 25.0  # L*²: lightness contrast far below √eps is taken for grain, not for an edge


def upsample_chroma(ab: F32, guide_small: F32, guide_full: F32) -> F32:
    """Bring chroma to the size of `guide_full`; where that is its own size it is returned as it is.

    Bilinear, plus the detail that a local linear model of chroma on lightness foretells: the
    slopes of the guided filter (He, Sun and Tang, PAMI 2013), fitted at the small size, times
    what the full lightness has and its own enlargement lacks.

    Args:
        ab: float32 ``[h, w, 2]``, a*b*.
        guide_small: float32 ``[h, w]``, L* of the frame at that size.
        guide_full: float32 ``[H, W]``, L* of the frame.

    Returns:
        float32 ``[H, W, 2]``.
    """
    if guide_full.shape == guide_small.shape:
        return ab
    size = (guide_full.shape[1], guide_full.shape[0])
    slope = _slopes(ab, guide_small)
    small = np.concatenate([ab - slope * guide_small[..., None], slope], axis=2)
    large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[..., :2] + large[..., 2:] * guide_full[..., None], np.float32)


def _slopes(ab: F32, guide: F32) -> F32:
    """d(ab)/dL* of the best line in the window around each pixel, ``[h, w, 2]``."""
    weighted = np.concatenate(
        [guide[..., None], (guide * guide)[..., None], ab, ab * guide[..., None]], axis=2
    )
    means = _box(weighted)
    mean_guide = means[..., :1]
    variance = means[..., 1:2] - mean_guide * mean_guide
    covariance = means[..., 4:] - mean_guide * means[..., 2:4]
    return _box(covariance / (np.maximum(variance, 0) + np.float32(_EPS)))


def _box(values: F32) -> F32:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)
