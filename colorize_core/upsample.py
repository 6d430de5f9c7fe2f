"""Chroma from the working size to the film's size, along the edges of the film's lightness."""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32

_RADIUS = 1  # working pixels; the window of the local linear model
_EPS_LIGHTNESS = np.float32(100)  # L*²: contrast below 10 L* is taken for grain, not for an edge
_EPS_CHROMA = np.float32(1)  # a*², b*²


def upsample_chroma(ab: F32, guide_small: F32, guide_full: F32) -> F32:
    """Bring chroma to the size of `guide_full`; where that is its own size it is returned as it is.

    Cubic, plus the detail that lightness foretells: the slope of a local linear model of chroma
    on lightness (guided filter, He, Sun and Tang, PAMI 2013) times the lightness that its own
    enlargement lacks. The slope is shrunk by r⁴ of the model's correlation r, so that texture
    without a matching change of colour puts no noise into the chroma.

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
    detail = guide_full - _enlarged(guide_small, size, cv2.INTER_CUBIC)
    mean_light = _mean(guide_small)
    var_light = np.maximum(_mean(guide_small * guide_small) - mean_light**2, 0) + _EPS_LIGHTNESS
    channels = []
    for channel in (ab[..., 0], ab[..., 1]):
        slope = _slope(np.asarray(channel), guide_small, mean_light, var_light)
        smooth = _enlarged(channel, size, cv2.INTER_CUBIC)
        channels.append(smooth + _enlarged(slope, size, cv2.INTER_LINEAR) * detail)
    return np.asarray(cv2.merge(channels), np.float32)


def _slope(channel: F32, light: F32, mean_light: F32, var_light: F32) -> F32:
    """How a channel changes with lightness around each pixel, shrunk, ``[h, w]``."""
    mean = _mean(channel)
    variance = np.maximum(_mean(channel * channel) - mean**2, 0) + _EPS_CHROMA
    covariance = _mean(channel * light) - mean * mean_light
    correlation2 = np.minimum(covariance**2 / (var_light * variance), 1)
    return np.asarray(covariance / var_light * correlation2**2, np.float32)


def _mean(plane: F32) -> F32:
    side = 2 * _RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)


def _enlarged(plane: F32, size: tuple[int, int], how: int) -> F32:
    return np.asarray(cv2.resize(plane, size, interpolation=how), np.float32)
