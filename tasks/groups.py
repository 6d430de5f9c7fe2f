"""A pool for each group of workers, started when its first item comes. Meets `work.Pool`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from colorize_core.placement import Group
from colorize_core.work import Outcome, Pool, Stage, WorkItem, cancel
from tasks.pool_state import PoolState

Limit = Callable[[], int]
"""How many workers a pool may have now."""


class WatchedPool(Pool, Protocol):
    """A pool that says what it is at."""

    def state(self) -> PoolState: ...


class GroupPool(WatchedPool, Protocol):
    """A group's pool: `tasks.pool.RayPool`."""

    def wait_ready(self, progress: Callable[[int, int], None]) -> None: ...


class GroupedPool:
    """Hands each item to the pool of the group that does its stage.

    A group whose only stage is released gives its workers back. `start` makes a group's pool, with
    a limit where the group is `beside` another. `progress` hears how many of how many workers are
    up where that takes long.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        start: Callable[[Group, Limit | None], GroupPool],
        progress: Callable[[int, int], None] = lambda up, asked: None,
    ) -> None:
        self._groups = groups
        self._group = {stage: group for group in groups for stage in group.stages}
        self._start = start
        self._progress = progress
        self._pools: dict[Group, GroupPool] = {}
        self._past = PoolState()  # what is left to say of those that were closed
        self._lock = threading.Lock()
        self._closed = False

    @property
    def width(self) -> int:
        """Workers of the group that has the most."""
        pools = list(self._pools.values())
        return max(pool.width for pool in pools) if pools else self._groups[0].workers

    def open(self, stage: Stage) -> None:
        """Start the workers of a stage before its first item comes.

        Raises:
            ClusterUnavailable: none could be started.
        """
        if pool := self._pool(self._group[stage]):
            pool.wait_ready(self._progress)

    def submit(self, item: WorkItem) -> Future[Outcome]:
        pool = self._pool(self._group[item.stage])
        if pool is not None:
            pool.wait_ready(self._progress)  # without the lock: it may be long
            return pool.submit(item)
        cancelled: Future[Outcome] = Future()
        cancel(cancelled)
        return cancelled

    def state(self) -> PoolState:
        """What all groups that are started are at now. Cheap; may be called from any thread."""
        states = [pool.state() for pool in list(self._pools.values())]
        return PoolState.together([self._past, *states])

    def release(self, stage: Stage) -> None:
        group = self._group.get(stage)
        with self._lock:
            pool = self._pools.get(group) if group else None
            if group is None or pool is None:
                return
            if group.stages == (stage,):
                self._pools.pop(group).close()
                gone = PoolState(deaths=pool.state().deaths)
                self._past = PoolState.together([self._past, gone])
            else:
                pool.release(stage)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for pool in self._pools.values():
                pool.close()

    def _pool(self, group: Group) -> GroupPool | None:
        """The group's pool, started now if it was not; None after `close`."""
        with self._lock:
            return None if self._closed else self._started(group)

    def _started(self, group: Group) -> GroupPool:
        if group not in self._pools:
            limit = self._beside(group.beside) if group.beside else None
            self._pools[group] = self._start(group, limit)
        return self._pools[group]

    def _beside(self, stage: Stage) -> Limit:
        """One worker for each of the group that does `stage`, which comes first: where one of those
        is, there is room on a GPU."""
        larger = self._started(self._group[stage])
        return lambda: larger.state().workers
