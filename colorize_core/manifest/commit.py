"""Writing manifests: each commit is a new immutable file with the next number.

Of two writers that go on from the same version one wins; the other finds out and stops. Which
objects exist does not hang on a commit, so a lost one costs nothing.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from colorize_core import storage
from colorize_core.errors import CommitLost
from colorize_core.manifest.read import latest, read_metadata
from colorize_core.manifest.schema import FilmRow, Row, SegmentRow, ShotRow, arrow_schema
from colorize_core.manifest.seal import OPEN_SEAL, SEAL_KEY, seal
from colorize_core.paths import FilmPaths, Tables

COMMIT_KEY = b"kinecolor.commit"
WRITER_KEY = b"kinecolor.writer"

R = TypeVar("R", bound=Row)
Listener = Callable[[Row | None, Row], None]  # of a row: as it was (None: new), and as it is


def encode(row: type[R], rows: Iterable[R], name: str, commit_id: str, writer: str) -> bytes:
    """A Parquet file with `rows` in the order of the table's key, sealed as the object `name`. Same
    arguments, same bytes."""
    schema = arrow_schema(row)
    marks = {COMMIT_KEY: commit_id.encode(), WRITER_KEY: writer.encode()}
    table = pa.Table.from_pylist(
        [each.model_dump() for each in sorted(rows, key=lambda each: each.identity)],
        schema=schema.with_metadata({**(schema.metadata or {}), **marks}),
    )
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as file:
        file.write_table(table)
        file.add_key_value_metadata({SEAL_KEY: OPEN_SEAL})
    return seal(sink.getvalue().to_pybytes(), name)


def commit(paths: Tables, row: type[R], rows: Sequence[R], after_version: int) -> int:
    """Commits `rows` as the whole table, in the version after `after_version`; returns its number.

    Raises:
        CommitLost: another writer was first.
        ObjectDamaged, StorageUnavailable, StorageError.
    """
    version = after_version + 1
    uri = paths.manifest(row.table, version)
    writer = f"process {os.getpid()} on {socket.gethostname()}"
    data = encode(row, rows, paths.sealed_name(row.table, version), uuid.uuid4().hex, writer)
    if storage.put_if_absent(uri, data):
        return version
    there = storage.read(uri)
    if there == data:  # ours: the network lost the answer to a PUT that had worked
        return version
    other = read_metadata(there, uri).get(WRITER_KEY, b"another program").decode()
    raise CommitLost(
        f"Another run is working on {paths.what} ({other}): it committed version {version} of the "
        f"{row.table} first.",
        "Wait for it to end, or stop it; then run the same command again: finished work is kept.",
    )


class Ledger:
    """The film's tables in one run: kept in memory, committed now and then. Thread-safe.

    A commit happens now and then (`CommitClock`); `flush` commits at once what has changed.

    Every method that may commit raises CommitLost where another run has taken the film over, and
    StorageUnavailable or StorageError.
    """

    def __init__(self, paths: FilmPaths, min_interval_s: float = 3.0) -> None:
        self._paths = paths
        self._lock = threading.RLock()
        # in this order, so that a film is never published before its segments are on record
        self._tables: dict[type[Row], Table[Any]] = {
            row: Table(paths, row) for row in (SegmentRow, ShotRow, FilmRow)
        }
        self._clock = CommitClock(min_interval_s)
        self._listener: Listener = lambda before, row: None

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every row that changes from now on, in the thread that changes it."""
        self._listener = listener

    @property
    def damaged(self) -> list[str]:
        """The manifest versions that were found damaged and passed over, by their URIs."""
        return [
            self._paths.manifest(row.table, version)
            for row, table in self._tables.items()
            for version in table.damaged
        ]

    @property
    def missing(self) -> list[str]:
        """The manifest versions that are not there between others that are, by their URIs; of
        several in a row the first and the last."""
        return [
            " to ".join(self._paths.manifest(row.table, each) for each in sorted({gap[0], gap[-1]}))
            for row, table in self._tables.items()
            for gap in table.missing
        ]

    def segments(self) -> list[SegmentRow]:
        """The rows of all segments, sorted."""
        return self._sorted(SegmentRow)

    def shots(self) -> list[ShotRow]:
        """The rows of all shots, sorted."""
        return self._sorted(ShotRow)

    def film(self) -> FilmRow | None:
        """The film's row; None before the first run."""
        return next(iter(self._sorted(FilmRow)), None)

    def begin(
        self, film: FilmRow, shots: Iterable[ShotRow], segments: Iterable[SegmentRow]
    ) -> None:
        """Puts a run's plan in the place of what was there, and commits it: of two runs that begin
        at the same time one loses here, before any work."""
        with self._lock:
            self._tables[SegmentRow].replace(segments)
            self._tables[ShotRow].replace(shots)
            self._tables[FilmRow].replace([film])
            self.flush()

    def update_segments(self, rows: Iterable[SegmentRow]) -> None:
        self._update(SegmentRow, rows)

    def update_shots(self, rows: Iterable[ShotRow]) -> None:
        self._update(ShotRow, rows)

    def update_film(self, row: FilmRow) -> None:
        self._update(FilmRow, [row])

    def commit_if_due(self) -> None:
        """Commits what has changed, if the last commit is long enough ago."""
        with self._lock:
            if self._clock.is_due:
                self.flush()

    def flush(self) -> None:
        """Commits what has changed, now."""
        with self._lock, self._clock.committing():
            for table in self._tables.values():
                table.commit()

    def _update(self, row: type[R], rows: Iterable[R]) -> None:
        with self._lock:
            changed = self._tables[row].update(rows)
            self.commit_if_due()
        for before, after in changed:
            self._listener(before, after)

    def _sorted(self, row: type[R]) -> list[R]:
        with self._lock:
            return self._tables[row].sorted()


