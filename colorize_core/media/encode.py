"""Encoding pictures: a shot's chunk (FFV1) and access copies (H.264)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from heapq import merge
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from colorize_core.errors import FramesLost, SettingError
from colorize_core.media.carry import Carried, kept_metadata, streams_fit
from colorize_core.media.color import CHROMA_LEFT
from colorize_core.media.container import Decoding, open_media
from colorize_core.media.luma import chroma_views, luma_form, luma_view
from colorize_core.media.master import STEPS, MasterFormat, master_format
from colorize_core.media.output import INTERLEAVED, add_video, decoding_time_s, open_output, picture
from colorize_core.media.source import ColourTags, SourceInfo
from colorize_core.merge import Planes, at_chroma_sites
from colorize_core.timebase import Timeline

__all__ = ["ChunkWriter", "MasterFormat", "encode_access_copy", "master_format"]

Progress = Callable[[int, int], None]

# FFV1 version 3, every frame a key frame, a CRC for each slice. How many slices is left to FFV1,
# which looks at the size alone: so the bytes do not depend on the number of threads.
_FFV1 = {"level": "3", "slicecrc": "1", "g": "1", "context": "0"}
_THREADS = 2


class ChunkWriter:
    """One shot's finished frames as FFV1 in Matroska: the same frames give the same bytes.

    A context manager. The file at `path` is whole once the context is left without an error.

    Raises:
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path, form: MasterFormat, timeline: Timeline) -> None:
        self._path = path
        self._form = form
        self._timeline = timeline
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(open_output(self._path, "matroska"))
        stream = add_video(self._file, "ffv1", self._form, self._form.pix_fmt, _FFV1)
        stream.codec_context.time_base = self._timeline.time_base
        stream.codec_context.framerate = self._timeline.rate
        stream.codec_context.thread_count = _THREADS
        stream.codec_context.thread_type = "SLICE"
        self._stream = stream
        return self

    def write(self, planes: Planes, pts: int) -> None:
        """The next frame, which is shown at `pts` of the film's time line."""
        frame = picture(planes, self._form.pix_fmt, pts, self._timeline.time_base)
        self._file.mux(self._stream.encode(frame))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if error is None:
                self._file.mux(self._stream.encode(None))


# -- access copies ---------------------------------------------------------------------------

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Sound and text that players of these files play. Other sound is encoded as AAC.
_IN_MP4 = {"aac", "ac3", "eac3", "alac", "mp3", "mp3float", "mov_text"}
_PLAYED = {"mp4": _IN_MP4, "mov": _IN_MP4 | {"pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_s24be"}}
_H264 = {"crf": "17", "preset": "fast"}


def encode_access_copy(
    master: Path,
    out: Path,
    info: SourceInfo,
    timeline: Timeline,
    form: MasterFormat,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Makes an H.264 copy of a master for looking at: 8 bits, 4:2:0, every frame at its pts.

    Sound is copied where players can be expected to play it there, else encoded as AAC. A picture
    of odd width or height keeps its size and becomes 4:4:4, which 4:2:0 H.264 cannot have.

    Args:
        out: .mp4, .mov or .mkv. form: of the master.
        progress: called with frames encoded and frames in all.

    Returns:
        Notes: one line for each thing that is not in the copy or not as it was.

    Raises:
        SettingError: another suffix.
        FramesLost: the master has not the film's frames.
        DamagedSource, StorageError.
    """
    container = _CONTAINERS.get(out.suffix.lower())
    if container is None:
        raise SettingError(
            f"There is no access copy in a {out.suffix} file.", "Name it .mp4, .mov or .mkv."
        )
    small = _access_format(form)
    options = {} if container == "matroska" else {"movflags": "+faststart"}
    with (
        open_media(info.uri) as source,
        open_media(str(master)) as reading,
        open_output(out, container, **INTERLEAVED, **options) as file,
        streams_fit(info),
    ):
        stream = add_video(file, "libx264", small, small.pix_fmt, _H264)
        stream.codec_context.time_base = stream.time_base = timeline.time_base
        stream.codec_context.framerate = timeline.rate
        if info.rotation:
            stream.set_display_rotation(info.rotation)
        copied = file.supported_codecs & _PLAYED.get(container, file.supported_codecs)
        carried = Carried(source, file, info, copied, encode_sound=True)
        file.metadata.update(kept_metadata(source.metadata))
        file.set_chapters(source.chapters())
        film = _h264_packets(reading, stream, form, small, timeline, progress)
        for _, packet in merge(film, carried.packets(), key=itemgetter(0)):
            file.mux_one(packet)
    if small.layout == "444":
        carried.notes.append(
            f"{form.width}×{form.height} is an odd size: the copy is 4:4:4, which few devices play."
        )
    return tuple(carried.notes)


def _access_format(form: MasterFormat) -> MasterFormat:
    if form.width % 2 or form.height % 2:
        return replace(form, layout="444", depth=8, tags=_sited(form, 0))
    return replace(
        form, layout="420", depth=8, tags=_sited(form, form.tags.chroma_location or CHROMA_LEFT)
    )


def _sited(form: MasterFormat, location: int) -> ColourTags:
    return form.tags.model_copy(update={"chroma_location": location})


def _h264_packets(
    master: InputContainer,
    stream: VideoStream,
    form: MasterFormat,
    small: MasterFormat,
    timeline: Timeline,
    progress: Progress | None,
) -> Iterator[tuple[Fraction, Packet]]:
    """``(seconds, packet)`` in decoding order; the master's frames are counted."""
    decoding = Decoding(master, master.streams.video[0])
    done = 0
    for frame in decoding:
        if done == len(timeline):
            raise _wrong_count(done + 1, len(timeline))
        planes = _eight_bits(frame, form, small)
        shown = picture(planes, small.pix_fmt, int(timeline.pts[done]), timeline.time_base)
        for packet in stream.encode(shown):
            yield decoding_time_s(packet), packet
        done += 1
        if progress:
            progress(done, len(timeline))
    if done != len(timeline) or decoding.broken:
        raise _wrong_count(done, len(timeline))
    for packet in stream.encode(None):
        yield decoding_time_s(packet), packet


def _wrong_count(found: int, frames: int) -> FramesLost:
    return FramesLost(
        f"The master gives {found} frames of {frames}.",
        "Run the command again: the master is joined anew from its chunks.",
    )


def _eight_bits(
    frame: VideoFrame, form: MasterFormat, small: MasterFormat
) -> tuple[NDArray[np.uint8], ...]:
    """The master's planes at 8 bits and the copy's layout, each sample rounded once."""
    samples = luma_form(form.pix_fmt)
    chroma = np.dstack(chroma_views(frame, samples)).astype(np.float32)
    (across, down), (wide, high) = STEPS[small.layout], STEPS[form.layout]
    chroma = at_chroma_sites(chroma, (across // wide, down // high), small.tags.chroma_location)
    scale = np.float32(1 << (form.depth - 8))
    planes = (luma_view(frame, samples).astype(np.float32), chroma[..., 0], chroma[..., 1])
    return tuple(
        np.minimum(plane / scale + np.float32(0.5), 255).astype(np.uint8) for plane in planes
    )
