"""Dense hand-made descriptors: what a place in a grey picture looks like, on a grid of cells.

A descriptor holds gradient orientation histograms of the cell, of its eight neighbours and of a
wider ring (the layout of DAISY: Tola, Lepetit and Fua, PAMI 2010), which survive changes of
brightness and small moves, and the lightness around the cell, which tells flat places apart.
"""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.raster import blurred, resized

_ORIENTATIONS = 4  # unsigned: an edge keeps its bin when its contrast turns round
_CONTRAST_FLOOR = 13.5  # L* of gradient, summed over the cells, below which a place is flat
_LIGHTNESS_WEIGHT = 0.02  # one unit of L*, where a fully textured descriptor has length one
_INNER = tuple((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
_RING = ((-3, 0), (3, 0), (0, -3), (0, 3))


def describe(lstar: F32, width: int, height: int) -> F32:
    """Descriptors of a picture on a grid of `width` by `height` cells.

    Args:
        lstar: float32 ``[H, W]``, L* in [0, 100], at least as large as the grid.

    Returns:
        float32 ``[height, width, 55]``. The squared distance of two descriptors is about 0 for the
        same place and 1 to 2 for unrelated ones.
    """
    cells = _orientations(lstar, width, height)
    wide = blurred(cells, 3)
    texture = np.concatenate([*_shifts(cells, _INNER), *_shifts(wide, _RING)], axis=2)
    length = np.sqrt(np.einsum("hwd,hwd->hw", texture, texture) + _CONTRAST_FLOOR**2)
    texture /= length[..., None]
    light = resized(lstar, (width, height))
    around = np.stack([light, blurred(light, 3), blurred(light, 9)], axis=2)
    lightness = around * np.float32(_LIGHTNESS_WEIGHT)
    return np.concatenate([texture, lightness], axis=2)


def _orientations(lstar: F32, width: int, height: int) -> F32:
    """Mean gradient of each cell by orientation, float32 ``[height, width, 4]``, in L* a pixel."""
    dx = cv2.Scharr(lstar, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(lstar, cv2.CV_32F, 0, 1, scale=1 / 32)
    energy = dx * dx + dy * dy + np.float32(1e-6)
    norm = 1 / (energy * np.sqrt(energy))
    bins = np.empty((*lstar.shape, _ORIENTATIONS), np.float32)
    for i in range(_ORIENTATIONS):
        angle = i * np.pi / _ORIENTATIONS
        along = dx * np.float32(np.cos(angle)) + dy * np.float32(np.sin(angle))
        along *= along
        # |∇L|·cos⁴: a quarter at the neighbouring bin, so that bins share smoothly
        np.multiply(along * along, norm, out=bins[..., i])
    return resized(bins, (width, height))


def _shifts(cells: F32, offsets: tuple[tuple[int, int], ...]) -> list[F32]:
    """`cells` read at (x + dx, y + dy) for each offset, borders repeated."""
    reach = max(max(abs(dx), abs(dy)) for dx, dy in offsets)
    height, width = cells.shape[:2]
    padded = np.pad(cells, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return [
        padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
        for dx, dy in offsets
    ]
