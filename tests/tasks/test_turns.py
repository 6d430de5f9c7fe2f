"""In which order, and how many at a time, a film's shots are begun."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.futures import PrefectConcurrentFuture

from colorize_core.engines.catalog import PartFacts
from colorize_core.errors import StorageFull
from colorize_core.local import LocalPool
from colorize_core.shot_work import ShotWork, work_of_shot
from colorize_core.shots.shot_list import Shot
from colorize_core.timebase import FrameSpan
from tasks.turns import LEAST_SHOTS, in_turn
from tests.benchmarks.scale_film import choice, planned_film


class Wide(LocalPool):
    """A pool of so many workers, which are not needed here."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


class Begun:
    """Shots that were begun, and end when they are told to."""

    def __init__(self) -> None:
        self.shots: dict[int, Future[str]] = {}

    def __call__(self, work: ShotWork) -> PrefectConcurrentFuture[str]:
        self.shots[work.shot.number] = future = Future[str]()
        return PrefectConcurrentFuture(uuid.uuid4(), future)


@pytest.fixture
def shots(tmp_path: Path) -> list[ShotWork]:
    """A hundred shots of five segments each, some of them longer."""
    film, request, planned = planned_film(tmp_path, 500)
    facts = PartFacts.of(request.config)
    return [
        work_of_shot(film.paths, film.ref, shot, choice(film, shot), request.config, facts)
        for shot in map(lengthened, planned)
    ]


def lengthened(shot: Shot) -> Shot:
    """The shot, with a frame more where its number is a multiple of ten."""
    more = shot.number % 10 == 0
    return replace(shot, span=FrameSpan(shot.span.start, shot.span.end + more))


@pytest.mark.parametrize(
    ("width", "at_a_time"),
    [(1, LEAST_SHOTS), (9, LEAST_SHOTS), (16, 13), (64, 52)],  # four segments for each worker
)
def test_as_many_shots_as_keep_all_busy(shots: list[ShotWork], width: int, at_a_time: int) -> None:
    begun = Begun()
    thread = threading.Thread(target=in_turn, args=(shots, Wide(width), begun))
    thread.start()
    ended = 0
    while thread.is_alive():
        due = min(ended + at_a_time, len(shots))
        assert len(begun.shots) <= due
        if len(begun.shots) == due > ended:
            list(begun.shots.values())[ended].set_result("done")
            ended += 1
    assert list(begun.shots) == [*range(10, 101, 10), *(i for i in range(1, 101) if i % 10)]


def test_what_ends_the_run_is_raised_at_once(shots: list[ShotWork]) -> None:
    """Whichever shot it befalls, and though others are being done."""
    begun = Begun()

    def start(work: ShotWork) -> PrefectConcurrentFuture[str]:
        future = begun(work)
        if len(begun.shots) == LEAST_SHOTS:
            begun.shots[work.shot.number].set_exception(StorageFull("full"))
        return future

    with pytest.raises(StorageFull):
        in_turn(shots, Wide(1), start)
    assert len(begun.shots) == LEAST_SHOTS
