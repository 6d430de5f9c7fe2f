"""What becomes of items that fail, whatever pool they are in."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest

from colorize_core.config import RunConfig
from colorize_core.dispatch import each_done
from colorize_core.errors import (
    EngineFailed,
    InputError,
    KinecolorError,
    ObjectDamaged,
    StorageFull,
    StorageUnavailable,
    WorkerLost,
)
from colorize_core.timebase import FrameSpan
from colorize_core.work import AnchorsItem, Outcome, Stage, WorkItem, cancel
from tests.film import scanned_film

DONE = Outcome((), 0.0, 0, "worker", "node", "cpu")


class Scripted:
    """A pool in which the tries at an item's object end as they are listed, and then well."""

    width = 1

    def __init__(self, endings: dict[str, list[KinecolorError | None]]) -> None:
        self._endings = endings
        self.tries: Counter[tuple[str, ...]] = Counter()

    def submit(self, item: WorkItem) -> Future[Outcome]:
        assert isinstance(item, AnchorsItem)
        self.tries[item.outputs] += 1
        future: Future[Outcome] = Future()
        errors = [each for uri in item.outputs if (each := self._next(uri))]
        if errors:
            future.set_exception(errors[0])
        else:
            future.set_result(DONE)
        return future

    def _next(self, uri: str) -> KinecolorError | None:
        return self._endings[uri].pop(0) if self._endings.get(uri) else None

    def release(self, stage: Stage) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def item(tmp_path: Path) -> AnchorsItem:
    film = scanned_film(tmp_path, frames=24).ref
    return AnchorsItem(film, RunConfig(), 1, FrameSpan(0, 24), (0, 6, 12), (), ("a", "b", "c"))


def ended(pool: Scripted, *items: AnchorsItem) -> dict[tuple[str, ...], tuple[str, int]]:
    """What each item ended as, and after how many tries."""
    return {
        each.outputs: (type(end).__name__, end.attempts) for each, end in each_done(pool, items)
    }


def test_what_may_pass_is_tried_once_more(item: AnchorsItem) -> None:
    (one, *_) = item.singly()
    for error in (EngineFailed("x"), StorageUnavailable("x"), ObjectDamaged("x")):
        assert ended(Scripted({"a": [error]}), one) == {("a",): ("Outcome", 2)}
        again = type(error)("x")
        assert ended(Scripted({"a": [error, again]}), one) == {("a",): (type(error).__name__, 2)}


def test_what_the_pool_or_nobody_tries_again_counts_at_once(item: AnchorsItem) -> None:
    (one, *_) = item.singly()
    lost = WorkerLost("x")
    lost.attempts = 3
    assert ended(Scripted({"a": [lost]}), one) == {("a",): ("WorkerLost", 3)}
    assert ended(Scripted({"a": [InputError("x")]}), one) == {("a",): ("InputError", 1)}


def test_anchors_that_failed_together_are_tried_one_by_one(item: AnchorsItem) -> None:
    pool = Scripted({"b": [EngineFailed("x"), EngineFailed("x")]})
    assert ended(pool, item) == {
        ("a",): ("Outcome", 2),
        ("b",): ("EngineFailed", 2),
        ("c",): ("Outcome", 2),
    }
    assert pool.tries == {("a", "b", "c"): 1, ("a",): 1, ("b",): 1, ("c",): 1}


def test_one_that_concerns_all_is_raised(item: AnchorsItem) -> None:
    with pytest.raises(StorageFull):
        ended(Scripted({"b": [StorageFull("x")]}), *item.singly())


def test_a_closed_pool_ends_the_wait(item: AnchorsItem) -> None:
    class Closed(Scripted):
        def submit(self, item: WorkItem) -> Future[Outcome]:
            future: Future[Outcome] = Future()
            cancel(future)
            return future

    with pytest.raises(CancelledError):
        ended(Closed({}), item)
