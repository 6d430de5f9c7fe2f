"""Two runs on one film: one goes on, the other is told; a killed one is in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import TABLES, FilmRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from tests.conftest import ROOT
from tests.film import command_line, film_request, quiet, stored_segments

SETTING = "anchor_interval=1"  # a segment for each frame but the last of a shot
SEGMENTS = 9 + 13 + 11
TIMEOUT_S = 60


@pytest.fixture
def request_here(tmp_path: Path) -> FilmRequest:
    return film_request(tmp_path, SETTING)


@contextmanager
def program(request: FilmRequest) -> Iterator[subprocess.Popen[str]]:
    """`kinecolor colorize --local`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *command_line(request), "--set", SETTING, "--local"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def until_stored(request: FilmRequest, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while stored_segments(request) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)


def film(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


def manifest_is_whole(paths: FilmPaths) -> None:
    for table in TABLES:
        assert not latest(paths, table).damaged


def is_published(request: FilmRequest) -> None:
    manifest_is_whole(film(request))
    (row,) = latest(film(request), FilmRow).rows
    assert (row.status, row.frames_out) == ("published", 36)
    assert Path(request.output).exists()


def test_the_second_stops_and_the_first_goes_on(request_here: FilmRequest) -> None:
    with program(request_here) as first:
        until_stored(request_here, 1, first)
        first.send_signal(signal.SIGSTOP)  # so that it cannot be done before the second looks
        manifest_is_whole(film(request_here))
        with program(request_here) as second:
            _, err = second.communicate(timeout=TIMEOUT_S)
        assert second.returncode == 1, err
        what, remedy = err.splitlines()[-2:]
        assert what.startswith("Error: Another run is working on this film (process ")
        assert f"process {first.pid} on {os.uname().nodename}, since " in what
        assert remedy.startswith("Wait for it to end, or stop it; then run the same command again")
        first.send_signal(signal.SIGCONT)
        while first.poll() is None:
            manifest_is_whole(film(request_here))
            time.sleep(0.05)
        _, err = first.communicate(timeout=TIMEOUT_S)
        assert first.returncode == 0, err
    is_published(request_here)


def test_of_two_that_begin_together_one_goes_on(request_here: FilmRequest) -> None:
    with program(request_here) as one, program(request_here) as other:
        codes = {}
        for process in (one, other):
            _, err = process.communicate(timeout=TIMEOUT_S)
            codes[process.returncode] = err
    # Both may have done it, if one was so slow to start that the other had ended.
    assert 0 in codes and codes.keys() <= {0, 1}, codes
    assert "Another run is working on this film" in codes.get(
        1, "Another run is working on this film"
    )
    is_published(request_here)


def test_the_run_after_a_killed_one_does_not_wait(request_here: FilmRequest) -> None:
    with program(request_here) as first:
        until_stored(request_here, 7, first)
        first.send_signal(signal.SIGKILL)
        assert first.wait(TIMEOUT_S) == -signal.SIGKILL
    found = stored_segments(request_here)
    stages: list[str] = []
    summary = colorize_film(request_here, lambda stage, *_: stages.append(stage))
    assert "claim" not in stages
    assert (summary.reused_segments, summary.recomputed_segments) == (found, SEGMENTS - found)
    is_published(request_here)
    assert colorize_film(request_here, quiet).recomputed_segments == 0
