"""Chunks → the master: packets are copied, nothing is encoded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import NoReturn, cast

import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from colorize_core import storage
from colorize_core.errors import (
    FramesLost,
    KinecolorError,
    ObjectDamaged,
    ObjectMissing,
    SourceError,
    SourceUnreadable,
    UnsupportedSource,
)
from colorize_core.media import matroska
from colorize_core.media.carry import Carried, kept_metadata, streams_fit
from colorize_core.media.container import open_media
from colorize_core.media.master import MasterFormat
from colorize_core.media.output import INTERLEAVED, decoding_time_s, open_output
from colorize_core.media.source import SourceInfo
from colorize_core.timebase import FrameSpan, Timeline

Progress = Callable[[int, int], None]

MERGE_TAG = "KINECOLOR_MERGE"
# Matroska has no times before its first cluster's 0, but for 32 s of 16-bit milliseconds relative
# to it. That keeps the negative times of primed sound as they are; shifting would move the film.
_NEGATIVE = {"avoid_negative_ts": "disabled"}
_EARLIEST_S = -30
_NO_RATE = Fraction(0)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A finished shot (or part of one): where its file is and which frames it has to hold."""

    uri: str
    span: FrameSpan


def join_master(
    chunks: Sequence[Chunk],
    info: SourceInfo,
    timeline: Timeline,
    form: MasterFormat,
    out: Path,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Joins `chunks` to the film's master at `out` (Matroska), with all that the source carries.

    Every frame is shown when `timeline` says, rounded to Matroska's milliseconds. The same chunks
    and source give the same bytes. Memory does not grow with the film's length.

    Args:
        progress: called with frames joined and frames in all.

    Returns:
        Notes: one line for each thing of the source that the master cannot hold.

    Raises:
        FramesLost: the chunks do not tile the film, or one (which is removed) has not the frames
            that it should have.
        ObjectMissing, ObjectDamaged: a chunk is not there, or is no chunk of this film. Such a one
            is removed, so that the next run makes it anew.
        UnsupportedSource: a stream that the source carries does not fit.
        DamagedSource: sound or subtitles break where no damage was accepted.
        StorageError: the master cannot be written.
    """
    _check_tiling(chunks, len(timeline))
    if timeline.pts[0] * timeline.time_base < _EARLIEST_S:
        raise UnsupportedSource(
            "The film begins more than 30 s before its own zero, which Matroska cannot say.",
            "Copy it first with: ffmpeg -i SOURCE -map 0 -c copy shifted.mkv",
        )
    with (
        open_media(info.uri) as source,
        _open_chunk(chunks[0]) as first,
        open_output(out, "matroska", **INTERLEAVED, **_NEGATIVE) as file,
        streams_fit(info),
    ):
        video = _add_copied_video(file, first, source, info, form, timeline)
        carried = Carried(source, file, info, file.supported_codecs)
        file.metadata.update({**kept_metadata(source.metadata), MERGE_TAG: form.merge})
        file.set_chapters(source.chapters())
        film = _film_packets(chunks, video, timeline, progress)
        for _, packet in merge(film, carried.packets(), key=itemgetter(0)):
            file.mux_one(packet)
    if form.sar != 1:
        matroska.write_display_size(out, form.width, form.height, form.sar)
    return tuple(carried.notes)


def _check_tiling(chunks: Sequence[Chunk], frames: int) -> None:
    at = 0
    for chunk in chunks:
        if chunk.span.start != at:
            raise FramesLost(
                f"Frames {at} to {chunk.span.start} are in no chunk or in two.",
                "Run the command again: what is missing is made.",
            )
        at = chunk.span.end
    if at != frames:
        raise FramesLost(
            f"The chunks end at frame {at}, the film at {frames}.",
            "Run the command again: what is missing is made.",
        )


def _add_copied_video(
    file: OutputContainer,
    chunk: InputContainer,
    source: InputContainer,
    info: SourceInfo,
    form: MasterFormat,
    timeline: Timeline,
) -> VideoStream:
    original = source.streams[info.video_index]
    video = cast(VideoStream, file.add_stream_from_template(chunk.streams.video[0], opaque=True))
    video.metadata.update(kept_metadata(original.metadata))
    video.disposition = original.disposition
    video.codec_context.framerate = timeline.rate if _is_constant(timeline) else _NO_RATE
    if info.rotation:
        video.set_display_rotation(info.rotation)
    if form.sar != 1:
        matroska.reserve_display_size(video)
    return video


def _is_constant(timeline: Timeline) -> bool:
    """Whether every frame is shown within a tick of when the nominal rate says."""
    tick = float(1 / (timeline.rate * timeline.time_base))
    shown = timeline.pts - timeline.pts[0]
    return bool(np.abs(shown - np.arange(len(shown)) * tick).max() <= 1)


def _film_packets(
    chunks: Sequence[Chunk], video: VideoStream, timeline: Timeline, progress: Progress | None
) -> Iterator[tuple[Fraction, Packet]]:
    """``(seconds, packet)`` of each frame, counted."""
    look = _look(video)
    for chunk in chunks:
        frames = iter(chunk.span)
        for packet in _packets(chunk, look):
            frame = next(frames, None)
            if frame is None:
                _wrong_count(chunk, f"more than {len(chunk.span)}")
            _check_time(packet, frame, timeline, chunk)
            _time(packet, frame, timeline)
            packet.stream = video
            yield decoding_time_s(packet), packet
            if progress:
                progress(frame + 1, len(timeline))
        missing = len(list(frames))
        if missing:
            _wrong_count(chunk, f"{len(chunk.span) - missing} of {len(chunk.span)}")


def _packets(chunk: Chunk, look: tuple[object, ...]) -> Iterator[Packet]:
    try:
        with _open_chunk(chunk) as part:
            if _look(part.streams.video[0]) != look:
                _not_a_chunk(chunk)
            yield from (each for each in part.demux(part.streams.video[0]) if each.size)
    except FFmpegError as error:
        _not_a_chunk(chunk, error)


def _look(stream: VideoStream) -> tuple[object, ...]:
    context = stream.codec_context
    return context.width, context.height, context.pix_fmt, context.extradata


def _check_time(packet: Packet, frame: int, timeline: Timeline, chunk: Chunk) -> None:
    """A chunk has its frames' own times, in milliseconds: that frame and no other comes here."""
    wanted = int(timeline.pts[frame]) * timeline.time_base
    if packet.pts is None or packet.time_base is None:
        _not_a_chunk(chunk)
    if abs(packet.pts * packet.time_base - wanted) > packet.time_base / 2:
        _remove(chunk, FramesLost(f"Chunk {chunk.uri} has another frame than {frame}.", _AGAIN))


def _time(packet: Packet, frame: int, timeline: Timeline) -> None:
    packet.time_base = timeline.time_base
    packet.pts = packet.dts = int(timeline.pts[frame])
    if frame + 1 < len(timeline):
        packet.duration = int(timeline.pts[frame + 1]) - packet.pts
    else:
        packet.duration = round(1 / (timeline.rate * timeline.time_base))


@contextmanager
def _open_chunk(chunk: Chunk) -> Iterator[InputContainer]:
    with ExitStack() as stack:
        try:
            part = stack.enter_context(open_media(chunk.uri))
        except SourceUnreadable as error:
            raise ObjectMissing(f"Chunk {chunk.uri} is not there.", _AGAIN) from error
        except SourceError as error:
            _not_a_chunk(chunk, error)
        if not part.streams.video:
            _not_a_chunk(chunk)
        yield part


_AGAIN = "Run the command again: the chunk is made anew."


def _not_a_chunk(chunk: Chunk, cause: Exception | None = None) -> NoReturn:
    _remove(chunk, ObjectDamaged(f"{chunk.uri} is not a chunk of this film.", _AGAIN), cause)


def _wrong_count(chunk: Chunk, found: str) -> NoReturn:
    _remove(chunk, FramesLost(f"Chunk {chunk.uri} has {found} frames.", _AGAIN))


def _remove(chunk: Chunk, error: KinecolorError, cause: Exception | None = None) -> NoReturn:
    """Where nothing is on record of a chunk, it is believed until here."""
    storage.delete(chunk.uri)
    raise error from cause
