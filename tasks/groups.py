"""A pool for each group of workers, started when its first item comes. Meets `work.Pool`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from colorize_core.placement import Group
from colorize_core.work import Outcome, Pool, Stage, WorkItem, cancel


class GroupedPool:
    """Hands each item to the pool of the group that does its stage.

    A group whose only stage is released gives its workers back. `start` makes a group's pool.
    """

    def __init__(self, groups: Sequence[Group], start: Callable[[Group], Pool]) -> None:
        self.width = max(group.workers for group in groups)
        self._group = {stage: group for group in groups for stage in group.stages}
        self._start = start
        self._pools: dict[Group, Pool] = {}
        self._lock = threading.Lock()
        self._closed = False

    def open(self, stage: Stage) -> None:
        """Start the workers of a stage before its first item comes."""
        self._pool(self._group[stage])

    def submit(self, item: WorkItem) -> Future[Outcome]:
        pool = self._pool(self._group[item.stage])
        if pool is not None:
            return pool.submit(item)
        cancelled: Future[Outcome] = Future()
        cancel(cancelled)
        return cancelled

    def release(self, stage: Stage) -> None:
        group = self._group.get(stage)
        with self._lock:
            pool = self._pools.get(group) if group else None
            if group is None or pool is None:
                return
            if group.stages == (stage,):
                self._pools.pop(group).close()
            else:
                pool.release(stage)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for pool in self._pools.values():
                pool.close()

    def _pool(self, group: Group) -> Pool | None:
        """The group's pool, started now if it was not; None after `close`."""
        with self._lock:
            if self._closed:
                return None
            if group not in self._pools:
                self._pools[group] = self._start(group)
            return self._pools[group]
