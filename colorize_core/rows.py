"""From a run's plan and outcomes to manifest rows."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from colorize_core import storage
from colorize_core.errors import KinecolorError, as_text
from colorize_core.manifest.schema import (
    FilmRow,
    FilmStatus,
    SegmentRow,
    SegmentStatus,
    ShotRow,
    ShotStatus,
)
from colorize_core.plan import Segment
from colorize_core.quality.figures import NAMES, Quality
from colorize_core.shot_work import ShotWork
from colorize_core.timebase import format_timecode
from colorize_core.work import Outcome, Stored

if TYPE_CHECKING:
    from colorize_core.run import FilmRun

_VERSIONED = (
    *("kinecolor", "av", "numpy", "opencv-python", "ray", "prefect"),
    *("torch", "diffusers", "transformers"),
)


def versions() -> str:
    """Versions of what a result depends on, as JSON."""
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return json.dumps(found)


def planned_segment(run: FilmRun, work: ShotWork, segment: Segment) -> SegmentRow:
    """The row of a segment before its work, with what earlier runs recorded of its object. One that
    stays grey has nothing to wait for."""
    paths, pts = run.film.paths, run.film.timeline.pts
    _, item = work.segments[segment.index]
    reference_part, anchors_part, interpolation_part = run.facts.names
    row = SegmentRow(
        film=paths.film,
        shot=segment.shot,
        segment=segment.index + 1,
        start=segment.span.start,
        end=segment.span.end,
        start_pts=int(pts[segment.span.start]),
        last_pts=int(pts[segment.span.end - 1]),
        start_anchor=segment.start_anchor,
        end_anchor=segment.end_anchor,
        start_anchor_object=paths.relative(item.start) if item else None,
        end_anchor_object=paths.relative(item.end) if item else None,
        start_anchor_digest=run.found.recorded(item.start) if item else None,
        end_anchor_digest=run.found.recorded(item.end) if item else None,
        references=tuple(still.digest for still in work.choice.stills),
        prompt=work.shot.prompt,
        reference_part=reference_part,
        anchors_part=anchors_part,
        interpolation_part=interpolation_part,
        config_digest=run.config_digest,
        seed=run.request.config.seed,
        status="pending" if item else "done",
        grey=item is None,
        uri=paths.relative(item.output) if item else None,
    )
    known = run.found.segment(item.output) if item else None
    return _changed(row, **{name: getattr(known, name) for name in _OF_THE_WORK}) if known else row


def running_segment(row: SegmentRow) -> SegmentRow:
    """`row`, given to the workers."""
    return _changed(row, status="running")


def found_segment(row: SegmentRow) -> SegmentRow:
    """`row`, whose object is as it was recorded."""
    return _changed(row, status="done")


def stored_segment(row: SegmentRow, stored: Stored) -> SegmentRow:
    """`row` with the object that a run made which did not live to record it."""
    return _changed(
        row,
        status="done",
        digest=stored.digest,
        bytes=stored.bytes,
        frames=stored.frames,
        anchor_references=stored.references,
        **_figures(stored.quality) | {"confidence": stored.confidence},
    )


def made_segment(row: SegmentRow, run: FilmRun, outcome: Outcome) -> SegmentRow:
    """`row` with what this run made."""
    return _changed(
        stored_segment(row, outcome.stored[0]),
        attempts=outcome.attempts,
        worker=outcome.worker,
        node=outcome.node,
        device=outcome.device,
        seconds=outcome.seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        computed_in_run=run.id,
    )


def anchored_segment(row: SegmentRow, start: str | None, end: str | None) -> SegmentRow:
    """`row` with the digests of its anchors' objects."""
    return _changed(row, start_anchor_digest=start, end_anchor_digest=end)


def failed_segment(
    row: SegmentRow, status: SegmentStatus, error: KinecolorError, *, grey: bool
) -> SegmentRow:
    """`row` with why it failed, and whether its frames are published grey."""
    return _changed(
        row,
        status=status,
        grey=grey,
        attempts=error.attempts,
        error_class=type(error).__name__,
        error=as_text(error),
    )


def still_failed_segment(row: SegmentRow, before: SegmentRow, *, grey: bool) -> SegmentRow:
    """`row` as it failed in an earlier run, when it is not tried in this one."""
    names = ("status", "attempts", "error_class", "error")
    return _changed(row, grey=grey, **{name: getattr(before, name) for name in names})


_OF_THE_WORK = (
    *("attempts", "digest", "bytes", "frames", "worker", "node", "device", "seconds"),
    *("peak_memory_bytes", "anchor_references", "computed_in_run", "score"),
    *NAMES,
    *(f"{name}_frame" for name in NAMES),
)


