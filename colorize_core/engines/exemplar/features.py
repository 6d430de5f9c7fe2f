"""Dense hand-made descriptors: what a place in a grey picture looks like, on a grid of cells.

A descriptor holds gradient orientation histograms of the cell, of its eight neighbours and of a
wider ring (the layout of DAISY: Tola, Lepetit and Fua, PAMI 2010), which survive changes of
brightness and small moves, and the lightness around the cell, which tells flat places apart.
"""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32

_ORIENTATIONS = 4
_CONTRAST_FLOOR = 1.5  # L* of gradient below which a place counts as flat, not as texture
_LIGHTNESS_WEIGHT = 0.02  # one unit of L* against a descriptor of length one


def orientation_cells(lstar: F32, width: int, height: int) -> F32:
    """Gradient energy by orientation (unsigned, 4 bins), float32 ``[height, width, 4]``."""
    dx = cv2.Scharr(lstar, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(lstar, cv2.CV_32F, 0, 1, scale=1 / 32)
    magnitude, angle = cv2.cartToPolar(dx, dy)
    bins = np.empty((*lstar.shape, _ORIENTATIONS), np.float32)
    for i in range(_ORIENTATIONS):
        centre = i * np.pi / _ORIENTATIONS
        # cos⁴ falls to a quarter at the neighbouring bin: a smooth assignment without branches
        bins[..., i] = magnitude * np.cos(angle - centre) ** 4
    return cv2.resize(bins, (width, height), interpolation=cv2.INTER_AREA)


def describe(lstar: F32, width: int, height: int) -> F32:
    """Descriptors of a picture on a grid of `width` × `height` cells.

    Args:
        lstar: float32 ``[H, W]``, L* in [0, 100], at least as large as the grid.

    Returns:
        float32 ``[height, width, D]``. The squared distance of two descriptors is about 0 for the
        same place and 1 to 2 for unrelated ones.
    """
    cells = orientation_cells(lstar, width, height)
    light = cv2.resize(lstar, (width, height), interpolation=cv2.INTER_AREA)
    fine = [_shift(cells, dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    wide = cv2.blur(cells, (3, 3), borderType=cv2.BORDER_REPLICATE)
    ring = [_shift(wide, dx, dy) for dx, dy in ((-3, 0), (3, 0), (0, -3), (0, 3))]
    texture = np.concatenate([*fine, *ring], axis=2)
    length = np.linalg.norm(texture, axis=2, keepdims=True)
    texture /= np.sqrt(length**2 + (_CONTRAST_FLOOR * len(fine)) ** 2)
    around = [
        light,
        *(cv2.blur(light, (k, k), borderType=cv2.BORDER_REPLICATE) for k in (3, 9)),
    ]
    lightness = np.stack(around, axis=2) * np.float32(_LIGHTNESS_WEIGHT)
    return np.concatenate([texture, lightness], axis=2)


def _shift(cells: F32, dx: int, dy: int) -> F32:
    """`cells` read at (x + dx, y + dy), borders repeated."""
    height, width = cells.shape[:2]
    ys = np.clip(np.arange(height) + dy, 0, height - 1)
    xs = np.clip(np.arange(width) + dx, 0, width - 1)
    return cells[ys][:, xs]
