"""Which films of an archive are to be done, and why."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from colorize_core import storage
from colorize_core.archive.rollup import AT_ONCE, ArchiveRow, RollUp, up_to_date
from colorize_core.archive.sources import ArchiveFilm
from colorize_core.config import digest_of
from colorize_core.errors import (
    InputError,
    KinecolorError,
    ObjectDamaged,
    ObjectMissing,
    SourceUnreadable,
)
from colorize_core.film import read_record
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import ShotRow
from colorize_core.paths import FilmPaths
from colorize_core.quality.flags import held_shots
from colorize_core.references.stills import parse_reference
from colorize_core.request import FilmRequest
from colorize_core.shots.shot_list import read_csv


@dataclass(frozen=True, slots=True)
class Todo:
    """A film and its row. `due`: it is to be done, for the reason that the row's `why` gives."""

    film: ArchiveFilm
    row: ArchiveRow
    due: bool

    @property
    def request(self) -> FilmRequest:
        """Of a film that is due."""
        if self.film.request is None:
            raise ValueError(f"{self.film.name} cannot be asked for: {self.film.error}")
        return self.film.request


def films_to_do(films: Iterable[ArchiveFilm], rollup: RollUp) -> list[Todo]:
    """Each film with its row as it is now, in order. What is wrong with one is in its row."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda film: _look(film, rollup), films))


def _look(film: ArchiveFilm, rollup: RollUp) -> Todo:
    source = storage.redact(film.source)
    before = rollup.row(film.name, source)
    row = (before or ArchiveRow(name=film.name, source=source)).changed(priority=film.priority)
    if not film.enabled:
        return Todo(film, row.changed(status="disabled", why=""), due=False)
    try:
        if film.request is None:
            raise film.error or InputError("It cannot be asked for.")
        (row,) = up_to_date(film.request.work, [row])
        state = _state(film.request)
        why = _why(film.request, before and row, state)
    except KinecolorError as error:
        return Todo(film, refused(row, error), due=False)
    if not why:
        return Todo(film, row, due=False)
    return Todo(film, row.changed(status="waiting", why=why, state=state), due=True)


def refused(row: ArchiveRow, error: KinecolorError) -> ArchiveRow:
    """The row of a film that ended with this error before its own row could say so."""
    return row.changed(
        status="refused" if isinstance(error, InputError) else "failed",
        why="",
        error_class=type(error).__name__,
        error=error.what,
        remedy=error.remedy,
    )


def _why(request: FilmRequest, row: ArchiveRow | None, state: str) -> str:
    """Why a film is to be done; empty: it is not. `row`: None for one that was never asked for."""
    if row is None or not row.state:
        return "new"
    if row.state != state:
        return "changed"
    if row.status == "refused":
        known = row.version == importlib.metadata.version("kinecolor")
        return "" if known else "refused by another version"
    if row.status == "disabled":
        return "enabled again"
    if row.status == "held" and row.film:
        shots = latest(FilmPaths(request.work, row.film), ShotRow).rows
        return "" if held_shots(shots, request.config.quality) else "no longer held"
    if row.status != "published":
        return "unfinished"
    if not storage.exists(request.output):
        return "its result is missing"
    return "its shot list was edited" if row.film and _edited(request, row.film) else ""


def _state(request: FilmRequest) -> str:
    """What a film's result depends on, without reading it: a digest.

    Raises:
        InputError: the film or a still is not there.
    """
    if not storage.exists(request.source):
        raise SourceUnreadable(
            f"There is no film at {storage.redact(request.source)}.", "Check the path or URL."
        )
    stills = request.stills()
    others = [*(parse_reference(each).uri for each in stills), *filter(None, [request.shots])]
    versions = [storage.fingerprint(each) for each in others]
    # What a person wants to look at changes no result: a held film is looked at anew all the same.
    asked = request.model_dump(mode="json", exclude={"config": {"quality"}})
    return digest_of([asked, storage.fingerprint(request.source), stills, versions])


def _edited(request: FilmRequest, film: str) -> bool:
    """Whether a person has changed the shot list since the film was made from it."""
    paths = FilmPaths(request.work, film)
    try:
        frames = read_record(paths).source.frames
        shots = read_csv(storage.read(paths.shots_csv), frames)
    except (InputError, ObjectMissing, ObjectDamaged):
        return True  # its run says what is wrong with it
    made = latest(paths, ShotRow).rows
    return [(each.span.start, each.span.end, each.enabled, each.prompt) for each in shots] != [
        (row.start, row.end, row.enabled, row.prompt) for row in made
    ]
