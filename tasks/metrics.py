"""Numbers of a run for Prometheus, through Ray. Their names stand here and nowhere else.

The driver counts what its workers' outcomes say. It hands over its last counts when it leaves the
cluster, where a worker that is killed loses those of its last ten seconds; and a film is one set of
series and not one for each worker. Ray keeps the counters of a process that has ended until the
agent of its node restarts, so no counter has the film's id; gauges go half a minute after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ray.util import metrics as of_ray

from colorize_core.manifest.schema import FilmRow, Row, SegmentRow
from colorize_core.work import Outcome, WorkItem
from tasks.pool_state import PoolState

SAMPLE_S = 5.0  # between looks at the pool: half of what Ray takes to report
BOUNDARIES_S = (0.5, 2.0, 10.0, 30.0, 120.0, 600.0)  # of the histogram: from optical flow to SVD


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is declared to Ray, which puts `ray_` before its name."""

    name: str
    text: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """What Prometheus calls it; of a histogram, what its series' names begin with."""
        return f"ray_{self.name}"


ITEMS = Metric(
    "kinecolor_items_total",
    "Pieces of work (stills, groups of anchors, segments, chunks) that ended: done or failed.",
    ("stage", "status"),
)
SECONDS = Metric("kinecolor_item_seconds", "Seconds that a worker needed for one.", ("stage",))
FRAMES = Metric("kinecolor_frames_total", "Frames that were made.", ("stage",))
WRITTEN = Metric("kinecolor_written_bytes_total", "Bytes of the objects made.", ("stage",))
MEMORY = Metric(
    "kinecolor_peak_memory_bytes",
    "Peak memory of a worker: of its process on a CPU, of its tensors on a GPU.",
    ("film", "stage", "device"),
)
SEGMENTS = Metric(
    "kinecolor_segments_total",
    "Segments that a run has come to the end of: done, found, failed or quarantined.",
    ("status",),
)
FILMS = Metric("kinecolor_films_total", "Films whose run ended, by how.", ("status",))
DEATHS = Metric("kinecolor_worker_deaths_total", "Workers that died.")
QUEUED = Metric("kinecolor_queued_items", "Pieces of work that wait.", ("film",))
BUSY = Metric("kinecolor_busy_workers", "Workers that have a piece of work.", ("film",))
WORKERS = Metric("kinecolor_workers", "Workers that are up.", ("film",))
STARTING = Metric("kinecolor_starting_workers", "Workers asked for that are not up.", ("film",))
PROGRESS = Metric(
    "kinecolor_last_progress_seconds", "Unix time at which work last ended.", ("film",)
)

COUNTERS = (ITEMS, FRAMES, WRITTEN, SEGMENTS, FILMS, DEATHS)
GAUGES = (MEMORY, QUEUED, BUSY, WORKERS, STARTING, PROGRESS)
HISTOGRAMS = (SECONDS,)
METRICS = (*COUNTERS, *GAUGES, *HISTOGRAMS)


class RunMetrics:
    """The numbers of one film's run. Ray is joined. May be used from any thread."""

    def __init__(self, film: str) -> None:
        self._film = {"film": film}
        self._counters = {m: of_ray.Counter(m.name, m.text, m.labels) for m in COUNTERS}
        self._gauges = {m: of_ray.Gauge(m.name, m.text, m.labels) for m in GAUGES}
        self._seconds = of_ray.Histogram(
            SECONDS.name, SECONDS.text, list(BOUNDARIES_S), SECONDS.labels
        )
        self._deaths = 0

    def ended(self, item: WorkItem, outcome: Outcome | None) -> None:
        """Count a piece of work; `outcome` is None where it failed."""
        stage = {"stage": item.stage}
        self._count(ITEMS, 1, stage | {"status": "done" if outcome else "failed"})
        self._set(PROGRESS, time.time(), self._film)
        if outcome is None:
            return
        self._seconds.observe(outcome.seconds, stage)
        self._count(FRAMES, sum(each.frames for each in outcome.stored), stage)
        self._count(WRITTEN, sum(each.bytes for each in outcome.stored), stage)
        on = self._film | stage | {"device": outcome.device}
        self._set(MEMORY, outcome.peak_memory_bytes, on)

    def changed(self, before: Row | None, row: Row, run: str) -> None:
        """Count a segment or a film whose status has changed in the run with this id."""
        was = before.status if isinstance(before, (SegmentRow, FilmRow)) else None
        match row:
            case SegmentRow(status="done") if was != "done":
                status = "done" if row.computed_in_run == run else "found"
                self._count(SEGMENTS, 1, {"status": status})
            case SegmentRow(status="failed" | "quarantined") if was != row.status:
                self._count(SEGMENTS, 1, {"status": row.status})
            case FilmRow() if was != row.status:
                self._count(FILMS, 1, {"status": row.status})

    @contextmanager
    def watching(self, state: Callable[[], PoolState]) -> Iterator[None]:
        """Look at a pool's `state` now and then while the block runs."""
        over = threading.Event()
        self._set(PROGRESS, time.time(), self._film)

        def watch() -> None:
            while not over.wait(SAMPLE_S):
                self._sample(state())

        thread = threading.Thread(target=watch, name="metrics", daemon=True)
        self._sample(state())
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._sample(state())

    def _sample(self, state: PoolState) -> None:
        self._set(QUEUED, state.queued, self._film)
        self._set(BUSY, state.busy, self._film)
        self._set(WORKERS, state.workers, self._film)
        self._set(STARTING, state.starting, self._film)
        self._count(DEATHS, state.deaths - self._deaths, {})
        self._deaths = state.deaths

    def _count(self, metric: Metric, by: float, labels: dict[str, str]) -> None:
        if by > 0:  # a pool that was given back takes its deaths along
            self._counters[metric].inc(by, labels)

    def _set(self, metric: Metric, value: float, labels: dict[str, str]) -> None:
        self._gauges[metric].set(value, labels)
