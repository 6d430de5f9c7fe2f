"""A run that is killed at any moment leaves true work behind: the next one makes only what is
missing, and gives the same bytes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from tests.conftest import ROOT
from tests.film import command_line, film_request, quiet, stored_segments

pytestmark = pytest.mark.xdist_group("killed")

SETTING = "anchor_interval=1"  # a segment for each frame but the last of a shot
SEGMENTS = 9 + 13 + 11
TIMEOUT_S = 60

# The command line, which ends itself by SIGKILL where a step of the delivery would begin.
KILLED_AT = """
import os, signal, sys
from colorize_core import deliver
from flows.cli import main

setattr(deliver, sys.argv[1], lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film that was made in one go."""
    request = film_request(tmp_path_factory.mktemp("undisturbed"), SETTING)
    assert colorize_film(request, quiet).recomputed_segments == SEGMENTS
    return request


@pytest.fixture
def request_here(undisturbed: FilmRequest, tmp_path: Path) -> FilmRequest:
    """The same film into an empty work root."""
    places = {"output": str(tmp_path / "out.mkv"), "work": str(tmp_path / "work")}
    return undisturbed.model_copy(update=places)


def command(request: FilmRequest) -> list[str]:
    return [*command_line(request), "--set", SETTING, "--local"]


def kill_at(request: FilmRequest, count: int) -> None:
    """Start the run as a program and kill it once `count` segments are there."""
    program = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *command(request)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while stored_segments(request) < count:
            assert program.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        program.kill()
        ended = program.wait(TIMEOUT_S)
    assert ended == -signal.SIGKILL
    assert count <= stored_segments(request) < SEGMENTS


def is_finished(request: FilmRequest, undisturbed: FilmRequest) -> None:
    """The film is as it would have been, the manifest says so, and nothing else lies about."""
    output = Path(request.output)
    assert digest(output) == digest(Path(undisturbed.output))
    assert (
        Path(f"{output}.frames.csv").read_text()
        == Path(f"{undisturbed.output}.frames.csv").read_text()
    )
    assert {each.name for each in output.parent.iterdir()} == {
        "work",
        "out.mkv",
        "out.mkv.frames.csv",
    }
    paths = FilmPaths(request.work, film_ids(request.work)[0])
    assert [row.status for row in latest(paths, FilmRow).rows] == ["published"]
    rows = latest(paths, SegmentRow).rows
    assert [row.status for row in rows] == ["done"] * SEGMENTS


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("count", [1, 7, 16])
def test_killed_while_colorizing(
    request_here: FilmRequest, undisturbed: FilmRequest, count: int
) -> None:
    kill_at(request_here, count)
    assert not Path(request_here.output).exists()
    found = stored_segments(request_here)
    summary = colorize_film(request_here, quiet)
    assert (summary.reused_segments, summary.recomputed_segments) == (found, SEGMENTS - found)
    is_finished(request_here, undisturbed)


def test_killed_again_and_again(request_here: FilmRequest, undisturbed: FilmRequest) -> None:
    for count in (4, 12):
        kill_at(request_here, count)
    assert colorize_film(request_here, quiet).reused_segments >= 12
    is_finished(request_here, undisturbed)


@pytest.mark.parametrize("step", ["join_master", "verify_film", "write_report"])
def test_killed_while_delivering(
    request_here: FilmRequest, undisturbed: FilmRequest, step: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_AT, step, *command(request_here)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
    )
    assert ended.returncode == -signal.SIGKILL
    output = Path(request_here.output)
    assert output.exists() == (step == "write_report")  # the last step is after the publication
    assert output.with_name(".out.mkv.unfinished").exists() != output.exists()
    summary = colorize_film(request_here, quiet)
    assert (summary.reused_segments, summary.recomputed_segments) == (SEGMENTS, 0)
    is_finished(request_here, undisturbed)
