"""`kinecolor serve`: an archive's nights on one machine, with a Prefect server of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from deployments.files import FOLDER
from tests.film import film_request, stored_segments
from tests.flows.conftest import Kinecolor
from tests.flows.program import TIMEOUT_S, end

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

GONE_S = 60
ARGUMENTS = (
    *("serve", "in", "--output", "out", "--work", "work"),
    *("--references", "stills", "--files", "files"),
)

Program = subprocess.Popen[str]


@pytest.fixture
def archive(tmp_path: Path) -> FilmRequest:
    """A film in a folder `in`, its stills in `stills`, and deployments whose night is now."""
    made = film_request(tmp_path)
    stills, files = tmp_path / "stills" / "film", tmp_path / "files"
    for folder in (tmp_path / "in", stills, files):
        folder.mkdir(parents=True)
    shutil.copy(made.source, tmp_path / "in")
    for still in made.references:
        picture, _, moment = still.rpartition("@")
        shutil.copy(picture, stills / f"{Path(picture).stem}@{moment}.png")
    for name in ("prefect.yaml", "limits.yaml", "automations.yaml"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        (files / name).write_text(text.replace('"0 20 * * *"', '"* * * * * */10"'))
    return made


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[Program]:
    """The program, with a Prefect server of its own."""
    unset = {"PREFECT_API_URL", "RAY_ADDRESS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *ARGUMENTS],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name not in unset},
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def wait_until(condition: Callable[[], object], process: Program) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def is_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GONE_S)
    assert alive == []


def status(request: FilmRequest) -> str:
    (film,) = film_ids(request.work)
    (row,) = latest(FilmPaths(request.work, film), FilmRow).rows
    return row.status


def test_told_to_end_in_the_middle_of_a_film(
    archive: FilmRequest, ray_cluster: str, tmp_path: Path
) -> None:
    with serving(tmp_path, RAY_ADDRESS=ray_cluster) as process:
        wait_until(lambda: stored_segments(archive), process)
        actors = [each for each in family(os.getpid()) if each.name().startswith("ray::Worker")]
        for each in actors:
            each.suspend()  # so that the film does not end by itself
        everything = family(process.pid)
        server = next(each for each in everything if "tasks.own_server" in each.cmdline())
        port = server.net_connections()[0].laddr.port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"Prefect" in page.read()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert f"Runs are shown at http://127.0.0.1:{port} " in err
    assert "+++ files: deployment colorize-archive/nightly" in out
    *_, what, remedy = err.splitlines()
    assert what == "Error: Interrupted." and "Traceback" not in err
    assert remedy == f"Finished work is kept. To go on: kinecolor {' '.join(ARGUMENTS)}"
    is_gone([*everything, *actors])
    assert status(archive) == "stopped"


def test_killed_while_a_run_is_at_work(archive: FilmRequest, tmp_path: Path) -> None:
    """With a Ray that the run has started."""
    with serving(tmp_path) as process:
        wait_until(lambda: any("raylet" in each.name() for each in family(process.pid)), process)
        everything = family(process.pid)
        process.kill()
        is_gone(everything)


def test_files_that_are_wrong_start_nothing(kinecolor: Kinecolor, tmp_path: Path) -> None:
    said = kinecolor("serve", "in", "--output", "out", "--files", tmp_path)
    assert said.code == 1
    assert said.error[0] == f"Error: {tmp_path}/limits.yaml: No such file or directory"
