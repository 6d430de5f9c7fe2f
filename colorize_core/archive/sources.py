"""The films of an archive: those in a folder, those that fit a glob, or those of a catalogue."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from colorize_core import storage
from colorize_core.archive import catalogue
from colorize_core.archive.catalogue import Entry, read_catalogue
from colorize_core.archive.request import ArchiveRequest
from colorize_core.archive.rollup import AT_ONCE
from colorize_core.config import load_config
from colorize_core.errors import InputError, KinecolorError
from colorize_core.references.stills import is_picture
from colorize_core.request import MASTER_SUFFIX, FilmRequest

FILM_SUFFIXES = (
    *(".3gp", ".avi", ".dv", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
_GLOB = re.compile(r"[*?\[]")
_NO_NAME = re.compile(r"[\x00-\x1f\x7f\\]|://|(^|/)\.{0,2}(/|$)")


@dataclass(frozen=True, slots=True)
class ArchiveFilm:
    """A film that an archive asks for.

    Attributes:
        source: its URI, or what the catalogue has in its place.
        name: what people call it, with ``/`` between folders: it names its result.
        request: how it is colorized; None where `error` says why it cannot be.
        enabled: False: the catalogue says to leave it alone.
    """

    source: str
    name: str
    request: FilmRequest | None
    priority: int = 0
    enabled: bool = True
    error: KinecolorError | None = None


def archive_films(request: ArchiveRequest) -> list[ArchiveFilm]:
    """The films that `request` names, the highest priority first, then by name. What is wrong with
    one of them is its `error`.

    Raises:
        InputError, SettingError, StorageUnavailable, StorageError: as `entries_of`.
    """
    entries = entries_of(request)
    with ThreadPoolExecutor(AT_ONCE) as threads:  # each asks its store for its stills
        films = list(threads.map(lambda entry: _film(entry, request), entries))
    names = Counter(film.name for film in films)
    films = [_refused(film, names[film.name]) if names[film.name] > 1 else film for film in films]
    return sorted(films, key=lambda film: (-film.priority, film.name, film.source))


def entries_of(request: ArchiveRequest) -> list[Entry]:
    """What `request` names, without a look at any of it.

    Raises:
        InputError: there is no film, or no catalogue that can be read.
        SettingError: preset or settings of the whole request are wrong.
        StorageUnavailable, StorageError.
    """
    load_config(request.preset, request.settings)
    sources = storage.normalise(request.sources)
    if sources.lower().endswith(catalogue.SUFFIXES):
        folder = storage.parent(sources)
        entries = [_at(entry, folder) for entry in read_catalogue(sources)]
    else:
        entries = list(_found(sources, request))
    if not entries:
        raise InputError(
            f"There is no film in {storage.redact(sources)}.",
            "Give a folder or a glob with films, or a catalogue (.csv or .parquet).",
        )
    return entries


def _found(sources: str, request: ArchiveRequest) -> Iterator[Entry]:
    """The films in a folder or of a glob; never this archive's own results and work."""
    folder = sources
    while _GLOB.search(folder):
        folder = storage.parent(folder)
    own = [storage.join(storage.normalise(each), "") for each in (request.output, request.work)]
    for uri in storage.find(sources):
        name = uri.removeprefix(storage.join(folder, ""))
        is_film = name.lower().endswith(FILM_SUFFIXES)
        hidden = any(part.startswith(".") for part in name.split("/"))
        if is_film and not hidden and not uri.startswith(tuple(own)):
            yield Entry(uri, name.rpartition(".")[0])


def _at(entry: Entry, folder: str) -> Entry:
    """An entry whose relative paths begin at `folder`."""
    stills = [_absolute(each.strip(), folder) for each in entry.references.split(";")]
    return replace(
        entry,
        source=_absolute(entry.source, folder),
        references=";".join(each for each in stills if each),
        shots=_absolute(entry.shots, folder),
    )


def _absolute(uri: str, folder: str) -> str:
    path = storage.local_path(uri)
    if not uri or path is None or uri.startswith(("/", "~")):
        return uri
    return storage.join(folder, uri)


def _film(entry: Entry, request: ArchiveRequest) -> ArchiveFilm:
    stem = storage.name_of(entry.source).rpartition(".")[0] or storage.name_of(entry.source)
    name = entry.film or stem
    film = ArchiveFilm(entry.source, name, None, entry.priority, entry.enabled)
    try:
        if entry.error:
            raise InputError(f"Its row in the catalogue is wrong: {entry.error}.", "Mend the row.")
        return replace(film, request=_request(entry, name, request))
    except KinecolorError as error:
        return replace(film, error=error)


def _request(entry: Entry, name: str, request: ArchiveRequest) -> FilmRequest:
    if _NO_NAME.search(name):
        raise InputError(f"“{name[:80]}” is no name for a film.", "Use letters, and / for folders.")
    words = (f"qwen.prompt={json.dumps(entry.prompt)}",) if entry.prompt else ()
    stills, folder = _stills(entry, name, request)
    return FilmRequest(
        source=storage.normalise(entry.source),
        output=storage.join(storage.normalise(request.output), name + MASTER_SUFFIX),
        work=storage.normalise(request.work),
        references=stills,
        references_dir=folder,
        shots=storage.normalise(entry.shots) if entry.shots else None,
        config=load_config(entry.preset or request.preset, (*request.settings, *words)),
        accept_damage=request.accept_damage,
        accept_licence=request.accept_licence,
    )


def _stills(entry: Entry, name: str, request: ArchiveRequest) -> tuple[tuple[str, ...], str | None]:
    """A film's stills, or its folder of stills."""
    given = [storage.normalise(each) for each in entry.references.split(";") if each]
    if len(given) == 1 and not is_picture(given[0]):
        return (), given[0]
    if given or request.references is None:
        return tuple(given), None
    folder = storage.join(storage.normalise(request.references), name)
    return (), folder if storage.list_names(folder) else None


def _refused(film: ArchiveFilm, count: int) -> ArchiveFilm:
    error = InputError(
        f"{count} films are called {film.name}, and one result would take the other's place.",
        "Give each a name of its own in the column “film” of a catalogue.",
    )
    return replace(film, request=None, error=error)
