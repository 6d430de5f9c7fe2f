"""What the commands for many films do: parse, make one call into the core, say what came of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from colorize_core import storage
from colorize_core.archive.request import ArchiveRequest
from colorize_core.errors import Unfinished
from flows.terminal import Terminal, json_only, plain_table
from flows.through_prefect import through_prefect

if TYPE_CHECKING:
    from colorize_core.archive.summary import ArchiveFilmSummary, ArchiveSummary
    from colorize_core.archive.todo import Todo
    from colorize_core.status import FilmStatusReport
    from flows.commands import Where

MOST_FILMS = 40  # in a table on the screen: of more, only those that need a person


def archive(
    request: ArchiveRequest,
    where: Where,
    *,
    films_at_once: int,
    most_films: int | None,
    hours: float | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Colorize what is to be done of an archive, and say what came of it.

    Raises:
        Unfinished: films are not published. With `as_json` the summary was printed.
    """
    if dry_run:
        _say_todo(_todo(request), as_json=as_json)
        return
    from colorize_core.archive.sources import entries_of
    from colorize_core.archive.summary import ArchiveSummary

    entries_of(request)  # before anything is started, so that a typo costs no waiting
    with json_only() if as_json else nullcontext() as write:
        try:
            summary = _run(request, where, films_at_once, most_films, hours, debug=debug)
        except Unfinished as unfinished:
            _say_ended(ArchiveSummary.model_validate(unfinished.summary), write)
            raise
        _say_ended(summary, write)


def _run(
    request: ArchiveRequest,
    where: Where,
    films_at_once: int,
    most_films: int | None,
    hours: float | None,
    *,
    debug: bool,
) -> ArchiveSummary:
    from colorize_core.archive.summary import ArchiveSummary

    def start() -> dict[str, Any]:
        from flows.colorize_archive import colorize_archive

        return colorize_archive(
            request,
            films_at_once,
            most_films,
            hours,
            where.ray,
            where.workers,
            where.device,
        )

    return ArchiveSummary.model_validate(through_prefect(start, debug=debug))


def _todo(request: ArchiveRequest) -> list[Todo]:
    from colorize_core.archive.rollup import RollUp
    from colorize_core.archive.sources import archive_films
    from colorize_core.archive.todo import films_to_do
    from colorize_core.paths import ArchivePaths

    rollup = RollUp(ArchivePaths(storage.normalise(request.work)))
    return films_to_do(archive_films(request), rollup)


def _say_todo(todos: Sequence[Todo], *, as_json: bool) -> None:
    if as_json:
        films = [
            {
                "name": todo.row.name,
                "source": todo.row.source,
                "due": todo.due,
                "why": todo.row.why,
                "status": todo.row.status,
                "error": todo.row.error,
                "remedy": todo.row.remedy,
            }
            for todo in todos
        ]
        typer.echo(json.dumps({"films": films}))
        return
    due = [todo for todo in todos if todo.due]
    table = plain_table("film", "why", "priority", "source")
    for todo in due:
        table.add_row(todo.row.name, todo.row.why, str(todo.row.priority), todo.row.source)
    if due:
        Console(highlight=False).print(table)
    terminal = Terminal()
    terminal.say(f"{len(due)} of {len(todos)} films are to be done.")
    for todo in todos:
        if todo.row.status in ("refused", "held") and not todo.due:
            why = " ".join(filter(None, (todo.row.error, todo.row.remedy)))
            terminal.say(f"{todo.row.name}: {why or todo.row.status}")


def _say_ended(summary: ArchiveSummary, write: Callable[[str], None] | None) -> None:
    if write is not None:
        write(summary.model_dump_json())
        return
    terminal = Terminal()
    for film in summary.worked_on:
        terminal.say(f"{film.name}: {film.status}{_to(film)} ({film.why})")
    for film in summary.refused:
        terminal.say(f"{film.name}: refused. {film.error} {film.remedy}")
    for film in summary.held:
        why = " ".join(filter(None, (film.error, film.remedy)))
        terminal.say(f"{film.name}: held. {why}".rstrip())
    counts = ", ".join(f"{count} {name}" for name, count in sorted(summary.films.items()))
    terminal.say(f"Films: {counts}; {len(summary.worked_on)} done now, {summary.seconds:.0f} s.")
    if summary.left:
        terminal.say(f"{summary.left} are left for the next run: the same command goes on.")


def _to(film: ArchiveFilmSummary) -> str:
    return f" as {film.output}" if film.output else ""


def status(where: str, work: str, *, as_json: bool) -> None:
    """Say what has become of the films of a work root, or of one film."""
    from colorize_core.archive.rollup import work_root_status
    from colorize_core.paths import ArchivePaths
    from colorize_core.status import film_status, find_films

    where, work = storage.normalise(where), storage.normalise(work)
    if ArchivePaths(where).manifest_versions("films"):
        films = work_root_status(where)
    else:
        films = [film_status(paths) for paths in find_films(where, work)]
    if as_json:
        typer.echo(json.dumps({"films": [film.model_dump(mode="json") for film in films]}))
        return
    shown = films if len(films) <= MOST_FILMS else _needing_a_person(films)
    table = plain_table("film", "title", "status", "frames", "shots", "segments", "output")
    for film in shown:
        table.add_row(
            film.film or "–",
            film.title,
            film.status,
            str(film.frames or "–"),
            str(film.shots or "–"),
            ", ".join(f"{count} {name}" for name, count in film.segments.items()),
            film.output or "–",
        )
    terminal = Terminal()
    if shown:
        Console(highlight=False).print(table)
    for film in shown:
        for line in film.failures:
            terminal.say(f"{film.title}: {line}")
    if len(films) > MOST_FILMS:
        _say_totals(films, terminal)


def _needing_a_person(films: Sequence[FilmStatusReport]) -> list[FilmStatusReport]:
    good = ("published", "waiting", "running", "disabled")
    return [film for film in films if film.status not in good][:MOST_FILMS]


def _say_totals(films: Sequence[FilmStatusReport], terminal: Terminal) -> None:
    statuses = Counter(film.status for film in films)
    segments = sum((Counter(film.segments) for film in films), Counter[str]())
    said = {
        "Films": f"{len(films):,}: {_counts(statuses)}",
        "Frames": f"{sum(film.frames for film in films):,}",
        "Shots": f"{sum(film.shots for film in films):,}",
        "Segments": f"{segments.total():,}: {_counts(segments)}",
    }
    for name, value in said.items():
        typer.echo(f"{name + ':':<12}{value}")
    terminal.say("Above are those that need a person. All of them: --json.")


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counted.most_common())
