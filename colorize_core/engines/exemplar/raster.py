"""Pictures as arrays: sizes, positions and sampling, as the matching code needs them.

OpenCV's functions with the element type kept for the type checker, and one convention: positions
are x, y in pixels, with pixel centres at whole numbers.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32


def resized(picture: NDArray[np.floating], size: tuple[int, int]) -> F32:
    """`picture` (``[H, W]`` or ``[H, W, C]``) at `size` (width, height): area means where it
    shrinks, bilinear where it grows."""
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.float32)


def to_area(picture: F32, pixels: int) -> F32:
    """`picture` (``[H, W]`` or ``[H, W, C]``) at about so many pixels, aspect kept."""
    width, height = size_of(picture)
    scale = math.sqrt(pixels / (width * height))
    return resized(picture, (max(1, round(width * scale)), max(1, round(height * scale))))


def sampled(picture: F32, positions: F32) -> F32:
    """`picture` read at `positions` (float32 ``[H, W, 2]``), bilinear, borders repeated."""
    x, y = cv2.split(positions)
    read = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def blurred(picture: NDArray[np.floating], side: int) -> F32:
    """Means over squares of `side` pixels, borders repeated."""
    return np.asarray(cv2.blur(picture, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)


def mean_square(picture: NDArray[np.floating], side: int) -> F32:
    """Means of squares over squares of `side` pixels, at least 0: running sums of large and tiny
    squares may end a little below."""
    return np.maximum(blurred(picture * picture, side), 0)


def positions_in(size: tuple[int, int], other: tuple[int, int]) -> F32:
    """Where the pixels of a picture of `size` (width, height) lie in one of size `other` that
    shows the same: float32 ``[height, width, 2]``."""
    (width, height), (other_width, other_height) = size, other
    x = (np.arange(width, dtype=np.float32) + 0.5) * (other_width / width) - 0.5
    y = (np.arange(height, dtype=np.float32) + 0.5) * (other_height / height) - 0.5
    return np.stack(np.meshgrid(x, y), axis=2).astype(np.float32)


def outside(positions: F32, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of `positions` ``[..., 2]`` lie beyond the pixel centres of a picture of `size`."""
    x, y = positions[..., 0], positions[..., 1]
    return (x < 0) | (x > size[0] - 1) | (y < 0) | (y > size[1] - 1)


def size_of(picture: F32) -> tuple[int, int]:
    """Width and height."""
    return picture.shape[1], picture.shape[0]


def to_byte(lstar: F32) -> NDArray[np.uint8]:
    """L* [0, 100] as uint8 [0, 255], for OpenCV's detectors and flows."""
    return np.clip(lstar * np.float32(2.55) + np.float32(0.5), 0, 255).astype(np.uint8)
