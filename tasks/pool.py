"""Items are worked on by Ray actors, with deaths counted. Meets `colorize_core.work.Pool`.

Not `ray.util.ActorPool`: after an actor's death it can end with inputs never run and no error.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
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

from colorize_core.config import Budgets
from colorize_core.errors import (
    ClusterUnavailable,
    EngineFailed,
    KinecolorError,
    OutOfMemory,
    WorkerLost,
)
from colorize_core.work import Outcome, Stage, WorkItem, cancel

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
# What a worker may use of its memory for work that ran out of it: once, and once more.
_LESS_MEMORY = 0.5

StartWorker = Callable[[float], Any]
"""Starts an actor with the methods of `tasks.worker.Worker`, which may use this share of the memory
that it would have."""


@dataclass(slots=True, eq=False)
class _Job:
    """`alone`: while nothing else is done in the pool. `memory`: the share its worker may use."""

    item: WorkItem
    future: Future[Outcome]
    deaths: int = 0
    alone: bool = False
    memory: float = 1.0


@dataclass(slots=True, eq=False)
class _Seat:
    """An actor and what it is at: its start (`ref` without `job`), a job, or nothing."""

    actor: Any
    ref: Any
    memory: float = 1.0
    job: _Job | None = None
    stage: Stage | None = None
    started: bool = False
    deaths: int = 0  # in a row, each on other work


class RayPool:
    """Items on `width` Ray actors, one at a time on each. Meets `work.Pool`.

    Handing over an item takes a millisecond, and an item that waited at a busy actor would wait
    although another is idle, and be blamed for a death that is not its own.

    A dead actor is replaced, and gets nothing to do before it has started. The item it was on is
    tried again, after the others, until it has seen `budgets.deaths_per_item` deaths; then its
    future ends with `WorkerLost`. The last try is made alone, since an item that takes its process
    down may want all of a machine's memory. One that ran out of memory (`OutOfMemory` from the
    worker, or Ray's own) is tried alone at once, on fresh workers with ever less memory to use, so
    in smaller batches. A place in which actors die `budgets.deaths_per_worker` times in a row, each
    time on other work, is given up; after the last one everything ends with `ClusterUnavailable`.

    `sticky` workers go on with the stage that they are at while it has items: where parts take
    turns on a small GPU, a change means loading weights.
    """

    def __init__(
        self,
        width: int,
        start_worker: StartWorker,
        *,
        budgets: Budgets = Budgets(),  # noqa: B008  frozen
        sticky: bool = False,
    ) -> None:
        if width < 1:
            raise ValueError("a pool needs a worker")
        self.width = width
        self._sticky = sticky
        self._start_worker = start_worker
        self._budgets = budgets
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._broken: str | None = None  # why the last place was given up
        self._seats = [self._seat() for _ in range(width)]
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self._thread.start()

    def wait_ready(self, progress: Callable[[int, int], None] = lambda _, __: None) -> None:
        """Return once every worker's process is up. On a busy cluster that may take as long as
        other films do: `progress` is then told now and then how many of how many there are.

        Raises:
            ClusterUnavailable: no worker could be started.
        """
        said = False
        with self._changed:
            while not all(seat.started for seat in self._seats) and not self._closed:
                if not self._changed.wait(PATIENCE_S) or said:
                    said = True
                    progress(sum(seat.started for seat in self._seats), self.width)
            if self._broken is not None:
                raise self._gave_up()
            if said:
                progress(self.width, self.width)

    def submit(self, item: WorkItem) -> Future[Outcome]:
        job = _Job(item, Future())
        with self._changed:
            if self._broken is not None:
                job.future.set_exception(self._gave_up())
            elif self._closed:
                cancel(job.future)
            else:
                self._queue.append(job)
                self._changed.notify_all()
        return job.future

    def release(self, stage: Stage) -> None:
        for seat in list(self._seats):
            seat.actor.release.remote(stage)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._changed:
            seats, self._seats = self._seats, []
            waiting = [*(seat.job for seat in seats if seat.job), *self._queue]
            self._queue.clear()
        for seat in seats:
            ray.kill(seat.actor, no_restart=True)
        for job in waiting:
            cancel(job.future)

    # -- the loop: one thread gives out work and collects what comes back ---------------------

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # the cluster is gone: nobody may wait for ever
            with self._changed:
                for seat in self._seats:
                    self._queue.extend([seat.job] if seat.job else [])
                self._seats = []
                self._break(error)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._queue and not self._at_work():
                    self._changed.wait()
                if self._closed:
                    return
                self._give_out()
                refs = self._at_work()
            # The short limit lets work that was submitted meanwhile reach idle actors.
            for ref in ray.wait(refs, timeout=0.1)[0] if refs else ():
                self._collect(ref)

    def _at_work(self) -> list[Any]:
        return [seat.ref for seat in self._seats if seat.ref is not None]

    def _give_out(self) -> None:
        idle = [seat for seat in self._seats if seat.ref is None]
        for seat in sorted(idle, key=lambda seat: seat.memory):  # those started for one job first
            job = self._next(seat)
            if job is None:
                return
            if job.memory != seat.memory:
                self._queue.appendleft(job)
                if not any(each.memory == job.memory for each in self._seats):
                    self._restart(seat, job.memory)
                return
            seat.job, seat.stage = job, job.item.stage
            seat.ref = seat.actor.do.remote(job.item)

    def _next(self, seat: _Seat) -> _Job | None:
        """Take the job that `seat` does next from the queue; those that want to be alone wait
        until there is no other."""
        running = [each.job for each in self._seats if each.job]
        if any(job.alone for job in running):
            return None
        ready = [job for job in self._queue if not job.alone]
        if not ready:
            ready = [] if running else list(self._queue)
        same = [job for job in ready if job.item.stage == seat.stage] if self._sticky else []
        job = next(iter(same or ready), None)
        if job is not None:
            self._queue.remove(job)
        return job

    def _collect(self, ref: Any) -> None:
        seat = next(seat for seat in self._seats if seat.ref == ref)
        job = seat.job
        try:
            outcome = cast(Outcome, ray.get(ref))
        except DEATHS as death:
            self._bury(seat, job, death)
            return
        except RayTaskError as error:
            if isinstance(error.cause, OutOfMemory):
                self._bury(seat, job, error.cause)
                return
            cause = error.cause if isinstance(error.cause, KinecolorError) else None
            outcome = cause or EngineFailed(f"{job and job.item}: {_first_line(error)}")
        with self._changed:
            seat.ref, seat.job = None, None
            if job is None:
                seat.started = True
                self._changed.notify_all()
                return
            seat.deaths = 0
            if seat.memory != 1.0:
                self._restart(seat, 1.0)
        if isinstance(outcome, KinecolorError):
            outcome.attempts = job.deaths + 1
            job.future.set_exception(outcome)
        else:
            job.future.set_result(replace(outcome, attempts=job.deaths + 1))

    def _bury(self, seat: _Seat, job: _Job | None, death: Exception) -> None:
        """Replace a dead actor, or one that ran out of memory, and see what becomes of its job."""
        with self._changed:
            seat.deaths += job is None or job.deaths == 0
            if job is not None:
                job.deaths += 1
                if job.deaths < self._budgets.deaths_per_item:
                    self._try_again(job, death)
            if seat.deaths < self._budgets.deaths_per_worker:
                self._restart(seat, 1.0)
            else:
                self._give_up(seat, death)
        if job is not None and job.deaths >= self._budgets.deaths_per_item:
            job.future.set_exception(_lost(job, death))

    def _try_again(self, job: _Job, death: Exception) -> None:
        if isinstance(death, (OutOfMemory, OutOfMemoryError)):
            job.alone, job.memory = True, job.memory * _LESS_MEMORY
        job.alone = job.alone or job.deaths + 1 == self._budgets.deaths_per_item
        self._queue.append(job)

    def _seat(self, memory: float = 1.0) -> _Seat:
        actor = self._start_worker(memory)
        return _Seat(actor, actor.ready.remote(), memory)

    def _restart(self, seat: _Seat, memory: float) -> None:
        ray.kill(seat.actor, no_restart=True)
        fresh = self._seat(memory)
        seat.actor, seat.ref, seat.memory, seat.job = fresh.actor, fresh.ref, memory, None

    def _give_up(self, seat: _Seat, death: Exception) -> None:
        ray.kill(seat.actor, no_restart=True)
        self._seats.remove(seat)
        if not self._seats:
            self._break(death)

    def _break(self, error: Exception) -> None:
        self._broken, self._closed = _first_line(error), True
        self._changed.notify_all()
        for job in self._queue:
            job.future.set_exception(self._gave_up())
        self._queue.clear()

    def _gave_up(self) -> ClusterUnavailable:
        return ClusterUnavailable(
            f"Workers keep dying, so the run ended: {self._broken}",
            "Look at the cluster's memory and logs, then run the same command again: finished "
            "work is kept.",
        )


def _lost(job: _Job, death: Exception) -> KinecolorError:
    """What the last of a job's deaths is called."""
    lost: KinecolorError
    if isinstance(death, OutOfMemory):
        lost = death
    elif isinstance(death, OutOfMemoryError):
        lost = OutOfMemory(
            f"The node ran out of memory on {job.item}: {_first_line(death)}",
            "Use a larger machine or fewer workers (--workers).",
        )
    else:
        lost = WorkerLost(
            f"The worker died {job.deaths} times on {job.item}: {_first_line(death)}",
            "Look at the node's memory and logs.",
        )
    lost.attempts = job.deaths
    return lost


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
