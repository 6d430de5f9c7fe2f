"""What a work root holds that is of no use any more.

Of a film that is

- a data object (reference, anchor, segment, chunk) that the newest manifest does not name;
- a manifest version before the last `KEPT_VERSIONS` of its table;
- a claim before the last `KEPT_CLAIMS`: only the highest counts, the others are a list of runs;
- what a killed writer left under a temporary name;

and of an archive its old versions and claims.

What a run would go on from stays. The newest manifest names every anchor and segment that the last
run planned, made or not, the stills that its shots take, and the chunks of shots that are finished.
A chunk made by a run that was killed before it said so is named by nobody: of a film that is not
published no chunk is touched.

Nothing is useless because it was made long ago: another setting, tried yesterday, may have taken
the names away from a film that was published last year. So an object is old only if it was written
before a moment, and the manifest of that moment does not name it either. A manifest that is damaged
does not say what it named.

Never found here: what people edit or read (``film.json``, ``shots.csv``, the report, …), any other
name, and whatever a link leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

from colorize_core import storage
from colorize_core.archive.rollup import ArchiveRow
from colorize_core.errors import ObjectDamaged
from colorize_core.manifest.read import latest, read_version
from colorize_core.manifest.schema import TABLES, FilmRow, Row, SegmentRow, ShotRow
from colorize_core.paths import ArchivePaths, Claims, DataFolder, FilmPaths, Tables, data_folder
from colorize_core.storage import Listed

KEPT_VERSIONS = 5
KEPT_CLAIMS = 5

Kind = DataFolder | Literal["manifest", "claims", "temporary"]
_Objects = Mapping[str, Listed]  # by URI

R = TypeVar("R", bound=Row)


class Leftover(BaseModel):
    """An object that no run needs. `name` is relative to the folder of its film, or the archive's;
    `old`: it may be deleted."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    name: str
    bytes: int
    modified: AwareDatetime
    old: bool


def of_film(paths: FilmPaths, before: datetime) -> tuple[Leftover, ...]:
    """What is left over of a film, by name; old is what was written before `before`, and not
    named then.

    Raises:
        ObjectDamaged, ManifestUnreadable: what the manifest names cannot be told.
        StorageUnavailable, StorageError.
    """
    # Listed first: what a run commits afterwards is then only more that is named.
    objects = _objects(paths.folder)
    found = [
        *_temporary(objects),
        *_unnamed(paths, objects),
        *_versions(paths, (row.table for row in TABLES)),
        *_claims(paths),
    ]
    return _marked(objects, found, before, _needed_then(paths, objects, before))


def of_archive(paths: ArchivePaths, before: datetime) -> tuple[Leftover, ...]:
    """What is left over of an archive, by name; old is what was written before `before`.

    Raises:
        StorageUnavailable, StorageError.
    """
    objects = _objects(paths.folder)
    found = [*_temporary(objects), *_versions(paths, (ArchiveRow.table,)), *_claims(paths)]
    return _marked(objects, found, before, set())


def _objects(folder: str) -> _Objects:
    return {storage.join(folder, each.name): each for each in storage.list_objects(folder)}


def _marked(
    objects: _Objects, found: Iterable[tuple[Kind, str]], before: datetime, needed: set[str]
) -> tuple[Leftover, ...]:
    return tuple(
        Leftover(
            kind=kind,
            name=objects[uri].name,
            bytes=objects[uri].bytes,
            modified=objects[uri].modified,
            old=objects[uri].modified < before and uri not in needed,
        )
        for kind, uri in sorted(found, key=lambda each: each[1])
        if uri in objects
    )


def _temporary(objects: _Objects) -> Iterator[tuple[Kind, str]]:
    for uri in objects:
        if storage.name_of(uri).startswith(storage.TEMPORARY):
            yield "temporary", uri


def _unnamed(paths: FilmPaths, objects: _Objects) -> Iterator[tuple[Kind, str]]:
    """Data objects that the newest manifest does not name."""
    films = _newest(paths, FilmRow)
    if not films:
        return
    named = _named_by_segments(paths, _newest(paths, SegmentRow))
    named |= _named_by_shots(paths, _newest(paths, ShotRow))
    for uri, each in objects.items():
        kind = data_folder(each.name)
        if kind is None or uri in named:
            continue
        if kind != "chunks" or films[0].status == "published":
            yield kind, uri


def _versions(paths: Tables, tables: Iterable[str]) -> Iterator[tuple[Kind, str]]:
    for table in tables:
        for version in paths.manifest_versions(table)[:-KEPT_VERSIONS]:
            yield "manifest", paths.manifest(table, version)


def _claims(paths: Claims) -> Iterator[tuple[Kind, str]]:
    for number in paths.claims()[:-KEPT_CLAIMS]:
        yield "claims", paths.claim(number)


# -- what manifests name ---------------------------------------------------------------------


def _newest(paths: FilmPaths, row: type[R]) -> tuple[R, ...]:
    """The rows of the newest version of a table.

    Raises:
        ObjectDamaged: that version is damaged.
    """
    found = latest(paths, row)
    if found.damaged:
        raise ObjectDamaged(
            f"Its manifest of the {row.table} is damaged.", "Run the film's command again."
        )
    return tuple(found.rows)


def _needed_then(paths: FilmPaths, objects: _Objects, before: datetime) -> set[str]:
    """The newest manifest of the moment `before`, and what it names."""
    needed = set[str]()
    for row in TABLES:
        uris = {
            each: paths.manifest(row.table, each) for each in paths.manifest_versions(row.table)
        }
        written = [
            version
            for version, uri in uris.items()
            if uri in objects and objects[uri].modified < before
        ]
        if not written:
            continue
        needed.add(uris[written[-1]])
        if row is SegmentRow:
            needed |= _named_by_segments(paths, read_version(paths, SegmentRow, written[-1]))
        if row is ShotRow:
            needed |= _named_by_shots(paths, read_version(paths, ShotRow, written[-1]))
    return needed


def _named_by_segments(paths: FilmPaths, rows: Iterable[SegmentRow]) -> set[str]:
    named = set[str]()
    for row in rows:
        named |= {paths.reference(digest) for digest in row.references}
        objects = (row.uri, row.start_anchor_object, row.end_anchor_object)
        named |= {paths.resolve(each) for each in objects if each}
    return named


def _named_by_shots(paths: FilmPaths, rows: Iterable[ShotRow]) -> set[str]:
    named = set[str]()
    for row in rows:
        named |= {paths.reference(digest) for digest in row.stills}
        named |= {paths.resolve(each) for each in row.chunks}
    return named
