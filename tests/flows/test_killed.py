"""A run that is killed at any moment leaves true work behind: the next one makes only what is
missing, and gives the same bytes."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
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
KILLS = 20

# The command line, which ends itself by SIGKILL where a step of the delivery would begin.
KILLED_AT = """
import os, signal, sys
from colorize_core import deliver
from flows.cli import main

setattr(deliver, sys.argv[1], lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
main(sys.argv[2:])
"""


# The same, which ends itself just before or after a certain call of a function.
KILLED_AROUND = """
import importlib, os, signal, sys
from flows.cli import main

place, name, count, when = sys.argv[1:5]
module = importlib.import_module(place)
function, calls = getattr(module, name), 0

def watched(*arguments, **named):
    global calls
    calls += 1
    if calls == int(count) and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    value = function(*arguments, **named)
    if calls == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return value

setattr(module, name, watched)
main(sys.argv[5:])
"""

# The same, which writes down what work begins and what has ended.
LOGGED = """
import sys
from colorize_core import local
from flows.cli import main

perform = local.perform

def say(what):
    with open(sys.argv[1], "a") as log:
        print(what, file=log)

def logged(item):
    say(f"begun {item}")
    outcome = perform(item)
    say(f"ended {item}")
    return outcome

local.perform = logged
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


@pytest.mark.parametrize(
    ("place", "name", "count", "when"),
    [
        ("colorize_core.claim", "_create", 1, "after"),
        ("colorize_core.manifest.commit", "commit", 1, "before"),
        ("colorize_core.manifest.commit", "commit", 2, "after"),  # of the plan's three tables
        ("colorize_core.storage", "upload_if_absent", 30, "after"),  # there, and not on record
        ("colorize_core.manifest.commit", "commit", 4, "before"),  # all is there, nothing on record
        ("colorize_core.manifest.commit", "commit", 4, "after"),
        ("colorize_core.storage", "publish", 1, "after"),  # the frame list, and not the film
        ("colorize_core.storage", "publish", 2, "after"),  # both, and not on record
    ],
)
def test_killed_at_a_seam(
    request_here: FilmRequest,
    undisturbed: FilmRequest,
    place: str,
    name: str,
    count: int,
    when: str,
) -> None:
    step = command(request_here)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_AROUND, place, name, str(count), when, *step],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
    )
    assert ended.returncode == -signal.SIGKILL
    found = stored_segments(request_here)
    summary = colorize_film(request_here, quiet)
    assert (summary.reused_segments, summary.recomputed_segments) == (found, SEGMENTS - found)
    is_finished(request_here, undisturbed)


def test_killed_at_twenty_random_moments_of_one_film(
    request_here: FilmRequest, undisturbed: FilmRequest, tmp_path: Path
) -> None:
    """At most what was in flight is done again: one item for each kill, and none that had ended."""
    draw = random.Random(4)
    log = tmp_path.parent / f"{tmp_path.name}.log"
    log.touch()
    ended = []
    for _ in range(KILLS):
        target = lines(log) + draw.randint(1, 3)
        program = subprocess.Popen(
            [sys.executable, "-c", LOGGED, str(log), *command(request_here)],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while program.poll() is None and lines(log) < target:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.02))
        finally:
            program.kill()
            ended.append(program.wait(TIMEOUT_S))
    assert set(ended) <= {0, -signal.SIGKILL}  # 0: it was quicker than that
    assert ended.count(-signal.SIGKILL) > KILLS // 2
    stored = stored_segments(request_here)
    summary = colorize_film(request_here, quiet)
    assert (summary.reused_segments, summary.recomputed_segments) == (stored, SEGMENTS - stored)
    is_finished(request_here, undisturbed)
    said = Counter(log.read_text().splitlines())
    begun = {what.removeprefix("begun "): n for what, n in said.items() if what.startswith("begun")}
    assert all(n == 1 for what, n in said.items() if what.startswith("ended"))
    assert sum(n - 1 for n in begun.values()) <= KILLS


def lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")
