"""What only a cluster can show: workers that die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from colorize_core.config import RunConfig
from colorize_core.errors import WorkerLost
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, Outcome, WorkItem
from tasks.pool import RayPool
from tests.film import ScannedFilm, scanned_film

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

POISON = 13  # the shot number of an item that always takes its process down
ONCE = 17  # of one that does so the first time


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class Mortal:
    """A worker that dies, as by a segmentation fault, on marked items."""

    def ready(self) -> bool:
        return True

    def do(self, item: WorkItem) -> Outcome:
        from colorize_core.colorize import perform

        assert isinstance(item, ChunkItem)
        mark = Path(item.output).with_suffix(".died")
        if item.shot == POISON or (item.shot == ONCE and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return perform(item)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> ScannedFilm:
    return scanned_film(tmp_path_factory.mktemp("deaths"), frames=24)


@pytest.fixture
def make_pool(ray_cluster: str) -> Iterator[Callable[..., RayPool]]:
    made: list[RayPool] = []

    def make(**budgets: Any) -> RayPool:
        made.append(RayPool(2, start_worker=Mortal.remote, **budgets))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def _submit(
    pool: RayPool, film: ScannedFilm, folder: Path, marks: list[int]
) -> list[Future[Outcome]]:
    return [
        pool.submit(
            ChunkItem(film.ref, RunConfig(), mark, FrameSpan(0, 4), (), f"{folder}/{i}-{mark}.mkv")
        )
        for i, mark in enumerate(marks)
    ]


def test_a_death_costs_a_second_attempt_and_nothing_else(
    make_pool: Callable[..., RayPool], film: ScannedFilm, tmp_path: Path
) -> None:
    futures = _submit(make_pool(), film, tmp_path, [0, 1, ONCE, 2, 3, 4])
    outcomes = [future.result(120) for future in futures]
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 2, 1, 1, 1]
    assert len({outcome.stored[0].digest for outcome in outcomes}) == 1  # the same frames


def test_poison_ends_alone(
    make_pool: Callable[..., RayPool], film: ScannedFilm, tmp_path: Path
) -> None:
    futures = _submit(make_pool(deaths_per_item=2), film, tmp_path, [0, POISON, 1, 2, 3])
    with pytest.raises(WorkerLost, match="2 times"):
        futures[1].result(120)
    assert all(isinstance(futures[i].result(120), Outcome) for i in (0, 2, 3, 4))


def test_a_pool_whose_workers_keep_dying_gives_up(
    make_pool: Callable[..., RayPool], film: ScannedFilm, tmp_path: Path
) -> None:
    pool = make_pool(deaths_per_item=2, deaths_in_all=3)
    for future in _submit(pool, film, tmp_path, [POISON] * 4):
        with pytest.raises(WorkerLost):
            future.result(120)


def test_workers_killed_at_any_moment(
    make_pool: Callable[..., RayPool], film: ScannedFilm, tmp_path: Path
) -> None:
    """Whenever the signal lands, every item ends with the same frames."""
    pool = make_pool()
    pool.wait_ready()
    futures = _submit(pool, film, tmp_path, list(range(8)))
    for process in _workers():
        process.kill()
    digests = {future.result(120).stored[0].digest for future in futures}
    assert len(digests) == 1


def test_close_ends_what_runs_and_leaves_no_process(
    make_pool: Callable[..., RayPool], film: ScannedFilm, tmp_path: Path
) -> None:
    pool = make_pool()
    pool.wait_ready()
    workers = _workers()
    assert len(workers) == 2
    futures = _submit(pool, film, tmp_path, list(range(40)))
    pool.close()
    assert not wait(futures, timeout=10).not_done
    for future in futures:
        if future.cancelled():
            with pytest.raises(CancelledError):
                future.result()
    assert not psutil.wait_procs(workers, timeout=30)[1]


@pytest.mark.parametrize(
    "budgets",
    [{"in_flight": 0}, {"deaths_per_item": 0}, {"deaths_per_item": 5, "deaths_in_all": 4}],
)
def test_budgets_that_do_not_fit_are_refused(budgets: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RayPool(1, **budgets)


def _workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ray::Mortal" in " ".join(process.info["cmdline"] or [])
    ]
