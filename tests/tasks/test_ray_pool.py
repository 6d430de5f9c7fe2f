"""What only a cluster can show: workers that die."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import psutil
import pytest

from colorize_core.config import Budgets, RunConfig
from colorize_core.errors import ClusterUnavailable, OutOfMemory, WorkerLost
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, Outcome
from tasks.pool import RayPool
from tests.film import ScannedFilm, scanned_film
from tests.tasks.mortal import GLUTTON, HUNGRY, ONCE, POISON, STILLBORN, Mortal

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

MakePool = Callable[..., RayPool]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> ScannedFilm:
    return scanned_film(tmp_path_factory.mktemp("deaths"), frames=24)


@pytest.fixture
def make_pool(ray_cluster: str, tmp_path: Path) -> Iterator[MakePool]:
    made: list[RayPool] = []

    def make(width: int = 2, **budgets: int) -> RayPool:
        def start(memory: float) -> object:
            return Mortal.remote(memory, str(tmp_path))

        made.append(RayPool(width, start, budgets=Budgets(**budgets)))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def _submit(
    pool: RayPool, film: ScannedFilm, folder: Path, marks: list[int]
) -> list[Future[Outcome]]:
    spans = FrameSpan(0, 4)
    return [
        pool.submit(
            ChunkItem(film.ref, RunConfig(), mark, spans, ((None, 4),), f"{folder}/{i}-{mark}.mkv")
        )
        for i, mark in enumerate(marks)
    ]


def _tries(folder: Path, mark: int) -> list[float]:
    """The share of memory that the worker of each try at a marked item had."""
    (log,) = folder.glob(f"*-{mark}.tries")
    return [float(line.split()[0]) for line in log.read_text().splitlines()]


def test_a_death_costs_a_second_attempt_and_nothing_else(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    futures = _submit(make_pool(), film, tmp_path, [0, 1, ONCE, 2, 3, 4])
    outcomes = [future.result(120) for future in futures]
    assert [outcome.attempts for outcome in outcomes] == [1, 1, 2, 1, 1, 1]
    assert len({outcome.stored[0].digest for outcome in outcomes}) == 1  # the same frames


def test_poison_ends_alone(make_pool: MakePool, film: ScannedFilm, tmp_path: Path) -> None:
    futures = _submit(make_pool(deaths_per_item=2), film, tmp_path, [0, POISON, 1, 2, 3])
    with pytest.raises(WorkerLost, match="2 times") as caught:
        futures[1].result(120)
    assert caught.value.attempts == 2
    assert all(isinstance(futures[i].result(120), Outcome) for i in (0, 2, 3, 4))


def test_much_poison_closes_no_place(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    """More deaths than a place may have, of few items: they are not the worker's fault."""
    pool = make_pool(1, deaths_per_item=3, deaths_per_worker=4)
    futures = _submit(pool, film, tmp_path, [POISON, POISON, POISON, 0])
    for future in futures[:3]:
        with pytest.raises(WorkerLost, match="3 times"):
            future.result(120)
    assert isinstance(futures[3].result(120), Outcome)


def test_what_ran_out_of_memory_is_tried_alone_with_less(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    futures = _submit(make_pool(), film, tmp_path, [0, HUNGRY, 1, 2, 3, 4])
    outcomes = [future.result(120) for future in futures]
    assert [outcome.attempts for outcome in outcomes] == [1, 3, 1, 1, 1, 1]
    assert _tries(tmp_path, HUNGRY) == [1.0, 0.5, 0.25]
    spans = {
        path.name: tuple(map(int, path.read_text().split())) for path in tmp_path.glob("*.spans")
    }
    began, ended = spans.pop(f"1-{HUNGRY}.spans")
    assert all(until < began or since > ended for since, until in spans.values())


def test_what_always_runs_out_of_memory_says_so(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    futures = _submit(make_pool(), film, tmp_path, [0, GLUTTON, 1])
    with pytest.raises(OutOfMemory, match="too much") as caught:
        futures[1].result(120)
    assert caught.value.attempts == 3
    assert all(isinstance(futures[i].result(120), Outcome) for i in (0, 2))


def test_a_pool_whose_workers_keep_dying_gives_up(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    pool = make_pool(deaths_per_item=2, deaths_per_worker=3)
    futures = _submit(pool, film, tmp_path, [POISON] * 12)
    errors = [future.exception(120) for future in futures]
    assert {type(error) for error in errors} <= {WorkerLost, ClusterUnavailable}
    assert isinstance(errors[-1], ClusterUnavailable)
    (late,) = _submit(pool, film, tmp_path, [0])
    assert isinstance(late.exception(10), ClusterUnavailable)


def test_workers_that_cannot_start_end_the_wait(make_pool: MakePool, tmp_path: Path) -> None:
    (tmp_path / STILLBORN).touch()
    with pytest.raises(ClusterUnavailable, match="keep dying"):
        make_pool(deaths_per_item=1, deaths_per_worker=2).wait_ready()


def test_workers_killed_at_any_moment(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
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
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
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


def _workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ray::Mortal" in " ".join(process.info["cmdline"] or [])
    ]
