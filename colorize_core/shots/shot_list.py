"""The list of a film's shots: what the detector found, or what a person made of it (`shots.csv`).

The file is a table for a spreadsheet: one line for each shot, in order, without gaps.

| column | meaning |
|---|---|
| `shot` | number of the shot, 1 for the first, one more from line to line |
| `start`, `end` | its frames, from 0, `end` not included |
| `start_timecode`, `end_timecode` | the same for people; not read |
| `boundary` | how it begins: `cut`, `fade`, `dissolve`, or `start` of the film |
| `enabled` | `no`: the shot stays grey |
| `prompt` | what the shot shows, for a reference maker that works from words |
| `note` | for people |

Only the first three must be there. Columns of other names are left alone: people add their own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from colorize_core.errors import ShotListError
from colorize_core.shots.detect import Boundary
from colorize_core.timebase import FrameSpan, Timeline, format_timecode

BoundaryKind = Literal["start", "cut", "fade", "dissolve"]

COLUMNS = (
    "shot",
    "start",
    "end",
    "start_timecode",
    "end_timecode",
    "boundary",
    "enabled",
    "prompt",
    "note",
)
REQUIRED = ("shot", "start", "end")
_BOUNDARIES: Mapping[str, BoundaryKind] = {kind: kind for kind in get_args(BoundaryKind)}
_ENABLED: Mapping[str, bool] = {
    **dict.fromkeys(("", "yes", "true", "1"), True),
    **dict.fromkeys(("no", "false", "0"), False),
}
_REMEDY = "Correct the line, or run `kinecolor shots` again to get a fresh list."


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot.

    Attributes:
        number: 1 for the film's first shot.
        span: its frames.
        boundary: how it begins.
        enabled: whether it is colorized; otherwise it stays grey.
        prompt: what it shows, in words, or empty.
        note: a person's, or empty.
    """

    number: int
    span: FrameSpan
    boundary: BoundaryKind = "cut"
    enabled: bool = True
    prompt: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShotList:
    """A film's shots, which tile it: the first starts at 0, each where the one before ends."""

    shots: tuple[Shot, ...]

    def __post_init__(self) -> None:
        due = 0
        for number, shot in enumerate(self.shots, start=1):
            if shot.number != number or shot.span.start != due:
                raise ValueError(f"shot {shot.number} ({shot.span}) does not follow on frame {due}")
            due = shot.span.end
        if not self.shots:
            raise ValueError("a film has at least one shot")

    def __len__(self) -> int:
        return len(self.shots)

    def __iter__(self) -> Iterator[Shot]:
        return iter(self.shots)

    @property
    def frames(self) -> int:
        return self.shots[-1].span.end

    @classmethod
    def from_boundaries(cls, boundaries: Sequence[Boundary], frames: int) -> ShotList:
        """The shots between `boundaries` (ascending, inside the film) of a film of `frames`."""
        starts = (0, *(boundary.frame for boundary in boundaries))
        ends = (*starts[1:], frames)
        kinds: tuple[BoundaryKind, ...] = ("start", *(boundary.kind for boundary in boundaries))
        return cls(
            tuple(
                Shot(number, FrameSpan(start, end), kind)
                for number, (start, end, kind) in enumerate(
                    zip(starts, ends, kinds, strict=True), start=1
                )
            )
        )


def write_csv(shots: ShotList, timeline: Timeline) -> bytes:
    """`shots.csv`: UTF-8, commas, ``\\n``. The end's timecode is when the next shot starts.

    Raises:
        ValueError: list and time line are not of the same film.
    """
    if shots.frames != len(timeline):
        raise ValueError(f"{shots.frames} frames in the list, {len(timeline)} in the film")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    film_end_s = timeline.time_s(shots.frames - 1) + 1 / timeline.rate
    for shot in shots:
        start, end = shot.span.start, shot.span.end
        end_s = timeline.time_s(end) if end < shots.frames else film_end_s
        times = (format_timecode(timeline.time_s(start)), format_timecode(end_s))
        enabled = "yes" if shot.enabled else "no"
        words = (_one_line(shot.prompt), _one_line(shot.note))
        table.writerow((shot.number, start, end, *times, shot.boundary, enabled, *words))
    return text.getvalue().encode()


