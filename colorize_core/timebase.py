"""Exact time: frame spans, the film's time line, and how a person names a moment.

Nothing here rounds silently: time is `Fraction` seconds, or integer pts in a stream's time base.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from colorize_core.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class FrameSpan:
    """Frames ``[start, end)`` of a film, counted from 0 in display order. Never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"not a frame span: [{self.start}, {self.end})")

    def __len__(self) -> int:
        return self.end - self.start

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self.start <= frame < self.end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.end))

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    @property
    def middle(self) -> int:
        """The frame that stands for the span."""
        return self.start + len(self) // 2


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """When each frame of a film is shown.

    Attributes:
        pts: int64 ``[frames]``, strictly increasing, in units of `time_base`, display order.
        time_base: seconds in one tick.
        rate: the nominal frame rate, in frames per second (the average for variable rate).
    """

    pts: NDArray[np.int64]
    time_base: Fraction
    rate: Fraction

    def __post_init__(self) -> None:
        if self.pts.ndim != 1 or self.pts.dtype != np.int64 or len(self.pts) == 0:
            raise ValueError("pts must be a non-empty int64 vector")
        if len(self.pts) > 1 and int(np.diff(self.pts).min()) <= 0:
            raise ValueError("pts must increase from frame to frame")
        if self.time_base <= 0 or self.rate <= 0:
            raise ValueError("time base and rate must be positive")

    def __len__(self) -> int:
        return len(self.pts)

    def time_s(self, frame: int) -> Fraction:
        """The moment at which `frame` is shown, in seconds after the film's first frame."""
        return (int(self.pts[frame]) - int(self.pts[0])) * self.time_base

    def frame_at(self, time_s: Fraction) -> int:
        """The frame that is on screen `time_s` seconds after the first frame was shown.

        Raises:
            InputError: the moment lies outside the film.
        """
        last_s = self.time_s(len(self) - 1) + 1 / self.rate
        if not 0 <= time_s <= last_s:
            raise InputError(
                f"{float(time_s):.3f} s lies outside the film, which ends at {float(last_s):.3f}.",
                "Give a moment inside the film.",
            )
        tick = int(self.pts[0]) + time_s / self.time_base
        return int(np.searchsorted(self.pts, tick // 1, side="right")) - 1


_TIMECODE = re.compile(
    r"(?:([0-9]{1,6}):)?([0-9]{1,2}):([0-9]{1,2})(?:([:;])([0-9]{1,3})|\.([0-9]{1,9}))?"
)
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_FRAME = re.compile(r"f([0-9]{1,12})")


def parse_moment(text: str, timeline: Timeline) -> int:
    """The frame that `text` names: ``f250``, seconds (``12.5``) or a timecode.

    A timecode is ``[HH:]MM:SS`` or ``[HH:]MM:SS.fff``, a time after the first frame; or
    ``[HH:]MM:SS:FF`` (``;FF`` for drop-frame), SMPTE 12M's label of a frame counted from 0.

    Raises:
        InputError: not a moment, or outside the film.
    """
    if found := _FRAME.fullmatch(text):
        frame = int(found[1])
        if frame >= len(timeline):
            raise InputError(
                f"Frame {frame} lies outside the film, whose frames are 0 to {len(timeline) - 1}.",
                "Give a frame inside the film.",
            )
        return frame
    if _SECONDS.fullmatch(text):
        return timeline.frame_at(Fraction(text))
    if found := _TIMECODE.fullmatch(text):
        hours, minutes, seconds, mark, frames, fraction = found.groups()
        whole_s = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
        if mark is None:
            return timeline.frame_at(whole_s + Fraction(f"0.{fraction or 0}"))
        # SMPTE 12M: labels count frames at the rounded rate; drop-frame (;) skips labels.
        per_second = round(timeline.rate)
        label = whole_s * per_second + int(frames)
        if mark == ";":
            label -= per_second // 15 * (whole_s // 60 - whole_s // 600)
        return timeline.frame_at(label / timeline.rate)
    raise InputError(
        f"“{text}” is not a moment of a film.",
        "Give a frame number (f250), seconds (12.5) or a timecode (00:01:05:12 or 01:05.5).",
    )


def is_moment(text: str) -> bool:
    """Whether `text` has the form of a moment (its being inside the film is not checked)."""
    return any(form.fullmatch(text) for form in (_FRAME, _SECONDS, _TIMECODE))


def format_timecode(time_s: Fraction) -> str:
    """``HH:MM:SS.mmm``, rounded down to the millisecond: for people, never for arithmetic."""
    ms = int(time_s * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
