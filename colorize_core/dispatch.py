"""Items to a pool, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TypeVar

from colorize_core.errors import KinecolorError, Retry
from colorize_core.work import Outcome, Pool, WorkItem

Item = TypeVar("Item", bound=WorkItem)


def each_done(pool: Pool, items: Sequence[Item]) -> Iterator[tuple[Item, Outcome | Exception]]:
    """Each item with its outcome or its error, as they end. What a part got wrong is tried once
    more before it counts.

    Raises:
        CancelledError: the pool was closed.
    """
    longest_first = sorted(items, key=lambda item: -item.frames)  # so that the tail is short
    futures = {pool.submit(item): item for item in longest_first}
    tried: set[str] = set()
    while futures:
        for done in wait(futures, return_when=FIRST_COMPLETED).done:
            item = futures.pop(done)
            error = done.exception()
            if error is None:
                yield item, done.result()
            elif not isinstance(error, Exception):
                raise error
            elif _may_pass(error) and str(item) not in tried:
                tried.add(str(item))
                futures[pool.submit(item)] = item
            else:
                yield item, error


def _may_pass(error: Exception) -> bool:
    """Whether the same item may do better at a second try. A worker's death was retried already."""
    return not isinstance(error, KinecolorError) or error.retry is Retry.ALONE
