"""Items to a pool, and what becomes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from queue import SimpleQueue
from typing import TypeVar, cast

from colorize_core.errors import KinecolorError, Retry
from colorize_core.work import AnchorsItem, Outcome, Pool, WorkItem

Item = TypeVar("Item", bound=WorkItem)


def each_done(pool: Pool, items: Iterable[Item]) -> Iterator[tuple[Item, Outcome | KinecolorError]]:
    """Each item with its outcome or its error, as they end. What may pass is tried once more before
    it counts. Anchors that failed together are tried one by one, and come back so: only those fail
    that fail by themselves.

    Raises:
        KinecolorError: one that ends the run.
        CancelledError: the pool was closed.
    """
    ended: SimpleQueue[Future[Outcome]] = SimpleQueue()  # `wait` looks at all each time
    at_work: dict[Future[Outcome], Item] = {}

    def submit(item: Item) -> None:
        future = pool.submit(item)
        at_work[future] = item
        future.add_done_callback(ended.put)

    for item in sorted(items, key=lambda item: -item.frames):  # so that the tail is short
        submit(item)
    attempts: Counter[str] = Counter()  # by item, of the tries that have failed
    while at_work:
        done = ended.get()
        item = at_work.pop(done)
        before, error = attempts[str(item)], done.exception()
        if error is None:
            outcome = done.result()
            yield item, replace(outcome, attempts=before + outcome.attempts)
            continue
        if not isinstance(error, KinecolorError) or error.ends_run:
            raise error
        error.attempts += before
        again = _tried_again(item, error, first=not before)
        if not again:
            yield item, error
        for each in again:
            attempts[str(each)] = error.attempts
            submit(each)


def _tried_again(item: Item, error: KinecolorError, *, first: bool) -> tuple[Item, ...]:
    """What is done once more after an item's failure; nothing: the item is given up."""
    if isinstance(item, AnchorsItem) and len(item.anchors) > 1:
        return cast(tuple[Item, ...], item.singly())
    may_pass = error.retry in (Retry.STAGE, Retry.CALL)
    return (item,) if first and may_pass else ()
