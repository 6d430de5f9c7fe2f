"""When each frame is shown: from time stamps as a container gives them to a `Timeline`.

Frames shown at the same time as, or before, the frame that precedes them are refused: one of them
would have to be moved or dropped. Missing time stamps are filled in where the nominal rate leaves
one value.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.video.stream import VideoStream
from numpy.typing import NDArray

from colorize_core.errors import UnsupportedSource
from colorize_core.timebase import Timeline

I64 = NDArray[np.int64]

NO_PTS = int(np.iinfo(np.int64).min)  # FFmpeg's AV_NOPTS_VALUE
_MOST_TICKS = 2**62
# Of a single frame nothing says how long it is shown.
RATE_UNKNOWN = Fraction(25)


def timeline_of(
    name: str, container: InputContainer, stream: VideoStream, found: I64
) -> tuple[Timeline, bool]:
    """The time line of a film whose frames carry the pts `found` (`NO_PTS`: none), and whether its
    frames had to be counted: the container gives no usable time stamps (elementary streams, some
    AVI and MPEG program streams).

    Raises:
        UnsupportedSource: the time stamps do not increase, or the rate is absurd.
    """
    time_base = cast(Fraction, stream.time_base)  # every opened stream has one
    rate = stream.guessed_rate or stream.average_rate or RATE_UNKNOWN
    step = 1 / (rate * time_base)
    given = bool(np.all(found != NO_PTS)) and bool(np.all(np.diff(found) > 0))
    if len(found) * step >= _MOST_TICKS:
        raise UnsupportedSource(
            f"{name} is said to have {float(rate):g} frames a second.",
            "Give it its rate first: ffmpeg -r RATE -i SOURCE -map 0 -c copy -c:v ffv1 rated.mkv",
        )
    start = _counted_from(container, found, given, step)
    if start is not None:
        return Timeline(start + _steps(len(found), step), time_base, rate), True
    pts = found if given else _filled(found, step)
    late = np.flatnonzero(np.diff(pts) <= 0)
    if len(late):
        raise UnsupportedSource(
            f"Frame {late[0] + 1} of {name} is to be shown at the same time as, or before, the "
            "frame that precedes it.",
            "Give every frame a time of its own first: ffmpeg -i SOURCE -map 0 -c copy -c:v ffv1 "
            "-vf setpts=N/FRAME_RATE/TB retimed.mkv",
        )
    return Timeline(pts, time_base, _nominal_rate(pts, stream, time_base)), False


def _counted_from(container: InputContainer, found: I64, given: bool, step: Fraction) -> int | None:
    """The first frame's pts where frames have to be counted; otherwise None."""
    name = container.format.name
    if container.format.flags & Flags.no_timestamps.value or np.all(found == NO_PTS):
        return 0
    if name == "avi" and not given:  # its numbers are those of packets, not of pictures
        return 0
    if name == "mpeg" and not given:
        # FFmpeg guesses between the few stamps of a program stream. The rate of MPEG video is
        # fixed: where the whole comes to as many frames as there are, there is one right answer.
        off = int(found[-1]) - int(found[0]) - (len(found) - 1) * step
        return int(found[0]) if abs(off) <= 2 * step else None
    return None


def _filled(found: I64, step: Fraction) -> I64:
    """`found` with missing pts counted on from the last one known (before the first: back)."""
    known = np.flatnonzero(found != NO_PTS)
    frames = np.arange(len(found))
    anchors = known[np.maximum(np.searchsorted(known, frames, side="right") - 1, 0)]
    steps = [round(int(n) * step) for n in frames - anchors]
    return found[anchors] + np.array(steps, np.int64)


def _steps(count: int, step: Fraction) -> I64:
    return np.array([round(i * step) for i in range(count)], np.int64)


def _nominal_rate(pts: I64, stream: VideoStream, time_base: Fraction) -> Fraction:
    """The rate that the container names, where the pts keep to it; otherwise their average."""
    named = [rate for rate in (stream.guessed_rate, stream.average_rate) if rate]
    if len(pts) == 1:
        return named[0] if named else RATE_UNKNOWN
    elapsed = (pts - pts[0]).astype(np.float64)
    for rate in named:
        even = np.arange(len(pts)) * float(1 / (rate * time_base))
        if np.abs(elapsed - even).max() <= 1:  # one tick: time bases round
            return rate
    return (len(pts) - 1) / (int(pts[-1] - pts[0]) * time_base)
