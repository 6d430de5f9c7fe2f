"""The roll-up: a row a film of an archive, so that a thousand films are read as one small table.

``WORK/archive/films-<version>.parquet``, committed as films' own tables are. A film whose own table
is newer than its row is read anew, so that runs without the archive are seen, too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from colorize_core.manifest.commit import CommitClock, Table
from colorize_core.manifest.read import latest, latest_film
from colorize_core.manifest.schema import FilmRow, Row
from colorize_core.paths import ArchivePaths, FilmPaths, film_ids
from colorize_core.status import FilmStatusReport, film_status, find_films

AT_ONCE = 16  # films that a store is asked about at a time
MOST_FAILURES = 10  # of a film, in its row: its manifest has them all

ArchiveStatus = Literal[
    "waiting",
    "running",
    "published",
    "held",
    "unfinished",
    "stopped",
    "failed",
    "refused",
    "disabled",
]


class ArchiveRow(Row):
    """One film of an archive: what is asked for, and what has become of it."""

    table: ClassVar[str] = "films"
    key: ClassVar[tuple[str, ...]] = ("name", "source")

    name: str = Field(description="What the film is called; names its result.")
    source: str = Field(description="Where the source is, without secrets.")
    priority: int = Field(default=0, description="The highest is done first.")
    film: str | None = Field(
        default=None, description="The film's id, its folder in the work root; null: not scanned."
    )
    status: ArchiveStatus = Field(
        default="waiting",
        description="waiting: to be done, or another run is at it. running, published, held, "
        "unfinished, stopped, failed: as the film's own row. failed: also, its process died. "
        "refused: what was given is wrong; it is tried again once that changes. disabled: the "
        "catalogue says so.",
    )
    why: str = Field(
        default="", description="Why it was done, or is to be: new, changed, unfinished and so on."
    )
    state: str = Field(
        default="",
        description="Digest of the request, and of what the stores say of the versions of source "
        "and stills: what the status is about.",
    )
    version: str = Field(default="", description="The kinecolor that worked on it last.")
    manifest_version: int = Field(
        default=0, ge=0, description="Version of the film's own table that this row has read."
    )
    frames: int | None = Field(default=None, ge=0, description="Frames of the source.")
    shots: int | None = Field(default=None, ge=0, description="Its shots.")
    grey_shots: tuple[int, ...] = Field(
        default=(), description="Numbers of the shots that no reference served."
    )
    pending: int = Field(default=0, ge=0, description="Segments with this status.")
    running: int = Field(default=0, ge=0, description="Segments with this status.")
    done: int = Field(default=0, ge=0, description="Segments with this status.")
    failed: int = Field(default=0, ge=0, description="Segments with this status.")
    quarantined: int = Field(default=0, ge=0, description="Segments with this status.")
    failures: tuple[str, ...] = Field(
        default=(), description=f"Its failed segments, {MOST_FAILURES} at most, a line each."
    )
    output: str | None = Field(default=None, description="Where the result was published.")
    error_class: str | None = Field(default=None, description="Class of what ended its last run.")
    error: str | None = Field(default=None, description="What ended its last run.")
    remedy: str | None = Field(default=None, description="What to do about it.")
    flow_run: str | None = Field(default=None, description="Prefect's id of its last run here.")
    started: AwareDatetime | None = Field(default=None, description="When that began, UTC.")
    finished: AwareDatetime | None = Field(default=None, description="When that ended, UTC.")

    def changed(self, **values: object) -> ArchiveRow:
        """The row with other values, checked."""
        return ArchiveRow.model_validate(self.model_dump() | values)

    @property
    def segments(self) -> dict[str, int]:
        """Segments by status, without those that there are none of."""
        names = ("pending", "running", "done", "failed", "quarantined")
        return {name: count for name in names if (count := getattr(self, name))}


class RollUp:
    """The rows of an archive in one run: in memory, committed now and then. Thread-safe.

    Every method that may commit raises CommitLost where another run was first, and
    StorageUnavailable or StorageError.
    """

    def __init__(self, paths: ArchivePaths) -> None:
        self._lock = threading.Lock()
        self._table = Table(paths, ArchiveRow)
        self._clock = CommitClock()

    def row(self, name: str, source: str) -> ArchiveRow | None:
        """The row of a film, as its archive calls it."""
        with self._lock:
            return self._table.rows.get((name, source))

    def rows(self) -> list[ArchiveRow]:
        """All rows, sorted."""
        with self._lock:
            return self._table.sorted()

    def update(self, rows: Iterable[ArchiveRow]) -> None:
        """Take these rows; commit if a commit is due."""
        with self._lock:
            self._table.update(rows)
            if self._clock.is_due:
                self._commit()

    def flush(self) -> None:
        """Commit what has changed, now."""
        with self._lock:
            self._commit()

    def _commit(self) -> None:
        with self._clock.committing():
            self._table.commit()


def up_to_date(work: str, rows: Iterable[ArchiveRow]) -> list[ArchiveRow]:
    """The rows, those anew whose films have a newer table of their own in the work root."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda row: _up_to_date(work, row), rows))


