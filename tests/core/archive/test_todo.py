"""Which films are to be done, and why: after each thing that may have happened to one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from colorize_core import storage
from colorize_core.archive.ended import FilmEnd, ended_row
from colorize_core.archive.request import ArchiveRequest
from colorize_core.archive.rollup import ArchiveRow, RollUp, up_to_date, work_root_status
from colorize_core.archive.sources import archive_films
from colorize_core.archive.summary import check_published, summarize
from colorize_core.archive.todo import Todo, films_to_do
from colorize_core.errors import FilmClaimed, Held, Unfinished
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.paths import ArchivePaths, FilmPaths
from tests.archive_factory import add_film, archive_request
from tests.film import quiet
from tests.poison import fail_once


def look(request: ArchiveRequest) -> list[Todo]:
    return films_to_do(archive_films(request), RollUp(ArchivePaths(request.work)))


def whys(request: ArchiveRequest) -> dict[str, str]:
    return {todo.row.name: todo.row.why for todo in look(request) if todo.due}


def do_all(request: ArchiveRequest) -> None:
    """What is to be done, in this process."""
    rollup = RollUp(ArchivePaths(request.work))
    todos = films_to_do(archive_films(request), rollup)
    rollup.update(todo.row for todo in todos)
    for todo in todos:
        if todo.due and todo.film.request:
            colorize_film(todo.film.request, quiet)
            end = FilmEnd(status="published")
            rollup.update([ended_row(todo.row, end, request.work, ())])
    rollup.flush()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ArchiveRequest:
    request = archive_request(tmp_path_factory.mktemp("archive"), "a", "b")
    assert whys(request) == {"a": "new", "b": "new"}
    do_all(request)
    return request


def row_of(request: ArchiveRequest, name: str) -> ArchiveRow:
    rows = latest(ArchivePaths(request.work), ArchiveRow).rows
    return next(row for row in rows if row.name == name)


def film_of(request: ArchiveRequest, name: str) -> FilmPaths:
    film = row_of(request, name).film
    assert film is not None
    return FilmPaths(request.work, film)


def test_what_is_done_is_not_done_again(finished: ArchiveRequest) -> None:
    assert whys(finished) == {}
    row = row_of(finished, "a")
    assert (row.status, row.shots, row.done, row.failed) == ("published", 2, 4, 0)
    assert row.output == storage.join(finished.output, "a.mkv")
    assert whys(finished.model_copy(update={"settings": ("seed=7",)})) == {
        "a": "changed",
        "b": "changed",
    }


def later(path: str) -> None:
    """As an edit leaves a file."""
    found = Path(path).stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))


def _edit_shots(request: ArchiveRequest) -> None:
    path = Path(film_of(request, "a").shots_csv)
    path.write_text(path.read_text().replace("yes", "no", 1))


def _add_still(request: ArchiveRequest) -> None:
    folder = Path(str(request.references)) / "a"
    (folder / "more@f15.png").write_bytes((folder / "still@f14.png").read_bytes())


CHANGES: dict[str, Callable[[ArchiveRequest], object]] = {
    "changed": lambda request: later(storage.join(request.sources, "a.mkv")),
    "changed ": lambda request: later(storage.join(str(request.references), "a", "still@f4.png")),
    "changed  ": _add_still,
    "its result is missing": lambda request: Path(request.output, "a.mkv").unlink(),
    "its shot list was edited": _edit_shots,
}


@pytest.mark.parametrize("why", CHANGES, ids=["source", "still", "stills", "result", "shots"])
def test_what_changed_is_done_again(tmp_path: Path, why: str) -> None:
    request = archive_request(tmp_path, "a", "b")
    do_all(request)
    CHANGES[why](request)
    assert whys(request) == {"a": why.strip()}
    do_all(request)
    assert whys(request) == {}


def test_priority_disabled_and_wrong_rows(tmp_path: Path) -> None:
    for name in "ab":
        add_film(tmp_path, name)
    (tmp_path / "films.csv").write_text(
        "source,priority,enabled\nreels/a.mkv,1,\nreels/b.mkv,2,\nreels/none.mkv,9,\n"
        "reels/a2.mkv,x,\nreels/c.mkv,,no\n"
    )
    request = archive_request(tmp_path).model_copy(update={"sources": str(tmp_path / "films.csv")})
    todos = look(request)
    assert [(todo.row.name, todo.row.status, todo.due) for todo in todos] == [
        ("none", "refused", False),
        ("b", "waiting", True),
        ("a", "waiting", True),
        ("a2", "refused", False),
        ("c", "disabled", False),
    ]
    assert todos[0].row.error and "There is no film at" in todos[0].row.error


def test_a_refused_film_waits_for_a_change(tmp_path: Path) -> None:
    request = archive_request(tmp_path, "a")
    rollup = RollUp(ArchivePaths(request.work))
    (todo,) = films_to_do(archive_films(request), rollup)
    end = FilmEnd(status="failed", error_class="X", error="no", remedy="do", is_input=True)
    rollup.update([ended_row(todo.row, end, request.work, ())])
    rollup.flush()
    (again,) = look(request)
    assert (again.due, again.row.status, again.row.error) == (False, "refused", "no")
    rollup.update([again.row.changed(version="0.0.1")])
    rollup.flush()
    assert whys(request) == {"a": "refused by another version"}
    later(storage.join(request.sources, "a.mkv"))
    assert whys(request) == {"a": "changed"}


@pytest.mark.parametrize("status", ["stopped", "cancelled", "died", "failed"])
def test_what_did_not_end_well_is_unfinished(tmp_path: Path, status: str) -> None:
    request = archive_request(tmp_path, "a")
    rollup = RollUp(ArchivePaths(request.work))
    (todo,) = films_to_do(archive_films(request), rollup)
    end = FilmEnd.model_validate({"status": status, "error": "why"})
    rollup.update([ended_row(todo.row, end, request.work, ())])
    rollup.flush()
    assert whys(request) == {"a": "unfinished"}


def test_a_film_that_another_run_holds_is_no_failure(tmp_path: Path) -> None:
    request = archive_request(tmp_path, "a")
    rollup = RollUp(ArchivePaths(request.work))
    (todo,) = films_to_do(archive_films(request), rollup)
    end = FilmEnd(status="failed", error_class=FilmClaimed.__name__, error="another run")
    row = ended_row(todo.row, end, request.work, ())
    assert (row.status, row.error) == ("waiting", "another run")
    check_published(summarize(request.work, [row], [row.identity], 1.0))
    rollup.update([row])
    rollup.flush()
    assert whys(request) == {"a": "unfinished"}


def test_a_held_film_waits_for_a_person(tmp_path: Path) -> None:
    plain = archive_request(tmp_path, "a")
    request = plain.model_copy(update={"settings": ("quality.hold_below=1",)})
    rollup = RollUp(ArchivePaths(request.work))
    (todo,) = films_to_do(archive_films(request), rollup)
    with pytest.raises(Held) as caught:
        colorize_film(todo.request, quiet)
    end = FilmEnd(status="failed", error_class=Held.__name__, error=caught.value.what)
    row = ended_row(todo.row, end, request.work, ())
    assert (row.status, row.done, row.failed) == ("held", 4, 0)
    summary = summarize(request.work, [row], [row.identity], 1.0)
    assert [film.name for film in summary.held] == ["a"]
    with pytest.raises(Unfinished, match="held") as unfinished:
        check_published(summary)
    assert "--hold-below 0" in unfinished.value.remedy
    rollup.update([row])
    rollup.flush()
    assert whys(request) == {}
    check_published(summarize(request.work, [row], [], 1.0))
    (status,) = work_root_status(request.work)
    assert status.status == "held" and "score" in status.failures[0]
    assert whys(plain) == {"a": "no longer held"}
    do_all(plain)
    assert (row_of(plain, "a").status, whys(plain), whys(request)) == ("published", {}, {})


def test_failed_segments_are_in_the_roll_up(tmp_path: Path) -> None:
    request = archive_request(tmp_path, "a")
    rollup = RollUp(ArchivePaths(request.work))
    (todo,) = films_to_do(archive_films(request), rollup)
    assert todo.film.request is not None
    fail_once(todo.film.request, {14: "raise"})
    end = FilmEnd(status="failed", error_class=Unfinished.__name__, error="1 segments failed")
    row = ended_row(todo.row, end, request.work, ())
    assert (row.status, row.quarantined, row.done) == ("unfinished", 1, 3)
    assert "quarantined" in row.failures[0]
    rollup.update([row])
    rollup.flush()
    assert whys(request) == {"a": "unfinished"}
    do_all(request)
    assert whys(request) == {}


def test_runs_without_the_archive_are_seen(finished: ArchiveRequest, tmp_path: Path) -> None:
    before = row_of(finished, "b")
    (film,) = [film for film in archive_films(finished) if film.name == "b"]
    assert film.request is not None
    elsewhere = film.request.model_copy(update={"output": str(tmp_path / "elsewhere.mkv")})
    colorize_film(elsewhere, quiet)
    (now,) = up_to_date(finished.work, [before])
    assert now.output == elsewhere.output and now.manifest_version > before.manifest_version
    report = {each.title: each for each in work_root_status(finished.work)}
    assert report["b"].output == elsewhere.output


def test_the_status_of_films_outside_the_archive(finished: ArchiveRequest, tmp_path: Path) -> None:
    other = archive_request(tmp_path, "of nobody")
    (film,) = archive_films(other)
    assert film.request is not None
    colorize_film(film.request.model_copy(update={"work": finished.work}), quiet)
    assert [each.title for each in work_root_status(finished.work)][-1] == "of nobody"
