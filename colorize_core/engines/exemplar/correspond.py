"""Dense matching between two pictures: colours for a grey picture from another, coloured one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from colorize_core.engines.contract import F32, Chroma, ColourStill
from colorize_core.engines.exemplar.features import describe
from colorize_core.engines.exemplar.smooth import guided_smooth

_GRID = 72  # cells along the longer side
_KNOWN = 0.5  # confidence from which a colour is kept
_NEIGHBOURS = 4


def transfer(target_lstar: F32, reference: ColourStill) -> Chroma:
    """Colours for a grey picture from a colour still of the same scene.

    Args:
        target_lstar: float32 ``[H, W]``, L* in [0, 100].
        reference: any size.

    Returns:
        At the target's size. Confidence is low where nothing in the still matches.
    """
    height, width = target_lstar.shape
    lab = cv2.resize(reference.lab, (width, height), interpolation=cv2.INTER_AREA)
    known = Chroma(np.ascontiguousarray(lab[..., 1:]), np.ones((height, width), np.float32))
    return fill(Chroma.grey(height, width), target_lstar, [(lab[..., 0].copy(), known)])


def fill(chroma: Chroma, lstar: F32, sources: Sequence[tuple[F32, Chroma]]) -> Chroma:
    """Replaces the unsure colours of a frame by those of the places that look alike elsewhere.

    Args:
        chroma: of the frame; where its confidence is low it is looked up in `sources`.
        lstar: float32 ``[H, W]``, the frame's L*.
        sources: L* and colours of other pictures, any size; the frame's own may be among them.

    Returns:
        The given colours, mixed by confidence with the found ones. Confidence never falls.
    """
    height, width = lstar.shape
    columns, rows = _grid(width, height)
    unsure = cv2.resize(chroma.confidence, (columns, rows), interpolation=cv2.INTER_AREA) < _KNOWN
    if not sources or not unsure.any():
        return chroma
    keys, colours, trust = _library(sources)
    queries = describe(lstar, columns, rows)[unsure]
    found_ab, found_confidence = _look_up(queries, keys, colours, trust)

    ab = cv2.resize(chroma.ab, (columns, rows), interpolation=cv2.INTER_AREA)
    confidence = cv2.resize(chroma.confidence, (columns, rows), interpolation=cv2.INTER_AREA)
    ab[unsure], confidence[unsure] = found_ab, found_confidence
    light = cv2.resize(lstar, (columns, rows), interpolation=cv2.INTER_AREA)
    ab = guided_smooth(ab, confidence, light, radius=2, eps=20.0)
    size = (width, height)
    ab = cv2.resize(ab, size, interpolation=cv2.INTER_LINEAR)
    confidence = cv2.resize(confidence, size, interpolation=cv2.INTER_LINEAR)
    own = np.minimum(chroma.confidence / np.float32(_KNOWN), 1)
    mixed = chroma.ab * own[..., None] + ab * (1 - own)[..., None]
    return Chroma(
        mixed.astype(np.float32),
        np.maximum(chroma.confidence, confidence * (1 - own)).astype(np.float32),
    )


def _grid(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _GRID / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _library(sources: Sequence[tuple[F32, Chroma]]) -> tuple[F32, F32, F32]:
    """Descriptors ``[N, D]``, colours ``[N, 2]`` and confidence ``[N]`` of every source's cells."""
    keys, colours, trust = [], [], []
    for lstar, known in sources:
        size = _grid(lstar.shape[1], lstar.shape[0])
        descriptors = describe(lstar, *size)
        keys.append(descriptors.reshape(-1, descriptors.shape[2]))
        colours.append(cv2.resize(known.ab, size, interpolation=cv2.INTER_AREA).reshape(-1, 2))
        trust.append(cv2.resize(known.confidence, size, interpolation=cv2.INTER_AREA).ravel())
    return np.concatenate(keys), np.concatenate(colours), np.concatenate(trust)


def _look_up(queries: F32, keys: F32, colours: F32, trust: F32) -> tuple[F32, F32]:
    """Colours ``[Q, 2]`` and confidence ``[Q]`` of the nearest cells that can be trusted."""
    distance = (queries**2).sum(1)[:, None] + (keys**2).sum(1)[None] - 2 * queries @ keys.T
    distance += 0.5 * (1 - trust)
    count = min(_NEIGHBOURS, len(keys))
    nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
    d = np.take_along_axis(distance, nearest, axis=1)
    weight = np.exp(-(d - d.min(1, keepdims=True)) / 0.05)
    weight /= weight.sum(1, keepdims=True)
    ab = (colours[nearest] * weight[..., None]).sum(1)
    confidence = (np.exp(-np.maximum(d, 0) / 0.3) * weight * trust[nearest]).sum(1) * 0.5
    return ab.astype(np.float32), confidence.astype(np.float32)
