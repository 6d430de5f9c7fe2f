"""Which frame of the film a still shows, where it shows one: a frame exported and coloured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, ColourStill, FrameReader
from colorize_core.engines.exemplar.raster import resized, size_of
from colorize_core.references.likeness import structure
from colorize_core.timebase import FrameSpan

_CANDIDATE = 0.9  # correlation of thumbnails from which a frame may be the one
_SLACK = 0.015  # how far below the best thumbnail the true frame may lie (other tone, JPEG)
_MOST_CANDIDATES = 64
_GAP = 12  # frames: candidates closer than that are read in one go
_SAME_PICTURE = 0.94  # `structure` of a still and the frame that it was made from


def locate(
    stills: Sequence[ColourStill],
    thumbnails: Iterable[NDArray[np.uint8]],
    reader: FrameReader,
) -> tuple[ColourStill, ...]:
    """The stills, each with the film's frame that it shows where there is one.

    A still that has a frame keeps it. The others are compared with every frame's thumbnail, and
    the likeliest frames, at the reader's size, with the still's structure. The still may have
    another size and tone than the frame; it may not be cropped.

    Args:
        thumbnails: all frames of the film in order, in blocks uint8 ``[frames, h, w]``.
    """
    lost = [i for i, still in enumerate(stills) if still.frame is None]
    if not lost:
        return tuple(stills)
    scores = _thumbnail_scores([stills[i] for i in lost], thumbnails)
    found = list(stills)
    for i, row in zip(lost, scores, strict=True):
        frame = _best_frame(stills[i].lab[..., 0], _candidates(row), reader)
        found[i] = replace(stills[i], frame=frame)
    return tuple(found)


def _thumbnail_scores(
    stills: Sequence[ColourStill], thumbnails: Iterable[NDArray[np.uint8]]
) -> F32:
    """Correlation of each still with each frame, float32 ``[stills, frames]``, in [-1, 1]."""
    keys: F32 | None = None
    rows = []
    for block in thumbnails:
        if keys is None:
            size = block.shape[2], block.shape[1]
            keys = _normed(np.stack([resized(still.lab[..., 0], size) for still in stills]))
        rows.append(keys @ _normed(block.astype(np.float32)).T)
    return np.concatenate(rows, axis=1)


def _normed(pictures: F32) -> F32:
    """Each picture as a vector of mean 0 and length 1 (0 where it is flat)."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.float32(1e-3))


def _candidates(scores: F32) -> list[int]:
    """The likeliest frames, ascending."""
    best = float(scores.max())
    order = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    return sorted(int(i) for i in order if scores[i] >= max(_CANDIDATE, best - _SLACK))


def _best_frame(lstar: F32, frames: Sequence[int], reader: FrameReader) -> int | None:
    best, best_frame = _SAME_PICTURE, None
    still: F32 | None = None
    wanted = set(frames)
    for span in _spans(frames):
        for grey in reader.read(span):
            if grey.frame not in wanted:
                continue
            if still is None:
                still = resized(lstar, size_of(grey.lstar))
            alike = structure(still, grey.lstar)
            if alike > best:
                best, best_frame = alike, grey.frame
    return best_frame


def _spans(frames: Sequence[int]) -> list[FrameSpan]:
    """Few spans that hold all of `frames` (ascending)."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        start = runs.pop()[0] if runs and frame - runs[-1][1] <= _GAP else frame
        runs.append((start, frame))
    return [FrameSpan(first, last + 1) for first, last in runs]
