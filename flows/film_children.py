"""Films that are colorized in processes of their own, started from this one: nothing that happens
to one of them, a crash of a codec too, concerns the others."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import IO
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from colorize_core.archive.ended import FilmEnd
from colorize_core.placement import DeviceKind
from colorize_core.redact import redact
from colorize_core.request import FilmRequest

GRACE_S = 60.0  # to end in order: workers are stopped, the manifest is written
_LAST_WORDS = 300  # characters that a process which died may have said


class FilmJob(BaseModel):
    """What a child gets: a line of JSON. `flow_run`: the run of `colorize-film` that it does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: FilmRequest
    flow_run: UUID
    ray_address: str | None
    workers: int | None
    device: DeviceKind


class FilmChildren:
    """The children that run now.

    A child's standard input is a pipe that only this process holds, so that children end when this
    process does, however it ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def colorize(self, job: FilmJob) -> FilmEnd:
        """Colorize a film; returns when its process has ended."""
        with tempfile.TemporaryFile() as errors:
            with self._lock:
                if self._closed:
                    return FilmEnd(status="stopped")
                child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "flows.film_child"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
                self._children.add(child)
            try:
                said = _said(child, job)
                return _end(said, child.wait(), errors)
            finally:
                with self._lock:
                    self._children.discard(child)

    def close(self) -> None:
        """End all children in order; from now on none starts."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            if child.stdin is not None:
                with suppress(BrokenPipeError):
                    child.stdin.close()
        for child in children:
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()


def _said(child: subprocess.Popen[bytes], job: FilmJob) -> bytes:
    if child.stdin is None or child.stdout is None:
        raise AssertionError("both are pipes")
    with suppress(BrokenPipeError, ValueError):  # it has died; `close` was called meanwhile
        child.stdin.write(job.model_dump_json().encode() + b"\n")
        child.stdin.flush()
    return child.stdout.read()


def _end(said: bytes, code: int, errors: IO[bytes]) -> FilmEnd:
    try:
        return FilmEnd.model_validate_json(said)
    except ValidationError:
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        last = f": {redact(words[0])[:_LAST_WORDS]}" if words else ""
        return FilmEnd(
            status="died",
            error_class="FilmProcessDied",
            error=f"The film's process ended {how}{last}.",
            remedy="Look at the machine's memory and logs. The next run goes on where it was.",
        )
