"""Shots → anchors → segments. Pure and deterministic: same input, same plan, same ids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from colorize_core.timebase import FrameSpan

_ROUNDING = 1e-6  # of sums of densities


def segment_id(shot: int, segment: int) -> str:
    """What people call a segment, both counted from 1: ``0012-0003``."""
    return f"{shot:04d}-{segment:04d}"


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames from one anchor to the next. It owns `span`: its first anchor, and the shot's last
    segment the closing anchor too. `index`: its place in the shot, from 0; people count from 1."""

    shot: int
    index: int
    span: FrameSpan
    start_anchor: int
    end_anchor: int

    @property
    def id(self) -> str:
        return segment_id(self.shot, self.index + 1)

    @property
    def reads(self) -> FrameSpan:
        """The frames an interpolator needs: both anchors and all between."""
        return FrameSpan(self.start_anchor, self.end_anchor + 1)


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """One shot's anchors (frame numbers, ascending) and segments (they tile the shot)."""

    shot: int
    span: FrameSpan
    anchors: tuple[int, ...]
    segments: tuple[Segment, ...]


def plan_shot(
    shot: int,
    span: FrameSpan,
    interval: int,
    at: Iterable[int] = (),
    density: NDArray[np.float64] | None = None,
) -> ShotPlan:
    """Anchors every `interval` frames, at both ends of the shot, and at the frames `at`
    (where a reference shows that very frame: its colours are known best there).

    Args:
        density: anchors per frame at each frame of the shot (`anchor_spacing.density_of`), in the
            place of one every `interval` frames.

    Raises:
        ValueError: interval below 1, or a frame of `at` outside the shot.
    """
    if interval < 1:
        raise ValueError("the anchor interval is at least 1 frame")
    extra = set(at)
    if any(frame not in span for frame in extra):
        raise ValueError(f"anchor outside shot {shot} ({span})")
    last = span.end - 1
    if density is None:
        anchors = tuple(sorted({*range(span.start, span.end, interval), last, *extra}))
    else:
        fixed = sorted({span.start, last, *extra})
        sections = [(a - span.start, b - span.start) for a, b in pairwise(fixed)]
        between = (span.start + each for a, b in sections for each in _spread(a, b, density))
        anchors = tuple(sorted({*fixed, *between}))
    pairs = list(pairwise(anchors)) or [(last, last)]
    segments = tuple(
        Segment(shot, i, FrameSpan(a, b + 1 if b == last else b), a, b)
        for i, (a, b) in enumerate(pairs)
    )
    return ShotPlan(shot, span, anchors, segments)


def _spread(start: int, end: int, density: NDArray[np.float64]) -> Iterator[int]:
    """Anchors between two anchors, in frames after the shot's first: as many as the density asks
    for, each with the same share of it on either side."""
    passed = np.cumsum(density[start + 1 : end + 1])
    parts = math.ceil(passed[-1] - _ROUNDING)
    for i in range(1, parts):
        yield start + 1 + int(np.searchsorted(passed, passed[-1] * i / parts - _ROUNDING))


def group_anchors(
    anchors: Sequence[int], at: Iterable[int], most: int
) -> tuple[tuple[int, ...], ...]:
    """Anchors as pieces of work that can run side by side.

    With reference frames `at`: one group for each side of each of them, so that no frame between
    is walked twice. Without: anchors depend on nothing but the stills, in groups of at most `most`.
    """
    marks = sorted(set(at))
    if not marks:
        return tuple(tuple(anchors[i : i + most]) for i in range(0, len(anchors), most))
    groups: dict[tuple[int, bool], list[int]] = {}
    for anchor in anchors:
        nearest = min(marks, key=lambda mark: (abs(mark - anchor), mark))
        groups.setdefault((nearest, anchor > nearest), []).append(anchor)
    return tuple(tuple(group) for _, group in sorted(groups.items()))


def group_segments(segments: Sequence[Segment], least: int) -> tuple[tuple[Segment, ...], ...]:
    """Neighbouring segments as runs of at least `least` frames (the last run takes what is left):
    what is encoded as one chunk."""
    runs: list[list[Segment]] = []
    for segment in segments:
        if not runs or sum(len(each.span) for each in runs[-1]) >= least:
            runs.append([])
        runs[-1].append(segment)
    return tuple(tuple(run) for run in runs)
