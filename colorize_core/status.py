"""What has become of the films in a work root, from their manifests alone."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from colorize_core import storage
from colorize_core.errors import InputError
from colorize_core.film import read_record
from colorize_core.manifest.read import count_by, latest, latest_film
from colorize_core.manifest.schema import FAILED, SegmentRow, ShotRow
from colorize_core.paths import FilmPaths, film_id, film_ids
from colorize_core.scope import failed_rows


class FilmStatusReport(BaseModel):
    """One film. `status` is the film row's, or "scanned" before the first run, or what an archive
    says of it (`archive.rollup.ArchiveStatus`), where `film` and `folder` are empty before it is
    scanned. `failures` name failed segments, one line each, or what ended its run or holds it."""

    model_config = ConfigDict(frozen=True)

    film: str
    title: str
    status: str
    frames: int
    shots: int
    grey_shots: tuple[int, ...]
    segments: dict[str, int]
    output: str | None
    folder: str
    failures: tuple[str, ...]


def find_films(where: str, work: str) -> list[FilmPaths]:
    """The films that `where` means: a work root, a film's folder in one, or a source file whose
    film is in the work root `work`.

    Raises:
        InputError: it means none.
    """
    if ids := film_ids(where):
        return [FilmPaths(where, each) for each in ids]
    if storage.exists(storage.join(where, "film.json")):
        root, name = storage.parent(storage.parent(where)), storage.name_of(where)
        if name in film_ids(root):
            return [FilmPaths(root, name)]
    if storage.size(where) is not None:
        paths = FilmPaths(work, film_id(storage.sha256(where)))
        if storage.exists(paths.film_json):
            return [paths]
    raise InputError(
        f"{storage.redact(where)} is neither a work root nor a film that the work root "
        f"{storage.redact(work)} knows.",
        "Give the folder that was --work, or the film with --work FOLDER.",
    )


def film_status(paths: FilmPaths) -> FilmStatusReport:
    """What the newest manifest says of a film."""
    record = read_record(paths)
    film = latest_film(paths)
    _, segments = count_by(paths, SegmentRow, "status")
    shots = latest(paths, ShotRow).rows
    # A row for each of thousands of segments is made only where some failed.
    some_failed = any(status in segments for status in FAILED)
    failed = failed_rows(latest(paths, SegmentRow).rows) if some_failed else []
    return FilmStatusReport(
        film=paths.film,
        title=record.title,
        status=film.status if film else "scanned",
        frames=record.source.frames,
        shots=len(shots),
        grey_shots=tuple(row.shot for row in shots if row.status == "grey"),
        segments=segments,
        output=film.output if film else None,
        folder=paths.folder,
        failures=(
            *((film.error,) if film and film.status == "held" and film.error else ()),
            *(
                f"segment {row.id} {row.status} after {row.attempts} attempts: {row.error}"
                for row in failed
            ),
        ),
    )