class Table(Generic[R]):
    """One table in memory, and whether it changed since it was committed. Not thread-safe.

    `damaged`, `missing`: versions that were passed over when it was read (`read.Snapshot`).
    """

    def __init__(self, paths: Tables, row: type[R]) -> None:
        found = latest(paths, row)
        self._paths, self._row = paths, row
        self._version = found.version
        self._changed = False
        self.damaged, self.missing = found.damaged, found.missing
        self.rows = {row.identity: row for row in found.rows}

    def sorted(self) -> list[R]:
        """The rows in the order of the table's key."""
        return sorted(self.rows.values(), key=lambda each: each.identity)

    def replace(self, rows: Iterable[R]) -> None:
        self.rows = {row.identity: row for row in rows}
        self._changed = True

    def update(self, rows: Iterable[R]) -> list[tuple[R | None, R]]:
        """Returns what has changed: each row as it was, and as it is."""
        changed = []
        for row in rows:
            before = self.rows.get(row.identity)
            if before != row:
                self.rows[row.identity] = row
                self._changed = True
                changed.append((before, row))
        return changed

    def commit(self) -> None:
        """Commit what has changed.

        Raises:
            CommitLost, ObjectDamaged, StorageUnavailable, StorageError: as `commit`.
        """
        if self._changed:
            rows = list(self.rows.values())
            self._version = commit(self._paths, self._row, rows, self._version)
            self._changed = False


class CommitClock:
    """When the next commit is due: at most every `min_interval_s` seconds, and less often the
    longer a run lasts (every hundredth of its time), so that the history stays small: some hundreds
    of versions for a night. A commit writes whole tables, so a long film's takes longer: commits
    never take more than a twentieth of the time."""

    def __init__(self, min_interval_s: float = 3.0) -> None:
        self._min_interval_s = min_interval_s
        self._started = self._committed = time.monotonic()
        self._last_took_s = 0.0

    @property
    def is_due(self) -> bool:
        now = time.monotonic()
        interval_s = max(self._min_interval_s, (now - self._started) / 100, 20 * self._last_took_s)
        return now - self._committed >= interval_s

    @contextmanager
    def committing(self) -> Iterator[None]:
        """A commit is made in this block."""
        began = time.monotonic()
        yield
        self._committed = time.monotonic()
        self._last_took_s = self._committed - began
