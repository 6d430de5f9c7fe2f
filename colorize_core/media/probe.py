"""The gate and the one decoding pass over a source: what it is, and when each frame is shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from colorize_core import storage
from colorize_core.errors import DamagedSource, EmptyVideo, NoVideoStream, UnsupportedSource
from colorize_core.media import matroska
from colorize_core.media.container import Decoding, open_media
from colorize_core.media.remarks import remarks
from colorize_core.media.source import CarriedStream, SourceInfo
from colorize_core.media.survey import Progress, Survey, Watch, check_not_too_large
from colorize_core.media.timestamps import timeline_of
from colorize_core.timebase import Timeline

# Matroska rounds and pads its duration; what a cut file lacks is longer.
DURATION_TOLERANCE_S = Fraction(1, 2)

_HEAD_BYTES = 4096  # more than comes before a Matroska file says its size

_CARRIED = ("audio", "subtitle", "attachment", "data")


@dataclass(frozen=True, slots=True)
class Scan:
    """A source that passed the gate, and when its frames are shown."""

    info: SourceInfo
    timeline: Timeline


def scan(
    uri: str,
    *,
    accept_damage: bool = False,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Decodes the source once from end to end and says what it is.

    Memory does not grow with the film, but for 8 bytes a frame.

    Args:
        uri: path or URL.
        accept_damage: keep the readable part of a source that breaks; `info.damage` says so.
        watch: called with each frame's number and its Y' as 8 bits, a read-only ``[H, W]`` view
            of the full picture. Copy what is to outlive the call.
        progress: called with frames done and about how many there are (0: not known).

    Raises:
        SourceUnreadable, NotAVideo, NoVideoStream, EmptyVideo: there is no film.
        InterlacedSource: it consists of fields.
        UnsupportedSource: no Y' plane, an absurd size, a size or format that changes, or time
            stamps that do not increase.
        DamagedSource: it cannot be decoded to its end, or lacks a part of what it declares. With
            `accept_damage` only where not one frame is left. A cut transport, program or elementary
            stream declares nothing, and shows only in a last picture that is not whole.
        StorageError: the store failed or refuses; StorageUnavailable may pass.
    """
    with open_media(uri) as container:
        stream = _video_stream(uri, container)
        survey = Survey(uri, _expected_frames(container, stream), watch, progress)
        decoding = Decoding(
            container,
            stream,
            every_stream=True,
            cut_short=lambda decoding: _missing(uri, container, stream, decoding),
        )
        for frame in decoding:
            survey.add(frame)
        survey.close()
        broken = decoding.broken or ("its last picture is not whole" if survey.stub else None)
        if survey.frames == 0 and broken is None:
            raise EmptyVideo(f"{uri} has a video stream without one frame.", "Give a whole film.")
        if broken is not None and (survey.frames == 0 or not accept_damage):
            _refuse_damage(uri, survey.frames, broken)
        found = np.frombuffer(survey.pts, np.int64)
        timeline, counted = timeline_of(uri, container, stream, found)
        info = _info(uri, container, stream, survey, broken, counted)
        notes = tuple(remarks(container, info, timeline, decoding))
        return Scan(info.model_copy(update={"notes": notes}), timeline)


def _info(
    uri: str,
    container: InputContainer,
    stream: VideoStream,
    survey: Survey,
    broken: str | None,
    counted: bool,
) -> SourceInfo:
    return SourceInfo(
        uri=uri,
        digest=storage.sha256(uri),
        bytes=storage.size(uri) or 0,
        container=container.format.name,
        codec=stream.codec_context.name,
        video_index=stream.index,
        width=survey.picture.width,
        height=survey.picture.height,
        sar=stream.sample_aspect_ratio or Fraction(1),
        rotation=survey.rotation,
        pix_fmt=survey.picture.pix_fmt,
        depth=survey.form.depth,
        chroma=survey.form.chroma,
        tags=survey.tags,
        frames=survey.frames,
        has_colour=survey.has_colour,
        damage=None if broken is None else _damage(survey.frames, broken),
        concealed=survey.concealed,
        counted=counted,
        carried=_carried(container),
    )


def _video_stream(uri: str, container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; one that is flagged as default comes before others."""
    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    films = [each for each in container.streams.video if not each.disposition & stills]
    if not films:
        kinds = {"stills" if each.type == "video" else each.type for each in container.streams}
        raise NoVideoStream(
            f"{uri} has no moving pictures: only {', '.join(sorted(kinds)) or 'a header'}.",
            "Give a file with a video stream.",
        )
    stream = next((each for each in films if each.disposition & Disposition.default), films[0])
    if stream.codec_context is None:
        raise UnsupportedSource(
            f"FFmpeg has no decoder for the video stream of {uri}.",
            "Convert it to FFV1 or H.264 with a program that reads it.",
        )
    # before anything is decoded: a damaged header can ask for gigabytes
    check_not_too_large(uri, stream.codec_context.width, stream.codec_context.height)
    stream.thread_type = "AUTO"
    return stream


def _expected_frames(container: InputContainer, stream: VideoStream) -> int:
    if stream.frames:
        return stream.frames
    rate = stream.average_rate or stream.guessed_rate
    if not container.duration or not rate:
        return 0
    return round(Fraction(container.duration, 1_000_000) * rate)


def _missing(
    uri: str, container: InputContainer, stream: VideoStream, decoding: Decoding
) -> str | None:
    """What is missing of the length that the container declares; None where it declares none.

    MP4, MOV and AVI declare packets and a duration of the stream: both have to fall short (edit
    lists hide packets). Matroska declares its bytes, and the end of its longest stream.
    """
    if stream.frames and stream.duration is not None and stream.time_base is not None:
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        frame = stream.duration * stream.time_base / stream.frames
        seen = decoding.ends.get(stream.index, Fraction(0))
        if decoding.packets < stream.frames and seen + frame * 3 / 2 < end:
            return f"{stream.frames} frames are declared and {decoding.packets} are there"
    elif "matroska" in container.format.name:
        declared = Fraction(container.duration or 0, 1_000_000)
        seen = max(decoding.ends.values(), default=Fraction(0))
        if seen + DURATION_TOLERANCE_S < declared:
            return f"{float(declared):.3f} s are declared and {float(seen):.3f} s are there"
        return _missing_bytes(uri)
    return None


def _missing_bytes(uri: str) -> str | None:
    with storage.open_read(uri) as file:
        declared = matroska.declared_end(file.read(_HEAD_BYTES))
    size = storage.size(uri)
    if declared is None or size is None or size >= declared:
        return None
    return f"{declared:,} bytes are declared and {size:,} are there"


def _damage(frame: int, broken: str) -> str:
    return f"it breaks after {frame} frames: {broken}"


def _refuse_damage(uri: str, frame: int, broken: str) -> NoReturn:
    raise DamagedSource(
        f"{uri} is damaged: {_damage(frame, broken)}.",
        "Get a whole copy"
        + (f", or give --accept-damage to keep frames 0 to {frame - 1}." if frame else "."),
        frame,
    )


def _carried(container: InputContainer) -> tuple[CarriedStream, ...]:
    return tuple(
        CarriedStream(
            index=each.index,
            kind=each.type,
            codec=each.codec_context.name if each.codec_context else "unknown",
            language=each.language,
        )
        for each in container.streams
        if each.type in _CARRIED
    )
