"""`kinecolor archive` as people start it: films in processes of their own, on one Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from colorize_core.archive.request import ArchiveRequest
from colorize_core.archive.rollup import ArchiveRow
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow
from colorize_core.paths import ArchivePaths, FilmPaths
from tests.archive_factory import add_film, archive_request
from tests.flows.program import TIMEOUT_S, completed, end, start

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

SLOW = ("--set", "anchor_interval=1")  # a segment for each frame


def archive(request: ArchiveRequest, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    stills = ("--references", request.references) if request.references else ()
    where = ("-o", request.output, "--work", request.work, *stills, "--workers", "1")
    work = Path(request.work)
    return start(work, "archive", request.sources, *where, *arguments, **variables)


@pytest.fixture
def servers(ray_cluster: str, prefect_server: str) -> dict[str, str]:
    """The variables that name them, which spares each program its own."""
    return {"RAY_ADDRESS": ray_cluster, "PREFECT_API_URL": prefect_server}


def rows(request: ArchiveRequest) -> dict[str, ArchiveRow]:
    return {row.name: row for row in latest(ArchivePaths(request.work), ArchiveRow).rows}


def film_row(request: ArchiveRequest, name: str) -> FilmRow:
    (row,) = latest(FilmPaths(request.work, str(rows(request)[name].film)), FilmRow).rows
    return row


def test_a_bad_film_is_in_nobodys_way_and_only_the_rest_is_done_again(
    tmp_path: Path, servers: dict[str, str]
) -> None:
    for name in ("good", "better"):
        add_film(tmp_path, name)
    (tmp_path / "reels" / "bad.mkv").write_bytes(b"no film at all" * 100)
    (tmp_path / "films.csv").write_text(
        "source,priority,references\nreels/good.mkv,1,\nreels/bad.mkv,2,stills/good\n"
        "reels/better.mkv,3,\nreels/nowhere.mkv,4,\n"
    )
    request = archive_request(tmp_path).model_copy(update={"sources": str(tmp_path / "films.csv")})
    code, said, errors = completed(archive(request, "--films-at-once", "1", **servers))
    assert code == 2 and "Traceback" not in errors, errors
    assert said["films"] == {"published": 2, "refused": 2}
    assert [film["name"] for film in said["worked_on"]] == ["better", "bad", "good"]
    assert "1 of 3 films are not published: bad" in errors
    assert {film["name"] for film in said["refused"]} == {"bad", "nowhere"}
    assert film_row(request, "better").finished < film_row(request, "good").started  # type: ignore[operator]
    assert sorted(each.name for each in Path(request.output).glob("*.mkv")) == [
        "better.mkv",
        "good.mkv",
    ]
    before = {name: row.manifest_version for name, row in rows(request).items()}

    code, said, errors = completed(archive(request, **servers))
    assert code == 0, errors
    assert said["worked_on"] == [] and said["films"] == {"published": 2, "refused": 2}
    assert {name: row.manifest_version for name, row in rows(request).items()} == before

    add_film(tmp_path, "nowhere")
    code, said, errors = completed(archive(request, **servers))
    assert code == 0, errors
    assert [film["name"] for film in said["worked_on"]] == ["nowhere"]
    assert said["films"] == {"published": 3, "refused": 1}


def test_limits_leave_films_for_the_next_run(tmp_path: Path, servers: dict[str, str]) -> None:
    request = archive_request(tmp_path, "a", "b")
    code, said, errors = completed(archive(request, "--most-films", "1", **servers))
    assert code == 0, errors
    assert [film["name"] for film in said["worked_on"]] == ["a"] and said["left"] == 1
    code, said, errors = completed(archive(request, "--hours", "0", **servers))
    assert code == 0, errors
    assert said["worked_on"] == [] and said["left"] == 1


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def film_processes(parent: int) -> list[psutil.Process]:
    return [
        each for each in psutil.Process(parent).children() if "flows.film_child" in each.cmdline()
    ]


def segments_done(request: ArchiveRequest) -> int:
    return sum(1 for _ in Path(request.work).glob("films/*/segments/[!.]*"))


def test_a_film_whose_process_is_killed_is_told_and_done_by_the_next_run(
    tmp_path: Path, servers: dict[str, str]
) -> None:
    request = archive_request(tmp_path, "a", "b")
    process = archive(request, *SLOW, "--films-at-once", "1", **servers)
    try:
        until(lambda: segments_done(request) >= 2, process)
        (child,) = film_processes(process.pid)
        child.kill()
        code, said, errors = completed(process)
    finally:
        end(process)
    assert code == 2, errors
    assert said["films"] == {"failed": 1, "published": 1}
    assert "The film's process ended by signal 9" in errors
    done = segments_done(request)

    code, said, errors = completed(archive(request, *SLOW, **servers))
    assert code == 0, errors
    assert said["films"] == {"published": 2}
    assert [film["why"] for film in said["worked_on"]] == ["unfinished"]
    assert segments_done(request) > done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_archives_end_ends_its_films(
    tmp_path: Path, prefect_server: str, number: signal.Signals
) -> None:
    request = archive_request(tmp_path, "a")
    process = archive(request, *SLOW, PREFECT_API_URL=prefect_server)
    try:
        until(lambda: segments_done(request) >= 2, process)
        family = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, number)
        process.communicate(timeout=TIMEOUT_S)
        _, alive = psutil.wait_procs(family, TIMEOUT_S)
        assert not alive
    finally:
        end(process)
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    if number == signal.SIGTERM:
        assert rows(request)["a"].status == "stopped"
        assert film_row(request, "a").status == "stopped"
    made = {row.id for row in segment_rows(request) if row.status == "done"}

    code, said, errors = completed(archive(request, *SLOW, PREFECT_API_URL=prefect_server))
    assert code == 0, errors
    assert said["films"] == {"published": 1}
    runs = {row.id: row.computed_in_run for row in segment_rows(request)}
    assert film_row(request, "a").run not in {runs[each] for each in made}


def segment_rows(request: ArchiveRequest) -> list[SegmentRow]:
    (folder,) = (each.name for each in Path(request.work, "films").iterdir())
    return list(latest(FilmPaths(request.work, folder), SegmentRow).rows)
