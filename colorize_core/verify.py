"""May this film be believed? It is decoded side by side with its source, from end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from colorize_core import storage
from colorize_core.errors import KinecolorError, NoVideoStream, ObjectDamaged
from colorize_core.frame_list import (
    FrameRow,
    list_name,
    luma_sha256,
    read_frame_list,
    write_frame_list,
)
from colorize_core.media.container import Decoding, open_media
from colorize_core.media.decode import FilmReader
from colorize_core.media.digests import StreamDigest, packet_digests
from colorize_core.media.join import MERGE_TAG
from colorize_core.media.luma import LumaForm, Samples, luma_form, luma_view
from colorize_core.media.output import holds
from colorize_core.media.probe import Scan, scan
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
    progress: Progress | None = None,
) -> Verification:
    """Compares the film at `out_uri` with its source, frame by frame, in constant memory.

    An access copy (any codec but FFV1) and a film made with ``merge = "lab"`` do not have the
    source's luma; that is noted, and is no problem. Of a damaged source the readable part counts.

    Args:
        scanned: what a scan of the source gave; without it the source is scanned first.
        write_list: write the list of frames to this file; without it, the list beside the film is
            checked, where there is one.
        progress: called with frames compared and frames in all.

    Raises:
        InputError: source or film cannot be opened at all, or the source is refused.
    """
    source = scanned or scan(source_uri, accept_damage=True)
    with _open_film(out_uri) as (container, stream):
        comparison = _Comparison(source, container, stream)
        rows = comparison.rows(progress)
        if write_list is not None:
            write_frame_list(write_list, rows)
        elif storage.exists(list_name(out_uri)):
            comparison.check_list(rows, read_frame_list(list_name(out_uri)))
        else:
            for _ in rows:
                pass
        access_copy = stream.codec_context.name != "ffv1"
        format_name = "matroska" if "matroska" in container.format.name else "mp4"
    streams_equal = _compare_streams(source, out_uri, format_name, access_copy, comparison)
    return comparison.result(streams_equal)
