"""What a worker logs comes back with film, shot and piece of work, and without secrets."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from colorize_core.config import RunConfig
from colorize_core.errors import DamagedSource, KinecolorError
from colorize_core.timebase import FrameSpan
from colorize_core.work import (
    AnchorsItem,
    ChunkItem,
    LogLine,
    ReferenceItem,
    SegmentItem,
    WorkItem,
)
from tasks.worker_log import MOST_LINES, WorkerLog, describe
from tests.conftest import ROOT
from tests.film import ScannedFilm, scanned_film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> ScannedFilm:
    return scanned_film(tmp_path_factory.mktemp("film"), frames=24)


@pytest.fixture
def log() -> Iterator[WorkerLog]:
    """One that hears a logger of this test's, and no other."""
    handler, logger = WorkerLog(), logging.getLogger("library")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def chunk(film: ScannedFilm) -> ChunkItem:
    return ChunkItem(film.ref, RunConfig(), 7, FrameSpan(0, 4), ((None, 4),), "out.mkv")


def test_each_kind_of_work_has_its_words(film: ScannedFilm) -> None:
    common, span = (film.ref, RunConfig()), FrameSpan(0, 24)
    items: dict[str, WorkItem] = {
        "shot 0003 · still of frame 5": ReferenceItem(*common, 3, 5, "", (), ""),
        "shot 0003 · anchors 0, 12": AnchorsItem(*common, 3, span, (0, 12), (), ("", "")),
        "shot 0012 · segment 0012-0003": SegmentItem(
            *common, "0012-0003", span, span, "", "", (), ""
        ),
        "shot 0007 · chunk 0-4": chunk(film),
    }
    id_ = film.film.paths.film
    assert [describe(item) for item in items.values()] == [f"film {id_} · {each}" for each in items]


def test_lines_say_what_they_are_about(
    film: ScannedFilm, log: WorkerLog, capsys: pytest.CaptureFixture[str]
) -> None:
    library = logging.getLogger("library")
    with log.of(chunk(film)):
        library.warning("cannot read\n  s3://me:word@shop/x?Signature=abc")
    (line,) = log.take()
    assert line.level == logging.WARNING
    head, _, text = line.text.partition(": ")
    assert head.startswith(f"{describe(chunk(film))} · worker ")
    assert text == "library: cannot read s3://***@shop/x?…"
    assert capsys.readouterr().err == f"WARNING {line.text}\n"  # Ray's file of the node
    assert log.take() == ()


def test_one_line_said_often_is_one_line(log: WorkerLog) -> None:
    for _ in range(24):
        logging.getLogger("library").warning("the same")
    assert log.take() == (LogLine(logging.WARNING, "library: the same (24 times)"),)


def test_a_flood_is_cut_and_says_so(log: WorkerLog) -> None:
    for number in range(3 * MOST_LINES):
        logging.getLogger("library").error("number %d", number)
    lines = log.take()
    assert len(lines) == MOST_LINES + 1
    assert f"{2 * MOST_LINES} more lines" in lines[-1].text


def test_what_was_raised_is_said_without_a_trace(log: WorkerLog) -> None:
    try:
        raise ZeroDivisionError("poison")
    except ZeroDivisionError:
        logging.getLogger("library").exception("it failed")
    (line,) = log.take()
    assert line.text == "library: it failed (ZeroDivisionError: poison)"


@pytest.mark.parametrize("hands_on", [{}, {"CI": "true"}], ids=["apart", "and to the root"])
def test_a_process_hears_libraries_and_pythons_warnings(hands_on: dict[str, str]) -> None:
    """In a process of its own, as a worker is: loggers belong to the process."""
    program = """
import logging, warnings
from tasks.worker_log import WorkerLog
log = WorkerLog.installed()
import transformers.utils.logging  # which keeps what it logs from the root; diffusers does the same
warnings.warn("of Python")
logging.getLogger("transformers.models").warning("of transformers")
logging.getLogger("anybody").info("not this")
logging.getLogger("colorize_core.parts").info("loaded a part")
print([(line.level, line.text.rpartition(": ")[2].partition(" warnings.warn")[0])
       for line in log.take()])
"""
    # The first is set by a command line in this process; the second changes what transformers does.
    left_out = ("TRANSFORMERS_VERBOSITY", "CI")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={name: of for name, of in os.environ.items() if name not in left_out} | hands_on,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(
        [
            (30, "of Python"),
            (30, "of transformers"),
            (20, "loaded a part"),
        ]
    )


@pytest.mark.parametrize(
    "error", [KinecolorError("It broke.", "Mend it."), DamagedSource("It breaks.", "Mend it.", 7)]
)
def test_an_error_takes_its_log_along(error: KinecolorError) -> None:
    """As Ray sends it: by what `__reduce_ex__` says."""
    error.log, error.attempts = (LogLine(30, "before that"),), 3
    made, arguments, state = cast(Any, error.__reduce_ex__(2))[:3]
    again = made(*arguments)
    again.__dict__.update(state)
    assert (type(again), again.log, again.attempts) == (type(error), error.log, 3)


def test_the_worker_sends_what_it_logged(film: ScannedFilm, tmp_path: Path) -> None:
    from tasks.worker import WorkerProcess

    root = logging.getLogger()
    before = list(root.handlers)
    try:
        worker = WorkerProcess()
        item = chunk(film)
        item = ChunkItem(
            item.film, item.config, 7, item.span, item.colours, str(tmp_path / "out.mkv")
        )
        (line,) = worker.do(item).log
    finally:
        logging.captureWarnings(False)
        for handler in set(root.handlers) - set(before):
            for name in (None, "diffusers", "transformers"):
                logging.getLogger(name).removeHandler(handler)
    assert line.level == logging.INFO and ": made 4 frames in " in line.text
