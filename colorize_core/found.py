"""What is there already of a film's colours and chunks, and whether it is what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from colorize_core import storage
from colorize_core.colorize import describe_colours
from colorize_core.errors import ObjectDamaged
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.paths import FilmPaths
from colorize_core.work import Stored


class Whole(NamedTuple):
    """An object that may be believed: its sha256 and its size."""

    digest: str
    bytes: int


class Found:
    """The objects that earlier runs recorded. One that is not what was recorded is removed, so that
    it is made again; `say` is told of it, as of one that is gone. Thread-safe.

    Raises:
        StorageError: from every method.
    """

    def __init__(
        self,
        paths: FilmPaths,
        segments: Iterable[SegmentRow],
        shots: Iterable[ShotRow],
        say: Callable[[str], None],
    ) -> None:
        self._paths = paths
        self._say = say
        self._segments: dict[str, SegmentRow] = {}
        self._digests: dict[str, str] = {}
        for row in segments:
            if row.uri:
                self._segments[row.uri] = row
            for name, digest in (
                (row.uri, row.digest),
                (row.start_anchor_object, row.start_anchor_digest),
                (row.end_anchor_object, row.end_anchor_digest),
            ):
                if name and digest:
                    self._digests[name] = digest
        for shot in shots:
            self._digests |= zip(shot.chunks, shot.chunk_digests, strict=True)

    def segment(self, uri: str) -> SegmentRow | None:
        """The row that was last recorded of the segment with this object."""
        return self._segments.get(self._paths.relative(uri))

    def recorded(self, uri: str) -> str | None:
        """The object's digest as it was recorded."""
        return self._digests.get(self._paths.relative(uri))

    def whole(self, uri: str) -> Whole | None:
        """The object under `uri`, if it is there and not other than was recorded."""
        recorded, size = self.recorded(uri), storage.size(uri)
        if size is None:
            if recorded:
                self._say(f"{self._paths.relative(uri)} was missing and is made again.")
            return None
        digest = storage.sha256(uri)
        if recorded not in (None, digest):
            self._remove(uri)
            return None
        return Whole(digest, size)

    def colours(self, uri: str) -> Stored | None:
        """The colours under `uri`, if they are there and whole."""
        if self.whole(uri) is None:
            return None
        try:
            return describe_colours(storage.read(uri), uri)
        except ObjectDamaged:
            self._remove(uri)
            return None

    def _remove(self, uri: str) -> None:
        storage.delete(uri)
        self._say(f"{self._paths.relative(uri)} was damaged and is made again.")
