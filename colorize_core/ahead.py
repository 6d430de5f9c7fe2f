"""Reading ahead: two files that are decoded side by side need not wait for each other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()
_POLL_S = 0.1  # how soon the thread sees that nobody reads on


def ahead(items: Iterator[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items, made in a thread of their own, at most `depth` before they are asked for.

    What `items` raises is raised here. Close the generator to end the thread early.
    """
    ready: queue.Queue[object] = queue.Queue(depth)
    closed = threading.Event()
    failure: list[BaseException] = []

    def put(item: object) -> None:
        while not closed.is_set():
            try:
                ready.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                put(item)
                if closed.is_set():
                    return
        except BaseException as error:  # it belongs to whoever reads
            failure.append(error)
        put(_END)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            yield item  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        closed.set()
        thread.join()