def _up_to_date(work: str, row: ArchiveRow) -> ArchiveRow:
    if row.film is None:
        return row
    newest = _newest(work, row.film)
    # Of a film that is being done only the segments' table grows.
    if newest == row.manifest_version and row.status != "running":
        return row
    return _read_anew(row, newest, FilmPaths(work, row.film))


def with_figures(row: ArchiveRow, work: str, film: str) -> ArchiveRow:
    """The row with what the tables of the film with this id say, where it has any."""
    newest = _newest(work, film)
    if not newest:
        return row
    return _read_anew(row.changed(film=film), newest, FilmPaths(work, film))


def _newest(work: str, film: str) -> int:
    return max(FilmPaths(work, film).manifest_versions(FilmRow.table), default=0)


def _read_anew(row: ArchiveRow, manifest_version: int, paths: FilmPaths) -> ArchiveRow:
    report = film_status(paths)
    more = len(report.failures) - MOST_FAILURES
    last = (f"and {more} more",) if more > 0 else ()
    counts = dict.fromkeys(("pending", "running", "done", "failed", "quarantined"), 0)
    return row.changed(
        **counts | report.segments,
        status="waiting" if report.status == "scanned" else report.status,
        manifest_version=manifest_version,
        frames=report.frames,
        shots=report.shots,
        grey_shots=report.grey_shots,
        failures=(*report.failures[:MOST_FAILURES], *last),
        output=report.output,
    )


def find_film(work: str, source: str, known: Iterable[str]) -> str | None:
    """The id of the film whose last run had this source (without secrets), among those of the work
    root that are not `known`."""
    for film in sorted(set(film_ids(work)) - set(known)):
        row = latest_film(FilmPaths(work, film))
        if row is not None and row.source == source:
            return film
    return None


def work_root_status(work: str) -> list[FilmStatusReport]:
    """Every film of a work root: those of its roll-up as that has them, the others one by one.

    Raises:
        InputError: it is no work root.
        ManifestUnreadable, StorageUnavailable, StorageError.
    """
    rows = up_to_date(work, latest(ArchivePaths(work), ArchiveRow).rows)
    if not rows:
        return [film_status(paths) for paths in find_films(work, work)]
    listed = {row.film for row in rows}
    others = [FilmPaths(work, each) for each in film_ids(work) if each not in listed]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [*(_report(row, work) for row in rows), *threads.map(film_status, others)]


def _report(row: ArchiveRow, work: str) -> FilmStatusReport:
    ended = " ".join(filter(None, (row.error, row.remedy)))
    return FilmStatusReport(
        film=row.film or "",
        title=row.name,
        status=row.status,
        frames=row.frames or 0,
        shots=row.shots or 0,
        grey_shots=row.grey_shots,
        segments=row.segments,
        output=row.output,
        folder=FilmPaths(work, row.film).folder if row.film else "",
        failures=row.failures or ((ended,) if ended else ()),
    )
