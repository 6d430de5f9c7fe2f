"""How alike two grey pictures are: the same scene, or the very same picture.

Figures are of 154 pictures at 100,000 pixels: DAVIS, Tears of Steel, old films, photographs.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.keypoints import (
    Keypoints,
    is_plausible,
    keypoints,
    match,
    motions,
)
from colorize_core.engines.exemplar.raster import blurred, resized, size_of

_PIXELS = 100_000
_KEYPOINTS = 800
# Of 8,679 pairs of pictures from different films none had more than 7 matches on one planar motion.
# The 17 of 2,904 pairs from different shots of one film that had 9 and more show the same things.
_HALF = 9
# Matches in a smaller part of the picture join any two frames of a film: a logo, a timecode.
_LEAST_AREA = 0.015
_WINDOW = 9  # pixels, of `structure`
_NOISE = 2.0  # L*², variance that counts as none


SceneKeypoints = tuple[Keypoints, tuple[int, int]]


def scene_keypoints(lstar: F32) -> SceneKeypoints:
    """What `same_scene` compares, with the size of the picture it was found in."""
    width, height = size_of(lstar)
    scale = math.sqrt(_PIXELS / (width * height))
    small = resized(lstar, (max(1, round(width * scale)), max(1, round(height * scale))))
    return keypoints(small, _KEYPOINTS), size_of(small)


def same_scene(first: SceneKeypoints, second: SceneKeypoints) -> float:
    """How surely two pictures show the same scene, in [0, 1]; from 0.5 on they do.

    It is n / (n + 9) for n matches of keypoints on one planar motion: what is seen from another
    side or has moved as a whole scores, what only looks similar does not.
    """
    (ours, our_size), (theirs, their_size) = first, second
    pairs = match(ours, theirs)
    here, there = ours.points[pairs[:, 0]], theirs.points[pairs[:, 1]]
    found = motions(here, there, 1, 5)
    if not found or not is_plausible(found[0], our_size):
        return 0.0
    inliers = found[0].inliers
    for points, (width, height) in ((here, our_size), (there, their_size)):
        if cv2.contourArea(cv2.convexHull(points[inliers])) < _LEAST_AREA * width * height:
            return 0.0
    count = int(inliers.sum())
    return count / (count + _HALF)


def structure(first: F32, second: F32) -> float:
    """Mean local correlation of two pictures of one size, in [-1, 1].

    It is SSIM's structure term (Wang et al. 2004), which brightness and contrast do not change: a
    frame and its coloured still have 0.95 and more, two frames with motion between them 0.4 to 0.9.
    """
    mean_first, mean_second = blurred(first, _WINDOW), blurred(second, _WINDOW)
    variance_first = np.maximum(blurred(first * first, _WINDOW) - mean_first**2, 0)
    variance_second = np.maximum(blurred(second * second, _WINDOW) - mean_second**2, 0)
    covariance = blurred(first * second, _WINDOW) - mean_first * mean_second
    spread = np.sqrt(variance_first * variance_second)
    return float(np.mean((covariance + _NOISE) / (spread + _NOISE)))
