"""A source that changes while its film is made: the run ends at once, and nothing that was made
from other pictures is ever believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from colorize_core.colorize import perform
from colorize_core.config import load_config
from colorize_core.errors import SourceChanged
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, FilmRef
from tests.film import MADE, film_request, quiet, scanned_film, stored_segments
from tests.media_factory import write_film

# Uncompressed, so that another film of the same length has the same size in bytes.
PLAIN = {"codec": "rawvideo", "pix_fmt": "gray"}


def appended(source: Path, other: Path) -> None:
    with source.open("ab") as file:
        file.write(other.read_bytes()[:1000])


def truncated(source: Path, other: Path) -> None:
    os.truncate(source, source.stat().st_size * 2 // 3)


def replaced(source: Path, other: Path) -> None:
    coming = source.with_name("coming.mkv")
    shutil.copy(other, coming)
    coming.replace(source)


def overwritten(source: Path, other: Path) -> None:
    with source.open("r+b") as file:
        file.write(other.read_bytes())


def removed(source: Path, other: Path) -> None:
    source.unlink()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film that was made undisturbed; `other.mkv` beside its source is another one of the same
    size, length and times."""
    folder = tmp_path_factory.mktemp("made")
    request = film_request(folder)
    source = write_film(Path(request.source), MADE, **PLAIN)
    other = write_film(folder / "other.mkv", MADE, seed=7, **PLAIN)
    assert source.stat().st_size == other.stat().st_size
    colorize_film(request, quiet)
    return request


@pytest.fixture
def request_here(made: FilmRequest, tmp_path: Path) -> FilmRequest:
    """The same film, its source in `tmp_path`, with an empty work root."""
    shutil.copy(made.source, tmp_path / "film.mkv")
    names = {"source": "film.mkv", "output": "out.mkv", "work": "work"}
    return made.model_copy(update={key: str(tmp_path / name) for key, name in names.items()})


def once(stage: str, done: int, act: Callable[[], None]) -> Callable[[str, int, int], None]:
    """Progress that does something at one moment."""
    pending = [act]

    def progress(at: str, so_far: int, total: int) -> None:
        if (at, so_far) == (stage, done) and pending:
            pending.pop()()

    return progress


CHANGES = [
    ("identify", 1, overwritten),
    ("scan", 20, replaced),
    ("references", 3, replaced),
    ("colorize", 0, overwritten),
    ("colorize", 5, appended),
    ("colorize", 5, truncated),
    ("colorize", 5, replaced),
    ("colorize", 5, overwritten),
    ("colorize", 5, removed),
    ("colorize", 10, overwritten),  # a chunk is next
    ("finish", 36, replaced),
    ("deliver", 20, truncated),
    ("verify", 1, overwritten),
    ("verify", 36, appended),
]


@pytest.mark.parametrize(("stage", "done", "change"), CHANGES)
def test_it_ends_the_run_and_leaves_nothing_wrong(
    made: FilmRequest,
    request_here: FilmRequest,
    stage: str,
    done: int,
    change: Callable[[Path, Path], None],
) -> None:
    source, other = Path(request_here.source), Path(made.source).with_name("other.mkv")
    with pytest.raises(SourceChanged) as caught:
        colorize_film(request_here, once(stage, done, lambda: change(source, other)))
    assert str(source) in caught.value.what and caught.value.remedy
    assert not Path(request_here.output).exists()
    assert not list(source.parent.glob(".*"))
    for film in film_ids(request_here.work):
        assert {row.status for row in rows(request_here, film)} <= {"failed"}
    # put back, it goes on, and whatever was stored is right
    before = stored_segments(request_here)
    shutil.copy(made.source, source)
    summary = colorize_film(request_here, quiet)
    assert summary.reused_segments == before
    assert Path(request_here.output).read_bytes() == Path(made.output).read_bytes()


def test_a_machine_that_shows_other_times_reads_the_source_once(tmp_path: Path) -> None:
    found = scanned_film(tmp_path, 12)
    elsewhere = replace(found.ref, stamp="as on another machine")
    item = grey_chunk(found.film.paths, elsewhere, "1" * 16)
    assert perform(item).stored[0].frames == 12
    write_film(Path(elsewhere.source.uri), MADE, frames=12, scenes=(), seed=7)
    item = grey_chunk(found.film.paths, replace(elsewhere, stamp="on a third one"), "2" * 16)
    with pytest.raises(SourceChanged):
        perform(item)
    assert not Path(item.output).exists()


def grey_chunk(paths: FilmPaths, ref: FilmRef, name: str) -> ChunkItem:
    span = FrameSpan(0, 12)
    return ChunkItem(ref, load_config("exemplar", ()), 1, span, ((None, 12),), paths.chunk(name))


def rows(request: FilmRequest, film: str) -> list[FilmRow]:
    return list(latest(FilmPaths(request.work, film), FilmRow).rows)
