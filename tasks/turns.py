"""Shots are begun longest first, as many at a time as keep all workers busy and no more: what was
begun last is what is half done when a run is ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from prefect.futures import PrefectFuture

from colorize_core.shot_work import ShotWork
from colorize_core.work import Pool

# A shot has one thing to do after the other (anchors, segments, chunks), so that few items may
# wait while many are still to come.
LEAST_SHOTS = 8
MOST_SHOTS = 2  # for each worker
SEGMENTS = 4  # for each worker
_LOOK_S = 1.0  # how often it is seen whether the pool has grown


def in_turn(
    shots: Sequence[ShotWork], pool: Pool, start: Callable[[ShotWork], PrefectFuture[str]]
) -> None:
    """Begin all shots with `start`; return when each has ended.

    Raises:
        KinecolorError, CancelledError: what a shot raised, as soon as it did.
    """
    waiting = deque(sorted(shots, key=lambda work: -len(work.shot.span)))
    ended: SimpleQueue[PrefectFuture[str]] = SimpleQueue()
    at_work: dict[PrefectFuture[str], int] = {}  # with the number of its segments
    while waiting or at_work:
        while waiting and _keeps_busy(list(at_work.values()), pool.width):
            work = waiting.popleft()
            shot = start(work)
            at_work[shot] = len(work.segments)
            shot.add_done_callback(ended.put)
        try:
            done = ended.get(timeout=_LOOK_S)
        except Empty:
            continue
        del at_work[done]
        done.result()


def _keeps_busy(segments: Sequence[int], width: int) -> bool:
    """Whether one more shot may begin beside those with so many segments."""
    few = len(segments) < MOST_SHOTS * width and sum(segments) < SEGMENTS * width
    return few or len(segments) < LEAST_SHOTS
