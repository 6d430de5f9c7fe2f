"""What became of a film that an archive had colorized, and the row that says so."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from colorize_core.archive.rollup import ArchiveRow, ArchiveStatus, find_film, with_figures
from colorize_core.errors import FilmClaimed, Held, Unfinished


class FilmEnd(BaseModel):
    """How a film's run ended. `died`: its process could say nothing. `film`: its id, where the run
    came to an end of its own. `is_input`: what was given is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["published", "cancelled", "stopped", "failed", "died"]
    film: str | None = None
    error_class: str | None = None
    error: str | None = None
    remedy: str | None = None
    is_input: bool = False


def ended_row(row: ArchiveRow, end: FilmEnd, work: str, known: Iterable[str]) -> ArchiveRow:
    """The row of a film after its run. `known`: ids of the work root's other films.

    Raises:
        ObjectMissing, ObjectDamaged, StorageUnavailable, StorageError: from the film's tables.
    """
    film = end.film or row.film or find_film(work, row.source, known)
    if film is not None:
        row = with_figures(row, work, film)
    return row.changed(
        status=_status(end),
        version=importlib.metadata.version("kinecolor"),
        error_class=end.error_class,
        error=end.error,
        remedy=end.remedy,
        finished=datetime.now(UTC),
    )


def _status(end: FilmEnd) -> ArchiveStatus:
    match end.status:
        case "published":
            return "published"
        case "cancelled" | "stopped":
            return "stopped"
    if end.error_class == Held.__name__:
        return "held"
    if end.error_class == Unfinished.__name__:
        return "unfinished"
    if end.error_class == FilmClaimed.__name__:  # another run is at it
        return "waiting"
    return "refused" if end.is_input else "failed"
