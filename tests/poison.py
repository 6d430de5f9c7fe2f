"""Segments that fail in real ways, in workers of a real cluster or in this process.

A film's poison is `poison.json` beside its work root: first frame of a segment → how it fails.
"""

from __future__ import annotations

import ctypes
import functools
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import ray

from colorize_core.engines.contract import Chroma, GreyFrame
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.errors import StorageFull, Unfinished
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from colorize_core.work import Outcome, WorkItem
from tasks.worker import WorkerProcess
from tests.film import quiet

Kind = Literal["raise", "segfault", "segfault once", "memory", "warn", "full disk"]

_poison: dict[int, Kind] = {}
_taken_from: list[Path] = []  # the file of the film that is at work


def poison(request: FilmRequest, segments: Mapping[int, Kind]) -> None:
    """Let the segments that begin at these frames fail from now on."""
    _file(request.work).write_text(json.dumps(segments))


def fail_once(request: FilmRequest, segments: Mapping[int, Kind]) -> None:
    """Run the film here and now with this poison, which is taken away afterwards."""
    poison(request, segments)
    take_poison(request.work)
    try:
        with pytest.raises(Unfinished):
            colorize_film(request, quiet)
    finally:
        poison(request, {})
        take_poison(request.work)


def _file(work: str) -> Path:
    return Path(work).with_name("poison.json")


def take_poison(work: str) -> None:
    """Let part `flow` of this process fail as the film's poison says."""
    file = _file(work)
    found = json.loads(file.read_text()) if file.exists() else {}
    _taken_from[:] = [file]
    _poison.clear()
    _poison.update({int(frame): kind for frame, kind in found.items()})
    if not hasattr(Flow.fill, "__wrapped__"):
        Flow.fill = _poisoned(Flow.fill)


def _poisoned(fill):  # type: ignore[no-untyped-def]
    @functools.wraps(fill)
    def poisoned(
        self: Flow, frames: Sequence[GreyFrame], start: Chroma, end: Chroma, seed: int
    ) -> Sequence[Chroma]:
        match _poison.get(frames[0].frame):
            case "warn":
                warnings.warn("a library's warning, secret s3://me:word@shop/x", stacklevel=1)
            case "raise":
                raise ZeroDivisionError("poison")
            case "segfault":
                ctypes.string_at(0)
            case "segfault once":
                rest = {at: kind for at, kind in _poison.items() if kind != "segfault once"}
                _taken_from[-1].write_text(json.dumps(rest))
                ctypes.string_at(0)
            case "full disk":
                raise StorageFull("There is no room.", "Make room.")
            case "memory":
                np.ones(2**60, np.uint8)
        return fill(self, frames, start, end, seed)

    return poisoned


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class PoisonedWorker(WorkerProcess):
    """`tasks.worker.Worker`, but what is poison fails."""

    def do(self, item: WorkItem) -> Outcome:
        take_poison(str(Path(item.film.timeline).parents[2]))
        return super().do(item)


def main() -> None:
    """`kinecolor` with poisoned workers."""
    from tasks import worker

    worker.Worker = PoisonedWorker
    from flows import cli

    cli.main()


if __name__ == "__main__":
    # Under its own name, so that workers find the actor's class by importing it.
    from tests.poison import main as main_of_module

    main_of_module()
