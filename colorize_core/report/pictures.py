"""The report's pictures: taken from the source, the stills and the finished chunks as they lie."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.errors import FramesLost
from colorize_core.media.color import lab_to_srgb
from colorize_core.media.container import open_media
from colorize_core.media.decode import FilmReader
from colorize_core.references.stills import load_still
from colorize_core.report.summary import Picture, thumbnail
from colorize_core.timebase import FrameSpan, Timeline
from colorize_core.work import ChunkItem, StillRef

RESULTS = 3  # finished frames that a shot is shown by
_WIDTH = 640  # of a picture before it is made a thumbnail


def source_picture(
    reader: FilmReader, frame: int, width: int, height: int, sar: Fraction, rotation: int
) -> Picture:
    """A frame of the source, as it came in; `width` and `height` are of the film."""
    size = min(width, _WIDTH), max(1, round(height * min(1, _WIDTH / width)))
    lstar = next(reader.grey(FrameSpan(frame, frame + 1), *size)).lstar
    rgb = lab_to_srgb(np.dstack([lstar, np.zeros((*lstar.shape, 2), np.float32)]))
    return Picture(_thumbnail(rgb, sar, rotation), f"frame {frame}")


def still_picture(still: StillRef, sar: Fraction, rotation: int) -> Picture:
    """A colour still, as the film sees it."""
    shows = "another picture" if still.frame is None else f"frame {still.frame}"
    return Picture(_thumbnail(lab_to_srgb(load_still(still.uri).lab), sar, rotation), shows)


def result_pictures(
    chunks: tuple[ChunkItem, ...],
    span: FrameSpan,
    timeline: Timeline,
    sar: Fraction,
    rotation: int,
    telling: Mapping[int, str],
) -> tuple[Picture, ...]:
    """Frames of a finished shot: three, fewer in very short shots. `telling` are those that have to
    be seen, the first ones first, each with what it shows; the others are evenly spread."""
    spread = [span.start + len(span) * (2 * i + 1) // (2 * RESULTS) for i in (1, 0, 2)]
    frames = sorted(list(dict.fromkeys([*telling, *spread]))[:RESULTS])
    return tuple(
        Picture(thumbnail(rgb, sar=sar, rotation=rotation), _label(frame, telling.get(frame)))
        for frame in frames
        for chunk in chunks
        if frame in chunk.span
        for rgb in [_frame_of(chunk, frame, timeline)]
    )


def _label(frame: int, shows: str | None) -> str:
    return f"frame {frame}: {shows}" if shows else f"frame {frame}"


def _thumbnail(rgb: F32, sar: Fraction, rotation: int) -> bytes:
    levels = (np.clip(rgb, 0, 1) * 255).round().astype(np.uint8)
    return thumbnail(levels, sar=sar, rotation=rotation)


def _frame_of(chunk: ChunkItem, frame: int, timeline: Timeline) -> NDArray[np.uint8]:
    """A finished frame, uint8 R'G'B'. Each frame of a chunk is a key frame: seeking is exact."""
    with open_media(chunk.output) as container:
        stream = container.streams.video[0]
        tick = stream.time_base or Fraction(1)  # Matroska's millisecond: pts are rounded to it
        target = int(timeline.pts[frame]) * timeline.time_base / tick - Fraction(1, 2)
        container.seek(int(target), stream=stream)
        for decoded in container.decode(stream):
            if (decoded.pts or 0) >= target:
                return _as_rgb(decoded)
    raise FramesLost(f"{chunk} has no frame {frame}.", "Run the same command again.")


def _as_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    width = min(frame.width, _WIDTH)
    height = max(1, round(frame.height * width / frame.width))
    shown = frame.reformat(width, height, "rgb24", dst_color_range=ColorRange.JPEG)
    return np.asarray(shown.to_ndarray(), np.uint8)
