"""The actors of a pool: started, given something to do, replaced, given back."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import ray

from colorize_core.work import Stage
from tasks.jobs import Job

StartWorker = Callable[[float], Any]
"""Starts an actor with the methods of `tasks.worker.Worker`, which may use this share of the memory
that it would have."""


@dataclass(slots=True, eq=False)
class Seat:
    """An actor and what it is at: its start (`ref` without `job`), a job, or nothing. `since`: when
    that began, on `time.monotonic`'s clock. `deaths`: in a row, each on other work."""

    actor: Any
    since: float
    memory: float = 1.0
    ref: Any = None
    job: Job | None = None
    stage: Stage | None = None
    up: bool = False
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A call of the actor of `seat` that ended: `done` says how."""

    seat: Seat
    ref: Any
    done: Future[Any]


class Seats:
    """A pool's seats. Not thread-safe, but for `wake` and `next_ended`."""

    def __init__(self, start_worker: StartWorker) -> None:
        self._start_worker = start_worker
        self._seats: list[Seat] = []
        # Filled by Ray's own thread, which must not wait for one that waits for Ray: no lock.
        self._ended: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats)

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def up(self) -> int:
        """How many actors are up."""
        return sum(seat.up for seat in self._seats)

    def idle(self) -> list[Seat]:
        """Those that are up and have nothing to do."""
        return [seat for seat in self._seats if seat.ref is None]

    def jobs(self) -> set[Job]:
        """What is being done."""
        return {seat.job for seat in self._seats if seat.job}

    def add(self) -> None:
        """Ask for one more actor."""
        seat = Seat(self._start_worker(1.0), time.monotonic())
        self._seats.append(seat)
        self._await(seat, seat.actor.ready.remote())

    def hand(self, seat: Seat, job: Job) -> None:
        """Give an idle seat a job."""
        seat.job, seat.stage = job, job.item.stage
        job.workers += 1
        self._await(seat, seat.actor.do.remote(job.item))

    def free(self, seat: Seat) -> None:
        """It has nothing to do any more."""
        if seat.job:
            seat.job.workers -= 1
        seat.ref, seat.job, seat.since = None, None, time.monotonic()

    def restart(self, seat: Seat, memory: float = 1.0) -> None:
        """Another actor in the place of the one there is, whatever that is at."""
        ray.kill(seat.actor, no_restart=True)
        self.free(seat)
        seat.actor, seat.memory, seat.up = self._start_worker(memory), memory, False
        self._await(seat, seat.actor.ready.remote())

    def remove(self, seat: Seat) -> None:
        """Give an actor back."""
        ray.kill(seat.actor, no_restart=True)
        self.free(seat)
        self._seats.remove(seat)

    def clear(self) -> None:
        """Give all actors back."""
        for seat in list(self._seats):
            self.remove(seat)

    def wake(self) -> None:
        """Let `next_ended` return."""
        if self._ended.empty():
            self._ended.put(None)

    def next_ended(self, wait_s: float) -> Ended | None:
        """The next call that ended, of an actor that is still there; None: none so far."""
        try:
            ended = self._ended.get(timeout=wait_s) if wait_s else self._ended.get_nowait()
        except queue.Empty:
            return None
        return ended if ended and ended.ref is ended.seat.ref else None

    def _await(self, seat: Seat, ref: Any) -> None:
        seat.ref, seat.since = ref, time.monotonic()
        ref.future().add_done_callback(lambda done: self._ended.put(Ended(seat, ref, done)))
