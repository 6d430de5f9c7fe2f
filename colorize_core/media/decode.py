"""Reading any span of a scanned film, exactly: the frames of its time line and no others.

A seek is not believed. It aims at the frame's pts and takes the first key frame that comes out
whole; where that lies behind the frame, it aims further back, at last at the start of the file.
Frames that come out before that key frame may lack their references and are passed over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import cast

import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from colorize_core import storage
from colorize_core.engines.contract import GreyFrame
from colorize_core.errors import FramesLost, SourceChanged
from colorize_core.media.color import lstar_from_luma, resolve_tags
from colorize_core.media.container import Decoding, open_media
from colorize_core.media.luma import Samples, luma_form, luma_view
from colorize_core.media.source import SourceInfo
from colorize_core.timebase import FrameSpan, Timeline

# Seconds before the frame that a seek aims at, one after the other; after them the file's start.
SEEK_BACK_S = (0, 1, 4, 16)
# Program and transport streams stamp some pictures only, and FFmpeg guesses the others from where
# it began. After this many seconds a real stamp was met, and a wrong guess has shown itself: MPEG
# asks for one every 0.7 s, and a pack of a program stream (2 KiB) holds under 5 s of pictures.
RUNWAY_S = {"mpeg": 5, "mpegts": 1}
# A frame this close ahead is reached by decoding on rather than by a seek.
READ_ON_FRAMES = 48
# Small frames that were decoded on the way are kept for a caller that walks backwards.
KEPT_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One frame as the source has it.

    Attributes:
        frame: its number. pts: its time stamp in the film's time base.
        luma: Y', native values, uint8 (8 bits) or uint16 ``[H, W]``, contiguous.
    """

    frame: int
    pts: int
    luma: Samples


