"""Warp error (Lai et al., 2018), on chroma: how much colours flicker where the picture moves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32

# Where flow forward and back do not meet within these, something is covered or uncovered.
_OCCLUDED, _OCCLUDED_PX2 = 0.01, 0.5


def warp_error(
    before: F32, after: F32, grey_before: NDArray[np.uint8], grey_after: NDArray[np.uint8]
) -> float:
    """Mean squared difference of two frames' chroma ``[H, W, 2]`` (a*b*), the second brought to the
    first by optical flow (DIS, medium) of the grey frames ``[H, W]``, where that can be followed.
    0 where nothing can."""
    forward, back = _flow(grey_before, grey_after), _flow(grey_after, grey_before)
    seen = ~_occluded(forward, back)
    if not seen.any():
        return 0.0
    difference = before - _warp(after, forward)
    return float(np.square(difference).sum(axis=-1)[seen].mean())


def _flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> F32:
    made = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(made.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)


def _occluded(forward: F32, back: F32) -> NDArray[np.bool_]:
    """|f + b|² > 0.01·(|f|² + |b|²) + 0.5, with b where f leads; and what leads out of sight."""
    there = _warp(back, forward)
    apart = np.square(forward + there).sum(axis=-1)
    length = np.square(forward).sum(axis=-1) + np.square(there).sum(axis=-1)
    height, width = forward.shape[:2]
    x, y = _targets(forward)
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return (apart > _OCCLUDED * length + _OCCLUDED_PX2) | outside


def _warp(picture: F32, flow: F32) -> F32:
    """`picture` as it is seen from where `flow` begins."""
    x, y = _targets(flow)
    warped = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _targets(flow: F32) -> tuple[F32, F32]:
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return columns + flow[..., 0], rows + flow[..., 1]
