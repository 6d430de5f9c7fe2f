"""Work roots that are none, that somebody changed, or whose manifests lead out of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from colorize_core.manifest.commit import commit
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.paths import FilmPaths, film_ids
from tests.bad_input.case import Answered, Case, Place, Published, Refused
from tests.bad_input.containers import FRAMES


def finished_film(place: Place) -> FilmPaths:
    """A work root in which the film was colorized before; the film's."""
    shutil.copytree(place.finished, place.work)
    (film,) = film_ids(str(place.work))
    return FilmPaths(str(place.work), film)


def _asked(command: str, where: str) -> Callable[[Place], list[str]]:
    """`where` is below the finished work root."""

    def make(place: Place) -> list[str]:
        finished_film(place)
        return [command, f"{place.work}{where}", "--json"]

    return make


def _folder(command: str, name: str) -> Callable[[Place], list[str]]:
    """A film's folder whose name is no film's."""

    def make(place: Place) -> list[str]:
        film = finished_film(place)
        Path(film.folder).rename(place.work / "films" / name)
        return [command, str(place.work / "films" / name), "--json"]

    return make


def _changed(name: str, data: bytes, command: str = "colorize") -> Callable[[Place], list[str]]:
    """An object of the film that has other content than was written."""

    def make(place: Place) -> list[str]:
        Path(finished_film(place).folder, name).write_bytes(data)
        return place.colorize(place.film()) if command == "colorize" else _on(place, command)

    return make


def _on(place: Place, command: str) -> list[str]:
    return [command, str(place.work), "--json"]


def _leading_to(name: str, command: str = "colorize") -> Callable[[Place], list[str]]:
    """A manifest whose objects are all said to be `name`, as it is understood at `{given}`, the
    folder of what is given: which has to stay as it is."""

    def make(place: Place) -> list[str]:
        film = finished_film(place)
        place.given("victim", "not the program's")
        uri = name.format(given=place.folder, server=place.server)
        segments = latest(film, SegmentRow)
        changed = [row.model_copy(update={"uri": uri}) for row in segments.rows]
        commit(film, SegmentRow, changed, segments.version)
        shots = latest(film, ShotRow)
        chunks = [row.model_copy(update={"chunks": (uri,) * len(row.chunks)}) for row in shots.rows]
        commit(film, ShotRow, chunks, shots.version)
        return place.colorize(place.film()) if command == "colorize" else _on(place, command)

    return make


_NONE = "neither a work root nor a film"
_OUT = "../../../../given/victim"

CASES = (
    Case("the work root", _asked("status", ""), Answered('"published"')),
    Case("a film in the work root", _asked("status", "/films/../films"), Refused(_NONE)),
    Case("above the work root", _asked("status", "/.."), Refused(_NONE)),
    Case("a work root that is missing", _asked("status", "/missing"), Refused(_NONE)),
    Case("a retry above the work root", _asked("retry", "/.."), Refused(_NONE)),
    Case("a retry of what is whole", _asked("retry", ""), Answered('"films": \\[\\]')),
    Case("a film's name in capitals", _folder("status", "0123456789ABCDEF"), Refused(_NONE)),
    Case("a film's name in words", _folder("status", "my film"), Refused(_NONE)),
    Case("a film's name with a new line", _folder("status", "0123456789abcdef\n"), Refused(_NONE)),
    Case("a retry of a film's name in words", _folder("retry", "my film"), Refused(_NONE)),
    Case("another film's name", _folder("status", "0123456789abcdef"), Answered('"scanned"')),
    Case(
        "a film.json that is text", _changed("film.json", b"text"), Published(FRAMES, "film.json")
    ),
    Case("a film.json for status", _changed("film.json", b"{}", "status"), Refused("film.json")),
    Case("a film.json for retry", _changed("film.json", b"[1]", "retry"), Answered("films")),
    Case("a time line that is text", _changed("timeline.npz", b"t"), Published(FRAMES, "timeline")),
    Case("a shot list that is empty", _changed("shots.csv", b""), Refused("missing: shot")),
    Case(
        "times of work that are text",
        _changed("../../timings.json", b"["),
        Published(FRAMES, "timings"),
    ),
    Case("a row that leads out", _leading_to(_OUT), Published(FRAMES)),
    Case("a row with a path", _leading_to("{given}/victim"), Published(FRAMES)),
    Case("a row with a URL", _leading_to("{server}/film.mkv"), Published(FRAMES)),
    Case("a row with a file URL", _leading_to("file://{given}/victim"), Published(FRAMES)),
    Case("a row that leads out, for status", _leading_to(_OUT, "status"), Answered("published")),
    Case("a row that leads out, for retry", _leading_to(_OUT, "retry"), Answered("films")),
)
