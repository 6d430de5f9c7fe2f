"""Writing media files: what chunks, masters and access copies have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from colorize_core.errors import StorageError
from colorize_core.media.master import MasterFormat
from colorize_core.room import NO_ROOM, no_room

# Packets come in the order of their times: the muxer need not hold any back to sort them.
INTERLEAVED = {"max_interleave_delta": "1"}

_CHROMA_LOCATIONS = ("unspecified", "left", "center", "topleft", "top", "bottomleft", "bottom")


@contextmanager
def open_output(path: Path, container: str, **options: str) -> Iterator[OutputContainer]:
    """A new media file at `path`, whole once the context is left normally.

    The same packets give the same bytes: no dates, no random ids, no program versions.

    Args:
        container: FFmpeg's name of the format. options: of its muxer.

    Raises:
        StorageError, StorageFull: the file cannot be written.
    """
    settings = {"fflags": "+bitexact", **options}
    try:
        with av.open(f"file:{path}", "w", format=container, container_options=settings) as file:
            yield file
    except FFmpegError as error:
        if error.errno in NO_ROOM:
            raise no_room(path) from error
        raise StorageError(
            f"{path} could not be written ({error.strerror}).",
            "Check the permissions there, then run again: finished work is kept.",
        ) from error


def add_video(
    file: OutputContainer, codec: str, form: MasterFormat, pix_fmt: str, options: dict[str, str]
) -> VideoStream:
    """A video stream that will be encoded: size, SAR and colour tags of `form`."""
    siting = _CHROMA_LOCATIONS[form.tags.chroma_location]
    stream = cast(
        VideoStream,
        file.add_stream(
            codec, options={"flags": "+bitexact", "chroma_sample_location": siting, **options}
        ),
    )
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = form.width, form.height, pix_fmt
    context.sample_aspect_ratio = form.sar
    context.colorspace, context.color_range = form.tags.matrix, form.tags.range
    context.color_primaries, context.color_trc = form.tags.primaries, form.tags.transfer
    return stream


def decoding_time_s(packet: Packet) -> Fraction:
    """When a packet is decoded, in seconds: the order in which packets are written."""
    if packet.dts is None or packet.time_base is None:
        raise ValueError("a packet without a time")
    return packet.dts * packet.time_base


def picture(
    planes: tuple[NDArray[np.unsignedinteger], ...], pix_fmt: str, pts: int, time_base: Fraction
) -> VideoFrame:
    """A frame of planar samples (uint8 up to 8 bits, uint16 above)."""
    height, width = planes[0].shape
    frame = VideoFrame(width, height, pix_fmt)
    for target, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(target), samples.dtype).reshape(
            -1, target.line_size // samples.itemsize
        )
        rows[: samples.shape[0], : samples.shape[1]] = samples
    frame.pts, frame.time_base = pts, time_base
    return frame
