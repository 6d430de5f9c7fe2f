"""Which films of a work root have work that failed, or that was never finished."""

from __future__ import annotations

from colorize_core import storage
from colorize_core.errors import InputError
from colorize_core.manifest.read import latest, latest_film
from colorize_core.manifest.schema import SegmentRow
from colorize_core.paths import FilmPaths
from colorize_core.scope import Scope, failed_rows
from colorize_core.status import find_films


def films_to_retry(where: str, scope: Scope) -> list[FilmPaths]:
    """The films of the work root (or the one film's folder) `where` with unfinished work that
    `scope` covers.

    Raises:
        InputError: `where` is no work root, or what was picked is not there.
    """
    found = {paths: _unfinished(paths) for paths in find_films(where, where)}
    if scope.is_all:
        return [paths for paths, (published, rows) in found.items() if rows or not published]
    picked = {
        paths: [row for row in rows if scope.covers(row)] for paths, (_, rows) in found.items()
    }
    unknown = scope.segments - {row.id for rows in picked.values() for row in rows}
    if unknown or not any(picked.values()):
        what = f"segment {', '.join(sorted(unknown))}" if unknown else "segment that was picked"
        raise InputError(
            f"There is no unfinished {what} in {storage.redact(where)}.",
            f"kinecolor status {storage.redact(where)} names those that failed.",
        )
    return [paths for paths, rows in picked.items() if rows]


def _unfinished(paths: FilmPaths) -> tuple[bool, list[SegmentRow]]:
    """Whether the film is published, or held, or was never run; and its segments that are not
    done, which are those that failed where it is published."""
    film = latest_film(paths)
    rows = latest(paths, SegmentRow).rows
    if film is None or film.status in ("published", "held"):
        return True, failed_rows(rows)
    return False, [row for row in rows if row.status != "done"]


def failures_in_a_row(paths: FilmPaths) -> int:
    """How many runs over the film failed in a row (`FilmRow.failures_in_a_row`)."""
    film = latest_film(paths)
    return film.failures_in_a_row if film else 0
