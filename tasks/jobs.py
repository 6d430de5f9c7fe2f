"""Which job is next, which takes too long, how many workers are wanted: the pool's decisions. Pure:
no Ray, no clock."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from colorize_core.work import Outcome, Stage, WorkItem

# What takes so much longer than its like, and at least so long, is begun a second time.
SLOWER = 3.0
SLOW_S = 10.0
_LIKE = 5  # finished items of a stage that say what is usual
_LATEST = 64  # of them are looked at
RAMP = 8  # workers that may wait for room on a cluster while few are up


@dataclass(slots=True, eq=False)
class Job:
    """An item in the pool.

    Attributes:
        deaths: workers that died on it.
        alone: it is done while nothing else is.
        memory: the share of its memory that its worker may use.
        workers: that have it now; two where the first was slow.
    """

    item: WorkItem
    future: Future[Outcome] = field(default_factory=Future)
    deaths: int = 0
    alone: bool = False
    memory: float = 1.0
    workers: int = 0


class JobQueue:
    """Jobs that wait, in the order they came; those that want to be alone are apart."""

    def __init__(self) -> None:
        self._ready: defaultdict[Stage, deque[tuple[int, Job]]] = defaultdict(deque)
        self._alone: deque[Job] = deque()
        self._turn = count()

    def __len__(self) -> int:
        return self.ready + len(self._alone)

    @property
    def ready(self) -> int:
        """How many jobs need not be alone."""
        return sum(map(len, self._ready.values()))

    @property
    def alone(self) -> Job | None:
        """The next of those that want to be alone."""
        return self._alone[0] if self._alone else None

    def by_stage(self) -> Mapping[Stage, int]:
        """How many jobs of each stage wait."""
        counts = Counter[Stage](job.item.stage for job in self._alone)
        counts.update({stage: len(jobs) for stage, jobs in self._ready.items()})
        return counts

    def put(self, job: Job) -> None:
        """Let a job wait, after the others."""
        if job.alone:
            self._alone.append(job)
        else:
            self._ready[job.item.stage].append((next(self._turn), job))

    def take(self, stage: Stage | None = None) -> Job:
        """Take the first job that need not be alone: the first of `stage`, if there is any."""
        same = self._ready.get(stage) if stage else None
        waiting = [jobs for jobs in self._ready.values() if jobs]
        _, job = (same or min(waiting, key=lambda jobs: jobs[0][0])).popleft()
        return job

    def take_alone(self) -> Job:
        """Take the first that wants to be alone."""
        return self._alone.popleft()

    def drain(self) -> list[Job]:
        """Take all."""
        jobs = [job for waiting in self._ready.values() for _, job in waiting]
        jobs += self._alone
        self._ready.clear()
        self._alone.clear()
        return jobs


class Pace:
    """What items of each stage usually take, by their frames."""

    def __init__(self) -> None:
        self._taken: defaultdict[Stage, deque[float]] = defaultdict(lambda: deque(maxlen=_LATEST))

    def note(self, item: WorkItem, seconds: float) -> None:
        """An item was done in so many seconds."""
        self._taken[item.stage].append(seconds / item.frames)

    def is_slow(self, item: WorkItem, seconds: float) -> bool:
        """Whether an item that is not done after so many seconds takes much longer than its like;
        never before it is known what they take."""
        like = self._taken[item.stage]
        if seconds <= SLOW_S or len(like) < _LIKE:
            return False
        return seconds > SLOWER * median(like) * item.frames


def wanted(work: int, up: int, limit: int) -> int:
    """How many workers a pool asks for: one for each of `work` items, at most `limit`. Of them no
    more wait for room than are `up`, or `RAMP`: an autoscaler sees that there is need, and no
    cluster is flooded."""
    return max(1, min(work, limit, up + max(RAMP, up)))