class FilmReader:
    """Reads frames of a scanned film; a context manager. Not for use by two threads at once.

    Several iterators may be open at the same time; each goes on where it stood, at the cost of
    seeks. Memory does not grow with the film.

    Args:
        info, timeline: of the scan.
        threads: of the decoder; 0 leaves the number to FFmpeg.

    Raises (every method):
        SourceChanged: the file is not the one that was scanned, by its size in bytes and by what
            its frames are and when they are shown (its digest is not computed again).
        FramesLost: a frame of the time line does not come out of the decoder.
        SourceError, StorageError: the file is gone, replaced or out of reach.
    """

    _container: InputContainer
    _stream: VideoStream

    def __init__(self, info: SourceInfo, timeline: Timeline, *, threads: int = 0) -> None:
        self._info = info
        self._timeline = timeline
        # what a decoder puts in place of damage depends on the number of its threads
        self._threads = 1 if info.concealed else threads
        self._form = luma_form(info.pix_fmt)
        self._tags = resolve_tags(info)
        self._small = _SmallFrames()
        self._open_file = ExitStack()
        self._decoded: Iterator[tuple[int, VideoFrame]] = iter(())
        self._next = 0  # the frame that comes out of _decoded next

    def __enter__(self) -> FilmReader:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open_file.close()

    def frames(self, span: FrameSpan) -> Iterator[SourceFrame]:
        """Every frame of `span`, in order."""
        for number in span:
            for frame, decoded in self._run_to(number):
                if frame == number:
                    luma = np.array(luma_view(decoded, self._form), order="C")
                    yield SourceFrame(number, int(self._timeline.pts[number]), luma)

    def grey(self, span: FrameSpan, width: int, height: int) -> Iterator[GreyFrame]:
        """L* of every frame of `span`, in order, averaged by area to ``[height, width]``."""
        for number in span:
            small = self._small.get(number, width, height)
            if small is None:
                small = self._shrink_to(number, width, height)
            yield GreyFrame(number, lstar_from_luma(small, self._form.depth, self._tags))

    def _shrink_to(self, number: int, width: int, height: int) -> Samples:
        """Frame `number` at the small size. Those decoded on the way are kept too."""
        for frame, decoded in self._run_to(number):
            small = self._small.get(frame, width, height)
            if small is None:
                small = _by_area(luma_view(decoded, self._form), width, height)
                self._small.put(frame, small)
        return small

    # -- where the decoder stands -------------------------------------------------------------

    def _run_to(self, number: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames, from where the decoder stands or lands, up to `number`, which is last."""
        if not self._next <= number <= self._next + READ_ON_FRAMES:
            self._seek(number)
        frame = -1
        while frame < number:
            frame, decoded = self._step()
            yield frame, decoded

    def _step(self) -> tuple[int, VideoFrame]:
        found = next(self._decoded, None)
        if found is None:
            raise self._lost(self._next)
        self._next = found[0] + 1
        return found

    def _seek(self, number: int) -> None:
        ticks = 1 / self._timeline.time_base
        runway = round(RUNWAY_S.get(self._info.container, 0) * ticks)
        for back_s in SEEK_BACK_S:
            aim = int(self._timeline.pts[number]) - runway - round(back_s * ticks)
            if self._info.counted or aim <= self._timeline.pts[0]:
                break
            if self._land(aim, number, runway):
                return
        self._open()

    def _land(self, aim: int, number: int, runway: int) -> bool:
        """Seeks, and decodes from the first frame that can be trusted to the end of the runway.

        False: there is no such frame, or not far enough before frame `number`, or the pictures
        after it are not where it said they were.
        """
        pts = self._timeline.pts
        frames = self._trusted_after(aim)
        first = next(frames, None)
        if first is None or first.pts is None or first.pts + runway > pts[number]:
            return False
        start = int(np.searchsorted(pts, first.pts))
        if pts[start] != first.pts:
            return False
        self._begin(chain((first,), frames), start)
        try:
            while pts[self._next] < first.pts + runway:
                self._step()
        except (FramesLost, SourceChanged):
            return False
        return True

    def _trusted_after(self, aim: int) -> Iterator[VideoFrame]:
        try:
            self._container.seek(aim, stream=self._stream)
        except FFmpegError:
            return
        frames = iter(Decoding(self._container, self._stream))
        for frame in frames:
            if frame.key_frame and not frame.is_corrupt and frame.pts is not None:
                yield frame
                break
        yield from frames

    def _open(self) -> None:
        """Opens the file anew: the one sure way to its first frame."""
        self._open_file.close()
        if storage.size(self._info.uri) != self._info.bytes:
            raise self._changed("it has another size")
        self._container = self._open_file.enter_context(open_media(self._info.uri))
        streams = self._container.streams
        found = streams[self._info.video_index] if self._info.video_index < len(streams) else None
        if not isinstance(found, VideoStream):
            raise self._changed("it has other streams")
        self._stream = found
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = self._threads
        self._begin(iter(Decoding(self._container, self._stream)), 0)

    def _begin(self, frames: Iterator[VideoFrame], number: int) -> None:
        self._decoded = self._numbered(frames, number)
        self._next = number

    def _numbered(
        self, frames: Iterator[VideoFrame], first: int
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their numbers, each checked against the time line; ends where that ends."""
        pts = self._timeline.pts
        picture = self._info.width, self._info.height, self._info.pix_fmt
        for number, frame in zip(range(first, len(pts)), frames, strict=False):
            if (frame.width, frame.height, frame.format.name) != picture:
                raise self._changed(f"frame {number} has another size or pixel format")
            if not self._info.counted and frame.pts not in (None, pts[number]):
                if np.any(pts == frame.pts):
                    raise self._lost(number)
                raise self._changed(f"it shows a frame at pts {frame.pts}")
            yield number, frame

    def _lost(self, number: int) -> FramesLost:
        return FramesLost(
            f"Frame {number} of {self._info.uri} does not come out of the decoder.",
            "Scan the film again: kinecolor verifies every frame before it counts it.",
        )

    def _changed(self, how: str) -> SourceChanged:
        return SourceChanged(
            f"{self._info.uri} is not the file that was scanned: {how}.",
            "Start again with the film as it is now.",
        )


@dataclass(frozen=True, slots=True)
class SizedReader:
    """A film at one working size: what engine parts read from (`engines.contract.FrameReader`)."""

    reader: FilmReader
    width: int
    height: int

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        """The grey frames of `span`, in order. Raises: as `FilmReader`."""
        return self.reader.grey(span, self.width, self.height)


class _SmallFrames:
    """The last small frames that were decoded, up to `KEPT_BYTES`, all of one size."""

    def __init__(self) -> None:
        self._size = (0, 0)
        self._frames: OrderedDict[int, Samples] = OrderedDict()

    def get(self, frame: int, width: int, height: int) -> Samples | None:
        return self._frames.get(frame) if self._size == (width, height) else None

    def put(self, frame: int, small: Samples) -> None:
        if self._size != small.shape[::-1]:
            self._frames.clear()
            self._size = small.shape[1], small.shape[0]
        self._frames[frame] = small
        self._frames.move_to_end(frame)
        while len(self._frames) * small.nbytes > KEPT_BYTES:
            self._frames.popitem(last=False)


def _by_area(luma: Samples, width: int, height: int) -> Samples:
    if luma.shape == (height, width):
        return np.array(luma)  # not a view: that would keep the whole decoded frame
    small = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
    return cast(Samples, small)
