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
from colorize_core.engines.exemplar.dense_flow import identity
from colorize_core.engines.exemplar.doubt import expected_error, likeness_error
from colorize_core.engines.exemplar.raster import resized
from colorize_core.engines.exemplar.settings import CarrySettings

_PATCH = 5  # cells along a patch
_TILE = 8  # cells along a tile of targets that share one window
_TEXTURE_WEIGHT = 0.7
_WIDE_WEIGHT = 0.4
_LEAST_SCORE = np.float32(-60)  # e⁻⁶⁰ is nothing; less would be subnormal, which is slow
_DISTRUST = 0.05  # weight of a source colour without confidence, beside 1


def grid_of(picture: F32, settings: CarrySettings) -> tuple[int, int]:
    """Columns and rows of a picture's cells."""
    side = settings.recall_cell_px
    return max(1, picture.shape[1] // side), max(1, picture.shape[0] // side)


def describe(lstar: F32, settings: CarrySettings) -> F32:
    """Cells ``[h, w, D]`` of a picture ``[H, W]``; distances are in units of `recall_softness`."""
    size = grid_of(lstar, settings)
    cells = resized(lstar, size)
    reach = _PATCH // 2
    padded = np.pad(cells, reach, mode="edge")
    window = np.lib.stride_tricks.sliding_window_view(padded, (_PATCH, _PATCH))
    line = np.exp(-((np.arange(_PATCH) - reach) ** 2) / (2 * (reach / 1.5) ** 2))
    weight = np.sqrt(np.outer(line, line)) / line.sum()
    detail = lstar - cv2.GaussianBlur(lstar, (0, 0), 3)
    energy = resized(np.asarray(cv2.GaussianBlur(detail * detail, (0, 0), 3), np.float32), size)
    wide = cv2.GaussianBlur(cells, (0, 0), 4)
    features = np.empty((size[1], size[0], _PATCH * _PATCH + 2), np.float32)
    features[..., :-2] = (window * weight.astype(np.float32)).reshape(size[1], size[0], -1)
    features[..., -2] = np.float32(_TEXTURE_WEIGHT) * np.sqrt(energy)
    features[..., -1] = np.float32(_WIDE_WEIGHT) * wide
    return features / np.float32(settings.recall_softness)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a coloured frame remembers of its cells.

    Attributes:
        keys: float32 ``[h, w, D + 3]``: features, place, and what a key's own length and its
            colour's confidence add to every score.
        values: float32 ``[h, w, 4]``: a*, b*, their expected squared error, and 1, whose weighted
            sum is the softmax's divisor.
    """

    keys: F32
    values: F32

    @classmethod
    def of(cls, lstar: F32, chroma: Chroma, settings: CarrySettings) -> Memory:
        features = describe(lstar, settings)
        shape = features.shape[:2]
        size = (shape[1], shape[0])
        located = np.concatenate([features, identity(shape) * _nearness(settings)], axis=2)
        trust = np.log(resized(chroma.confidence, size) + np.float32(_DISTRUST))
        bias = trust - np.einsum("hwd,hwd->hw", located, located) / 2
        ab = resized(chroma.ab, size)
        # a cell does not tell the colours inside it apart
        spread = (resized(chroma.ab * chroma.ab, size) - ab * ab).sum(axis=2)
        error = expected_error(resized(chroma.confidence, size)) + np.maximum(spread, 0)
        values = np.dstack([ab, error, np.ones(shape, np.float32)])
        return cls(np.concatenate([located, bias[..., None]], axis=2), values)


def recall(
    features: F32, expected: F32, memory: Memory, settings: CarrySettings
) -> tuple[F32, F32]:
    """a*b* float32 ``[h, w, 2]`` for the cells of a frame, and their expected squared error.

    Args:
        features: the frame's cells (`describe`).
        expected: float32 ``[h, w, 2]``, where in the memory each cell is expected, in cells.
    """
    rows, columns = features.shape[:2]
    one = np.ones((rows, columns, 1), np.float32)
    queries = np.concatenate([features, expected * _nearness(settings), one], axis=2)
    found = np.empty((rows, columns, 5), np.float32)
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            tile = np.s_[top : top + _TILE, left : left + _TILE]
            x, y = expected[tile].reshape(-1, 2).mean(axis=0)
            there = (
                _window(y, memory.keys.shape[0], settings),
                _window(x, memory.keys.shape[1], settings),
            )
            found[tile] = _attend(queries[tile], memory.keys[there], memory.values[there])
    found[..., :3] /= found[..., 3:4]
    length = np.einsum("hwd,hwd->hw", queries[..., :-1], queries[..., :-1])
    softness = np.float32(settings.recall_softness)
    distance = np.maximum(length - 2 * found[..., 4], 0) * softness * softness
    return found[..., :2], found[..., 2] + likeness_error(distance)


def _attend(queries: F32, keys: F32, values: F32) -> F32:
    """Sums of values under the softmax, ``[..., :4]``, and the best score."""
    score = queries.reshape(-1, queries.shape[2]) @ keys.reshape(-1, keys.shape[2]).T
    best = score.max(axis=1, keepdims=True)
    score -= best
    np.maximum(score, _LEAST_SCORE, out=score)
    np.exp(score, out=score)
    sums = np.hstack([score @ values.reshape(-1, 4), best])
    return sums.reshape(*queries.shape[:2], 5)


def _nearness(settings: CarrySettings) -> np.float32:
    return np.float32(settings.recall_nearness / settings.recall_softness)


def _window(centre: float, length: int, settings: CarrySettings) -> slice:
    """The cells of the memory, along one axis, that a tile expected at `centre` looks at."""
    side = min(length, _TILE + 2 * settings.recall_reach)
    start = min(max(round(float(centre)) - side // 2, 0), length - side)
    return slice(start, start + side)