def read_csv(data: bytes, frames: int) -> ShotList:
    """The list in `data`, which has to tile a film of `frames` frames exactly.

    Separated by commas, semicolons or tabs, whatever the header line uses; with or without a byte
    order mark; blank lines are passed over. Shots are numbered anew in their order, so that a row
    may be deleted, or be there twice, where shots were merged or split.

    Raises:
        ShotListError: with the number of the line that is wrong, and how.
    """
    lines = _rows(data)
    header_line, header = next(lines, (1, []))
    columns = _columns(header_line, header)
    shots: list[Shot] = []
    line = header_line
    for line, row in lines:
        fields = {name: row[at].strip() if at < len(row) else "" for name, at in columns.items()}
        shots.append(_shot(line, fields, shots[-1] if shots else None, frames))
    if not shots:
        raise ShotListError("The shot list has no shots.", _REMEDY)
    end = shots[-1].span.end
    if end != frames:
        raise _error(line, f"the last shot ends at {end}, but the film at {frames}")
    return ShotList(tuple(shots))


def _error(line: int, what: str) -> ShotListError:
    return ShotListError(f"Shot list, line {line}: {what}.", _REMEDY)


def _rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of the line on which it starts."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(line, "not UTF-8 text (in a spreadsheet: save as “CSV UTF-8”)") from error
    header = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=header.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for row in table:
            if any(field.strip() for field in row):
                yield line, row
            line = table.line_num + 1
    except csv.Error as error:
        raise _error(line, f"not a line of a table ({error})") from error


def _columns(line: int, header: Sequence[str]) -> Mapping[str, int]:
    """The known columns and where they are."""
    names = [name.strip().lower() for name in header]
    for name in COLUMNS:
        if names.count(name) > 1:
            raise _error(line, f"column {name} is there twice")
    if missing := [name for name in REQUIRED if name not in names]:
        raise _error(line, f"the first line has to name the columns; missing: {', '.join(missing)}")
    return {name: names.index(name) for name in COLUMNS if name in names}


def _shot(line: int, fields: Mapping[str, str], before: Shot | None, frames: int) -> Shot:
    _, start, end = (_number(line, name, fields[name]) for name in REQUIRED)
    number = before.number + 1 if before else 1
    _check_place(line, number, start, before)
    if end <= start:
        raise _error(line, f"shot {number} ends at {end}, not after its start at {start}")
    if end > frames:
        raise _error(line, f"shot {number} ends at {end}, but the film has {frames} frames")
    text = fields.get("boundary", "").lower() or ("cut" if before else "start")
    boundary = _BOUNDARIES.get(text)
    if boundary is None:
        raise _error(line, f"boundary is “{text}”, not one of {', '.join(_BOUNDARIES)}")
    enabled = _ENABLED.get(fields.get("enabled", "").lower())
    if enabled is None:
        raise _error(line, f"enabled is “{fields['enabled']}”, not yes or no")
    prompt, note = _one_line(fields.get("prompt", "")), _one_line(fields.get("note", ""))
    return Shot(number, FrameSpan(start, end), boundary, enabled, prompt, note)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _check_place(line: int, number: int, start: int, before: Shot | None) -> None:
    if before is None and start != 0:
        raise _error(line, f"the first shot starts at {start}, not at 0")
    if before is not None and start != before.span.end:
        kind = "overlap" if start < before.span.end else "gap"
        raise _error(
            line,
            f"shot {number} starts at {start}, but shot {before.number} ends at "
            f"{before.span.end} ({kind})",
        )


def _number(line: int, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise _error(line, f"{name} is “{text}”, not a whole number" if text else f"no {name}")
    return int(text)
