"""From a run's plan and outcomes to manifest rows."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from colorize_core import storage
from colorize_core.errors import as_text
from colorize_core.manifest.schema import (
    FilmRow,
    FilmStatus,
    SegmentRow,
    SegmentStatus,
    ShotRow,
    ShotStatus,
)
from colorize_core.plan import Segment
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
    """The row of a segment before its work. One that stays grey has nothing to wait for."""
    paths, pts = run.film.paths, run.film.timeline.pts
    _, item = work.segments[segment.index]
    reference_part, anchors_part, interpolation_part = run.facts.names
    return SegmentRow(
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


def found_segment(row: SegmentRow, stored: Stored) -> SegmentRow:
    """`row` with the object that a run made which did not live to record it."""
    return _changed(
        row,
        status="done",
        digest=stored.digest,
        bytes=stored.bytes,
        frames=stored.frames,
        confidence=stored.confidence,
        anchor_references=stored.references,
    )


def made_segment(row: SegmentRow, run: FilmRun, outcome: Outcome) -> SegmentRow:
    """`row` with what this run made."""
    return _changed(
        found_segment(row, outcome.stored[0]),
        attempts=outcome.attempts,
        worker=outcome.worker,
        node=outcome.node,
        device=outcome.device,
        seconds=outcome.seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        computed_in_run=run.id,
    )


def known_segment(row: SegmentRow, before: SegmentRow) -> SegmentRow:
    """`row` with what the run recorded that made its object."""
    return _changed(row, **{name: getattr(before, name) for name in _OF_THE_WORK})


def failed_segment(row: SegmentRow, status: SegmentStatus, error: Exception) -> SegmentRow:
    """`row` with why it failed."""
    name = type(error).__name__
    return _changed(row, status=status, error_class=name, error=as_text(error))


_OF_THE_WORK = (
    *("status", "attempts", "digest", "bytes", "frames", "worker", "node", "device", "seconds"),
    *("peak_memory_bytes", "confidence", "anchor_references", "computed_in_run"),
)


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
    """The row of a shot, with its `segments`' rows and its finished `chunks`."""
    rows = list(segments)
    sure = [(row.confidence, row.end - row.start) for row in rows if row.confidence is not None]
    frames = sum(count for _, count in sure)
    shot, timeline, paths = work.shot, run.film.timeline, run.film.paths
    end_s = timeline.time_s(shot.span.end - 1) + 1 / timeline.rate
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
        reference_choice=work.choice.reason,
        reference_score=work.choice.score if work.choice.stills else None,
        status=status,
        chunks=tuple(paths.relative(chunk.uri) for chunk in chunks),
        chunk_digests=tuple(chunk.digest for chunk in chunks),
        bytes=sum(chunk.bytes for chunk in chunks),
        frames=sum(chunk.frames for chunk in chunks),
        confidence=sum(each * count for each, count in sure) / frames if frames else None,
        seconds=seconds + sum(row.seconds or 0.0 for row in rows),
        note=note,
        computed_in_run=run.id,
    )


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
        run=run.id,
        started=datetime.now(UTC),
        versions=versions(),
    )
