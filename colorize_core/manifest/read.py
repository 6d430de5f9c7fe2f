"""Reading manifests. What is damaged or too new is said, never passed over in silence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from colorize_core import storage
from colorize_core.errors import ManifestUnreadable, ObjectDamaged
from colorize_core.manifest.schema import SCHEMA_VERSION, SCHEMA_VERSION_KEY, FilmRow, Row
from colorize_core.manifest.seal import is_sealed, is_whole
from colorize_core.paths import Tables

_WITHOUT_SEAL = b"1"  # the schema version whose files have none
_NUMBER = re.compile(rb"[0-9]{1,9}")

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[R]):
    """A table as it was committed.

    Attributes:
        version: the newest version that is there, 0 where there is none: the next commit's base.
        rows: of the newest version that can be read, sorted by the table's key.
        damaged: the versions that were passed over because they are damaged, newest first.
        missing: the versions that are not there between others that are.

    Nothing is lost by damage but time: objects are found again by name.
    """

    version: int
    rows: Sequence[R]
    damaged: tuple[int, ...] = ()
    missing: tuple[range, ...] = ()


def latest(paths: Tables, row: type[R]) -> Snapshot[R]:
    """The newest readable version of the table that holds `row`.

    Raises:
        ManifestUnreadable: a newer kinecolor wrote it.
        StorageUnavailable, StorageError.
    """
    versions = paths.manifest_versions(row.table)
    newest = versions[-1] if versions else 0
    missing = tuple(range(a + 1, b) for a, b in pairwise(versions) if b > a + 1)
    damaged: list[int] = []
    for version in reversed(versions):
        try:
            rows = read_version(paths, row, version)
        except ObjectDamaged:
            damaged.append(version)
        else:
            return Snapshot(newest, rows, tuple(damaged), missing)
    return Snapshot(newest, (), tuple(damaged), missing)


def latest_film(paths: Tables) -> FilmRow | None:
    """The row of a film's newest readable version; None before its first run.

    Raises:
        ManifestUnreadable, StorageUnavailable, StorageError: as `latest`.
    """
    return next(iter(latest(paths, FilmRow).rows), None)


def read_version(paths: Tables, row: type[R], version: int) -> tuple[R, ...]:
    """The rows of one version.

    Raises:
        ObjectMissing: no such version.
        ObjectDamaged: it is not what was committed.
        ManifestUnreadable: a newer kinecolor wrote it.
        StorageUnavailable, StorageError.
    """
    return decode(storage.read(paths.manifest(row.table, version)), row, paths, version)


def decode(data: bytes, row: type[R], paths: Tables, version: int) -> tuple[R, ...]:
    """The rows in `data`, which was found as a version of the table that holds `row`.

    Raises:
        ObjectDamaged: it is not what was committed as that version.
        ManifestUnreadable: a newer kinecolor wrote it.
    """
    values = _values(data, row, paths, version, None)
    try:
        return tuple(row.model_validate(each) for each in values)
    except ValueError as error:  # pydantic's own is one
        raise _damaged(paths.manifest(row.table, version)) from error


def count_by(paths: Tables, row: type[Row], column: str) -> tuple[int, dict[str, int]]:
    """The newest version of a table whose file can be read, and how often each value stands in one
    of its columns: without making a row of each of what may be thousands.

    Raises:
        ManifestUnreadable: a newer kinecolor wrote it.
        StorageUnavailable, StorageError.
    """
    for version in reversed(paths.manifest_versions(row.table)):
        with suppress(ObjectDamaged):
            data = storage.read(paths.manifest(row.table, version))
            values = _values(data, row, paths, version, [column])
            return version, dict(Counter(str(each[column]) for each in values))
    return 0, {}


def _values(
    data: bytes, row: type[Row], paths: Tables, version: int, columns: list[str] | None
) -> list[dict[str, Any]]:
    name = paths.manifest(row.table, version)
    if is_sealed(data) and not is_whole(data, paths.sealed_name(row.table, version)):
        raise _damaged(name)
    schema = read_metadata(data, name).get(SCHEMA_VERSION_KEY, b"")
    if not (is_sealed(data) or schema == _WITHOUT_SEAL) or not _NUMBER.fullmatch(schema):
        raise _damaged(name)
    if int(schema) > SCHEMA_VERSION:
        raise ManifestUnreadable(
            f"The manifest {storage.redact(name)} has schema version {int(schema)}; this kinecolor "
            f"reads up to {SCHEMA_VERSION}.",
            "Install the kinecolor that wrote it, or a newer one.",
        )
    try:
        source = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        return source.read(columns=columns, use_threads=False).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(name) from error


def read_metadata(data: bytes, name: str) -> dict[bytes, bytes]:
    """The key-value metadata of a manifest file.

    Raises:
        ObjectDamaged.
    """
    try:
        return dict(pq.read_metadata(pa.BufferReader(data)).metadata or {})
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(name) from error


def _damaged(name: str) -> ObjectDamaged:
    return ObjectDamaged(
        f"The manifest {storage.redact(name)} is damaged.",
        "Run the same command again: finished work is found by its objects' names.",
    )
