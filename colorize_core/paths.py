"""The name of every object that the system writes. Nothing else builds such a name.

Under a work root (any URI)::

    timings.json           seconds that work took here, for estimates
    archive/               where a whole archive is colorized into this work root
      films-<version>.parquet     what has become of each of its films
      claim-<number>.json    which run works on the archive
    films/<film>/
      request.json         what the last run was asked for
      film.json            what the scan found out about the source
      timeline.npz         when each frame is shown: pts, time base, rate
      thumbnails.gray      every frame's luma, 32 × 18 bytes, one after the other
      shots.csv            the shot list, for people to read and edit
      references/<digest>.png   colour stills, as they are used
      anchors/<digest>.parquet   the colours of one anchor
      segments/<digest>.parquet  the colours of one segment's frames
      chunks/<digest>.mkv       one shot's finished frames
      manifest/<table>-<version>.parquet
      claims/claim-<number>.json   which run works on the film: the highest number counts
      report/index.html

``<film>`` begins the digest of the source's content. The other digests are of everything that made
the object, so that the same name always means the same content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from colorize_core.storage import join, list_folders, list_names, name_of

FILM_ID_DIGITS = 16
NUMBER_DIGITS = 8

_FILM = re.compile(rf"[0-9a-f]{{{FILM_ID_DIGITS}}}")
_DIGEST = re.compile(r"[0-9a-f]{16,64}")
_TABLE = re.compile(r"[a-z]+")

DataFolder = Literal["references", "anchors", "segments", "chunks"]
_ENDINGS: dict[DataFolder, str] = {
    "references": ".png",
    "anchors": ".parquet",
    "segments": ".parquet",
    "chunks": ".mkv",
}


def film_id(source_digest: str) -> str:
    """The film's name in the work root: the first digits of its source's sha256.

    Raises:
        ValueError: not a hex digest.
    """
    return _checked(source_digest, _DIGEST)[:FILM_ID_DIGITS]


def timings_json(root: str) -> str:
    """Where a work root keeps what its work took."""
    return join(root, "timings.json")


def film_ids(root: str) -> list[str]:
    """The films that a work root holds, sorted. Other folders are passed over."""
    return [each for each in list_folders(join(root, "films")) if _FILM.fullmatch(each)]


def other_folders(root: str) -> list[str]:
    """The folders beside the films of a work root that are none, sorted."""
    return [each for each in list_folders(join(root, "films")) if not _FILM.fullmatch(each)]


class Tables(Protocol):
    """Where versions of tables are. `what`: whose they are, in a message."""

    @property
    def what(self) -> str: ...

    def manifest(self, table: str, version: int) -> str:
        """The object that holds a version (from 1) of a table."""
        ...

    def manifest_versions(self, table: str) -> list[int]:
        """The versions of a table that are there, ascending."""
        ...

    def sealed_name(self, table: str, version: int) -> str:
        """What a version is sealed as: its place in a work root, which may be moved."""
        ...


class Claims(Protocol):
    """Where it says which run works on something. `what`: the thing, in a message."""

    @property
    def what(self) -> str: ...

    def claim(self, number: int) -> str:
        """The object that holds a claim (from 1)."""
        ...

    def claims(self) -> list[int]:
        """The numbers of the claims that are there, ascending."""
        ...


@dataclass(frozen=True, slots=True)
class ArchivePaths:
    """Where a work root keeps what concerns all films of an archive. `root` is its URI."""

    root: str

    @property
    def what(self) -> str:
        return "this archive"

    @property
    def folder(self) -> str:
        return join(self.root, "archive")

    def manifest(self, table: str, version: int) -> str:
        return join(self.folder, _numbered(_checked(table, _TABLE), version, ".parquet"))

    def manifest_versions(self, table: str) -> list[int]:
        return _numbers(self.folder, _checked(table, _TABLE), ".parquet")

    def sealed_name(self, table: str, version: int) -> str:
        return f"archive/{name_of(self.manifest(table, version))}"

    def claim(self, number: int) -> str:
        return join(self.folder, _numbered("claim", number, ".json"))

    def claims(self) -> list[int]:
        return _numbers(self.folder, "claim", ".json")


@dataclass(frozen=True, slots=True)
class FilmPaths:
    """Where one film's objects are. `root` is the work root's URI, `film` the film's id.

    Raises:
        ValueError: from every method, where a name is not of the expected form.
    """

    root: str
    film: str

    def __post_init__(self) -> None:
        _checked(self.film, _FILM)

    @property
    def what(self) -> str:
        return "this film"

    @property
    def folder(self) -> str:
        return join(self.root, "films", self.film)

    @property
    def film_json(self) -> str:
        return join(self.folder, "film.json")

    @property
    def request_json(self) -> str:
        return join(self.folder, "request.json")

    @property
    def timeline(self) -> str:
        return join(self.folder, "timeline.npz")

    @property
    def thumbnails(self) -> str:
        return join(self.folder, "thumbnails.gray")

    @property
    def shots_csv(self) -> str:
        return join(self.folder, "shots.csv")

    @property
    def manifest_dir(self) -> str:
        return join(self.folder, "manifest")

    @property
    def claims_dir(self) -> str:
        return join(self.folder, "claims")

    @property
    def report_dir(self) -> str:
        return join(self.folder, "report")

    @property
    def report_index(self) -> str:
        return join(self.report_dir, "index.html")

    def reference(self, digest: str) -> str:
        return self._object("references", digest)

    def anchor(self, digest: str) -> str:
        return self._object("anchors", digest)

    def segment(self, digest: str) -> str:
        return self._object("segments", digest)

    def chunk(self, digest: str) -> str:
        return self._object("chunks", digest)

    def manifest(self, table: str, version: int) -> str:
        return join(self.manifest_dir, _numbered(_checked(table, _TABLE), version, ".parquet"))

    def manifest_versions(self, table: str) -> list[int]:
        return _numbers(self.manifest_dir, _checked(table, _TABLE), ".parquet")

    def sealed_name(self, table: str, version: int) -> str:
        return f"{self.film}/{self.relative(self.manifest(table, version))}"

    def claim(self, number: int) -> str:
        return join(self.claims_dir, _numbered("claim", number, ".json"))

    def claims(self) -> list[int]:
        return _numbers(self.claims_dir, "claim", ".json")

    def relative(self, uri: str) -> str:
        """`uri` as manifests store it: relative to the film's folder, so that a work root can be
        moved.

        Raises:
            ValueError: `uri` lies outside the film's folder.
        """
        prefix = join(self.folder, "")
        if not uri.startswith(prefix):
            raise ValueError(f"{uri} lies outside {self.folder}")
        return uri[len(prefix) :]

    def resolve(self, name: str) -> str:
        """The URI of an object that a manifest names.

        Raises:
            ValueError: a name that would lead out of the film's folder.
        """
        if not name or name.startswith("/") or ".." in name.split("/") or "://" in name:
            raise ValueError(f"not an object of the film: {name!r}")
        return join(self.folder, name)

    def _object(self, folder: DataFolder, digest: str) -> str:
        return join(self.folder, folder, _checked(digest, _DIGEST) + _ENDINGS[folder])


def digest_in(uri: str) -> str:
    """The digest that names a data object."""
    return _checked(name_of(uri).partition(".")[0], _DIGEST)


def data_folder(name: str) -> DataFolder | None:
    """The folder of the data object (reference, anchor, segment, chunk) that is called `name`,
    relative to its film's folder; None: it is no data object."""
    for folder, ending in _ENDINGS.items():
        if re.fullmatch(rf"{folder}/{_DIGEST.pattern}{re.escape(ending)}", name):
            return folder
    return None


def _numbered(name: str, number: int, suffix: str) -> str:
    if number < 1:
        raise ValueError(f"{name} numbers count from 1, not {number}")
    return f"{name}-{number:0{NUMBER_DIGITS}d}{suffix}"


def _numbers(folder: str, name: str, suffix: str) -> list[int]:
    form = re.compile(rf"{name}-(\d{{{NUMBER_DIGITS},}}){re.escape(suffix)}")
    found = (form.fullmatch(each) for each in list_names(folder))
    return sorted(int(match[1]) for match in found if match)


def _checked(name: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(name):
        raise ValueError(f"not a name of the form {form.pattern}: {name!r}")
    return name
