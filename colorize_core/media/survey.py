"""What one pass over the frames of a film finds out, frame by frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from colorize_core.errors import InterlacedSource, UnsupportedSource
from colorize_core.media.luma import LumaForm, chroma_views, luma_bytes, luma_form
from colorize_core.media.source import ColourTags
from colorize_core.media.timestamps import NO_PTS

Watch = Callable[[int, NDArray[np.uint8]], None]
Progress = Callable[[int, int], None]

MIN_SIDE, MAX_SIDE, MAX_PIXELS = 16, 16384, 2**27
# A stray flag on a progressive film is common, one frame in ten is not. A film that is half fields
# so far is refused at once.
INTERLACED_SHARE, INTERLACED_NOW, INTERLACED_SURE = 0.1, 0.5, 25
# Chroma this far from neutral (8-bit codes, over a patch of the picture) is no codec noise.
COLOUR_DEVIATION, COLOUR_PATCHES = 4.0, (16, 16)
COLOUR_EVERY, COLOUR_SHARE = 8, 0.05


@dataclass(frozen=True, slots=True)
class Picture:
    """What all frames of a film have in common."""

    width: int
    height: int
    pix_fmt: str

    def __str__(self) -> str:
        return f"{self.width}×{self.height} {self.pix_fmt}"


class Survey:
    """Takes the frames of a film in order, each once.

    Args:
        name: the film's, for messages.
        expected: about how many frames there are, for `progress` (0: not known).
        watch, progress: as in `probe.scan`.

    Attributes:
        picture, form, tags, rotation: of the first frame, once there is one.
        pts: of each frame so far, `NO_PTS` where it has none.
        concealed: frames in which the decoder hid damage.
        stub: the film ended in a picture that is not whole (it is not counted).
    """

    picture: Picture
    form: LumaForm
    tags: ColourTags
    rotation: int

    def __init__(
        self, name: str, expected: int, watch: Watch | None, progress: Progress | None
    ) -> None:
        self._name = name
        self._expected = expected
        self._watch = watch
        self._progress = progress
        self._waiting: VideoFrame | None = None
        self._last_was_concealed = False
        self._interlaced = 0
        self._sampled = 0
        self._coloured = 0
        self.pts = array("q")
        self.concealed = 0
        self.stub = False

    @property
    def frames(self) -> int:
        return len(self.pts)

    @property
    def has_colour(self) -> bool:
        return self._coloured > self._sampled * COLOUR_SHARE

    def add(self, frame: VideoFrame) -> None:
        """The next frame. It counts when one more comes, or at `close`.

        Raises:
            UnsupportedSource: see `probe.scan`.
            InterlacedSource: so many frames are flagged that there is no doubt.
        """
        if self._waiting is not None:
            self._count(self._waiting)
        self._waiting = frame

    def close(self) -> None:
        """There are no more frames.

        Raises: as `add`.
        """
        if self._waiting is not None:
            # a file that ends inside a picture: a damaged frame alone, after whole ones
            self.stub = (
                self.frames > 0 and self._waiting.is_corrupt and not self._last_was_concealed
            )
            if not self.stub:
                self._count(self._waiting)
            self._waiting = None
        if self._interlaced > self.frames * INTERLACED_SHARE:
            self._refuse_interlaced()

    def _count(self, frame: VideoFrame) -> None:
        number = self.frames
        if number == 0:
            self._begin(frame)
        elif (found := _picture(frame)) != self.picture:
            raise UnsupportedSource(
                f"The picture changes from {self.picture} to {found} at frame {number} of "
                f"{self._name}.",
                "Cut the film there and colorize the parts, or bring it to one size first.",
            )
        self.pts.append(NO_PTS if frame.pts is None else frame.pts)
        self._last_was_concealed = frame.is_corrupt
        self.concealed += frame.is_corrupt
        self._interlaced += frame.interlaced_frame
        if self._interlaced >= max(INTERLACED_SURE, self.frames * INTERLACED_NOW):
            self._refuse_interlaced()
        if number % COLOUR_EVERY == 0:
            self._sampled += 1
            self._coloured += _is_coloured(frame, self.form)
        if self._watch is not None:
            self._watch(number, luma_bytes(frame, self.form))
        if self._progress is not None:
            self._progress(self.frames, self._expected)

    def _begin(self, frame: VideoFrame) -> None:
        self.picture = _picture(frame)
        self.form = luma_form(frame.format.name)
        self.tags = ColourTags(
            matrix=int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            range=int(frame.color_range),
        )
        self.rotation = _quarter_turns(self._name, frame)
        if min(frame.width, frame.height) < MIN_SIDE:
            raise UnsupportedSource(
                f"{self._name} is {self.picture}: a side is under {MIN_SIDE} pixels.",
                "Give a film of pictures.",
            )
        check_not_too_large(self._name, frame.width, frame.height)

    def _refuse_interlaced(self) -> None:
        raise InterlacedSource(
            f"{self._name} is interlaced: its pictures are pairs of fields.",
            "Deinterlace it first: ffmpeg -i SOURCE -map 0 -c copy -c:v ffv1 -vf bwdif "
            "progressive.mkv (a telecined film: -vf fieldmatch,decimate).",
        )


def check_not_too_large(name: str, width: int, height: int) -> None:
    """Refuses a size that no film has.

    Raises:
        UnsupportedSource: it is too large.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnsupportedSource(
            f"{name} is {width}×{height}: a side is over {MAX_SIDE} pixels, or the picture over "
            f"{MAX_PIXELS:,}.",
            "Scale the film down first.",
        )


def _quarter_turns(name: str, frame: VideoFrame) -> int:
    """By how many degrees people see the picture turned, anticlockwise."""
    matrix = cast(Any, frame.side_data).get(SideData.DISPLAYMATRIX)
    is_mirrored = False
    if matrix is not None:
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
        is_mirrored = a * d < b * c
    if frame.rotation % 90 or is_mirrored:
        raise UnsupportedSource(
            f"{name} is to be shown mirrored, or turned by {frame.rotation} degrees.",
            "Let it lie as it is first: ffmpeg -display_rotation 0 -i SOURCE -map 0 -c copy "
            "upright.mkv, or turn its pictures.",
        )
    return frame.rotation


def _picture(frame: VideoFrame) -> Picture:
    return Picture(frame.width, frame.height, frame.format.name)


def _is_coloured(frame: VideoFrame, form: LumaForm) -> bool:
    neutral, unit = 1 << (form.depth - 1), 1 << (form.depth - 8)
    for samples in chroma_views(frame, form):
        plane = np.ascontiguousarray(samples).astype(np.float32)
        patches = cv2.resize(plane, COLOUR_PATCHES, interpolation=cv2.INTER_AREA)
        if np.abs(patches - neutral).max() > COLOUR_DEVIATION * unit:
            return True
    return False
