"""A film in the work root: what the one scan of its source found, kept for every later run."""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from colorize_core import same_source, sealed_json, storage
from colorize_core.anchor_spacing import change_of
from colorize_core.config import RunConfig
from colorize_core.engines.contract import F32
from colorize_core.errors import ObjectDamaged, ObjectMissing
from colorize_core.manifest.schema import FilmRow
from colorize_core.media.probe import Scan, scan
from colorize_core.media.source import SourceInfo
from colorize_core.paths import FilmPaths, film_id
from colorize_core.request import FilmRequest
from colorize_core.room import room_for
from colorize_core.shots.detect import ShotDetector
from colorize_core.shots.shot_list import ShotList, write_csv
from colorize_core.timebase import Timeline
from colorize_core.work import FilmRef, Progress

THUMBNAIL_SIZE = (32, 18)  # width, height; enough to find which frame a still shows
_THUMBNAILS_AT_ONCE = 1024


class FilmRecord(BaseModel):
    """What `film.json` says.

    Attributes:
        title: what people call the film: the file's name without its suffix.
        timeline_sha256, thumbnails_sha256: digests of the two objects beside it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    title: str
    source: SourceInfo
    timeline_sha256: str
    thumbnails_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A scanned film and where its objects are.

    Attributes:
        stamp: the source's `storage.fingerprint`, from before its digest was read.
        opened_in_s: seconds that finding out took.
        warnings: objects of the scan that were lost or damaged, and were made again.
    """

    paths: FilmPaths
    title: str
    info: SourceInfo
    timeline: Timeline
    stamp: str
    opened_in_s: float
    warnings: tuple[str, ...] = ()

    @property
    def ref(self) -> FilmRef:
        """How workers find the film."""
        return FilmRef(self.info, self.paths.timeline, self.stamp)

    def thumbnails(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame's luma at `THUMBNAIL_SIZE`, in blocks: uint8 ``[frames, 18, 32]``."""
        width, height = THUMBNAIL_SIZE
        with storage.open_read(self.paths.thumbnails) as file:
            while block := file.read(_THUMBNAILS_AT_ONCE * width * height):
                yield np.frombuffer(block, np.uint8).reshape(-1, height, width)

    def change(self, config: RunConfig) -> F32 | None:
        """How much each frame differs from the one before (`anchor_spacing.change_of`), where
        anchors are spaced by it."""
        return change_of(self.thumbnails()) if config.anchor_spacing == "adaptive" else None


def open_film(request: FilmRequest, progress: Progress) -> Film:
    """The film of a request in its work root: as scanned before, or scanned now.

    Its identity is a digest of content, so a renamed or moved file is the same film. The source is
    scanned again where anything that the scan stored is lost or is not what was written; only that
    is replaced. A shot list that is there is a person's, and is left as it is.

    Raises:
        SourceError: the source cannot be colorized as it is, or changes meanwhile.
    """
    began = time.monotonic()
    stamp = storage.fingerprint(request.source)
    digest = storage.sha256(
        request.source, lambda done, total: progress("identify", -(-done >> 20), -(-total >> 20))
    )
    paths = FilmPaths(request.work, film_id(digest))
    record, warnings = _find_record(paths, digest), list[str]()
    if record is None or not _is_whole(record, paths, request):
        record, warnings = _scan_into(paths, request, stamp, record, progress)
    elif record.source.damage and not request.accept_damage:
        # Asked again without the consent that the stored scan was made under: refuse as at first.
        scan(request.source)
    info = record.source.model_copy(update={"uri": request.source})
    timeline = read_timeline(paths.timeline)
    seconds = time.monotonic() - began
    return Film(paths, record.title, info, timeline, stamp, seconds, tuple(warnings))


def read_record(paths: FilmPaths) -> FilmRecord:
    """What `film.json` says.

    Raises:
        ObjectMissing, ObjectDamaged: no such film here, or its record is not what was written.
    """
    try:
        return sealed_json.decode(FilmRecord, storage.read(paths.film_json))
    except ValueError as error:
        raise ObjectDamaged(
            f"{paths.film_json} is damaged, or of another version of kinecolor.",
            "Colorize the film again: its source is scanned anew, finished work is kept.",
        ) from error


def read_timeline(uri: str) -> Timeline:
    """The time line that a scan stored.

    Raises:
        ObjectMissing, ObjectDamaged: it is not there, or not what was written.
    """
    data = storage.read(uri)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            time_base, rate = (Fraction(*map(int, stored[name])) for name in ("time_base", "rate"))
            return Timeline(stored["pts"], time_base, rate)
    except Exception as error:  # for damage NumPy and zipfile raise a dozen kinds
        raise ObjectDamaged(
            f"The time line {uri} is damaged.",
            "Run the same command again: the source is scanned anew, finished work is kept.",
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


def _find_record(paths: FilmPaths, digest: str) -> FilmRecord | None:
    """The record of the source with this digest, where it is there and whole."""
    try:
        record = read_record(paths)
    except (ObjectMissing, ObjectDamaged):
        return None
    return record if record.source.digest == digest else None


def _is_whole(record: FilmRecord, paths: FilmPaths, request: FilmRequest) -> bool:
    """Whether the other objects of the scan are there, as they were written."""
    return (
        _sha256(paths.timeline) == record.timeline_sha256
        and _sha256(paths.thumbnails) == record.thumbnails_sha256
        and (request.shots is not None or storage.exists(paths.shots_csv))
    )


def _sha256(uri: str) -> str | None:
    try:
        return storage.sha256(uri)
    except ObjectMissing:
        return None


def _scan_into(
    paths: FilmPaths,
    request: FilmRequest,
    stamp: str,
    before: FilmRecord | None,
    progress: Progress,
) -> tuple[FilmRecord, list[str]]:
    """Scan the source and store what is not there yet, or is not what the scan gives. Returns the
    record, and what was wrong, unless the film is new. `before`: a whole record that is there."""
    is_new = not (storage.exists(paths.film_json) or paths.manifest_versions(FilmRow.table))
    with tempfile.TemporaryDirectory() as folder:
        thumbnails = Path(folder) / "thumbnails"
        with same_source.unchanged(request.source, stamp), room_for(thumbnails):
            found, shots = _scan(request, thumbnails, progress)
        timeline = _timeline_file(found.timeline)
        title, uri = request.title.rpartition(".")[0] or request.title, found.info.uri
        record = FilmRecord(
            title=before.title if before else title,
            source=found.info.model_copy(
                update={"uri": before.source.uri if before else storage.redact(uri)}
            ),
            timeline_sha256=hashlib.sha256(timeline).hexdigest(),
            thumbnails_sha256=storage.sha256(str(thumbnails)),
        )
        wrong = _replace(paths.thumbnails, thumbnails, record.thumbnails_sha256)
        wrong += _replace(paths.timeline, timeline, record.timeline_sha256)
    there = storage.exists(paths.shots_csv)
    if storage.put_if_absent(paths.shots_csv, write_csv(shots, found.timeline)) and not there:
        wrong.append("shots.csv was missing: it is made again, without what people changed in it.")
    # Last: a film is there once its record is.
    data = sealed_json.encode(record)
    wrong += _replace(paths.film_json, data, hashlib.sha256(data).hexdigest())
    return record, [] if is_new else wrong


def _scan(request: FilmRequest, thumbnails: Path, progress: Progress) -> tuple[Scan, ShotList]:
    """One pass over the source; writes the file `thumbnails`."""
    detector = ShotDetector()
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
    return found, ShotList.from_boundaries(detector.finish(), len(found.timeline))


def _timeline_file(line: Timeline) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        pts=line.pts,
        time_base=np.array(line.time_base.as_integer_ratio(), np.int64),
        rate=np.array(line.rate.as_integer_ratio(), np.int64),
    )
    return buffer.getvalue()


def _replace(uri: str, data: Path | bytes, digest: str) -> list[str]:
    """Stores an object, unless just this one is there; the file `data` is moved. Returns what was
    wrong."""
    there = _sha256(uri)
    if there == digest:
        return []
    if isinstance(data, bytes):
        storage.replace_atomically(uri, data)
    else:
        storage.publish(data, uri)
    return [f"{storage.name_of(uri)} was {'damaged' if there else 'missing'} and is made again."]
