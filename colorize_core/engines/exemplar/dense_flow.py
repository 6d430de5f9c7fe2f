"""Optical flow between two grey frames, and how far to believe it.

A flow of frame j to frame i is float32 ``[H, W, 2]``: frame j's pixel x shows what frame i shows
at x + flow[x], in x, y.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.raster import positions_in, sampled
from colorize_core.engines.exemplar.settings import CarrySettings

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
_SMALLEST_PX = 16  # DIS fails on pictures smaller than its patches
# Anchors are walked to over the frames that segments go through next, often in the same process.
_KEPT_BYTES = 64 * 2**20


class _Kept:
    """The flows between neighbours that this process has found last, by what they are between."""

    def __init__(self) -> None:
        self._flows: OrderedDict[bytes, F32] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> F32 | None:
        return self._flows.get(key)

    def put(self, key: bytes, flow: F32) -> None:
        flow.flags.writeable = False
        self._flows[key] = flow
        self._bytes += flow.nbytes
        while self._bytes > _KEPT_BYTES:
            self._bytes -= self._flows.popitem(last=False)[1].nbytes


_kept = _Kept()


class DenseFlow:
    """DIS optical flow (Kroeger et al., ECCV 2016), the same bytes on every machine size."""

    def __init__(self, settings: CarrySettings) -> None:
        # DIS cuts a picture into one stripe for each OpenCV thread, and its result depends on them
        cv2.setNumThreads(1)
        self._preset = settings.flow_preset
        self._dis = cv2.DISOpticalFlow.create(_PRESETS[self._preset])

    def between(self, target: NDArray[np.uint8], source: NDArray[np.uint8]) -> F32:
        """Flow of `target` to `source`, both uint8 ``[H, W]``. Tiny pictures do not move."""
        height, width = target.shape
        zero = np.zeros((height, width, 2), np.float32)
        if min(height, width) < _SMALLEST_PX:
            return zero
        return np.asarray(self._dis.calc(target, source, zero), np.float32)

    def neighbours(self, target: NDArray[np.uint8], source: NDArray[np.uint8]) -> F32:
        """As `between`, for frames of a film side by side: found once, then remembered for a while.
        Read-only."""
        key = hashlib.blake2b(
            target.tobytes() + source.tobytes(), digest_size=16, person=self._preset.encode()
        ).digest()
        flow = _kept.get(key)
        if flow is None:
            flow = self.between(target, source)
            _kept.put(key, flow)
        return flow


def identity(shape: tuple[int, ...]) -> F32:
    """The coordinate map of a picture onto itself."""
    size = (shape[1], shape[0])
    return positions_in(size, size)


def advanced(trail: F32, flow: F32, grid: F32) -> F32:
    """A trail, offsets ``[H, W, 2]`` into a source (what follows x, y comes along), seen from the
    next frame: M(x) becomes M(x + f(x)). Offsets are interpolated, not coordinates, so that what
    lies beyond the border moves as the border does."""
    moved = sampled(trail, grid + flow)
    moved[..., :2] += flow
    return moved


def inconsistency(flow: F32, reverse: F32, grid: F32) -> F32:
    """Squared forward–backward error in px², float32 ``[H, W]``.

    |f(x) + b(x + f(x))|², and for a pixel that comes from outside the picture the square of how
    far outside.
    """
    moved = grid + flow
    error = flow + sampled(reverse, moved)
    height, width = flow.shape[:2]
    limit = np.array([width - 1, height - 1], np.float32)
    outside = moved - np.clip(moved, 0, limit)
    squares = error * error + outside * outside
    return np.asarray(squares[..., 0] + squares[..., 1], np.float32)
