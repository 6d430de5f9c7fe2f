"""A film in the work root: what the one scan of its source found, kept for every later run."""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from colorize_core import storage
from colorize_core.errors import ObjectDamaged
from colorize_core.media.probe import scan
from colorize_core.media.source import SourceInfo
from colorize_core.paths import FilmPaths, film_id
from colorize_core.request import FilmRequest
from colorize_core.shots.detect import ShotDetector
from colorize_core.shots.shot_list import ShotList, write_csv
from colorize_core.timebase import Timeline
from colorize_core.work import Progress

THUMBNAIL_SIZE = (32, 18)  # width, height; enough to find which frame a still shows
_THUMBNAILS_AT_ONCE = 1024


class FilmRecord(BaseModel):
    """`film.json`. `title` is what people call the film: the file's name without its suffix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    title: str
    source: SourceInfo


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A scanned film and where its objects are. `opened_in_s`: seconds that finding out took."""

    paths: FilmPaths
    title: str
    info: SourceInfo
    timeline: Timeline
    opened_in_s: float

    def thumbnails(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame's luma at `THUMBNAIL_SIZE`, in blocks: uint8 ``[frames, 18, 32]``."""
        width, height = THUMBNAIL_SIZE
        with storage.open_read(self.paths.thumbnails) as file:
            while block := file.read(_THUMBNAILS_AT_ONCE * width * height):
                yield np.frombuffer(block, np.uint8).reshape(-1, height, width)


def open_film(request: FilmRequest, progress: Progress) -> Film:
    """The film of a request in its work root: as scanned before, or scanned now.

    Its identity is a digest of content, so a renamed or moved file is the same film.

    Raises:
        SourceError: the source cannot be colorized as it is.
    """
    began = time.monotonic()
    digest = storage.sha256(
        request.source, lambda done, total: progress("identify", -(-done >> 20), -(-total >> 20))
    )
    paths = FilmPaths(request.work, film_id(digest))
    if not storage.exists(paths.film_json):
        _scan_into(paths, request, progress)
    record = read_record(paths)
    if record.source.damage and not request.accept_damage:
        # Asked again without the consent that the stored scan was made under: refuse as at first.
        scan(request.source)
    info = record.source.model_copy(update={"uri": request.source})
    timeline = read_timeline(paths.timeline)
    return Film(paths, record.title, info, timeline, time.monotonic() - began)


def read_record(paths: FilmPaths) -> FilmRecord:
    """What `film.json` says.

    Raises:
        ObjectMissing, ObjectDamaged: no such film here, or its record is not readable.
    """
    try:
        return FilmRecord.model_validate_json(storage.read(paths.film_json))
    except ValidationError as error:
        raise ObjectDamaged(
            f"{paths.film_json} is damaged.", "Delete it: the next run scans the source again."
        ) from error


def read_timeline(uri: str) -> Timeline:
    """The time line that a scan stored.

    Raises:
        ObjectMissing, ObjectDamaged: it is not there, or not what was written.
    """
    try:
        with np.load(io.BytesIO(storage.read(uri)), allow_pickle=False) as stored:
            time_base, rate = (Fraction(*map(int, stored[name])) for name in ("time_base", "rate"))
            return Timeline(stored["pts"], time_base, rate)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ObjectDamaged(
            f"The time line {uri} is damaged.",
            "Delete the film's film.json and timeline.npz: the next run scans the source again.",
        ) from error


def find_shots(source: str, *, accept_damage: bool, progress: Progress) -> tuple[bytes, int]:
    """The shot list of a source, as CSV, and how many shots it has. Nothing is kept.

    Raises:
        SourceError: the source cannot be colorized as it is.
    """
    detector = ShotDetector()
    found = scan(
        source,
        accept_damage=accept_damage,
        watch=detector.watch,
        progress=lambda done, total: progress("scan", done, total),
    )
    shots = ShotList.from_boundaries(detector.finish(), len(found.timeline))
    return write_csv(shots, found.timeline), len(shots)


def _scan_into(paths: FilmPaths, request: FilmRequest, progress: Progress) -> None:
    detector = ShotDetector()
    with tempfile.TemporaryDirectory() as folder:
        thumbnails = Path(folder) / "thumbnails"
        with thumbnails.open("wb") as file:

            def watch(frame: int, luma: NDArray[np.uint8]) -> None:
                detector.watch(frame, luma)
                file.write(cv2.resize(luma, THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA).tobytes())

            found = scan(
                request.source,
                accept_damage=request.accept_damage,
                watch=watch,
                progress=lambda done, total: progress("scan", done, total),
            )
        storage.upload_if_absent(thumbnails, paths.thumbnails)
    buffer = io.BytesIO()
    line = found.timeline
    np.savez(
        buffer,
        pts=line.pts,
        time_base=np.array(line.time_base.as_integer_ratio(), np.int64),
        rate=np.array(line.rate.as_integer_ratio(), np.int64),
    )
    storage.put_if_absent(paths.timeline, buffer.getvalue())
    shots = ShotList.from_boundaries(detector.finish(), len(line))
    storage.put_if_absent(paths.shots_csv, write_csv(shots, line))
    # Last: a film is there once its record is.
    name = request.title
    info = found.info.model_copy(update={"uri": storage.redact(found.info.uri)})
    record = FilmRecord(title=name.rpartition(".")[0] or name, source=info)
    storage.put_if_absent(paths.film_json, record.model_dump_json(indent=2).encode())
