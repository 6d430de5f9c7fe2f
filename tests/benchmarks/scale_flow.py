"""A film of parts that do nothing, as the product does it between planning and delivery."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from prefect import flow

from colorize_core.claim import hold
from colorize_core.engines.catalog import PartFacts
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow
from colorize_core.run import FilmRun
from colorize_core.work import Outcome, WorkItem
from tasks import observe, stages
from tasks.pool import RayPool
from tasks.turns import in_turn
from tasks.watched import watched
from tests.benchmarks.scale_cost import Cost, measured
from tests.benchmarks.scale_film import SEGMENTS_IN_A_SHOT, choice, planned_film
from tests.benchmarks.scale_worker import Idler

_START_S = 600.0  # many workers on few cores take long to start


class CountedPool(RayPool):
    """Knows how many items were done, and in how many seconds of its workers."""

    items = 0
    seconds = 0.0

    def submit(self, item: WorkItem) -> Future[Outcome]:
        future = super().submit(item)
        future.add_done_callback(self._count)
        return future

    def _count(self, done: Future[Outcome]) -> None:
        self.items += 1
        self.seconds += done.result().seconds


def film(
    name: str,
    folder: Path,
    segments: int,
    *,
    workers: int,
    nap_s: float = 0.0,
    in_a_shot: int = SEGMENTS_IN_A_SHOT,
) -> Cost:
    """What a film of so many segments takes on as many workers, which are up."""
    cost = Cost(name, segments, 0)
    pool = CountedPool(workers, lambda memory: Idler.remote(nap_s))
    try:
        deadline = time.monotonic() + _START_S
        while pool.state().workers < workers:
            assert time.monotonic() < deadline, pool.state()
            time.sleep(0.1)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _colorize(cost, pool, Path(place), in_a_shot)
    finally:
        pool.close()
    cost.items = pool.items
    cost.busy = pool.seconds / (workers * cost.seconds) if nap_s else None
    return cost


@flow(persist_result=False)
def _colorize(cost: Cost, crew: RayPool, folder: Path, in_a_shot: int) -> None:
    film, request, shots = planned_film(folder, cost.segments, in_a_shot)
    progress = observe.StageProgress(film.paths.film)
    facts = PartFacts.of(request.config)
    choices = [choice(film, shot) for shot in shots]
    with (
        hold(film.paths, progress) as claim,
        watched(crew, film.paths.film) as pool,
        measured(cost),
    ):
        began = time.monotonic()
        run = FilmRun(film, request, shots, choices, facts, pool, progress, began, claim)
        pool.follow(run)
        in_turn(run.shots, pool, partial(stages.colorize_shot, run))
        run.ledger.flush()
    assert {row.status for row in latest(film.paths, SegmentRow).rows} == {"done"}
