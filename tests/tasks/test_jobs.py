"""What a pool decides, with no Ray."""

from __future__ import annotations

import pytest

from colorize_core.config import RunConfig
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, FilmRef, ReferenceItem, WorkItem
from tasks.jobs import Job, JobQueue, Pace, wanted
from tests.film import scanned_film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> FilmRef:
    return scanned_film(tmp_path_factory.mktemp("jobs"), frames=24).ref


def chunk(film: FilmRef, frames: int = 4) -> WorkItem:
    return ChunkItem(film, RunConfig(), 0, FrameSpan(0, frames), ((None, frames),), "chunk")


def still(film: FilmRef) -> WorkItem:
    return ReferenceItem(film, RunConfig(), 0, 0, "", (), "still")


def test_first_come_first_served_whatever_the_stage(film: FilmRef) -> None:
    queue = JobQueue()
    jobs = [Job(chunk(film)), Job(still(film)), Job(chunk(film))]
    for job in jobs:
        queue.put(job)
    assert [queue.take() for _ in jobs] == jobs


def test_a_worker_may_stay_with_its_stage(film: FilmRef) -> None:
    queue = JobQueue()
    first, other, second = Job(chunk(film)), Job(still(film)), Job(chunk(film))
    for job in (first, other, second):
        queue.put(job)
    assert [queue.take("finish"), queue.take("finish"), queue.take("finish")] == [
        first,
        second,
        other,
    ]


def test_who_wants_to_be_alone_is_not_ready(film: FilmRef) -> None:
    queue = JobQueue()
    shy, job = Job(chunk(film), alone=True), Job(still(film))
    queue.put(shy)
    queue.put(job)
    assert (len(queue), queue.ready, queue.alone) == (2, 1, shy)
    assert queue.by_stage() == {"finish": 1, "reference": 1}
    assert (queue.take(), queue.take_alone(), len(queue)) == (job, shy, 0)


def test_all_can_be_taken(film: FilmRef) -> None:
    queue = JobQueue()
    jobs = {Job(chunk(film)), Job(still(film)), Job(chunk(film), alone=True)}
    for job in jobs:
        queue.put(job)
    assert set(queue.drain()) == jobs
    assert len(queue) == 0


def test_slow_is_what_takes_three_times_as_long_as_its_like(film: FilmRef) -> None:
    pace = Pace()
    assert not pace.is_slow(chunk(film), 1e6)  # nothing is known yet
    for seconds in (4, 40, 40, 40, 400):  # ten seconds a frame, but for two
        pace.note(chunk(film), seconds)
    assert not pace.is_slow(chunk(film), 119)
    assert pace.is_slow(chunk(film), 121)
    assert not pace.is_slow(chunk(film, frames=8), 239)
    assert not pace.is_slow(still(film), 1e6)


def test_what_is_quick_anyhow_is_never_slow(film: FilmRef) -> None:
    pace = Pace()
    for _ in range(5):
        pace.note(chunk(film), 0.01)
    assert not pace.is_slow(chunk(film), 9)


@pytest.mark.parametrize(
    ("work", "up", "limit", "workers"),
    [
        (0, 0, 10, 1),  # a pool has one
        (5, 2, 100, 5),  # never more than there is work
        (500, 2, 4, 4),  # nor than it may have
        (500, 0, 1000, 8),  # few wait
        (500, 2, 1000, 10),
        (500, 20, 1000, 40),  # as many as are up
    ],
)
def test_workers_wanted(work: int, up: int, limit: int, workers: int) -> None:
    assert wanted(work, up, limit) == workers
