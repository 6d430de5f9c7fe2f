"""Non-local recall: a frame's colours from places of a coloured frame that look alike.

An attention with hand-made queries and keys: patches of L* and the place where optical flow
expects the match; softmax over a window of the source; values are a*b*. It answers where optical
flow fails, fast limbs and uncovered ground, and is blurry where flow is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from colorize_core.engines.contract import F32, Chroma
from colorize_core.engines.exemplar.raster import resized
from colorize_core.engines.exemplar.settings import CarrySettings

CELL_PX = 4  # side of a recall cell in working pixels
_PATCH = 5  # cells along a patch
_TILE = 8  # cells along a tile of targets that share one window
_REACH = 12  # cells from a tile to the border of its window
_TEXTURE_WEIGHT = 0.7
_WIDE_WEIGHT = 0.4
_DISTRUST = 0.05  # weight of a source colour without confidence, beside 1


def describe(lstar: F32) -> F32:
    """Cells ``[h, w, D]`` of a picture ``[H, W]``; distances are in units of L*."""
    height, width = lstar.shape
    size = (max(1, width // CELL_PX), max(1, height // CELL_PX))
    cells = resized(lstar, size)
    reach = _PATCH // 2
    padded = cv2.copyMakeBorder(cells, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    window = np.lib.stride_tricks.sliding_window_view(padded, (_PATCH, _PATCH))
    line = np.exp(-((np.arange(_PATCH) - reach) ** 2) / (2 * (reach / 1.5) ** 2))
    weight = np.sqrt(np.outer(line, line) / line.sum() ** 2).astype(np.float32)
    patches = (window * weight).reshape(size[1], size[0], -1)
    detail = lstar - cv2.GaussianBlur(lstar, (0, 0), 3)
    energy = resized(cv2.GaussianBlur(detail * detail, (0, 0), 3), size)
    wide = cv2.GaussianBlur(cells, (0, 0), 4)
    extra = np.dstack([_TEXTURE_WEIGHT * np.sqrt(energy), _WIDE_WEIGHT * wide])
    return np.concatenate([patches, extra.astype(np.float32)], axis=2)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a coloured frame remembers: cells' features ``[h, w, D]``, a*b* and confidence."""

    features: F32
    ab: F32
    confidence: F32

    @classmethod
    def of(cls, lstar: F32, chroma: Chroma) -> Memory:
        features = describe(lstar)
        size = (features.shape[1], features.shape[0])
        return cls(features, resized(chroma.ab, size), resized(chroma.confidence, size))


def recall(features: F32, expected: F32, memory: Memory, settings: CarrySettings) -> F32:
    """a*b* float32 ``[h, w, 2]`` for the cells of a frame.

    Args:
        features: the frame's cells (`describe`).
        expected: float32 ``[h, w, 2]``, where in the memory each cell is expected, in cells.
    """
    rows, columns = features.shape[:2]
    ab = np.empty((rows, columns, 2), np.float32)
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            tile = np.s_[top : top + _TILE, left : left + _TILE]
            ab[tile] = _attend(features[tile], expected[tile], memory, settings)
    return ab


def _attend(queries: F32, expected: F32, memory: Memory, settings: CarrySettings) -> F32:
    rows, columns = memory.features.shape[:2]
    centre = expected.reshape(-1, 2).mean(axis=0)
    x0, x1 = _window(centre[0], columns)
    y0, y1 = _window(centre[1], rows)
    there = np.s_[y0:y1, x0:x1]
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    near = settings.recall_nearness
    keys = np.dstack([memory.features[there], x * near, y * near]).reshape(
        (y1 - y0) * (x1 - x0), -1
    )
    asked = np.dstack([queries, expected * near]).reshape(-1, keys.shape[1])
    half_square = np.einsum("nd,nd->n", keys, keys) / 2
    score = (asked @ keys.T - half_square) / np.float32(settings.recall_softness**2)
    score -= score.max(axis=1, keepdims=True)
    weight = np.exp(score) * (memory.confidence[there].ravel() + np.float32(_DISTRUST))
    found = weight @ memory.ab[there].reshape(-1, 2) / weight.sum(axis=1, keepdims=True)
    return found.reshape(*queries.shape[:2], 2)


def _window(centre: float, length: int) -> tuple[int, int]:
    side = min(length, _TILE + 2 * _REACH)
    start = int(np.clip(round(float(centre)) - side // 2, 0, length - side))
    return start, start + side
