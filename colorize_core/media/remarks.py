"""What a person should know of a source that passed the gate: what of it is not in the result."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.video.format import VideoFormat

from colorize_core.media.container import Decoding
from colorize_core.media.source import SourceInfo
from colorize_core.timebase import Timeline

_TS_PACKETS = (188, 192, 204)  # bytes: plain, with time codes, with error correction
# So many steps from frame to frame are alike in a film of one rate, whose longer ones are holes.
_REGULAR_SHARE, _HOLE_STEPS = 0.9, 1.5
_LOST_FRAME = Fraction(3, 4)  # of a frame, at the end of a Matroska file: times are rounded there


def remarks(
    container: InputContainer, info: SourceInfo, timeline: Timeline, decoded: Decoding
) -> Iterator[str]:
    """One line each, of a film that was decoded to its end."""
    kept = {info.video_index, *(carried.index for carried in info.carried)}
    for stream in container.streams:
        if stream.index not in kept:
            yield f"Stream {stream.index} ({stream.type or 'unknown'}) is left out."
    if any(component.is_alpha for component in VideoFormat(info.pix_fmt).components):
        yield "The pictures' transparency is left out."
    if decoded.undecodable:
        yield f"{decoded.undecodable} pictures before the first key frame cannot be decoded."
    yield from _missing_frames(container, info, timeline, decoded)


def _missing_frames(
    container: InputContainer, info: SourceInfo, timeline: Timeline, decoded: Decoding
) -> Iterator[str]:
    """Signs of frames that were lost without the decoder's knowing."""
    declared = container.streams[info.video_index].frames
    if info.frames < declared:
        yield (
            f"Frames may be missing: {declared} are declared and {info.frames} are shown; the "
            "others are lost, or hidden by an edit list."
        )
    end_s = Fraction(container.duration or 0, 1_000_000)
    seen_s = max(decoded.ends.values(), default=end_s)
    if "matroska" in info.container and seen_s + _LOST_FRAME / timeline.rate < end_s:
        yield (
            f"Frames may be missing: the file is said to last {float(end_s):.3f} s, and ends at "
            f"{float(seen_s):.3f} s."
        )
    if info.container == "mpegts" and all(info.bytes % each for each in _TS_PACKETS):
        yield "The file ends inside a packet: its last picture may be missing."
    holes = _holes(timeline)
    if holes:
        pts = timeline.pts
        seconds = float(int(pts[holes[0] + 1] - pts[holes[0]]) * timeline.time_base)
        more = f", and so at {len(holes) - 1} more places" if len(holes) > 1 else ""
        yield (
            f"Frames may be missing: after frame {holes[0]} nothing new is shown for "
            f"{seconds:.3f} s{more}."
        )


def _holes(timeline: Timeline) -> list[int]:
    """The frames that are shown for too long in a film that is regular otherwise."""
    if len(timeline) < 3:
        return []
    steps = np.diff(timeline.pts)
    usual = float(np.median(steps))
    is_regular = np.abs(steps - usual) <= max(1.0, usual / 50)  # time bases round
    if np.mean(is_regular) < _REGULAR_SHARE:
        return []
    return [int(frame) for frame in np.flatnonzero(steps > max(usual + 1, usual * _HOLE_STEPS))]