def _figures(quality: Quality | None) -> dict[str, object]:
    if quality is None:
        return {}
    found: dict[str, object] = {"score": quality.score}
    for name in NAMES:
        figure = getattr(quality, name)
        found |= {name: figure.value, f"{name}_frame": figure.frame}
    return found


def _changed(row: SegmentRow, **fields: object) -> SegmentRow:
    return SegmentRow.model_validate(row.model_dump() | fields)


def shot_row(
    run: FilmRun,
    work: ShotWork,
    status: ShotStatus,
    segments: Iterable[SegmentRow] = (),
    *,
    chunks: Sequence[Stored] = (),
    note: str = "",
    seconds: float = 0.0,
) -> ShotRow:
    """The row of a shot, with its `segments`' rows and its finished `chunks`; without them, what
    was recorded of them is kept."""
    rows = list(segments)
    named = [(chunk.uri, chunk.digest) for chunk in chunks] or [
        (item.output, digest) for item in work.chunks if (digest := run.found.recorded(item.output))
    ]
    shot, timeline, paths = work.shot, run.film.timeline, run.film.paths
    end_s = timeline.time_s(shot.span.end - 1) + 1 / timeline.rate
    tone = work.choice.tone
    return ShotRow(
        film=paths.film,
        shot=shot.number,
        start=shot.span.start,
        end=shot.span.end,
        start_timecode=format_timecode(timeline.time_s(shot.span.start)),
        end_timecode=format_timecode(end_s),
        boundary=shot.boundary,
        enabled=shot.enabled,
        prompt=shot.prompt,
        references=tuple(still.digest for still in work.choice.stills),
        reference_choice=f"{work.choice.reason}; {tone.said}" if tone else work.choice.reason,
        reference_score=work.choice.score if work.choice.stills else None,
        references_before_tone=tone.before if tone else (),
        tone_shift=tone.shift if tone else None,
        status=status,
        chunks=tuple(paths.relative(uri) for uri, _ in named),
        chunk_digests=tuple(digest for _, digest in named),
        bytes=sum(chunk.bytes for chunk in chunks),
        frames=sum(chunk.frames for chunk in chunks),
        seconds=seconds + sum(row.seconds or 0.0 for row in rows),
        note=note,
        computed_in_run=run.id,
        **_of_segments(rows),
    )


def _of_segments(rows: Sequence[SegmentRow]) -> dict[str, Any]:
    """A shot's score and confidence, which are means over its frames, and the other figures, which
    are its worst segment's; each with the frame that shows it."""
    found: dict[str, Any] = {name: _mean(rows, name) for name in ("score", "confidence")}
    for name in NAMES:
        watched = [row for row in rows if getattr(row, f"{name}_frame") is not None]
        if not watched:
            continue
        worst = min if name == "confidence" else max
        row = worst(watched, key=lambda row: getattr(row, name))
        found[f"{name}_frame"] = getattr(row, f"{name}_frame")
        if name != "confidence":
            found[name] = getattr(row, name)
    return found


def _mean(rows: Iterable[SegmentRow], column: str) -> float | None:
    """Of a column over the frames of those rows that have it."""
    known = [
        (value, row.end - row.start) for row in rows if (value := getattr(row, column)) is not None
    ]
    frames = sum(count for _, count in known)
    return sum(value * count for value, count in known) / frames if frames else None


def film_row(run: FilmRun, status: FilmStatus) -> FilmRow:
    """The row of the film as a run begins; the end fills in the rest with `model_copy`."""
    info, config = run.film.info, run.request.config
    return FilmRow(
        film=run.film.paths.film,
        title=run.film.title,
        source=storage.redact(info.uri),
        digest=info.digest,
        bytes=info.bytes,
        frames=info.frames,
        rate=str(run.film.timeline.rate),
        width=info.width,
        height=info.height,
        sar=str(info.sar),
        pix_fmt=info.pix_fmt,
        depth=info.depth,
        config=config.model_dump_json(),
        config_digest=run.config_digest,
        weights=tuple(sorted(run.weights)),
        accepted_licences=run.accepted_licences,
        status=status,
        failures_in_a_row=_failures_before(run),
        run=run.id,
        started=datetime.now(UTC),
        versions=versions(),
    )


def _failures_before(run: FilmRun) -> int:
    """Failed runs in a row over the film as it is asked for now. One that was killed did not live
    to count itself."""
    before, source = run.previous, storage.redact(run.film.info.uri)
    if before is None or (before.config_digest, before.source) != (run.config_digest, source):
        return 0
    return before.failures_in_a_row + (before.status == "running")
