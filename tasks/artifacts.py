"""What people see of a run in Prefect when it ends: its segments, its pictures, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.states import Failed

from colorize_core import storage
from colorize_core.errors import Held, KinecolorError, Unfinished, as_text
from colorize_core.manifest.schema import SegmentRow
from colorize_core.report.build import to_check
from colorize_core.report.gallery import gallery
from colorize_core.run import FilmRun, retry_command
from colorize_core.summary import RunSummary
from tasks.observe import server_may_be_away, table_artifact

_MOST_NAMED = 20  # shots in a line, warnings: the report has them all


@contextmanager
def told(run: FilmRun) -> Iterator[None]:
    """However the block ends, an artifact has the segments; and one says why, where no summary
    does."""
    try:
        yield
    except Unfinished:  # `film_summary` was told
        raise
    except BaseException as error:
        film_ended(run, error)
        raise
    finally:
        segment_table(run.film.paths.film, run.ledger.segments())


def segment_table(film: str, rows: list[SegmentRow]) -> None:
    """A table artifact of the film's segments, what failed first."""
    order: dict[str, int] = {"quarantined": 0, "failed": 1, "running": 2, "pending": 3, "done": 4}
    ranked = sorted(rows, key=lambda row: (order[row.status], row.shot, row.segment))
    with server_may_be_away():
        table_artifact(ranked, _segment_cells, f"{film}-segments", "Segments, failures first.")


def _segment_cells(row: SegmentRow) -> dict[str, Any]:
    return {
        "segment": row.id,
        "frames": f"{row.start}–{row.end - 1}",
        "status": "grey" if row.grey and row.status == "done" else row.status,
        "attempts": row.attempts,
        "seconds": round(row.seconds or 0.0, 2),
        "score": None if row.score is None else round(row.score, 3),
        "confidence": None if row.confidence is None else round(row.confidence, 3),
        "error": row.error or "",
    }


def film_summary(run: FilmRun, summary: RunSummary) -> None:
    """A markdown artifact that says what came of the film and what to do next, and one with its
    shots' pictures."""
    lines = [
        f"# {run.film.title}: {summary.status}",
        f"- frames: {summary.frames_in} in, {summary.frames_out} out",
        f"- segments: {', '.join(f'{count} {name}' for name, count in summary.segments.items())}",
        f"- luma exact: {summary.luma_exact}",
        f"- output: `{storage.redact(summary.output or 'none')}`",
        f"- report: `{storage.redact(summary.report)}`",
        *(f"- {storage.redact(each)}" for each in summary.warnings[:_MOST_NAMED]),
        "",
        "## What to do next",
        *_next(run, summary),
        *_to_check(run),
    ]
    _markdown(run, "summary", "\n".join(lines), "What came of the run, and what to do next.")
    pictures = gallery(run.shown, summary.report)
    _markdown(run, "pictures", pictures, "Shots: source, still, result.")


def film_ended(run: FilmRun, error: BaseException) -> None:
    """A markdown artifact that says what ended a run before its film was put together."""
    row = run.ledger.film()
    status = row.status if row else "failed"
    known = isinstance(error, KinecolorError)
    what = error.what if known else "" if status == "stopped" else as_text(error)
    lines = [
        f"# {run.film.title}: {status}",
        what,
        "",
        "## What to do next",
        *([error.remedy] if known else []),
        "",
        "Finished work is kept. To go on:",
        *_command(retry_command(run.request.work)),
    ]
    _markdown(run, "summary", "\n".join(lines), "What came of the run, and what to do next.")


def _next(run: FilmRun, summary: RunSummary) -> list[str]:
    if summary.status == "unfinished":
        return [
            f"{len(summary.failed_segments)} segments failed: the table of segments says why. "
            "Only they are done again by:",
            *_command(retry_command(run.request.work)),
        ]
    if summary.status == "held":
        return [
            f"Shots {', '.join(map(str, summary.held_shots[:_MOST_NAMED]))} score below "
            f"{run.request.config.quality.hold_below:g}. Look at them in the report. To publish "
            "the film as it is, colorize it again with `--hold-below 0`: nothing is made again.",
        ]
    output, source = (storage.redact(each) for each in (summary.output or "", run.request.source))
    return [
        "Look at the report. Whether the film has its source's frames is proved again by:",
        *_command(shlex.join(["kinecolor", "verify", output, "--against", source])),
    ]


def _to_check(run: FilmRun) -> list[str]:
    """The shots that a person should look at, worst first, and what is wrong with each."""
    doubtful = to_check(run.shown)
    if not doubtful:
        return []
    lines = [
        "## Shots to look at, worst first",
        "A colour still of each makes it better; only these shots are then made anew.",
        "",
    ]
    for shot in doubtful[:_MOST_NAMED]:
        held = "**held**, " if shot.held else ""
        rated = "" if shot.score is None else f", score {shot.score:.2f}"
        why = f": {shot.why}" if shot.why else ""
        lines.append(f"- shot {shot.number}: {held}{shot.status}{rated}{why}")
    if len(doubtful) > _MOST_NAMED:
        lines.append(f"- and {len(doubtful) - _MOST_NAMED} more, in the report")
    return lines


def as_held(held: Held) -> Any:
    """What a flow returns so that its run's state is called Held; Prefect raises `held` for callers
    in this process."""
    return Failed(name="Held", message=held.what, data=held)


def _command(line: str) -> list[str]:
    return ["", "```", line, "```", ""]


def _markdown(run: FilmRun, name: str, text: str, description: str) -> None:
    with server_may_be_away():
        create_markdown_artifact(text, key=f"{run.film.paths.film}-{name}", description=description)
