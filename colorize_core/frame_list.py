"""The list beside a film: each frame's exact pts and the digest of its luma, as CSV.

``frame,pts,time_base,time_s,luma_sha256,colour``: frame number from 0; pts in ticks of `time_base`
(seconds, a fraction); the same moment in seconds, as a fraction; sha256 of the source's Y' plane,
rows from the top without padding, one byte a sample at 8 bits, two (little-endian) above; whether
the frame has colour (``made``), was left grey (``grey``), or is grey because its segment failed
(``failed``).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from colorize_core import storage
from colorize_core.errors import ObjectDamaged
from colorize_core.media.luma import Samples

_COLUMNS = ["frame", "pts", "time_base", "time_s", "luma_sha256", "colour"]

Colour = Literal["made", "grey", "failed"]


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One line of the list."""

    frame: int
    pts: int
    time_base: Fraction
    luma_sha256: str
    colour: Colour = "made"


def list_name(out_uri: str) -> str:
    """Where the list of the film at `out_uri` is."""
    return f"{out_uri}.frames.csv"


def luma_sha256(luma: Samples) -> str:
    """The digest of a Y' plane as the list has it."""
    little = np.ascontiguousarray(luma, luma.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def write_frame_list(path: Path, rows: Iterable[FrameRow]) -> None:
    """Writes `rows` one by one as they come."""
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in rows:
            time_s = row.pts * row.time_base
            values = (row.frame, row.pts, row.time_base, time_s, row.luma_sha256, row.colour)
            writer.writerow(values)


def read_frame_list(uri: str) -> Iterator[FrameRow]:
    """The rows of a list, one by one.

    Raises:
        ObjectDamaged: a line is not one of such a list.
    """
    with storage.open_read(uri) as raw:
        lines = csv.reader(io.TextIOWrapper(raw, encoding="ascii", newline=""))
        try:
            if next(lines, None) != _COLUMNS:
                raise ValueError("not the columns of a frame list")
            for frame, pts, time_base, time_s, digest, colour in lines:
                if colour not in get_args(Colour):
                    raise ValueError(f"colour “{colour}” is none of {get_args(Colour)}")
                said = cast(Colour, colour)
                row = FrameRow(int(frame), int(pts), Fraction(time_base), digest, said)
                if row.pts * row.time_base != Fraction(time_s):
                    raise ValueError("time_s is not pts × time_base")
                yield row
        except (ValueError, ZeroDivisionError, csv.Error) as error:
            raise ObjectDamaged(
                f"{uri} is damaged at line {lines.line_num} ({error}).",
                "Make the film again, or delete the list to verify without it.",
            ) from error
