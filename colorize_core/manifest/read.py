"""Reading manifests. What is damaged or too new is said, never passed over in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from colorize_core import storage
from colorize_core.errors import ManifestUnreadable, ObjectDamaged
from colorize_core.manifest.schema import SCHEMA_VERSION, SCHEMA_VERSION_KEY, Row
from colorize_core.paths import FilmPaths

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[R]):
    """A table as it was committed.

    Attributes:
        version: the newest version that is there, 0 where there is none: the next commit's base.
        rows: of the newest version that can be read, sorted by the table's key.
        damaged: the versions that were passed over because they are damaged, newest first.
            Nothing is lost by it but time: objects are found again by name.
    """

    version: int
    rows: Sequence[R]
    damaged: tuple[int, ...] = ()


def latest(paths: FilmPaths, row: type[R]) -> Snapshot[R]:
    """The newest readable version of the table that holds `row`.

    Raises:
        ManifestUnreadable: a newer kinecolor wrote it.
        StorageUnavailable, StorageError.
    """
    versions = paths.manifest_versions(row.table)
    damaged: list[int] = []
    for version in reversed(versions):
        try:
            rows = read_version(paths, row, version)
        except ObjectDamaged:
            damaged.append(version)
        else:
            return Snapshot(versions[-1], rows, tuple(damaged))
    return Snapshot(versions[-1] if versions else 0, (), tuple(damaged))


def read_version(paths: FilmPaths, row: type[R], version: int) -> tuple[R, ...]:
    """The rows of one version.

    Raises:
        ObjectMissing: no such version.
        ObjectDamaged: it is not what was committed.
        ManifestUnreadable: a newer kinecolor wrote it.
        StorageUnavailable, StorageError.
    """
    uri = paths.manifest(row.table, version)
    return decode(storage.read(uri), row, uri)


def decode(data: bytes, row: type[R], name: str) -> tuple[R, ...]:
    """The rows in the Parquet file `data`, which people know as `name`.

    Raises:
        ObjectDamaged, ManifestUnreadable.
    """
    try:
        version = int(read_metadata(data, name)[SCHEMA_VERSION_KEY])
    except (KeyError, ValueError) as error:
        raise _damaged(name) from error
    if version > SCHEMA_VERSION:
        raise ManifestUnreadable(
            f"The manifest {storage.redact(name)} has schema version {version}; this kinecolor "
            f"reads up to {SCHEMA_VERSION}.",
            "Install the kinecolor that wrote it, or a newer one.",
        )
    try:
        source = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        return tuple(
            row.model_validate(each) for each in source.read(use_threads=False).to_pylist()
        )
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: also pydantic's own
        raise _damaged(name) from error


def read_metadata(data: bytes, name: str) -> dict[bytes, bytes]:
    """The schema metadata of a manifest file.

    Raises:
        ObjectDamaged.
    """
    try:
        return dict(pq.read_schema(pa.BufferReader(data)).metadata or {})
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name) from error


def _damaged(name: str) -> ObjectDamaged:
    return ObjectDamaged(
        f"The manifest {storage.redact(name)} is damaged.",
        "Run the same command again: finished work is found by its objects' names.",
    )
