"""Workers that die, or run out of memory, on marked items: a chunk's shot number says how."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import ray

from colorize_core.colorize import perform
from colorize_core.errors import OutOfMemory
from colorize_core.work import ChunkItem, Outcome, WorkItem

POISON = 13  # always takes its process down
ONCE = 17  # does so the first time
HUNGRY = 19  # runs out of memory unless its worker may use a quarter of it
GLUTTON = 23  # always runs out of memory
HELD = 29  # waits until the test lets it go
LATE = 31  # does so the first time
# Names of files beside the output: the first keeps workers from starting, the second lets go.
STILLBORN = "stillborn"
GO = "go"


def segfault() -> None:
    """End this process as a defect in a library does."""
    ctypes.string_at(0)


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class Mortal:
    """Does what `tasks.worker.Worker` does, or dies."""

    def __init__(self, memory: float, folder: str = "") -> None:
        if folder and Path(folder, STILLBORN).exists():
            os._exit(1)
        self._memory = memory

    def ready(self) -> bool:
        return True

    def do(self, item: WorkItem) -> Outcome:
        assert isinstance(item, ChunkItem)
        log = Path(item.output).with_suffix(".tries")
        tries = len(log.read_text().splitlines()) if log.exists() else 0
        began = time.monotonic_ns()
        with log.open("a") as file:
            file.write(f"{self._memory} {os.getpid()}\n")
        if item.shot == POISON or (item.shot == ONCE and not tries):
            segfault()
        if item.shot == GLUTTON or (item.shot == HUNGRY and self._memory > 0.25):
            raise OutOfMemory("It was too much.", "Use less.")
        while item.shot == HELD or (item.shot == LATE and not tries):
            if log.with_name(GO).exists():
                break
            time.sleep(0.02)
        outcome = perform(item)
        log.with_suffix(".spans").write_text(f"{began} {time.monotonic_ns()}")
        return outcome
