"""How far two frames are from showing the same thing, on small pictures of them.

A block of the later frame is *explained* when it is found near its own place in the earlier one, up
to gain and offset. Camera and objects move blocks, lamps and fades change their gain, dust spoils a
few of them; only another picture leaves most of them unexplained.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from colorize_core.engines.contract import F32

PIXELS = 2304  # of a small picture: 64x36, or as many in another shape
BLOCK, STEP, REACH = 12, 8, 6  # side of a block, from block to block, farthest move; in pixels
FLAT = 0.5  # contrast in grey levels below which a block says nothing


class Small(NamedTuple):
    """A small picture of a frame.

    Attributes:
        frame: its number in the film.
        luma: float32 ``[h, w]``, grey levels in [0, 255].
        unit: float32 ``[h * w]``, `luma` brought to mean 0 and norm 1.
        contrast: standard deviation of `luma`, in grey levels.
    """

    frame: int
    luma: F32
    unit: F32
    contrast: float


def shrink(frame: int, luma: NDArray[np.uint8]) -> Small:
    """The small picture, of about `PIXELS` pixels, of a frame's luma, uint8 ``[H, W]``."""
    while luma.size >= 16 * PIXELS:  # halving by area is ten times faster than one uneven step
        height, width = luma.shape[0] // 2, luma.shape[1] // 2
        even = luma[: 2 * height, : 2 * width]
        luma = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    scale = (PIXELS / luma.size) ** 0.5
    height, width = (max(BLOCK, round(side * scale)) for side in luma.shape)
    exact = luma.astype(np.float32)
    small = np.asarray(cv2.resize(exact, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    centred = (small - small.mean()).ravel()
    norm = float(np.linalg.norm(centred))
    return Small(frame, small, centred / max(norm, 1e-6), norm / centred.size**0.5)


def correlation(a: Small, b: Small) -> float:
    """Pearson correlation of two pictures in place, in [-1, 1]: quick, and blind to motion."""
    return float(a.unit @ b.unit)


def dissimilarity(a: Small, b: Small) -> float:
    """How little of `b` is explained by `a`, in [0, 1].

    One minus the highest normalized cross-correlation of each block of `b` with `a` within `REACH`
    of its place, averaged with the blocks' contrast as weight. Neighbours in one shot have about
    0.05, in a whip pan 0.4; pictures of different things 0.45 to 0.75, 0.58 in the middle. Where
    `b` is flat everywhere nothing speaks against `a`, and the value is 0.
    """
    blocks = sliding_window_view(b.luma, (BLOCK, BLOCK))[::STEP, ::STEP]
    unexplained = weight = 0.0
    for (row, column), contrast in np.ndenumerate(blocks.std(axis=(2, 3))):
        if contrast < FLAT:
            continue
        y, x = int(row) * STEP, int(column) * STEP
        top, left = max(0, y - REACH), max(0, x - REACH)
        window = a.luma[top : y + BLOCK + REACH, left : x + BLOCK + REACH]
        found = cv2.matchTemplate(window, blocks[row, column], cv2.TM_CCOEFF_NORMED)
        unexplained += float(contrast) * (1.0 - max(0.0, float(found.max())))
        weight += float(contrast)
    return unexplained / weight if weight else 0.0


class Mixture(NamedTuple):
    """The least-squares fit of a picture by two others, means set aside.

    Attributes:
        explained: share of its variance that the fit explains, R², in [0, 1].
        share: of the second picture in the mixture; 0 and 1 are the pictures themselves.
        total: weights of both together: 1 in a dissolve, less in a fade, more in a flash.
    """

    explained: float
    share: float
    total: float


def mixture(a: Small, middle: Small, b: Small) -> Mixture:
    """`middle` as a weighted sum of `a` and `b`, in place."""
    of_a, of_b, both = correlation(a, middle), correlation(middle, b), correlation(a, b)
    rest = max(1.0 - both * both, 1e-6)
    explained = (of_a * of_a + of_b * of_b - 2.0 * of_a * of_b * both) / rest
    weight_a = (of_a - of_b * both) / rest * middle.contrast / max(a.contrast, 1e-6)
    weight_b = (of_b - of_a * both) / rest * middle.contrast / max(b.contrast, 1e-6)
    total = weight_a + weight_b
    return Mixture(explained, weight_b / total if total > 0.0 else 0.0, total)
