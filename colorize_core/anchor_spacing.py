"""How near together anchors lie: nearer where the picture changes fast.

Pure, and from what the scan keeps: the same film and settings give the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from colorize_core.config import RunConfig
from colorize_core.engines.contract import F32
from colorize_core.timebase import FrameSpan

# Change from frame to frame at which anchors lie `anchor_interval` apart: the mean over the shots
# of DAVIS-2016 val and of Tears of Steel.
_USUAL_CHANGE = 0.2
_NEAREST = 3  # anchors are at most so many times nearer together than `anchor_interval`
_WIDEST = 2  # and so many times farther apart
_LEAST_NORM = 1e-3


def change_of(thumbnails: Iterable[NDArray[np.uint8]]) -> F32:
    """How much each frame differs from the one before, float32 ``[frames]``, in [0, 2]; 0 for the
    first frame.

    It is the distance of the two thumbnails as vectors of mean 0 and length 1: a flicker of the
    light is no change, other things or the same ones elsewhere are. What a frame's neighbour does
    not explain is also what colours carried between them are least sure of.

    Args:
        thumbnails: all frames of the film in order, in blocks uint8 ``[frames, h, w]``.
    """
    found = [np.zeros(0, np.float32)]
    last: F32 | None = None
    for block in thumbnails:
        flat = block.reshape(len(block), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.float32(_LEAST_NORM))
        before = np.vstack([flat[:1] if last is None else last, flat[:-1]])
        found.append(np.linalg.norm(flat - before, axis=1).astype(np.float32))
        last = flat[-1:]
    return np.concatenate(found)


def density_of(change: F32, span: FrameSpan, config: RunConfig) -> NDArray[np.float64]:
    """Anchors per frame at each frame of a shot, float64 ``[frames of the shot]``: in proportion to
    the change around it, and 1 / `anchor_interval` where that is usual.

    The change is a mean over twice `anchor_interval` frames on either side, within the shot: most
    shots are one as a whole. (Anchors crowded where a shot moves most leave its calm frames worse
    off by more than the others gain.) Bounds keep segments inside what the interpolator takes.
    """
    interval = config.anchor_interval
    widest = _WIDEST * interval
    if config.parts.interpolation == "svd":
        widest = min(widest, config.svd.max_frames - 1)
    nearest = max(1, interval // _NEAREST)
    own = change[span.start + 1 : span.end].astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(own)])
    at = np.arange(len(span))
    first = np.maximum(at - 2 * interval, 0)
    last = np.minimum(at + 2 * interval, len(own))
    mean = (total[last] - total[first]) / np.maximum(last - first, 1)
    # Half a frame of room: however shares fall, no segment is longer than `widest`.
    return np.clip(mean / (_USUAL_CHANGE * interval), 1 / max(widest - 0.5, 1), 1 / nearest)
