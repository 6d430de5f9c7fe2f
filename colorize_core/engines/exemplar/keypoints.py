"""Sparse matching: SIFT keypoints of two pictures, and the planar motions that explain them.

The pictures may differ in place, scale, turn and brightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.raster import to_byte

_CONTRAST = 0.02  # SIFT's threshold, half of its default: old film is soft
_RATIO = 0.85  # Lowe's test on the two nearest descriptors
_ERROR_PX = 3.0  # distance from a motion at which a match still belongs to it


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """Positions float32 ``[N, 2]`` (x, y in pixels) and unit descriptors float32 ``[N, 128]``."""

    points: F32
    descriptors: F32


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A homography ``[3, 3]`` from one picture to another, and the matches that obey it.

    `inliers` is boolean, one for each match that the motion was looked for in.
    """

    matrix: NDArray[np.float64]
    inliers: NDArray[np.bool_]


def keypoints(lstar: F32, most: int) -> Keypoints:
    """The `most` strongest SIFT keypoints (Lowe 2004), their descriptors as RootSIFT
    (Arandjelović and Zisserman 2012)."""
    sift = cv2.SIFT.create(most, contrastThreshold=_CONTRAST)
    found, descriptors = sift.detectAndCompute(to_byte(lstar), None)
    if not found:
        return Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    total = descriptors.sum(axis=1, keepdims=True) + np.float32(1e-6)
    return Keypoints(np.array([k.pt for k in found], np.float32), np.sqrt(descriptors / total))


def match(first: Keypoints, second: Keypoints) -> NDArray[np.intp]:
    """Index pairs int ``[M, 2]`` of mutual nearest neighbours that pass Lowe's ratio test."""
    if len(first.points) < 2 or len(second.points) < 2:
        return np.zeros((0, 2), np.intp)
    likeness = first.descriptors @ second.descriptors.T
    rows = np.arange(len(likeness))
    best = likeness.argmax(axis=1)
    top = likeness[rows, best]
    mutual = likeness.argmax(axis=0)[best] == rows
    likeness[rows, best] = -1
    distance, next_distance = (2 - 2 * np.minimum(s, 1) for s in (top, likeness.max(axis=1)))
    passed = mutual & (distance < _RATIO**2 * next_distance)
    return np.stack([rows[passed], best[passed]], axis=1)


def motions(first: F32, second: F32, most: int, least_inliers: int) -> list[Motion]:
    """Up to `most` planar motions from matched positions `first` to `second`, strongest first.

    Each is found among the matches that the ones before leave unexplained. OpenCV's USAC draws
    the same samples every time.
    """
    found: list[Motion] = []
    free = np.ones(len(first), bool)
    while len(found) < most and int(free.sum()) >= least_inliers:
        matrix, mask = cv2.findHomography(
            first[free], second[free], cv2.USAC_MAGSAC, _ERROR_PX, None, 2000, 0.999
        )
        if matrix is None or int(mask.sum()) < least_inliers:
            break
        inliers = np.zeros(len(first), bool)
        inliers[free] = mask.ravel() > 0
        free &= ~inliers
        found.append(Motion(np.asarray(matrix, np.float64), inliers))
    return found


def is_plausible(motion: Motion, size: Sequence[int]) -> bool:
    """Whether the motion keeps a picture of `size` (width, height) whole: no fold, no collapse,
    and no change of area beyond 16 times."""
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = cv2.perspectiveTransform(corners[None], motion.matrix)[0]
    if not np.isfinite(seen).all() or not cv2.isContourConvex(seen.astype(np.float32)):
        return False
    area = cv2.contourArea(seen.astype(np.float32), oriented=True) / (width * height)
    return 1 / 16 < area < 16
