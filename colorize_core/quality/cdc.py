"""CDC, colour distribution consistency (TCVC): how much a clip's histograms change over time.

Per channel the 256-bin histogram of each 8-bit frame, divided by its pixels; the Jensen–Shannon
divergence (natural logarithm, no square root) of frames i and i + d, mean over i, for d = 1, 2, 4;
the mean of the three. 0: nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEPS = (1, 2, 4)
LEAST_FRAMES = max(STEPS) + 1
LEVELS = 256

F64 = NDArray[np.float64]


def histogram(rgb: NDArray[np.uint8]) -> F64:
    """Of an 8-bit frame ``[H, W, 3]``: ``[3, 256]``, each channel's sum 1."""
    pixels = rgb.reshape(-1, 3)
    counts = [np.bincount(pixels[:, channel], minlength=LEVELS) for channel in range(3)]
    return np.array(counts) / len(pixels)


def cdc(histograms: Sequence[F64]) -> F64:
    """CDC of a clip for each channel, ``[3]``, from the histograms of its frames, in order.

    Raises:
        ValueError: fewer than `LEAST_FRAMES` frames.
    """
    if len(histograms) < LEAST_FRAMES:
        raise ValueError(f"CDC wants {LEAST_FRAMES} frames, not {len(histograms)}")
    stack = np.asarray(histograms)
    return np.mean(
        [_divergence(stack[:-step], stack[step:]).mean(axis=0) for step in STEPS], axis=0
    )


def _divergence(p: F64, q: F64) -> F64:
    """Jensen–Shannon, over the last axis."""
    middle = np.maximum((p + q) / 2, 1e-12)  # a bin that is empty in both counts for nothing
    return (_x_log_y(p, p / middle) + _x_log_y(q, q / middle)).sum(axis=-1) / 2


def _x_log_y(x: F64, y: F64) -> F64:
    return x * np.log(np.where(x > 0, y, 1))
