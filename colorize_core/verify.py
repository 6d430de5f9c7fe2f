"""May this film be believed? It is decoded side by side with its source, from end to end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from colorize_core import storage
from colorize_core.ahead import ahead
from colorize_core.errors import NoVideoStream, ObjectDamaged
from colorize_core.frame_list import (
    Colour,
    FrameRow,
    list_name,
    luma_sha256,
    read_frame_list,
    write_frame_list,
)
from colorize_core.media.carry import can_hold, name_of
from colorize_core.media.container import Decoding, open_media
from colorize_core.media.decode import FilmReader, SourceFrame
from colorize_core.media.digests import StreamDigest, packet_digests
from colorize_core.media.join import MERGE_TAG
from colorize_core.media.luma import luma_form, luma_view
from colorize_core.media.probe import Scan, scan
from colorize_core.media.source import CarriedStream
from colorize_core.timebase import FrameSpan

Progress = Callable[[int, int], None]

# Both containers may keep milliseconds, each rounded.
_STREAM_ROUNDING_S = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison of a film with its source found.

    Attributes:
        frames_in: frames of the source (of a damaged one: of its readable part).
        frames_out: frames of the film.
        pts_equal: every frame is shown when the source's is, within the rounding of the film's
            container, and exactly so in the list beside the film, where there is one.
        luma_exact: every Y' plane is the source's, bit for bit (shifted up to the film's depth).
        first_difference: the first frame whose luma is not, or None.
        streams_equal: for each carried stream of the source (by index) whether its packets are in
            the film unchanged; None where that could not be (see `notes`).
        list_matches: the list beside the film agrees with source and film; None without a list.
        problems: what is wrong, one line each.
        notes: what is not as in the source and need not be.
    """

    frames_in: int
    frames_out: int
    pts_equal: bool
    luma_exact: bool
    first_difference: int | None
    streams_equal: dict[int, bool | None]
    list_matches: bool | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the film may be believed."""
        return not self.problems


def verify_film(
    out_uri: str,
    source_uri: str,
    *,
    scanned: Scan | None = None,
    write_list: Path | None = None,
    colour_of: Callable[[int], Colour] = lambda frame: "made",
    progress: Progress | None = None,
) -> Verification:
    """Compares the film at `out_uri` with its source, frame by frame, in constant memory.

    An access copy (any codec but FFV1) and a film made with ``merge = "lab"`` do not have the
    source's luma; that is noted, and is no problem. Of a damaged source the readable part counts.

    Args:
        scanned: what a scan of the source gave; without it the source is scanned first.
        write_list: for a film that was just joined: write the list of frames to this file. If it
            keeps no luma (``merge = "lab"``), its frames are counted and timed, not decoded.
            Without it, the list beside the film is checked, where there is one.
        colour_of: what a list that is written says of a frame's colour.
        progress: called with frames compared and frames in all.

    Raises:
        InputError: source or film cannot be opened at all, or the source is refused.
    """
    source = scanned or scan(source_uri, accept_damage=True)
    with _open_film(out_uri) as (container, stream):
        pictures = _Pictures(source, container, stream, fresh=write_list is not None)
        rows = pictures.rows(progress)
        if write_list is not None:
            said = (replace(row, colour=colour_of(row.frame)) for row in rows)
            write_frame_list(write_list, said)
        elif storage.exists(list_name(out_uri)):
            pictures.check_list(rows, read_frame_list(list_name(out_uri)))
        else:
            deque(rows, maxlen=0)
        sounds = _Sounds(source, container.format.name, access_copy=not pictures.lossless)
    sounds.compare(packet_digests(source.info.uri), packet_digests(out_uri))
    return Verification(
        frames_in=len(source.timeline),
        frames_out=pictures.frames_out,
        pts_equal=pictures.pts_equal,
        luma_exact=pictures.luma_exact,
        first_difference=pictures.first_difference,
        streams_equal=sounds.equal,
        list_matches=pictures.list_matches,
        problems=(*pictures.problems, *sounds.problems),
        notes=(*pictures.notes, *sounds.notes),
    )


@contextmanager
def _open_film(uri: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    with open_media(uri) as container:
        films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not films:
            raise NoVideoStream(f"{uri} has no moving pictures.", "Give the film that was made.")
        films[0].thread_type = "AUTO"
        yield container, films[0]


class _Pictures:
    """The frames of source and film, side by side."""

    def __init__(
        self, source: Scan, container: InputContainer, stream: VideoStream, *, fresh: bool
    ) -> None:
        self._source = source
        self._container = container
        self._stream = stream
        self.lossless = stream.codec_context.name == "ffv1"
        self.exact_wanted = self.lossless and container.metadata.get(MERGE_TAG) != "lab"
        self._decodes = self.exact_wanted or not (fresh and self.lossless)
        self.frames_out = 0
        self._failed_frames = 0
        self.pts_equal = True
        self.first_difference: int | None = None
        self.list_matches: bool | None = None
        self.problems: list[str] = []
        self.notes: list[str] = []

    @property
    def luma_exact(self) -> bool:
        whole = self.frames_out == len(self._source.timeline)
        return self._decodes and whole and self.first_difference is None

    def rows(self, progress: Progress | None) -> Iterator[FrameRow]:
        """Compares; gives the source's line of the list for each frame."""
        info, timeline = self._source.info, self._source.timeline
        decoding = Decoding(self._container, self._stream)
        film = ahead(iter(decoding) if self._decodes else self._packets())
        with FilmReader(info, timeline) as reader, closing(film):
            for frame in reader.frames(FrameSpan(0, len(timeline))):
                shown = next(film, None)
                if shown is not None:
                    self.frames_out += 1
                    self._compare(frame, shown)
                digest = luma_sha256(frame.luma)
                yield FrameRow(frame.frame, frame.pts, timeline.time_base, digest)
                if progress:
                    progress(frame.frame + 1, len(timeline))
        self.frames_out += sum(1 for _ in film)
        self._conclude(decoding)

    def _packets(self) -> Iterator[Packet]:
        """One for each frame of FFV1, in order."""
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def _compare(self, frame: SourceFrame, shown: VideoFrame | Packet) -> None:
        if isinstance(shown, VideoFrame) and not self._same_luma(frame, shown):
            self.first_difference = frame.frame
            if self.exact_wanted:
                self.problems.append(f"The luma of frame {frame.frame} is not the source's.")
        tick = self._stream.time_base or Fraction(1)
        wanted = frame.pts * self._source.timeline.time_base
        if self.pts_equal and (shown.pts is None or abs(shown.pts * tick - wanted) > tick / 2):
            self.pts_equal = False
            self.problems.append(
                f"Frame {frame.frame} is not shown at {wanted} s as in the source."
            )

    def _same_luma(self, frame: SourceFrame, shown: VideoFrame) -> bool:
        """True once a difference was found: only the first counts."""
        if self.first_difference is not None:
            return True
        form = luma_form(shown.format.name)
        shift = form.depth - self._source.info.depth
        film = luma_view(shown, form)
        return shift >= 0 and np.array_equal(film, frame.luma.astype(np.uint16) << shift)

    def _conclude(self, decoding: Decoding) -> None:
        info = self._source.info
        if decoding.broken:
            self.problems.append(
                f"The film is damaged after {self.frames_out} frames: {decoding.broken}."
            )
        if self.frames_out != len(self._source.timeline):
            self.problems.append(
                f"The film has {self.frames_out} frames, the source {len(self._source.timeline)}."
            )
        if info.damage is not None:
            self.notes.append(
                f"The source is damaged, its readable part was compared: {info.damage}"
            )
        if not self.lossless:
            codec = self._stream.codec_context.name
            self.notes.append(f"This is an access copy ({codec}): its luma is close, not exact.")
        elif not self.exact_wanted:
            self.notes.append("The film was made with merge = lab: it keeps L*, not the luma.")

    def check_list(self, rows: Iterator[FrameRow], listed: Iterator[FrameRow]) -> None:
        """Compares, and holds each line of the list against the source."""
        self.list_matches = True
        for row in rows:
            self._check_line(row, listed)
        if self.list_matches:
            self._check_line(None, listed)
        if self._failed_frames:
            self.notes.append(
                f"{self._failed_frames} frames are grey because their segments failed: the list "
                "beside the film names them."
            )

    def _check_line(self, row: FrameRow | None, listed: Iterator[FrameRow]) -> None:
        if not self.list_matches:
            return
        try:
            found = next(listed, None)
        except ObjectDamaged as error:
            self.list_matches = False
            self.problems.append(error.what)
            return
        if found is not None:
            self._failed_frames += found.colour == "failed"
            found = replace(found, colour="made")
        if found != row:
            self.list_matches = False
            where = f"frame {row.frame}" if row else "the end"
            self.problems.append(f"The list beside the film disagrees with the source at {where}.")


