"""Colours brought to a reference's mean and spread, in 8 bits: the last step of each pass of
Kosugi 2025 (arXiv 2505.15812), to the digit of its official code, in which it is named nowhere.

OpenCV's 8-bit Lab: L 0 to 255, a and b with 128 as neutral. H, W height and width.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_REDUCTION = 4  # the official code takes a reference of 512 pixels down to 128


@dataclass(frozen=True, slots=True)
class ColourStatistics:
    """Mean and standard deviation (population) of a and of b over one picture."""

    mean: tuple[float, float]
    deviation: tuple[float, float]

    @classmethod
    def of(cls, lab: Bytes) -> ColourStatistics:
        """Of 8-bit Lab ``[H, W, 3]``."""
        a, b = lab[..., 1], lab[..., 2]
        return cls((float(a.mean()), float(b.mean())), (float(a.std()), float(b.std())))

    @classmethod
    def of_reference(cls, rgb: Bytes) -> ColourStatistics:
        """Of R'G'B' ``[H, W, 3]`` without its finest detail: reduced to a quarter, and back."""
        height, width = rgb.shape[:2]
        small = (max(1, width // _REDUCTION), max(1, height // _REDUCTION))
        reduced = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
        smooth = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)
        return cls.of(_lab(np.asarray(smooth, np.uint8)))


def truncated(unit: NDArray[np.float32]) -> Bytes:
    """R'G'B' in [0, 1] as bytes, cut off as in the official code, not rounded."""
    return (unit * np.float32(255)).astype(np.uint8)


def with_statistics(output: Bytes, grey: Bytes, wanted: ColourStatistics) -> Bytes:
    """R'G'B' ``[H, W, 3]`` of L from `grey` and a, b from `output` with the `wanted` statistics.

    The official code lets values outside of 8 bits wrap around; they are clipped here.
    """
    lab = _lab(output)
    lab[..., 1:] = np.clip(matched(lab, wanted), 0, 255).astype(np.uint8)
    lab[..., 0] = _lab(grey)[..., 0]
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def matched(lab: Bytes, wanted: ColourStatistics) -> NDArray[np.float64]:
    """a and b ``[H, W, 2]`` of 8-bit Lab, shifted and scaled to `wanted`, before 8 bits.

    A plane that is one value has no spread to scale (the official code divides by zero): it stays
    as it is, so that a grey output stays grey.
    """
    present = ColourStatistics.of(lab)
    planes = [lab[..., 1].astype(np.float64), lab[..., 2].astype(np.float64)]
    for i, plane in enumerate(planes):
        if present.deviation[i] > 0:
            ratio = wanted.deviation[i] / present.deviation[i]
            planes[i] = (plane - present.mean[i]) * ratio + wanted.mean[i]
    return np.stack(planes, axis=-1)


def _lab(rgb: Bytes) -> Bytes:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.uint8)
