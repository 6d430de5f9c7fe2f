"""What only a cluster can show: workers that die, that are slow, that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path

import psutil
import pytest

from colorize_core.config import Budgets, RunConfig
from colorize_core.errors import ClusterUnavailable, OutOfMemory, WorkerLost
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, Outcome
from tasks import jobs
from tasks.pool import RayPool
from tasks.pool_state import PoolState
from tests.film import ScannedFilm, scanned_film
from tests.tasks.mortal import GLUTTON, GO, HELD, HUNGRY, LATE, ONCE, POISON, STILLBORN, Mortal

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

MakePool = Callable[..., RayPool]
TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> ScannedFilm:
    return scanned_film(tmp_path_factory.mktemp("deaths"), frames=24)


@pytest.fixture
def make_pool(ray_cluster: str, tmp_path: Path) -> Iterator[MakePool]:
    made: list[RayPool] = []

    def make(
        width: int = 2, most: int | None = None, idle_s: float = float("inf"), **budgets: int
    ) -> RayPool:
        def start(memory: float) -> object:
            return Mortal.remote(memory, str(tmp_path))

        limit = (lambda: most) if most else None
        pool = RayPool(width, start, limit=limit, idle_s=idle_s, budgets=Budgets(**budgets))
        made.append(pool)
        return pool

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


def _tries(folder: Path, mark: int) -> list[tuple[float, int]]:
    """Of each try at a marked item: the share of memory that the worker had, and its process."""
    lines = [
        line for log in folder.glob(f"*-{mark}.tries") for line in log.read_text().splitlines()
    ]
    return [(float(memory), int(pid)) for memory, pid in map(str.split, lines)]


def _until(done: Callable[[PoolState], bool], pool: RayPool) -> PoolState:
    """What the pool is at, once that is so."""
    deadline = time.monotonic() + TIMEOUT_S
    while not done(state := pool.state()):
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return state


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
    assert [memory for memory, _ in _tries(tmp_path, HUNGRY)] == [1.0, 0.5, 0.25]
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
    _until(lambda state: state.workers == 2, pool)
    futures = _submit(pool, film, tmp_path, list(range(8)))
    for process in _workers():
        process.kill()
    digests = {future.result(120).stored[0].digest for future in futures}
    assert len(digests) == 1


def test_close_ends_what_runs_and_leaves_no_process(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    pool = make_pool()
    _until(lambda state: state.workers == 2, pool)
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


# -- workers that come and go ----------------------------------------------------------------


def test_workers_come_with_work_and_go_without(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    """On two CPUs: a third waits for room, which there is not, and holds up nobody."""
    pool = make_pool(1, most=3, idle_s=1.0)
    futures = _submit(pool, film, tmp_path, [HELD] * 4)
    state = _until(lambda state: state.workers == 2, pool)
    assert (state.busy, state.queued, state.starting) == (2, 2, 1)
    (tmp_path / GO).touch()
    assert all(future.result(120).attempts == 1 for future in futures)
    state = _until(lambda state: state.workers + state.starting == 1, pool)
    assert (state.workers, state.busy, state.queued, state.deaths) == (1, 0, 0, 0)
    (again,) = _submit(pool, film, tmp_path, [0])
    assert again.result(120).attempts == 1


def test_no_more_workers_than_work(make_pool: MakePool, film: ScannedFilm, tmp_path: Path) -> None:
    pool = make_pool(1, most=100)
    futures = _submit(pool, film, tmp_path, [HELD] * 2)
    state = _until(lambda state: state.busy == 2, pool)
    assert (state.workers, state.starting) == (2, 0)
    (tmp_path / GO).touch()
    wait(futures, 120)


def test_what_a_pool_gives_back_another_one_gets(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    first = make_pool(1, most=2, idle_s=1.0)
    _submit(first, film, tmp_path, [HELD] * 2)
    _until(lambda state: state.busy == 2, first)
    second = make_pool(1)
    (future,) = _submit(second, film, tmp_path, [0])
    (tmp_path / GO).touch()
    assert future.result(120).attempts == 1
    assert first.state().workers == 1


# -- workers that are slow -------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SLOW_S", 0.5)


@pytest.mark.usefixtures("impatient")
def test_what_takes_too_long_is_begun_a_second_time(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    """The first try never ends by itself. Its worker is replaced, which is nobody's death."""
    pool = make_pool()
    *_, late = _submit(pool, film, tmp_path, [0, 1, 2, 3, 4, 5, LATE])
    assert late.result(120).attempts == 1
    assert len({pid for _, pid in _tries(tmp_path, LATE)}) == 2
    state = _until(lambda state: state.workers == 2, pool)
    assert (state.busy, state.queued, state.deaths) == (0, 0, 0)


@pytest.mark.usefixtures("impatient")
def test_of_two_that_do_the_same_one_may_die(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    pool = make_pool()
    *_, held = _submit(pool, film, tmp_path, [0, 1, 2, 3, 4, 5, HELD])
    _until(lambda _: len(_tries(tmp_path, HELD)) == 2, pool)
    psutil.Process(_tries(tmp_path, HELD)[0][1]).kill()
    _until(lambda state: state.deaths == 1, pool)
    (tmp_path / GO).touch()
    assert held.result(120).attempts == 2
    assert len(_tries(tmp_path, HELD)) <= 3  # a third is begun where the death is seen early


def test_work_that_comes_while_a_worker_with_less_memory_starts(
    make_pool: MakePool, film: ScannedFilm, tmp_path: Path
) -> None:
    """It goes first; then that worker has its turn."""
    pool = make_pool()
    (hungry,) = _submit(pool, film, tmp_path, [HUNGRY])
    _until(lambda state: state.deaths == 1, pool)
    futures = _submit(pool, film, tmp_path, [HELD, HELD, 0, 1])
    _until(lambda state: state.workers == 2, pool)
    (tmp_path / GO).touch()
    assert {future.result(120).attempts for future in futures} == {1}
    assert hungry.result(120).attempts == 3


def _workers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ray::Mortal" in " ".join(process.info["cmdline"] or [])
    ]
