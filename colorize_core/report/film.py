"""Fills the report from a run's manifest, stills and chunks, and writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from colorize_core import storage
from colorize_core.manifest.schema import ShotRow
from colorize_core.media.decode import FilmReader
from colorize_core.quality.figures import NAMES
from colorize_core.quality.flags import Flag, flags_of, held_shots
from colorize_core.report.build import build_report
from colorize_core.report.pictures import result_pictures, source_picture, still_picture
from colorize_core.report.summary import FilmSummary, ShotSummary
from colorize_core.run import FilmRun, retry_command
from colorize_core.shot_work import ShotWork
from colorize_core.summary import RunSummary


def write_report(run: FilmRun, summary: RunSummary) -> tuple[ShotSummary, ...]:
    """Write `report/index.html` of the run's film; returns its rows.

    Raises:
        KinecolorError: a chunk or the source cannot be read.
    """
    film = run.film
    progress = run.stage("report")
    rows = {row.shot: row for row in run.ledger.shots()}
    shots = []
    with FilmReader(film.info, film.timeline) as reader:
        for i, work in enumerate(run.shots):
            shots.append(_shot(run, work, rows[work.shot.number], reader))
            progress(i + 1, len(run.shots))
    page = build_report(_film(run, summary), shots)
    storage.replace_atomically(film.paths.report_index, page)
    return tuple(shots)


def _shot(run: FilmRun, work: ShotWork, row: ShotRow, reader: FilmReader) -> ShotSummary:
    film, span = run.film, work.shot.span
    look = (film.info.sar, film.info.rotation)
    finished = row.status in ("done", "grey", "partial")
    settings = run.request.config.quality
    flags = flags_of(row, settings)
    return ShotSummary(
        number=work.shot.number,
        span=span,
        start_s=film.timeline.time_s(span.start),
        end_s=film.timeline.time_s(span.end - 1) + 1 / film.timeline.rate,
        status=row.status,
        reason=row.note or (work.choice.reason if work.is_grey else ""),
        tone=work.choice.tone.said if work.choice.tone else "",
        confidence=row.confidence,
        score=row.score,
        figures={name: value for name in NAMES if (value := getattr(row, name)) is not None},
        flags=flags,
        held=bool(held_shots([row], settings)),
        seconds=row.seconds or 0.0,
        source=source_picture(reader, span.middle, film.info.width, film.info.height, *look),
        references=tuple(still_picture(still, *look) for still in run.stills_of(work)),
        results=result_pictures(work.chunks, span, film.timeline, *look, _telling(flags))
        if finished
        else (),
    )


def _telling(flags: Sequence[Flag]) -> Mapping[int, str]:
    """The frames that show what is wrong with a shot, and what that is."""
    shown: dict[int, str] = {}
    for flag in flags:
        if flag.frame is not None:
            shown.setdefault(flag.frame, flag.words)
    return shown


def _film(run: FilmRun, summary: RunSummary) -> FilmSummary:
    film, info = run.film, run.film.info
    line = film.timeline
    return FilmSummary(
        title=film.title,
        source=storage.redact(info.uri),
        work=storage.redact(run.request.work),
        output=storage.redact(summary.output) if summary.output else None,
        status=summary.status,
        width=info.width,
        height=info.height,
        sar=info.sar,
        rotation=info.rotation,
        rate=line.rate,
        duration_s=line.time_s(len(line) - 1) + 1 / line.rate,
        frames_in=summary.frames_in,
        frames_out=summary.frames_out if summary.output else None,
        luma_exact=summary.luma_exact if run.request.config.merge == "exact_luma" else None,
        preset=run.request.config.preset,
        config_digest=run.config_digest,
        segments=summary.segments,
        seconds=summary.seconds,
        version=run.version,
        warnings=summary.warnings,
        next_command=retry_command(run.request.work) if summary.failed_segments else None,
    )
