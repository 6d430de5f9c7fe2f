"""What is logged in a worker goes back with its work: with film, shot and segment, without secrets.

Also to the process's standard error, which Ray keeps in a file of the node: what a process that
dies had said is there.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from colorize_core.paths import film_id
from colorize_core.redact import redact
from colorize_core.work import (
    AnchorsItem,
    ChunkItem,
    LogLine,
    ReferenceItem,
    SegmentItem,
    WorkItem,
)

MOST_LINES = 50  # that come back with one item; the file of the node has all
MOST_CHARACTERS = 1000  # of a line
OWN = "colorize_core"  # what it logs as information is told; of libraries, warnings are
# Libraries that keep what they log from the root logger.
_APART = ("diffusers", "transformers")


class WorkerLog(logging.Handler):
    """Keeps what this process logs for the piece of work that it is at."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = ""
        self._said: dict[tuple[int, str], int] = {}  # lines, and how often each came
        self._more = 0  # lines that have no place there
        self._last: logging.LogRecord | None = None

    @classmethod
    def installed(cls) -> WorkerLog:
        """One that hears every logger of this process, and Python's warnings."""
        handler = cls()
        logging.captureWarnings(True)
        logging.getLogger(OWN).setLevel(logging.INFO)
        for name in (None, *_APART):
            logging.getLogger(name).addHandler(handler)
        return handler

    @contextmanager
    def of(self, item: WorkItem) -> Iterator[None]:
        """What is logged in this block is about `item`."""
        self._prefix = f"{describe(item)} · worker {os.getpid()} on {platform.node()}: "
        try:
            yield
        finally:
            self._prefix = ""

    def take(self) -> tuple[LogLine, ...]:
        """What was logged since the last time, each line once."""
        said, more = self._said, self._more
        self._said, self._more = {}, 0
        lines = [
            LogLine(level, f"{text} ({count} times)" if count > 1 else text)
            for (level, text), count in said.items()
        ]
        if more:
            text = f"worker {os.getpid()}: {more} more lines, in Ray's log of this worker"
            lines.append(LogLine(logging.WARNING, text))
        return tuple(lines)

    def emit(self, record: logging.LogRecord) -> None:
        if record is self._last:  # from a library that hands on to the root logger, too
            return
        self._last = record
        text = self._prefix + redact(_one_line(record))
        print(record.levelname, text, file=sys.stderr, flush=True)
        key = (record.levelno, text)
        if key in self._said or len(self._said) < MOST_LINES:
            self._said[key] = self._said.get(key, 0) + 1
        else:
            self._more += 1


def describe(item: WorkItem) -> str:
    """Film, shot and piece of work, as they stand in log lines."""
    film = film_id(item.film.source.digest)
    match item:
        case SegmentItem():
            shot, what = item.segment.partition("-")[0], f"segment {item.segment}"
        case AnchorsItem():
            shot = f"{item.shot:04d}"
            what = f"anchors {', '.join(map(str, item.anchors))}"
        case ChunkItem():
            shot, what = f"{item.shot:04d}", f"chunk {item.span}"
        case ReferenceItem():
            shot, what = f"{item.shot:04d}", f"still of frame {item.frame}"
    return f"film {film} · shot {shot} · {what}"


def shot_of(item: WorkItem) -> int:
    """The number of the shot that a piece of work is for."""
    return int(item.segment.partition("-")[0]) if isinstance(item, SegmentItem) else item.shot


def _one_line(record: logging.LogRecord) -> str:
    own = record.name.partition(".")[0] == OWN
    text = record.getMessage() if own else f"{record.name}: {record.getMessage()}"
    if record.exc_info and record.exc_info[1]:
        text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
    text = " ".join(text.split())
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
