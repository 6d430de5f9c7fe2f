"""Items are worked on by Ray actors, with deaths counted. Meets `colorize_core.work.Pool`.

Not `ray.util.ActorPool`: after an actor's death it can end with inputs never run and no error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import cast

from ray.exceptions import RayTaskError

from colorize_core.config import Budgets
from colorize_core.errors import EngineFailed, KinecolorError, OutOfMemory
from colorize_core.work import Outcome, Stage, WorkItem, cancel
from tasks.deaths import DEATHS, first_line, gave_up, lost, no_memory
from tasks.jobs import Job, JobQueue, Pace, wanted
from tasks.pool_state import PoolState
from tasks.seats import Ended, Seat, Seats, StartWorker
from tasks.worker_log import describe

PATIENCE_S = 10.0  # that workers take to start on an idle cluster, and more
# What a worker may use of its memory for work that ran out of it: once, and once more.
_LESS_MEMORY = 0.5
_TICK_S = 1.0  # how often the pool looks for idle and for slow workers when nothing happens

_log = logging.getLogger(__name__)


class RayPool:
    """Items on Ray actors, one at a time on each. Meets `work.Pool`.

    Handing over an item takes a millisecond, and an item that waited at a busy actor would wait
    although another is idle, and be blamed for a death that is not its own.

    The pool begins with `width` actors. While items wait it asks for one more for each of them, up
    to `limit()`; those that have no room on the cluster wait for some, and hold up nobody. An actor
    that has had nothing to do for `idle_s` is given back, but for the last one. Without a `limit`
    there are `width` actors, always.

    A dead actor is replaced, and gets nothing to do before it has started. The item it was on is
    tried again, after the others, until it has seen `budgets.deaths_per_item` deaths; then its
    future ends with `WorkerLost`. The last try is made alone, since an item that takes its process
    down may want all of a machine's memory. One that ran out of memory (`OutOfMemory` from the
    worker, or Ray's own) is tried alone at once, on fresh workers with ever less memory to use, so
    in smaller batches. A place in which actors die `budgets.deaths_per_worker` times in a row, each
    time on other work, is given up, and the pool grows no more; after the last one everything ends
    with `ClusterUnavailable`.

    Where nothing waits and an actor is idle, an item that takes much longer than its like
    (`jobs.Pace`) is begun a second time. The first result counts; the other actor is replaced.

    `sticky` workers go on with the stage that they are at while it has items: where parts take
    turns on a small GPU, a change means loading weights.
    """

    def __init__(
        self,
        width: int,
        start_worker: StartWorker,
        *,
        limit: Callable[[], int] | None = None,
        idle_s: float = float("inf"),
        budgets: Budgets = Budgets(),  # noqa: B008  frozen
        sticky: bool = False,
    ) -> None:
        if width < 1:
            raise ValueError("a pool needs a worker")
        self._limit = limit or (lambda: width)
        self._idle_s = idle_s
        self._budgets = budgets
        self._sticky = sticky
        self._queue = JobQueue()
        self._pace = Pace()
        self._changed = threading.Condition()
        self._began = False  # a worker was up
        self._closed = False
        self._deaths = 0
        self._most: int | None = None  # places that are left, once one was given up
        self._broken: str | None = None  # why the last place was given up
        self._ends: list[tuple[Job, Outcome | KinecolorError]] = []  # nobody was told of yet
        self._seats = Seats(start_worker)
        for _ in range(width):
            self._seats.add()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self._thread.start()

    @property
    def width(self) -> int:
        """Workers that are up; 1 where none is."""
        with self._changed:
            return max(1, self._seats.up)

    def wait_ready(self, progress: Callable[[int, int], None] = lambda _, __: None) -> None:
        """Return once a worker's process was up. On a busy cluster that may take as long as other
        films do: `progress` is then told now and then how many of how many there are.

        Raises:
            ClusterUnavailable: no worker could be started.
        """
        ready = said = False
        while not ready:
            with self._changed:
                ready = self._changed.wait_for(lambda: self._began or self._closed, PATIENCE_S)
                there, broken = (self._seats.up, len(self._seats)), self._broken
            if broken is not None:
                raise gave_up(broken)
            if said or not ready:
                said = True
                progress(*there)

    def submit(self, item: WorkItem) -> Future[Outcome]:
        job = Job(item)
        with self._changed:
            if self._broken is not None:
                job.future.set_exception(gave_up(self._broken))
            elif self._closed:
                cancel(job.future)
            else:
                self._queue.put(job)
                self._seats.wake()
        return job.future

    def state(self) -> PoolState:
        """What the pool is at now. Cheap; may be called from any thread."""
        with self._changed:
            busy = Counter[Stage](seat.job.item.stage for seat in self._seats if seat.job)
            up = self._seats.up
            starting = len(self._seats) - up
            return PoolState(self._queue.by_stage(), busy, up, starting, self._deaths)

    def release(self, stage: Stage) -> None:
        with self._changed:
            for seat in self._seats:
                seat.actor.release.remote(stage)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._seats.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._changed:
            waiting = [*self._seats.jobs(), *self._queue.drain()]
            self._seats.clear()
        for job in waiting:
            cancel(job.future)

    # -- the loop: one thread gives out work and collects what comes back ---------------------

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._tell()
                ended = self._seats.next_ended(_TICK_S)
                while ended:
                    with self._changed:
                        self._collect(ended)
                    ended = self._seats.next_ended(0)
        except Exception as error:  # the cluster is gone: nobody may wait for ever
            with self._changed:
                for job in self._seats.jobs():
                    self._queue.put(job)
                self._break(error)
        self._tell()

    def _goes_on(self) -> bool:
        with self._changed:
            if not self._closed:
                self._resize()
                self._give_out()
                self._double()
            return not self._closed

    def _tell(self) -> None:
        """Let futures end; without the lock, since who waits for one may do anything."""
        ends, self._ends = self._ends, []
        for job, ended in ends:
            if isinstance(ended, Outcome):
                job.future.set_result(replace(ended, attempts=job.deaths + 1))
            else:
                job.future.set_exception(ended)

    def _resize(self) -> None:
        """Ask for more workers, or give some back, as there is work."""
        work = len(self._queue) + len(self._seats.jobs())
        limit = self._limit() if self._most is None else min(self._limit(), self._most)
        while len(self._seats) < wanted(work, self._seats.up, limit):
            self._seats.add()
        since = time.monotonic() - self._idle_s
        unused = [seat for seat in self._seats if seat.job is None and seat.since < since]
        surplus = max(0, len(self._seats) - max(1, min(work, limit)))
        for seat in sorted(unused, key=lambda seat: seat.up)[:surplus]:
            self._seats.remove(seat)

    def _give_out(self) -> None:
        if any(job.alone for job in self._seats.jobs()):
            return
        for seat in self._seats.idle():
            if not self._queue.ready:
                break
            if seat.memory == 1.0:
                job = self._queue.take(seat.stage if self._sticky else None)
                self._seats.hand(seat, job)
            else:  # it was started for one that has to wait after all
                self._seats.restart(seat)
        alone = self._queue.alone
        if alone and not self._seats.jobs() and not self._queue.ready:
            self._give_alone(alone)

    def _give_alone(self, job: Job) -> None:
        """Hand over a job that wants to be alone, on a worker with as much memory as it shall."""
        idle = self._seats.idle()
        fit = [seat for seat in self._seats if seat.memory == job.memory]
        ready = [seat for seat in fit if seat in idle]
        if ready:
            self._seats.hand(ready[0], self._queue.take_alone())
        elif idle and not fit:
            self._seats.restart(idle[0], job.memory)

    def _double(self) -> None:
        """Begin a second time what takes much longer than its like, on workers without work."""
        idle = () if self._queue.ready else self._seats.idle()
        now = time.monotonic()
        for seat in idle:
            slow = [
                each
                for each in self._seats
                if (job := each.job)
                and not job.alone
                and job.workers == 1
                and self._pace.is_slow(job.item, now - each.since)
            ]
            if not slow:
                return
            self._seats.hand(seat, cast(Job, min(slow, key=lambda each: each.since).job))

    def _collect(self, ended: Ended) -> None:
        seat, job = ended.seat, ended.seat.job
        try:
            outcome = cast(Outcome, ended.done.result())
        except DEATHS as death:
            self._bury(seat, job, death)
            return
        except RayTaskError as error:
            if isinstance(error.cause, OutOfMemory):
                self._bury(seat, job, error.cause)
                return
            cause = error.cause if isinstance(error.cause, KinecolorError) else None
            outcome = cause or EngineFailed(f"{job and job.item}: {first_line(error)}")
        seconds = time.monotonic() - seat.since
        self._seats.free(seat)
        if job is None:
            seat.up = self._began = True
            self._changed.notify_all()
            return
        seat.deaths = 0
        if seat.memory != 1.0:
            self._seats.restart(seat)
        if isinstance(outcome, Outcome):
            self._pace.note(job.item, seconds)
            self._end(job, outcome)
        elif not job.workers:  # or the other one may do better
            self._end(job, outcome)

    def _end(self, job: Job, ended: Outcome | KinecolorError) -> None:
        """The job's future ends so; an actor that is still at it is replaced."""
        for seat in self._seats:
            if seat.job is job:
                self._seats.restart(seat)
        if isinstance(ended, KinecolorError):
            ended.attempts = job.deaths + 1
        self._ends.append((job, ended))

    def _bury(self, seat: Seat, job: Job | None, death: Exception) -> None:
        """Replace a dead actor, or one that ran out of memory, and see what becomes of its job."""
        self._deaths += 1
        what = "memory ran out" if no_memory(death) else "the worker died"
        at = describe(job.item) if job else "while it started"
        _log.warning("%s: %s: %s", at, what, first_line(death))
        seat.deaths += job is None or job.deaths == 0
        self._seats.free(seat)
        if job is not None:
            job.deaths += 1
            if not job.workers:  # or the other one may do better
                self._try_again(job, death)
        if seat.deaths < self._budgets.deaths_per_worker:
            self._seats.restart(seat)
        else:
            self._give_up(seat, death)

    def _try_again(self, job: Job, death: Exception) -> None:
        if job.deaths >= self._budgets.deaths_per_item:
            self._ends.append((job, lost(job, death)))
            return
        if no_memory(death):
            job.alone, job.memory = True, job.memory * _LESS_MEMORY
        job.alone = job.alone or job.deaths + 1 == self._budgets.deaths_per_item
        self._queue.put(job)

    def _give_up(self, seat: Seat, death: Exception) -> None:
        self._seats.remove(seat)
        self._most = len(self._seats)
        if not self._most:
            self._break(death)

    def _break(self, error: Exception) -> None:
        self._broken, self._closed = first_line(error), True
        self._changed.notify_all()
        self._ends += [(job, gave_up(self._broken)) for job in self._queue.drain()]
