"""The whole films, the place of a case, and the command line in this process."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from colorize_core import storage_failures, storage_options
from colorize_core.config import load_config
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from tests.bad_input.case import QUICK, Place
from tests.bad_input.containers import write_whole_films
from tests.bad_input.servers import BadServer, bad_server
from tests.film import quiet
from tests.flows.conftest import kinecolor

__all__ = ["kinecolor"]

MOST_MORE_KIB = 1_000_000


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """No test needs much more memory than those before it: no absurd size was believed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MORE_KIB


@pytest.fixture(scope="session")
def whole_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_whole_films(folder)
    return folder


@pytest.fixture(scope="session")
def finished(whole_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work root in which film.mkv was colorized, as `Place.colorize` asks for it."""
    folder = tmp_path_factory.mktemp("finished")
    place = Place(folder, folder, whole_films, folder, "")
    request = FilmRequest(
        source=str(whole_films / "film.mkv"),
        output=str(place.output),
        work=str(place.work),
        references=(f"{place.still()}@f0",),
        config=load_config("exemplar", QUICK),
    )
    colorize_film(request, quiet)
    return place.work


@pytest.fixture(scope="session")
def server(whole_films: Path) -> Iterator[BadServer]:
    with bad_server(whole_films / "film.mkv") as server:
        yield server


@pytest.fixture
def place(
    tmp_path: Path,
    whole_films: Path,
    finished: Path,
    server: BadServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """Three folders: what is given (the current folder), what comes out, temporary files."""
    given, results, temporary = (tmp_path / name for name in ("given", "results", "temporary"))
    for folder in (given, results, temporary):
        folder.mkdir()
    monkeypatch.chdir(given)
    # What fails at last fails in the same way after short pauses.
    monkeypatch.setattr(storage_failures, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(storage_failures, "TRIES", 2)
    monkeypatch.setattr(storage_options, "SILENCE_TIMEOUT_S", 1)
    monkeypatch.setenv("HOME", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return Place(given, results, whole_films, finished, server.url)
