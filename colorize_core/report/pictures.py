"""The report's pictures: taken from the source, the stills and the finished chunks as they lie."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from colorize_core.errors import FramesLost
from colorize_core.media.color import lab_to_srgb
from colorize_core.media.container import open_media
from colorize_core.media.decode import FilmReader
from colorize_core.references.stills import load_still
from colorize_core.report.summary import Picture, thumbnail
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, StillRef

RESULTS = 3  # finished frames that a shot is shown by
_WIDTH = 640  # of a picture before it is made a thumbnail


def source_picture(reader: FilmReader, frame: int, sar: Fraction, rotation: int) -> Picture:
    """A frame of the source, as it came in."""
    grey = next(iter(reader.frames(FrameSpan(frame, frame + 1)))).luma
    if grey.dtype != np.uint8:
        grey = (grey >> (reader.depth - 8)).astype(np.uint8)
    return Picture(thumbnail(np.dstack([grey] * 3), sar=sar, rotation=rotation), f"frame {frame}")


def still_picture(still: StillRef, sar: Fraction, rotation: int) -> Picture:
    """A colour still, as the film sees it."""
    rgb = (lab_to_srgb(load_still(still.uri).lab) * 255).round().astype(np.uint8)
    shows = "another picture" if still.frame is None else f"frame {still.frame}"
    return Picture(thumbnail(rgb, sar=sar, rotation=rotation), shows)


def result_pictures(
    chunks: tuple[ChunkItem, ...], span: FrameSpan, sar: Fraction, rotation: int
) -> tuple[Picture, ...]:
    """Frames of a finished shot, evenly spread over it: three, fewer in very short shots."""
    frames = sorted({span.start + len(span) * (2 * i + 1) // (2 * RESULTS) for i in range(RESULTS)})
    return tuple(
        Picture(thumbnail(rgb, sar=sar, rotation=rotation), f"frame {frame}")
        for frame in frames
        for chunk in chunks
        if frame in chunk.span
        for rgb in [_frame_of(chunk, frame)]
    )


def _frame_of(chunk: ChunkItem, frame: int) -> NDArray[np.uint8]:
    """A finished frame, uint8 R'G'B'. Every frame of a chunk is a key frame, so seeking is exact."""
    with open_media(chunk.output) as container:
        stream = container.streams.video[0]
        first = next(container.decode(stream))
        tick = int(1 / (stream.average_rate * stream.time_base))
        target = first.pts + (frame - chunk.span.start) * tick
        container.seek(target, stream=stream)
        for decoded in container.decode(stream):
            if decoded.pts >= target:
                return _as_rgb(decoded)
    raise FramesLost(f"{chunk} has no frame {frame}.", "Run the same command again.")


def _as_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    width = min(frame.width, _WIDTH)
    height = max(1, round(frame.height * width / frame.width))
    shown = frame.reformat(
        width, height, "rgb24", dst_color_range=av.video.reformatter.ColorRange.JPEG
    )
    return np.asarray(shown.to_ndarray(), np.uint8)
