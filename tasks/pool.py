"""Items are worked on by Ray actors, with deaths counted. Meets `colorize_core.work.Pool`.

Not `ray.util.ActorPool`: after an actor's death it can end with inputs never run and no error.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, cast

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from colorize_core.errors import WorkerLost
from colorize_core.work import Outcome, Stage, WorkItem, cancel
from tasks.worker import Worker

# They share no parent: a worker's death comes as any of them.
DEATHS = (
    RayActorError,
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    WorkerCrashedError,
    OutOfMemoryError,
    OwnerDiedError,
)


PATIENCE_S = 10.0  # that workers take to start on an idle cluster, and more


@dataclass(slots=True, eq=False)
class _Job:
    item: WorkItem
    future: Future[Outcome]
    deaths: int = 0


@dataclass(slots=True, eq=False)
class _Seat:
    """An actor and what it has been given, oldest first."""

    actor: Any
    stage: Stage | None = None
    jobs: dict[Any, _Job] = field(default_factory=dict)


class RayPool:
    """Items on `width` Ray actors, at most `in_flight` given to each. Meets `work.Pool`.

    One in flight is enough: handing over an item takes a millisecond, and an item that waits on a
    busy actor waits although another is idle.

    A dead actor is replaced. The item it was on is tried again until it has seen `deaths_per_item`
    deaths; then its future ends with `WorkerLost`. Items that only waited on it are not blamed.
    After `deaths_in_all` deaths the pool gives up, so that a broken cluster ends a run.
    `start_worker` gives an actor with the methods of `tasks.worker.Worker`. `sticky` workers go on
    with the stage that they are at while it has items: where parts take turns on a small GPU, a
    change means loading weights.
    """

    def __init__(
        self,
        width: int,
        *,
        in_flight: int = 1,
        deaths_per_item: int = 3,
        deaths_in_all: int = 100,
        start_worker: Callable[[], Any] = Worker.remote,
        sticky: bool = False,
    ) -> None:
        if width < 1 or in_flight < 1 or not 1 <= deaths_per_item <= deaths_in_all:
            raise ValueError("a pool needs a worker, an item in flight, and budgets that fit")
        self.width = width
        self._in_flight = in_flight
        self._sticky = sticky
        self._start_worker = start_worker
        self._deaths_per_item = deaths_per_item
        self._deaths_left = deaths_in_all
        self._queue: deque[_Job] = deque()
        self._seats = [_Seat(start_worker()) for _ in range(width)]
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self._thread.start()

    def wait_ready(self, progress: Callable[[int, int], None] = lambda _, __: None) -> None:
        """Return once every worker's process is up. On a busy cluster that may take as long as
        other films do: `progress` is then told now and then how many of how many there are."""
        waiting = [seat.actor.ready.remote() for seat in self._seats]
        total, said = len(waiting), False
        while waiting:
            up, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=PATIENCE_S)
            ray.get(up)
            if waiting or said:
                said = True
                progress(total - len(waiting), total)

    def submit(self, item: WorkItem) -> Future[Outcome]:
        job = _Job(item, Future())
        with self._changed:
            if self._closed:
                cancel(job.future)
            else:
                self._queue.append(job)
                self._changed.notify()
        return job.future

    def release(self, stage: Stage) -> None:
        for seat in self._seats:
            seat.actor.release.remote(stage)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for seat in self._seats:
            ray.kill(seat.actor, no_restart=True)
            for job in seat.jobs.values():
                cancel(job.future)
        self._seats = []
        for job in self._queue:
            cancel(job.future)
        self._queue.clear()

    # -- the loop: one thread gives out work and collects what comes back ---------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._queue and not self._busy():
                    self._changed.wait()
                if self._closed:
                    return
                self._give_out()
            for ref in self._finished():
                self._collect(ref)

    def _busy(self) -> bool:
        return any(seat.jobs for seat in self._seats)

    def _give_out(self) -> None:
        while self._queue:
            seat = min(self._seats, key=lambda seat: len(seat.jobs))
            if len(seat.jobs) >= self._in_flight:
                return
            job = self._next(seat)
            seat.stage = job.item.stage
            seat.jobs[seat.actor.do.remote(job.item)] = job

    def _next(self, seat: _Seat) -> _Job:
        """Take the job that `seat` does next from the queue, which has one."""
        if self._sticky:
            for job in self._queue:
                if job.item.stage == seat.stage:
                    self._queue.remove(job)
                    return job
        return self._queue.popleft()

    def _finished(self) -> list[Any]:
        refs = [ref for seat in self._seats for ref in seat.jobs]
        # The short limit lets work that was submitted meanwhile reach idle actors.
        ready, _ = ray.wait(refs, num_returns=1, timeout=0.1)
        return ready

    def _collect(self, ref: Any) -> None:
        seat = next((seat for seat in self._seats if ref in seat.jobs), None)
        if seat is None:  # its actor died with an earlier item: it waits in the queue again
            return
        try:
            outcome = cast(Outcome, ray.get(ref))
        except DEATHS as death:
            self._bury(seat, death)
            return
        except RayTaskError as error:
            job = seat.jobs.pop(ref)
            cause = error.cause if isinstance(error.cause, Exception) else error
            job.future.set_exception(cause)
            return
        job = seat.jobs.pop(ref)
        job.future.set_result(replace(outcome, attempts=job.deaths + 1))

    def _bury(self, seat: _Seat, death: Exception) -> None:
        """Replace a dead actor; its oldest item is the one it died on."""
        jobs = list(seat.jobs.values())
        seat.jobs = {}
        ray.kill(seat.actor, no_restart=True)
        self._deaths_left -= 1
        suspect, waiting = jobs[0], jobs[1:]
        suspect.deaths += 1
        with self._changed:
            self._queue.extendleft(reversed(waiting))
            if suspect.deaths < self._deaths_per_item and self._deaths_left > 0:
                self._queue.appendleft(suspect)
                seat.actor = self._start_worker()
                return
        suspect.future.set_exception(
            WorkerLost(
                f"The worker died {suspect.deaths} times on {suspect.item}: {_first_line(death)}",
                "Look at the node's memory and logs, then run the same command again.",
            )
        )
        if self._deaths_left > 0:
            seat.actor = self._start_worker()
            return
        self._give_up()

    def _give_up(self) -> None:
        with self._changed:
            jobs = [*self._queue, *(job for seat in self._seats for job in seat.jobs.values())]
            self._queue.clear()
            for seat in self._seats:
                seat.jobs = {}
            self._closed = True
        for job in jobs:
            job.future.set_exception(
                WorkerLost(
                    "Workers keep dying: the pool has given up.",
                    "Look at the cluster's memory and logs, then run the same command again.",
                )
            )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
