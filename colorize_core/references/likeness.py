"""How alike two grey pictures are: the same scene, or the very same picture.

Figures are of 154 pictures at 100,000 pixels: DAVIS, Tears of Steel, old films, photographs.
"""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.keypoints import (
    Keypoints,
    Motion,
    is_plausible,
    keypoints,
    match,
    motions,
)
from colorize_core.engines.exemplar.raster import blurred, size_of, to_area

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
    small = to_area(lstar, _PIXELS)
    return keypoints(small, _KEYPOINTS), size_of(small)


def same_scene(first: SceneKeypoints, second: SceneKeypoints) -> float:
    """How surely two pictures show the same scene, in [0, 1]; from 0.5 on they do.

    It is n / (n + 9) for n matches of keypoints on one planar motion: what is seen from another
    side or has moved as a whole scores, what only looks similar does not.
    """
    return sureness(shared_motion(first, second))


def sureness(motion: Motion | None) -> float:
    """`same_scene` of two pictures with this motion between them."""
    count = 0 if motion is None else int(motion.inliers.sum())
    return count / (count + _HALF)


def shared_motion(first: SceneKeypoints, second: SceneKeypoints) -> Motion | None:
    """The planar motion from the first picture to the second that most of their matches are on;
    None where there is none, or it is of a small part of the picture."""
    (ours, our_size), (theirs, their_size) = first, second
    pairs = match(ours, theirs)
    here, there = ours.points[pairs[:, 0]], theirs.points[pairs[:, 1]]
    found = motions(here, there, 1, 5)
    if not found or not is_plausible(found[0], our_size):
        return None
    inliers = found[0].inliers
    for points, (width, height) in ((here, our_size), (there, their_size)):
        if cv2.contourArea(cv2.convexHull(points[inliers])) < _LEAST_AREA * width * height:
            return None
    return found[0]


def structure(first: F32, second: F32) -> float:
    """Mean of `local_structure`, in [-1, 1]: a frame and its coloured still have 0.95 and more, two
    frames with motion between them 0.4 to 0.9."""
    return float(np.mean(local_structure(first, second)))


def local_structure(first: F32, second: F32) -> F32:
    """Local correlation of two pictures of one size ``[H, W]``, in [-1, 1], around each pixel.

    It is SSIM's structure term (Wang et al. 2004), which brightness and contrast do not change.
    """
    mean_first, mean_second = blurred(first, _WINDOW), blurred(second, _WINDOW)
    variance_first = np.maximum(blurred(first * first, _WINDOW) - mean_first**2, 0)
    variance_second = np.maximum(blurred(second * second, _WINDOW) - mean_second**2, 0)
    covariance = blurred(first * second, _WINDOW) - mean_first * mean_second
    spread = np.sqrt(variance_first * variance_second)
    return np.asarray((covariance + _NOISE) / (spread + _NOISE), np.float32)
