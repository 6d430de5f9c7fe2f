"""What a pool is at, for whoever watches: no Ray in here, so that anybody may import it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from colorize_core.work import Stage


@dataclass(frozen=True, slots=True)
class PoolState:
    """Counts at one moment.

    Attributes:
        queued_by_stage: items that wait for a worker.
        busy_by_stage: workers that have an item, by the item's stage.
        workers: workers that are up.
        starting: workers that were asked for and are not up: on a full cluster they wait for room.
        deaths: of workers, since the pool began.
    """

    queued_by_stage: Mapping[Stage, int] = field(default_factory=dict)
    busy_by_stage: Mapping[Stage, int] = field(default_factory=dict)
    workers: int = 0
    starting: int = 0
    deaths: int = 0

    @property
    def queued(self) -> int:
        """Items that wait for a worker."""
        return sum(self.queued_by_stage.values())

    @property
    def busy(self) -> int:
        """Workers that have an item."""
        return sum(self.busy_by_stage.values())

    @classmethod
    def together(cls, states: Iterable[Self]) -> Self:
        """Several pools' counts as one."""
        queued, busy = Counter[Stage](), Counter[Stage]()
        workers = starting = deaths = 0
        for each in states:
            queued.update(each.queued_by_stage)
            busy.update(each.busy_by_stage)
            workers += each.workers
            starting += each.starting
            deaths += each.deaths
        return cls(queued, busy, workers, starting, deaths)
