"""Clips for training: random windows of neighbouring frames, from any folder tree of videos.

Files with a video's suffix are videos, and so are such members of ``.tar`` files: WebDataset's
shards, which are indexed once by their headers and then read in place. (The package webdataset is
not used: its default decoders unpickle.) A sample is a function of seed and number alone, so that
training goes on anywhere in the sequence.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from colorize_core import storage
from colorize_core.engines.contract import Facts, Memory
from colorize_core.errors import InputError, KinecolorError, SourceError, as_text
from colorize_core.media.color import UNSPECIFIED
from colorize_core.media.container import Decoding, open_media

U8 = NDArray[np.uint8]

_SUFFIXES = {".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mxf", ".webm"}
_SHARD = ".tar"
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # {000..127}, WebDataset's way to name shards


class _Unusable(Exception):
    """A video that no sample can come from; says why."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, or one inside a shard."""

    uri: str
    member: tarfile.TarInfo | None = None

    @property
    def name(self) -> str:
        return self.uri if self.member is None else f"{self.uri}/{self.member.name}"


class Clips:
    """A sequence of clips without end, each from a random video at a random time.

    Args:
        place: a folder (path or URL), searched with all folders in it; or shards, such as
            ``clips-{000..127}.tar``.
        frames: of a clip.
        pixel_budget: clips are brought to about this many pixels, aspect kept, pixels square.
        seed: of all draws.

    Attributes:
        skipped: names of videos and shards that cannot be used, with the reason, as they are met.

    Raises:
        InputError: there is no video.
    """

    def __init__(self, place: str, frames: int, pixel_budget: int, seed: int) -> None:
        self._frames = frames
        self._seed = seed
        # the size that the part `svd` gives a film
        self._size = Facts("svd", 1, pixel_budget, Memory(0, 0), enlarges=True, square_pixels=True)
        self._place = place
        self.skipped: dict[str, str] = {}
        self._videos = [video for uri in _files(place) for video in self._videos_of(uri)]
        if not self._videos:
            raise self._nothing()

    def __len__(self) -> int:
        """Number of videos, unusable ones counted."""
        return len(self._videos)

    def sample(self, number: int) -> U8:
        """Clip `number`: R'G'B' uint8 ``[F, H, W, 3]``. Videos differ in H and W.

        Raises:
            InputError: no video is usable.
            StorageError: the store failed.
        """
        random = np.random.default_rng((self._seed, number))
        # what was met before must not count: a sample is the same after a resume
        for i in random.permutation(len(self._videos)):
            video = self._videos[i]
            try:
                return self._window(video, random.random())
            except (_Unusable, SourceError, FFmpegError, tarfile.TarError) as error:
                self._skip(video.name, error)
        raise self._nothing()

    def _videos_of(self, uri: str) -> list[Video]:
        if not uri.endswith(_SHARD):
            return [Video(uri)]
        try:
            # "r:" is no compressed one: those cannot be read in place
            with storage.open_read(uri) as file, tarfile.open(fileobj=file, mode="r:") as shard:
                return [Video(uri, each) for each in shard if each.isreg() and _is_video(each.name)]
        except tarfile.TarError as error:
            self._skip(uri, error)
            return []

    def _skip(self, name: str, error: Exception) -> None:
        is_own = isinstance(error, KinecolorError | _Unusable)
        self.skipped[name] = str(error).partition("\n")[0] if is_own else as_text(error)

    def _nothing(self) -> InputError:
        shown = [f"{name} ({why})" for name, why in list(self.skipped.items())[:3]]
        return InputError(
            f"There is no usable video in {self._place}. {' '.join(shown)}".rstrip(),
            f"Give a folder of videos of at least {self._frames} frames "
            f"({', '.join(sorted(_SUFFIXES))}), or of uncompressed .tar files of them.",
        )

    def _window(self, video: Video, moment: float) -> U8:
        """The window of `video` that begins at `moment` in [0, 1] of what is possible."""
        with _open(video) as container:
            stream = _video_stream(container)
            start_s = moment * _latest_start_s(container, stream, self._frames)
            found = self._pictures(container, stream, start_s)
            if len(found) < self._frames and start_s:  # the file is shorter than it says
                container.seek(0)
                found = self._pictures(container, stream, 0)
        if len(found) < self._frames:
            raise _Unusable(f"it has {len(found)} frames that decode, not {self._frames}")
        return np.stack(found)

    def _pictures(self, container: InputContainer, stream: VideoStream, start_s: float) -> list[U8]:
        """Up to F pictures from the time `start_s` on, counted from the stream's start."""
        if stream.time_base is None:
            raise _Unusable("it has no clock")
        first = (stream.start_time or 0) + round(start_s / stream.time_base)
        if start_s:
            container.seek(first, stream=stream)
        found: list[U8] = []
        for frame in Decoding(container, stream):
            if start_s and (frame.pts is None or frame.pts < first):
                continue
            found.append(self._picture(frame, stream))
            if len(found) == self._frames:
                break
        return found

    def _picture(self, frame: VideoFrame, stream: VideoStream) -> U8:
        if frame.interlaced_frame:
            raise _Unusable("it is interlaced")
        sar = stream.sample_aspect_ratio or Fraction(1)
        width, height = self._size.working_size(frame.width, frame.height, sar)
        matrix = int(frame.colorspace)
        if matrix == UNSPECIFIED:  # as players decide it
            matrix = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        small = frame.reformat(width, height, "rgb24", src_colorspace=matrix, interpolation="AREA")
        return np.ascontiguousarray(small.to_ndarray(), np.uint8)


def _files(place: str) -> Iterator[str]:
    """URIs of the videos and shards in a place, in a fixed order."""
    if place.endswith(_SHARD):
        yield from _expanded(place)
        return
    for name in storage.list_names(place):
        if _is_video(name) or name.endswith(_SHARD):
            yield storage.join(place, name)
    for name in storage.list_folders(place):
        yield from _files(storage.join(place, name))


def _expanded(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = found[1], found[2]
    for number in range(int(first), int(last) + 1):
        text = f"{number:0{len(first)}d}"
        yield from _expanded(f"{pattern[: found.start()]}{text}{pattern[found.end() :]}")


def _is_video(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


@contextmanager
def _open(video: Video) -> Iterator[InputContainer]:
    if video.member is None:
        with open_media(video.uri) as container:
            yield container
        return
    with (
        storage.open_read(video.uri) as file,
        tarfile.open(fileobj=file, mode="r:") as shard,
        shard.extractfile(video.member) as data,  # pyright: ignore[reportOptionalContextManager]
        av.open(data, "r") as container,
    ):
        yield container


def _video_stream(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise _Unusable("it has no moving pictures")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _latest_start_s(container: InputContainer, stream: VideoStream, frames: int) -> float:
    """Seconds from the start to the last moment that a clip can begin at; 0 where the file does
    not say how long it is."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate or container.duration is None:
        return 0.0
    return max(0.0, container.duration / av.time_base - frames / float(rate))