class _Sounds:
    """The carried streams of source and film."""

    def __init__(self, source: Scan, container: str, *, access_copy: bool) -> None:
        self._info = source.info
        self._container = container
        self._access_copy = access_copy
        self.equal: dict[int, bool | None] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []

    def compare(self, source: dict[int, StreamDigest], film: dict[int, StreamDigest]) -> None:
        left = list(film.values())
        for carried in self._info.carried:
            original = source[carried.index]
            found = _counterpart(original, left)
            if found is None:
                self._missing(carried)
                continue
            left.remove(found)
            same = found.sha256 == original.sha256
            in_time = _near(found.first_s, original.first_s) and _near(
                found.last_s, original.last_s
            )
            self.equal[carried.index] = same and in_time
            if not same:
                self.problems.append(f"{name_of(carried)} is not as in the source.")
            elif not in_time:
                self.problems.append(
                    f"{name_of(carried)} is not at the same time as in the source."
                )

    def _missing(self, carried: CarriedStream) -> None:
        if self._access_copy or not can_hold(self._container, carried):
            self.equal[carried.index] = None
            self.notes.append(f"{name_of(carried)} is not in the film as it was.")
        else:
            self.equal[carried.index] = False
            self.problems.append(f"{name_of(carried)} is missing.")


def _counterpart(original: StreamDigest, film: list[StreamDigest]) -> StreamDigest | None:
    alike = [each for each in film if (each.kind, each.codec) == (original.kind, original.codec)]
    same = (each for each in alike if each.sha256 == original.sha256)
    return next(same, alike[0] if alike else None)


def _near(film_s: Fraction | None, source_s: Fraction | None) -> bool:
    if film_s is None or source_s is None:
        return film_s is None and source_s is None
    return abs(film_s - source_s) <= _STREAM_ROUNDING_S
