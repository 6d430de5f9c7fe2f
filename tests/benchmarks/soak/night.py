"""Drivers that make films on a cluster, and somebody who kills them and their workers."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from colorize_core.request import FilmRequest
from tests.benchmarks.soak.films import SETTINGS, SoakFilm, result_digests
from tests.benchmarks.soak.leaks import left_by_film, listens, session_members, workers_alive
from tests.flows.program import end, program
from tests.watched import Watch

Kill = Literal["worker", "SIGKILL", "SIGTERM", "SIGINT"]

KILLS: dict[Kill, int] = {"worker": 6, "SIGKILL": 2, "SIGTERM": 1, "SIGINT": 1}  # with weights
# The exit code of a driver that was told to end; a worker's death should not show at all.
ENDS = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130}
AT_ONCE = 2
RUN_S = 300  # no run takes so long
MOST_RUNS = 30  # of one film


@dataclass
class Found:
    """What a soak saw. `wrong`, `unexplained` and `leaked` have to stay empty, `repeated` 0.

    Attributes:
        computed: tries at segments that ended well. cut_off: those that a kill ended.
        again_after_kill: segments whose end a kill kept from the driver. repeated: segments that
            were computed again without such a reason.
    """

    published: int = 0
    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    computed: int = 0
    cut_off: int = 0
    again_after_kill: int = 0
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Driver:
    """A running driver, what was done to it, and whether a signal came before it listened to any:
    then it may end anyhow."""

    process: subprocess.Popen[str]
    hits: set[Kill] = field(default_factory=set)
    early: bool = False

    def hit(self, kind: Kill) -> None:
        self.early = self.early or not listens(self.process.pid)
        self.process.send_signal(getattr(signal, kind))
        self.hits.add(kind)


class Night:
    """Films through a cluster, `AT_ONCE` at a time, each by `workers` workers, from drivers whose
    temporary folder is `temporary`."""

    def __init__(
        self, ray_address: str, server: str, workers: int, temporary: Path, draw: random.Random
    ) -> None:
        self.found = Found()
        self._arguments = ("--ray", ray_address, "--workers", str(workers))
        self._variables = {"PREFECT_API_URL": server, "TMPDIR": str(temporary)}
        self._draw = draw
        self._drivers: set[_Driver] = set()
        self._lock = threading.Lock()

    def make(self, films: Sequence[SoakFilm], folder: Path, deadline: float) -> None:
        """Publish each film, in a folder of its own; after `deadline` no further one is begun."""

        def make_one(pair: tuple[int, SoakFilm]) -> None:
            if time.monotonic() < deadline:
                self._publish(pair[1], folder / str(pair[0]))

        try:
            with ThreadPoolExecutor(AT_ONCE) as slots:
                list(slots.map(make_one, enumerate(films)))
        finally:
            for driver in list(self._drivers):
                end(driver.process)

    @contextmanager
    def killing(self, every_s: float, most: float) -> Iterator[None]:
        """While the block runs, something is killed every so many seconds on average, until it was
        `most` times in all."""
        over = threading.Event()

        def kill() -> None:
            while not over.wait(self._draw.uniform(0.1, 2 * every_s)):
                if self.found.kills.total() < most:
                    self._kill()

        thread = threading.Thread(target=kill, name="killer")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # -- one film ----------------------------------------------------------------------------

    def _publish(self, film: SoakFilm, folder: Path) -> None:
        folder.mkdir(parents=True)
        request = film.request_in(folder)
        for _ in range(MOST_RUNS):
            said = self._run(request)
            if said is not None:
                break
        else:
            self._note("wrong", f"{folder}: not published in {MOST_RUNS} runs")
            return
        frames = said["frames_out"]
        if (frames, result_digests(request)) != (film.frames, film.digests):
            self._note("wrong", f"{folder}: {frames} frames of {film.frames}, or other bytes")
        for left in left_by_film(folder):
            self._note("leaked", left)
        with self._lock:
            self.found.published += 1
            self._count_work(Watch(request.work))

    def _run(self, request: FilmRequest) -> dict[str, Any] | None:
        """One driver, until it ends. What it printed, if it published the film."""
        settings = [part for each in SETTINGS for part in ("--set", each)]
        process = program(
            request, *self._arguments, *settings, module="tests.watched", **self._variables
        )
        driver = _Driver(process)
        with self._lock:
            self.found.runs += 1
            self._drivers.add(driver)
        try:
            out, err = process.communicate(timeout=RUN_S)
        except subprocess.TimeoutExpired:
            end(process)
            self._note("unexplained", f"{request.work}: still running after {RUN_S} s")
            return None
        finally:
            with self._lock:
                self._drivers.remove(driver)
        for member in session_members(process.pid):
            self._note("leaked", f"process {member}")
        code = process.returncode
        if code == 0:
            return json.loads(out)
        if not driver.early and code not in {ENDS[hit] for hit in driver.hits}:
            last = " / ".join(err.splitlines()[-3:])
            self._note("unexplained", f"{request.work}: {code} after {sorted(driver.hits)}: {last}")
        return None

    def _count_work(self, watch: Watch) -> None:
        """How many segments were computed, and which again. One that had ended may be computed
        again only where its worker did nothing afterwards: a kill came between its end and the
        driver's hearing of it."""
        begun, ended = watch.steps("begun"), watch.steps("ended")
        segments = [step for step in ended if step.item.startswith("segment")]
        tries = sum(step.item.startswith("segment") for step in begun)
        self.found.computed += len(segments)
        self.found.cut_off += tries - len(segments)
        last = {step.pid: step for step in begun}
        for step in segments:
            if any(each.item == step.item and each.try_ > step.try_ for each in begun):
                if last[step.pid].item == step.item:
                    self.found.again_after_kill += 1
                else:
                    self.found.repeated += 1

    def _note(self, kind: Literal["wrong", "unexplained", "leaked"], what: str) -> None:
        with self._lock:
            getattr(self.found, kind).append(what)

    # -- the killer --------------------------------------------------------------------------

    def _kill(self) -> None:
        kind: Kill = self._draw.choices(list(KILLS), list(KILLS.values()))[0]
        with self._lock:
            drivers = [each for each in self._drivers if each.process.poll() is None]
            if not drivers:
                return
            if kind == "worker":
                workers = workers_alive()
                if not workers:
                    return
                with suppress(psutil.NoSuchProcess):
                    self._draw.choice(workers).kill()
            else:
                self._draw.choice(drivers).hit(kind)
            self.found.kills[kind] += 1
