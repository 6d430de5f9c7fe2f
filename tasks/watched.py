"""Who hears of a run while it works: Prefect's log and events, and Ray's metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from colorize_core.errors import KinecolorError, as_text
from colorize_core.manifest.schema import Row, SegmentRow
from colorize_core.run import FilmRun
from colorize_core.work import Outcome, Stage, WorkItem
from tasks.events import RunEvents
from tasks.groups import WatchedPool
from tasks.worker_log import describe

if TYPE_CHECKING:
    from tasks.metrics import RunMetrics

OWN = ("colorize_core", "tasks")  # whose log in this process goes to the flow run's, too


class RunLog(logging.Handler):
    """Hands lines to Prefect's log of the flow run, from any thread: Prefect's own handler wants a
    run's context."""

    def __init__(self) -> None:
        super().__init__()
        self._run = get_run_logger()

    def emit(self, record: logging.LogRecord) -> None:
        self._run.log(record.levelno, "%s", record.getMessage())

    def ended(self, item: WorkItem, ended: Outcome | KinecolorError) -> None:
        """Pass on what a worker logged, and why it failed."""
        for line in ended.log:
            self._run.log(line.level, "%s", line.text)
        if isinstance(ended, KinecolorError):
            self._run.warning("%s: %s", describe(item), as_text(ended))


class Watched:
    """A pool whose work is told of. Meets `work.Pool`."""

    def __init__(
        self, pool: WatchedPool, log: RunLog, events: RunEvents, metrics: RunMetrics
    ) -> None:
        self._pool = pool
        self._log = log
        self._events = events
        self._metrics = metrics

    @property
    def width(self) -> int:
        return self._pool.width

    def submit(self, item: WorkItem) -> Future[Outcome]:
        future = self._pool.submit(item)
        future.add_done_callback(partial(self._ended, item))
        return future

    def release(self, stage: Stage) -> None:
        self._pool.release(stage)

    def close(self) -> None:
        self._pool.close()

    def follow(self, run: FilmRun) -> None:
        """Tell of what becomes of the segments of `run`, and of its film."""

        def changed(before: Row | None, row: Row) -> None:
            self._metrics.changed(before, row, run.id)
            segment = row if isinstance(row, SegmentRow) and row.uri else None
            uri = run.film.paths.resolve(segment.uri) if segment and segment.uri else None
            self._events.changed(before, row, run.found.segment(uri) if uri else None)

        run.ledger.listen(changed)

    def _ended(self, item: WorkItem, future: Future[Outcome]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, KinecolorError):
            self._log.ended(item, error)
            self._metrics.ended(item, None)
        elif error is None:
            self._log.ended(item, future.result())
            self._metrics.ended(item, future.result())


@contextmanager
def watched(pool: WatchedPool, film: str) -> Iterator[Watched]:
    """`pool`, watched, in a flow run over the film with this id."""
    from tasks.metrics import RunMetrics  # Ray, which reads its environment when it is imported

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a film is watched in its flow run")
    log, metrics = RunLog(), RunMetrics(film)
    with _heard(log), metrics.watching(pool.state):
        yield Watched(pool, log, RunEvents(context.flow_run.id), metrics)


@contextmanager
def _heard(log: RunLog) -> Iterator[None]:
    """What kinecolor logs in this process goes to `log`."""
    loggers = [logging.getLogger(name) for name in OWN]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(log)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(log)
            logger.setLevel(level)
