"""A work root rid of what is of no use any more (`leftovers.py`), when told; or just looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from colorize_core import storage
from colorize_core.claim import Claim, hold
from colorize_core.errors import CommitLost, FilmClaimed, ManifestUnreadable, ObjectDamaged
from colorize_core.leftovers import Kind, Leftover, of_archive, of_film
from colorize_core.paths import ArchivePaths, FilmPaths, other_folders
from colorize_core.status import find_films
from colorize_core.work import Progress

_DELETED_AT_ONCE = 100  # between two looks whether it is still held


class KindSum(NamedTuple):
    """How many leftovers of a kind a film has, how large; and how many of them are old."""

    kind: Kind
    objects: int
    bytes: int
    old_objects: int
    old_bytes: int

    @classmethod
    def of(cls, kind: Kind, found: Sequence[Leftover]) -> KindSum:
        old = [each.bytes for each in found if each.old]
        return cls(kind, len(found), sum(each.bytes for each in found), len(old), sum(old))


class FilmSweep(BaseModel):
    """What was found of a film, or of another folder of the work root: `film` is its name.
    `deleted`: what was old of it is gone. `note`: why it was left alone, or empty."""

    model_config = ConfigDict(frozen=True)

    film: str
    leftovers: tuple[Leftover, ...] = ()
    deleted: bool = False
    note: str = ""

    @property
    def old(self) -> tuple[Leftover, ...]:
        return tuple(each for each in self.leftovers if each.old)

    def by_kind(self) -> list[KindSum]:
        """The sums of each kind that there is."""
        kinds: dict[Kind, list[Leftover]] = {}
        for each in self.leftovers:
            kinds.setdefault(each.kind, []).append(each)
        return [KindSum.of(kind, of_kind) for kind, of_kind in kinds.items()]


def sweep(where: str, before: datetime, *, delete: bool, progress: Progress) -> Iterator[FilmSweep]:
    """What the films of a work root, or the one film whose folder `where` is, have left over, film
    by film. With `delete`, what is old of it is deleted: it was written before `before`, and the
    manifest of then does not name it. A film that a run is at is left alone, as is any folder that
    is no film, and one that a link leads to.

    Raises:
        InputError: `where` is neither.
        StorageUnavailable, StorageError.
    """
    films = find_films(where, where)
    for paths in films:
        yield _film(paths, before, delete=delete, progress=progress)
    if films[0].folder == where:
        return
    archive = ArchivePaths(where)
    found = _swept("archive", archive, lambda: of_archive(archive, before), delete, progress)
    if found.leftovers or found.note:
        yield found
    for name in other_folders(where):
        yield FilmSweep(film=name, note="It is no film's folder.")


def _film(paths: FilmPaths, before: datetime, *, delete: bool, progress: Progress) -> FilmSweep:
    if not storage.exists(paths.film_json):
        return FilmSweep(film=paths.film, note="It was never scanned to its end.")
    return _swept(paths.film, paths, lambda: of_film(paths, before), delete, progress)


def _swept(
    name: str,
    paths: FilmPaths | ArchivePaths,
    look: Callable[[], tuple[Leftover, ...]],
    delete: bool,
    progress: Progress,
) -> FilmSweep:
    if storage.normalise(paths.folder) != paths.folder:
        return FilmSweep(film=name, note="It is a link to elsewhere.")
    try:
        found = FilmSweep(film=name, leftovers=look())
        if delete and found.old:
            with hold(paths, progress) as claim:
                found = FilmSweep(film=name, leftovers=look(), deleted=True)
                _delete(paths.folder, found.old, claim)
    except (FilmClaimed, CommitLost, ManifestUnreadable, ObjectDamaged) as error:
        return FilmSweep(film=name, note=error.what)
    return found


def _delete(folder: str, old: tuple[Leftover, ...], claim: Claim) -> None:
    """In the order of their names, so that a sweep that is killed leaves no gap between the
    versions of a table."""
    for begin in range(0, len(old), _DELETED_AT_ONCE):
        claim.check()
        for each in old[begin : begin + _DELETED_AT_ONCE]:
            storage.delete(storage.join(folder, each.name))
